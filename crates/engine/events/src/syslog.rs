//! Syslog: the form of RFC 5424, over UDP (RFC 5426), TCP with counted octets (RFC 6587) or a
//! local datagram socket.
//!
//! UDP loses what it loses. Over TCP a server that closed the connection is noticed before the
//! next message is sent, as far as that can be known.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use mainstay_config::alerts::{ServerAddress, Syslog, SyslogTarget};
use mainstay_wire::event::{Change, Record, Severity};

use crate::Origin;
use crate::date::Date;
use crate::failure::DeliveryError;
use crate::outlet::Carrier;
use crate::reach;

/// Whose the structured data are. The number is the one that RFC 5612 sets aside for who has none.
const DATA_ID: &str = "mainstay@32473";

/// Longest host name (RFC 5424, 6).
const HOST_BYTES_MAX: usize = 255;

/// Greatest `sequenceId` (RFC 5424, 7.3.1).
const SEQUENCE_MAX: u64 = 2_147_483_647;

pub(crate) struct SyslogSender {
    syslog: Syslog,
    origin: Origin,
    timeout: Duration,
    stream: Option<TcpStream>,
}

impl SyslogSender {
    pub(crate) fn new(syslog: &Syslog, origin: &Origin, timeout: Duration) -> Self {
        Self { syslog: syslog.clone(), origin: origin.clone(), timeout, stream: None }
    }

    fn send(&mut self, message: &str) -> Result<(), DeliveryError> {
        match &self.syslog.target {
            SyslogTarget::Udp(server) => send_udp(server, message),
            SyslogTarget::Unix(path) => {
                let attempt = || {
                    let socket = UnixDatagram::unbound()?;
                    socket.set_write_timeout(Some(self.timeout))?;
                    socket.send_to(message.as_bytes(), path)
                };
                attempt().map(drop).map_err(|source| {
                    let server = path.display().to_string();
                    DeliveryError::Send { server, source }
                })
            }
            SyslogTarget::Tcp(server) => {
                let mut stream = match self.stream.take().filter(is_open) {
                    Some(stream) => stream,
                    None => reach::connect(server, self.timeout)?,
                };
                let framed = format!("{} {message}", message.len());
                stream.write_all(framed.as_bytes()).map_err(|source| {
                    let server = reach::show(server);
                    DeliveryError::Send { server, source }
                })?;
                self.stream = Some(stream);
                Ok(())
            }
        }
    }
}

impl Carrier for SyslogSender {
    fn batch_max(&self) -> usize {
        // Each message counts by itself: after an error only this one is sent again.
        1
    }

    fn deliver(&mut self, records: &[Record]) -> Result<(), DeliveryError> {
        for record in records {
            self.send(&message(&self.syslog, &self.origin, record))?;
        }
        Ok(())
    }
}

fn send_udp(server: &ServerAddress, message: &str) -> Result<(), DeliveryError> {
    let addresses = reach::addresses(server)?;
    let attempt = |address: SocketAddr| {
        let any: SocketAddr = if address.is_ipv4() {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        };
        UdpSocket::bind(any)?.send_to(message.as_bytes(), address)
    };
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match attempt(address) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(DeliveryError::Send { server: reach::show(server), source: last })
}

/// Whether the server still listens: one that does says nothing.
fn is_open(stream: &TcpStream) -> bool {
    let peeked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    let is_silent = matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
    is_silent && stream.set_nonblocking(false).is_ok()
}

/// `<PRI>1 TIME HOST mainstay PID EVENT [DATA] MSG`
fn message(syslog: &Syslog, origin: &Origin, record: &Record) -> String {
    let priority = u16::from(syslog.facility) * 8 + u16::from(severity(record));
    let (time, host, pid) = (Date(record.unix_ms), header(&origin.host), origin.pid);
    let kind = record.kind.name();
    let mut text = format!("<{priority}>1 {time} {host} mainstay {pid} {kind} ");
    let sequence = record.number.saturating_sub(1) % SEQUENCE_MAX + 1;
    let process = record.process.map(|process| process.to_string());
    let suppressed = record.suppressed.to_string();
    let fields = [
        ("gateway", Some(origin.gateway.as_str())),
        ("change", Some(record.change.name())),
        ("alert", Some(record.alert.name())),
        ("severity", Some(record.severity.name())),
        ("process", process.as_deref()),
        ("suppressed", Some(suppressed.as_str())),
    ];
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let details = record.details.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut put = |piece: fmt::Arguments<'_>| {
        text.write_fmt(piece).expect("a string takes everything");
    };
    put(format_args!("[meta sequenceId=\"{sequence}\"][{DATA_ID}"));
    for (name, value) in fields.chain(details) {
        put(format_args!(" {name}=\"{}\"", escape(value)));
    }
    // What is not ASCII is announced as UTF-8 (RFC 5424, 6.4).
    let mark = if record.summary.is_ascii() { "" } else { "\u{feff}" };
    put(format_args!("] {mark}{}", record.summary));
    text
}

/// The number of a severity (RFC 5424, 6.2.1).
const fn severity(record: &Record) -> u8 {
    match (record.change, record.severity) {
        // Notice: it is over, and somebody waits to hear that.
        (Change::Cleared, _) => 5,
        (_, Severity::Critical) => 2,
        (_, Severity::Warning) => 4,
        (_, Severity::Info) => 6,
    }
}

/// A text as a field of the header: printable ASCII, or `-` for none.
fn header(text: &str) -> String {
    let plain: String = text.chars().filter(char::is_ascii_graphic).take(HOST_BYTES_MAX).collect();
    if plain.is_empty() { "-".to_owned() } else { plain }
}

/// A value between quotes (RFC 5424, 6.3.3).
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;

    use insta::assert_snapshot;

    use super::*;
    use crate::form::tests::{origin, record};

    fn syslog(target: SyslogTarget) -> Syslog {
        Syslog { target, facility: 3 }
    }

    fn text(record: &Record) -> String {
        message(&syslog(SyslogTarget::Unix("/dev/log".into())), &origin(), record)
    }

    #[test]
    fn a_message_is_as_the_rfc_has_it() {
        assert_snapshot!(text(&record(7)), @r#"<28>1 2026-03-01T12:00:00.123Z host-1 mainstay 4242 process_died [meta sequenceId="7"][mainstay@32473 gateway="edge-1" change="raised" alert="process_died" severity="warning" process="worker one" suppressed="0" ending="SIGKILL" pid="4711"] worker one died (SIGKILL)"#);
        let cleared = Record { change: Change::Cleared, process: None, ..record(8) };
        assert_snapshot!(text(&cleared), @r#"<29>1 2026-03-01T12:00:00.123Z host-1 mainstay 4242 process_died [meta sequenceId="8"][mainstay@32473 gateway="edge-1" change="cleared" alert="process_died" severity="warning" suppressed="0" ending="SIGKILL" pid="4711"] worker one died (SIGKILL)"#);
        let mut odd = Record { summary: "größer".to_owned(), ..record(SEQUENCE_MAX + 1) };
        odd.details.insert("reason".to_owned(), "a \"]\\ b".to_owned());
        assert_snapshot!(text(&odd), @r#"<28>1 2026-03-01T12:00:00.123Z host-1 mainstay 4242 process_died [meta sequenceId="1"][mainstay@32473 gateway="edge-1" change="raised" alert="process_died" severity="warning" process="worker one" suppressed="0" ending="SIGKILL" pid="4711" reason="a \"\]\\ b"] ﻿größer"#);
    }

    #[test]
    fn a_server_that_closed_its_connection_gets_the_next_message_over_another() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = ServerAddress::Ip(server.local_addr().unwrap());
        let config = syslog(SyslogTarget::Tcp(address));
        let mut sender = SyslogSender::new(&config, &origin(), Duration::from_secs(10));
        for number in 1..=2 {
            sender.deliver(&[record(number)]).unwrap();
            let (mut stream, _) = server.accept().unwrap();
            let expected = message(&config, &origin(), &record(number));
            let expected = format!("{} {expected}", expected.len());
            let mut found = vec![0; expected.len()];
            stream.read_exact(&mut found).unwrap();
            assert_eq!(String::from_utf8(found).unwrap(), expected);
            // Closed here; its FIN has come when the peer has answered it.
            stream.shutdown(std::net::Shutdown::Both).unwrap();
            let ours = sender.stream.as_ref().unwrap();
            assert_eq!(ours.peek(&mut [0]).unwrap(), 0, "the end is seen");
        }
    }

    #[test]
    fn a_local_socket_takes_datagrams() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let config = syslog(SyslogTarget::Unix(path.clone()));
        let mut sender = SyslogSender::new(&config, &origin(), Duration::from_secs(10));
        let error = sender.deliver(&[record(1)]).unwrap_err();
        assert!(matches!(error, DeliveryError::Send { .. }), "{error}");
        let server = UnixDatagram::bind(&path).unwrap();
        sender.deliver(&[record(1)]).unwrap();
        let mut buffer = [0; 4096];
        let bytes = server.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..bytes], message(&config, &origin(), &record(1)).as_bytes());
    }
}
