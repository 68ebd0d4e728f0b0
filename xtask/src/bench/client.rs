//! The load of the latency scenario: requests at fixed instants, whatever the answers do.
//!
//! A client that waits for an answer before it sends the next request measures least when the
//! proxy is slowest. This one has a schedule: request *n* is due at *n* / rate, it is sent on
//! any free one of 64 connections, and its latency counts from when it was due, even if it had
//! to wait for a connection.
//!
//! The backend runs in the same thread. Two processes on one processor would wait for each
//! other's time slices, which are longer than anything that is measured here.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use super::backend::Backend;
use super::{WARM_UP_SECONDS, pin};

const CONNECTIONS: usize = 64;

/// Events that are not those of a connection; connections count from 0.
const TIMER: u64 = u64::MAX;
const BACKEND: u64 = u64::MAX - 1;
const INPUT: u64 = u64::MAX - 2;

const NO_TIME: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How long after the last request the last answer may come.
const PATIENCE: Duration = Duration::from_secs(5);

const REQUEST: &[u8] = b"GET /1k HTTP/1.1\r\nHost: bench\r\n\r\n";

/// What is sent, and where from.
#[derive(Debug, Args)]
pub struct Options {
    /// The processor it stays on
    #[arg(long)]
    cpu: usize,
    /// Requests for each second
    #[arg(long)]
    rate: u32,
    /// How long, after a second that does not count
    #[arg(long)]
    seconds: u32,
}

/// How long answers took, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
}

/// Says the backend's address, reads the proxy's, sends on schedule, and prints what came of
/// it.
pub fn run(options: &Options) -> anyhow::Result<()> {
    pin(options.cpu)?;
    let mut client = Client::start(options)?;
    client.connect()?;
    client.send_all(WARM_UP_SECONDS)?;
    client.send_all(options.seconds)?;
    println!("{}", client.latency()?);
    Ok(())
}

struct Client {
    backend: Backend,
    connections: Vec<Connection>,
    epoll: OwnedFd,
    timer: OwnedFd,
    free: VecDeque<usize>,
    rate: u32,
    start: Instant,
    sent: u32,
    total: u32,
    micros: Vec<f64>,
}

struct Connection {
    stream: TcpStream,
    due: Instant,
    answer: Vec<u8>,
}

impl Client {
    fn start(options: &Options) -> anyhow::Result<Self> {
        anyhow::ensure!(options.rate > 0, "the rate must be at least one");
        let epoll = epoll::create(CreateFlags::CLOEXEC).context("cannot make an epoll")?;
        let backend = Backend::start()?;
        epoll::add(&epoll, &backend.epoll, EventData::new_u64(BACKEND), EventFlags::IN)
            .context("cannot watch the backend")?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, flags).context("cannot make a timer")?;
        // Edge triggered: each setting wakes once, and nothing has to be read.
        let once = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), once)
            .context("cannot watch the timer")?;
        Ok(Self {
            backend,
            connections: Vec::with_capacity(CONNECTIONS),
            epoll,
            timer,
            free: (0..CONNECTIONS).collect(),
            rate: options.rate,
            start: Instant::now(),
            sent: 0,
            total: 0,
            micros: Vec::new(),
        })
    }

    /// Serves the proxy's first questions until its address is on the standard input.
    fn connect(&mut self) -> anyhow::Result<()> {
        let input = io::stdin();
        epoll::add(&self.epoll, &input, EventData::new_u64(INPUT), EventFlags::IN)
            .context("cannot watch the input")?;
        let mut events = Vec::with_capacity(2);
        let mut is_told = false;
        while !is_told {
            epoll::wait(&self.epoll, spare_capacity(&mut events), None).context("cannot wait")?;
            for event in events.drain(..) {
                is_told |= event.data.u64() == INPUT;
            }
            self.backend.turn(Some(&NO_TIME))?;
        }
        epoll::delete(&self.epoll, &input).context("cannot stop watching the input")?;
        let mut address = String::new();
        input.read_line(&mut address).context("cannot read the proxy's address")?;

        for key in 0..CONNECTIONS {
            let stream = TcpStream::connect(address.trim()).context("cannot connect")?;
            stream.set_nodelay(true).context("cannot send at once")?;
            stream.set_nonblocking(true).context("cannot send without blocking")?;
            epoll::add(&self.epoll, &stream, EventData::new_u64(key as u64), EventFlags::IN)
                .context("cannot watch a connection")?;
            self.connections.push(Connection { stream, due: self.start, answer: Vec::new() });
        }
        Ok(())
    }

    /// Sends for `seconds` and waits for every answer.
    fn send_all(&mut self, seconds: u32) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(CONNECTIONS + 2);
        let mut scratch = vec![0; ANSWER_BYTES_MAX];
        self.total = self.rate.checked_mul(seconds).context("too many requests")?;
        self.sent = 0;
        self.micros.clear();
        self.start = Instant::now();
        let end = self.start + Duration::from_secs(seconds.into()) + PATIENCE;
        while self.micros.len() < self.total as usize {
            anyhow::ensure!(Instant::now() < end, "answers are missing");
            self.send_due()?;
            epoll::wait(&self.epoll, spare_capacity(&mut events), None).context("cannot wait")?;
            for event in events.drain(..) {
                match event.data.u64() {
                    TIMER => {}
                    BACKEND => self.backend.turn(Some(&NO_TIME))?,
                    key => {
                        let key = usize::try_from(key).context("no such connection")?;
                        self.receive(key, &mut scratch)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends what is due, as far as there are connections, and sets the timer for the next.
    fn send_due(&mut self) -> anyhow::Result<()> {
        let mut wait = PATIENCE;
        while self.sent < self.total {
            let due = self.start + Duration::from_secs(1) / self.rate * self.sent;
            let now = Instant::now();
            if due > now {
                wait = due - now;
                break;
            }
            let Some(key) = self.free.pop_front() else { break };
            let connection = self.connections.get_mut(key).context("no such connection")?;
            connection.due = due;
            let count = connection.stream.write(REQUEST).context("cannot send")?;
            anyhow::ensure!(count == REQUEST.len(), "a request was sent in part");
            self.sent += 1;
        }
        let it_value = Timespec::try_from(wait).context("cannot wait that long")?;
        let once = Itimerspec { it_interval: NO_TIME, it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)
            .context("cannot set the timer")?;
        Ok(())
    }

    fn receive(&mut self, key: usize, scratch: &mut [u8]) -> anyhow::Result<()> {
        let connection = self.connections.get_mut(key).context("no such connection")?;
        let count = match connection.stream.read(scratch) {
            Ok(0) => anyhow::bail!("a connection was closed"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("cannot receive"),
        };
        connection.answer.extend_from_slice(scratch.get(..count).unwrap_or_default());
        if is_complete(&connection.answer)? {
            connection.answer.clear();
            self.micros.push(connection.due.elapsed().as_secs_f64() * 1e6);
            self.free.push_back(key);
        }
        Ok(())
    }

    fn latency(mut self) -> anyhow::Result<Latency> {
        self.micros.sort_by(f64::total_cmp);
        let at = |permille: usize| {
            let place = (self.micros.len() * permille / 1000).min(self.micros.len() - 1);
            self.micros.get(place).copied().context("no answer")
        };
        anyhow::ensure!(!self.micros.is_empty(), "no answer");
        Ok(Latency { p50: at(500)?, p99: at(990)?, p999: at(999)? })
    }
}

/// Whether these bytes are one whole answer with a `Content-Length`.
fn is_complete(bytes: &[u8]) -> anyhow::Result<bool> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(false);
    };
    let (head, body) = bytes.split_at(end + 4);
    anyhow::ensure!(head.starts_with(b"HTTP/1.1 200"), "an answer is not 200");
    let head = str::from_utf8(head).context("an answer is not text")?;
    let mut fields = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let (_, length) = length.context("an answer has no length")?;
    let length: usize = length.trim().parse().context("an answer has a strange length")?;
    Ok(body.len() >= length)
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "latency {:.0} {:.0} {:.0}", self.p50, self.p99, self.p999)
    }
}

impl FromStr for Latency {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        let numbers = text.trim().strip_prefix("latency ").unwrap_or_default();
        let numbers: Vec<f64> = numbers.split(' ').filter_map(|part| part.parse().ok()).collect();
        let [p50, p99, p999] = numbers[..] else {
            return Err(io::Error::other("these are not three numbers"));
        };
        Ok(Self { p50, p99, p999 })
    }
}
