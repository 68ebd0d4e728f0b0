//! Probes: requests that a configuration must answer before it serves.
//!
//! Each goes the way of a client: one end of a socket pair is given to a lane, as if it had been
//! accepted from a listener of the service, and a thread of its own speaks HTTP on the other.
//! The control thread goes on meanwhile; it is told when all have been answered, or one was not
//! as it should be.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver};
use std::thread::Builder;
use std::time::Instant;

use anyhow::Context as _;
use mainstay_config::Gateway;
use mainstay_config::apply::Probe;
use mainstay_model::ListenerId;
use mainstay_os::{Event, Interest, Poller};
use mainstay_proxy::Command;

use crate::lanes::Lanes;

/// Longest first line of a response.
const LINE_BYTES_MAX: u64 = 1024;

/// Probes that are under way.
#[derive(Debug)]
pub(crate) struct Probing {
    /// The question that is answered when they are over.
    pub(crate) number: u64,
    raised: Event,
    outcome: Receiver<Result<(), ProbeError>>,
}

/// Why a configuration has not proven itself.
#[derive(Debug, thiserror::Error)]
#[error("probe of {host}{path} (service {service:?}) expected {expect}")]
pub(crate) struct ProbeError {
    service: String,
    host: String,
    path: String,
    expect: u16,
    source: Mismatch,
}

/// What came instead.
#[derive(Debug, thiserror::Error)]
enum Mismatch {
    #[error("{found} came")]
    Status { found: u16 },

    #[error("nothing came within {limit_ms} ms")]
    TimedOut { limit_ms: u128 },

    #[error("what came is no response")]
    NoResponse,

    #[error("it could not be asked")]
    Broken { source: io::Error },
}

impl Probing {
    /// Gives all of them to a lane, and listens for the answers.
    pub(crate) fn begin(
        number: u64,
        gateway: &Gateway,
        lanes: &mut Lanes,
        poller: &Poller,
        token: u64,
    ) -> anyhow::Result<Self> {
        let mut asked = Vec::new();
        for probe in &gateway.apply.probes {
            let service = gateway.services.get(probe.service).context("a probe has a service")?;
            let listener = service.listeners.first().context("a service has a listener")?;
            let listener = ListenerId(u16::try_from(*listener).context("far fewer listeners")?);
            let (ours, theirs) = UnixStream::pair().context("cannot make a connection")?;
            theirs.set_nonblocking(true).context("cannot prepare a connection")?;
            lanes.tell_next(Command::Serve { client: OwnedFd::from(theirs), listener })?;
            asked.push((service.name.clone(), probe.clone(), ours));
        }
        let raised = Event::new().context("cannot make an event")?;
        let done = raised.try_clone().context("cannot copy an event")?;
        poller.add(raised.as_fd(), token, Interest::ReadLevel).context("cannot wait for probes")?;
        let (sender, outcome) = mpsc::channel();
        Builder::new()
            .name("probes".to_owned())
            .spawn(move || {
                let result = asked.into_iter().try_for_each(|(service, probe, stream)| {
                    ask(&probe, stream).map_err(|source| ProbeError {
                        service,
                        host: probe.host.clone(),
                        path: probe.path.clone(),
                        expect: probe.expect,
                        source,
                    })
                });
                // Who waits for it may have been told to do something else since.
                if sender.send(result).is_ok()
                    && let Err(error) = done.raise()
                {
                    tracing::warn!(%error, "cannot raise an event");
                }
            })
            .context("cannot start the thread of the probes")?;
        Ok(Self { number, raised, outcome })
    }

    /// What came of them, if all are over.
    pub(crate) fn outcome(&self) -> Option<Result<(), ProbeError>> {
        self.outcome.try_recv().ok()
    }

    /// Stops waiting.
    pub(crate) fn end(&self, poller: &Poller) -> io::Result<()> {
        poller.remove(self.raised.as_fd())
    }
}

/// Asks, and compares what comes.
fn ask(probe: &Probe, mut stream: UnixStream) -> Result<(), Mismatch> {
    let broken = |source| Mismatch::Broken { source };
    let begun = Instant::now();
    let limit_ms = probe.timeout.as_millis();
    stream.set_write_timeout(Some(probe.timeout)).map_err(broken)?;
    write!(
        stream,
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: mainstay-probe\r\nConnection: close\r\n\r\n",
        probe.path, probe.host
    )
    .map_err(broken)?;
    let left = probe.timeout.saturating_sub(begun.elapsed());
    if left.is_zero() {
        return Err(Mismatch::TimedOut { limit_ms });
    }
    stream.set_read_timeout(Some(left)).map_err(broken)?;
    let mut line = String::new();
    match BufReader::new(stream.take(LINE_BYTES_MAX)).read_line(&mut line) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(Mismatch::TimedOut { limit_ms });
        }
        Err(source) => return Err(Mismatch::Broken { source }),
    }
    // `HTTP/1.1 200 OK`
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    match status {
        Some(found) if found == probe.expect => Ok(()),
        Some(found) => Err(Mismatch::Status { found }),
        None => Err(Mismatch::NoResponse),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn asked(answer: &'static [u8]) -> Result<(), Mismatch> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let server = thread::spawn(move || {
            let mut request = [0; 1024];
            let count = theirs.read(&mut request).unwrap();
            theirs.write_all(answer).unwrap();
            // An empty answer is none for as long as anybody waits.
            if answer.is_empty() {
                let count = theirs.read(&mut request).unwrap();
                assert_eq!(count, 0, "nothing follows the request");
            }
            String::from_utf8(request[..count].to_vec()).unwrap()
        });
        let probe = Probe {
            service: 0,
            host: "shop.example".to_owned(),
            path: "/healthz".to_owned(),
            expect: 204,
            timeout: Duration::from_millis(50),
        };
        let result = ask(&probe, ours);
        let request = server.join().unwrap();
        assert!(
            request.starts_with("GET /healthz HTTP/1.1\r\nHost: shop.example\r\n"),
            "{request}"
        );
        result
    }

    #[test]
    fn a_probe_wants_its_status_and_says_what_came() {
        assert!(asked(b"HTTP/1.1 204 No Content\r\n\r\n").is_ok());
        for (answer, said) in [
            (&b"HTTP/1.1 502 Bad Gateway\r\n\r\n"[..], "502 came"),
            (b"220 mail.example ESMTP\r\n", "what came is no response"),
            (b"", "nothing came within 50 ms"),
        ] {
            assert_eq!(asked(answer).unwrap_err().to_string(), said);
        }
    }
}
