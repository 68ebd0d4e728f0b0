//! Who is told of events: syslog servers of every kind, and a webhook.
//!
//! Each collects what it gets, in order. Their threads end with the program: a test is short.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::Context as _;
use serde_json::Value;

use crate::gateway::DEADLINE;
use crate::wait;

/// Longest datagram that is read.
const DATAGRAM_BYTES: usize = 64 * 1024;

/// What somebody got.
#[derive(Debug)]
pub struct Heard<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Heard<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Heard<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone + std::fmt::Debug> Heard<T> {
    fn add(&self, one: T) {
        self.0.lock().unwrap().push(one);
    }

    /// All of it so far.
    pub fn all(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }

    /// Waits for the first that `which` picks.
    pub fn wait(&self, name: &str, which: impl Fn(&T) -> bool) -> anyhow::Result<T> {
        wait::until(name, DEADLINE, || self.all().into_iter().find(|one| which(one)))
            .with_context(|| format!("heard: {:#?}", self.all()))
    }
}

/// A syslog server by UDP.
pub fn syslog_udp() -> anyhow::Result<(SocketAddr, Heard<String>)> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let (address, heard) = (socket.local_addr()?, Heard::default());
    let ours = heard.clone();
    thread::spawn(move || {
        let mut buffer = vec![0; DATAGRAM_BYTES];
        while let Ok(bytes) = socket.recv(&mut buffer) {
            ours.add(String::from_utf8_lossy(&buffer[..bytes]).into_owned());
        }
    });
    Ok((address, heard))
}

/// A syslog server on a local datagram socket.
pub fn syslog_unix(path: &Path) -> anyhow::Result<Heard<String>> {
    let socket = UnixDatagram::bind(path)?;
    let heard = Heard::default();
    let ours = heard.clone();
    thread::spawn(move || {
        let mut buffer = vec![0; DATAGRAM_BYTES];
        while let Ok(bytes) = socket.recv(&mut buffer) {
            ours.add(String::from_utf8_lossy(&buffer[..bytes]).into_owned());
        }
    });
    Ok(heard)
}

/// A syslog server by TCP, with counted octets.
pub fn syslog_tcp() -> anyhow::Result<(SocketAddr, Heard<String>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (address, heard) = (listener.local_addr()?, Heard::default());
    let ours = heard.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let ours = ours.clone();
            thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                while let Some(message) = counted(&mut reader) {
                    ours.add(message);
                }
            });
        }
    });
    Ok((address, heard))
}

fn counted(reader: &mut impl std::io::BufRead) -> Option<String> {
    let mut count = Vec::new();
    reader.read_until(b' ', &mut count).ok()?;
    let count: usize = std::str::from_utf8(&count).ok()?.trim().parse().ok()?;
    let mut message = vec![0; count];
    reader.read_exact(&mut message).ok()?;
    String::from_utf8(message).ok()
}

/// Takes alerts at this address as an Alertmanager does. The first so many are turned away with
/// 503.
pub fn webhook(address: SocketAddr, turned_away: usize) -> anyhow::Result<Heard<Value>> {
    let listener = TcpListener::bind(address)?;
    let heard = Heard::default();
    let ours = heard.clone();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            if let Some(alerts) = take_alerts(stream, number >= turned_away) {
                for alert in alerts {
                    ours.add(alert);
                }
            }
        }
    });
    Ok(heard)
}

/// An address where nobody listens.
pub fn nobody() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn take_alerts(stream: TcpStream, welcome: bool) -> Option<Vec<Value>> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let is_right = line == "POST /api/v2/alerts HTTP/1.1\r\n";
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let alerts: Option<Vec<Value>> = serde_json::from_slice(&body).ok();
    let answer = match (welcome && is_right, &alerts) {
        (true, Some(_)) => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        (true, None) => "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        (false, _) => "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
    };
    reader.get_mut().write_all(answer.as_bytes()).ok()?;
    alerts.filter(|_| welcome && is_right)
}
