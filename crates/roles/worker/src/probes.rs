//! Probes: requests that a configuration must answer before it serves.
//!
//! Each goes the way of a client: one end of a socket pair is given to a lane, as if it had been
//! accepted from a listener of the service, and a thread of its own speaks HTTP on the other.
//! They are asked one after the other, and a lane gets a connection when its probe is asked: no
//! probe waits for the ones before it. The control thread goes on meanwhile; it is told when all
//! have been answered, or one was not as it should be.

use std::io::{self, BufReader, Read, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::Builder;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mainstay_config::Gateway;
use mainstay_config::apply::Probe;
use mainstay_model::ListenerId;
use mainstay_os::{Event, Interest, Poller};
use mainstay_proxy::{Command, LaneHandle};

use crate::lanes::Lanes;

/// What is read of a response at the most: the interim ones and the first line of the final one.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;

/// Probes that are under way.
#[derive(Debug)]
pub(crate) struct Probing {
    /// The question that is answered when they are over.
    pub(crate) number: u64,
    raised: Event,
    outcome: Receiver<Result<(), ProbeError>>,
    /// Nobody waits for them any more.
    is_given_up: Arc<AtomicBool>,
}

/// A probe, and how it gets to a lane.
struct Turn {
    service: String,
    probe: Probe,
    listener: ListenerId,
    lane: LaneHandle,
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
    /// Asks all of them, one after the other, in a thread of its own.
    pub(crate) fn begin(
        number: u64,
        gateway: &Gateway,
        lanes: &mut Lanes,
        poller: &Poller,
        token: u64,
    ) -> anyhow::Result<Self> {
        let mut turns = Vec::new();
        for probe in &gateway.apply.probes {
            let service = gateway.services.get(probe.service).context("a probe has a service")?;
            let listener = service.listeners.first().context("a service has a listener")?;
            turns.push(Turn {
                service: service.name.clone(),
                probe: probe.clone(),
                listener: ListenerId(u16::try_from(*listener).context("far fewer listeners")?),
                lane: lanes.next()?.clone(),
            });
        }
        let raised = Event::new().context("cannot make an event")?;
        let done = raised.try_clone().context("cannot copy an event")?;
        poller.add(raised.as_fd(), token, Interest::ReadLevel).context("cannot wait for probes")?;
        let (sender, outcome) = mpsc::channel();
        let is_given_up = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&is_given_up);
        Builder::new()
            .name("probes".to_owned())
            .spawn(move || {
                let mut turns = turns.into_iter().take_while(|_| !is_over.load(Ordering::Relaxed));
                let result = turns.try_for_each(Turn::take);
                // Who waits for it may have been told to do something else since.
                if sender.send(result).is_ok()
                    && let Err(error) = done.raise()
                {
                    tracing::warn!(%error, "cannot raise an event");
                }
            })
            .context("cannot start the thread of the probes")?;
        Ok(Self { number, raised, outcome, is_given_up })
    }

    /// What came of them, if all are over.
    pub(crate) fn outcome(&self) -> Option<Result<(), ProbeError>> {
        self.outcome.try_recv().ok()
    }

    /// Stops waiting.
    pub(crate) fn end(&self, poller: &Poller) -> io::Result<()> {
        self.is_given_up.store(true, Ordering::Relaxed);
        poller.remove(self.raised.as_fd())
    }
}

impl Turn {
    fn take(self) -> Result<(), ProbeError> {
        let answered = self
            .connect()
            .map_err(|source| Mismatch::Broken { source })
            .and_then(|stream| ask(&self.probe, &stream));
        answered.map_err(|source| ProbeError {
            service: self.service,
            host: self.probe.host,
            path: self.probe.path,
            expect: self.probe.expect,
            source,
        })
    }

    fn connect(&self) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        theirs.set_nonblocking(true)?;
        let client = OwnedFd::from(theirs);
        self.lane.tell(Command::Serve { client, listener: self.listener })?;
        Ok(ours)
    }
}

/// Asks, and compares what comes.
fn ask(probe: &Probe, stream: &UnixStream) -> Result<(), Mismatch> {
    let until = Instant::now() + probe.timeout;
    match ask_until(probe, stream, until) {
        Ok(Some(found)) if found == probe.expect => Ok(()),
        Ok(Some(found)) => Err(Mismatch::Status { found }),
        Ok(None) => Err(Mismatch::NoResponse),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(Mismatch::TimedOut { limit_ms: probe.timeout.as_millis() })
        }
        Err(source) => Err(Mismatch::Broken { source }),
    }
}

/// The status of the final response, if what comes is one.
fn ask_until(probe: &Probe, mut stream: &UnixStream, until: Instant) -> io::Result<Option<u16>> {
    stream.set_write_timeout(Some(time_left(until)?))?;
    write!(
        stream,
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: mainstay-probe\r\nConnection: close\r\n\r\n",
        probe.path, probe.host
    )?;
    let mut answer = BufReader::new(Timed { stream, until }.take(ANSWER_BYTES_MAX));
    loop {
        // `HTTP/1.1 200 OK`
        let line = read_line(&mut answer)?;
        let digits = line.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let status = digits.and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
        // Interim responses have no content; the end of their fields is the end of them
        // (RFC 9110, 15.2).
        if !status.is_some_and(|status| (100..200).contains(&status)) {
            return Ok(status);
        }
        while !matches!(read_line(&mut answer)?.as_slice(), b"" | b"\r\n" | b"\n") {}
    }
}

fn read_line(answer: &mut impl io::BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    answer.read_until(b'\n', &mut line)?;
    Ok(line)
}

/// A stream that is read until an instant; later, a read is [`io::ErrorKind::WouldBlock`].
struct Timed<'a> {
    stream: &'a UnixStream,
    until: Instant,
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(time_left(self.until)?))?;
        self.stream.read(buffer)
    }
}

fn time_left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// What a probe makes of a server that says these, 20 ms between one and the next.
    fn asked(answers: Vec<&'static [u8]>) -> Result<(), Mismatch> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let server = thread::spawn(move || {
            let mut request = [0; 1024];
            let count = theirs.read(&mut request).unwrap();
            theirs.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            for answer in answers {
                // Who asked may have had enough.
                if theirs.write_all(answer).is_err() || matches!(theirs.read(&mut [0; 1]), Ok(0)) {
                    break;
                }
            }
            theirs.set_read_timeout(None).unwrap();
            assert_eq!(theirs.read(&mut [0; 1]).unwrap(), 0, "nothing follows the request");
            String::from_utf8(request[..count].to_vec()).unwrap()
        });
        let probe = Probe {
            service: 0,
            host: "shop.example".to_owned(),
            path: "/healthz".to_owned(),
            expect: 204,
            timeout: Duration::from_millis(200),
        };
        let result = ask(&probe, &ours);
        drop(ours);
        let request = server.join().unwrap();
        assert!(
            request.starts_with("GET /healthz HTTP/1.1\r\nHost: shop.example\r\n"),
            "{request}"
        );
        result
    }

    #[test]
    fn a_probe_wants_its_status_and_says_what_came() {
        assert!(asked(vec![b"HTTP/1.1 204 No Content\r\n\r\n"]).is_ok());
        for (answer, said) in [
            (vec![&b"HTTP/1.1 502 Bad Gateway\r\n\r\n"[..]], "502 came"),
            (vec![b"220 mail.example ESMTP\r\n"], "what came is no response"),
            (vec![], "nothing came within 200 ms"),
        ] {
            assert_eq!(asked(answer).unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn an_interim_response_is_not_the_answer() {
        const HINTS: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
        assert!(asked(vec![HINTS, HINTS, b"HTTP/1.1 204 No Content\r\n\r\n"]).is_ok());
        let error = asked(vec![HINTS, b"HTTP/1.1 503 No\r\n\r\n"]).unwrap_err();
        assert_eq!(error.to_string(), "503 came");
    }

    #[test]
    fn the_timeout_is_for_the_whole_answer() {
        // Each byte comes soon, and all of them never.
        let error = asked(vec![b"H"; 1000]).unwrap_err();
        assert_eq!(error.to_string(), "nothing came within 200 ms");
    }
}
