//! The server behind the proxies: fixed answers, as cheaply as epoll allows.
//!
//! `/1k` and `/64k` answer a body of that size, `/upload` reads the body and answers a short
//! 200. It must never be what limits the proxy, so it parses no more than it must: requests
//! come one at a time, with a `Content-Length` or without a body.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use anyhow::Context as _;
use clap::Args;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::net::sockopt::set_socket_send_buffer_size;

use super::pin;

/// Where it runs.
#[derive(Debug, Args)]
pub struct Options {
    /// The processor it stays on
    #[arg(long)]
    cpu: usize,
}

const READ_BYTES: usize = 256 * 1024;

/// Enough for the largest answer in one write.
const SEND_BUFFER_BYTES: usize = 256 * 1024;

/// A proxy's request head is a few hundred bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

const EVENTS_MAX: usize = 256;

/// The event of the listener; connections count from 0.
const LISTENER: u64 = u64::MAX;

/// Binds, says its address, and serves until it is killed.
pub fn run(options: &Options) -> anyhow::Result<()> {
    pin(options.cpu)?;
    let mut backend = Backend::start()?;
    loop {
        backend.turn(None)?;
    }
}

/// The server. Its epoll is readable when it has something to do.
pub(super) struct Backend {
    listener: TcpListener,
    pub(super) epoll: OwnedFd,
    events: Vec<Event>,
    connections: Vec<Option<Connection>>,
    answers: Answers,
    scratch: Vec<u8>,
}

/// The three answers, head included.
struct Answers {
    small: Vec<u8>,
    large: Vec<u8>,
    stored: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Small,
    Large,
    Stored,
}

struct Connection {
    stream: TcpStream,
    /// A head that is not complete yet; almost always empty.
    head: Vec<u8>,
    /// Bytes of a body still to come, and what is answered then.
    body: usize,
    answer: Answer,
    /// How much of the answer is written, while one is being written.
    writing: Option<usize>,
}

/// Whether a connection goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Stays,
    Closes,
}

impl Backend {
    /// Binds, and says the address on a line.
    pub(super) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
        listener.set_nonblocking(true).context("cannot listen without blocking")?;
        let epoll = epoll::create(CreateFlags::CLOEXEC).context("cannot make an epoll")?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)
            .context("cannot watch the listener")?;
        println!("{}", listener.local_addr().context("cannot tell the address")?);
        let answers = Answers { small: answer(1024), large: answer(64 * 1024), stored: answer(2) };
        Ok(Self {
            listener,
            epoll,
            events: Vec::with_capacity(EVENTS_MAX),
            connections: Vec::new(),
            answers,
            scratch: vec![0; READ_BYTES],
        })
    }

    /// Waits for something to do, and does it.
    pub(super) fn turn(&mut self, limit: Option<&Timespec>) -> anyhow::Result<()> {
        let mut events = std::mem::take(&mut self.events);
        epoll::wait(&self.epoll, spare_capacity(&mut events), limit).context("cannot wait")?;
        for event in events.drain(..) {
            let key = event.data.u64();
            if key == LISTENER {
                self.accept()?;
            } else {
                self.step(usize::try_from(key).context("no such connection")?);
            }
        }
        self.events = events;
        Ok(())
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("cannot accept"),
            };
            stream.set_nonblocking(true).context("cannot serve without blocking")?;
            stream.set_nodelay(true).context("cannot send at once")?;
            set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES)
                .context("cannot set the send buffer")?;
            let free = self.connections.iter().position(Option::is_none);
            let key = free.unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            epoll::add(&self.epoll, &stream, EventData::new_u64(key as u64), EventFlags::IN)
                .context("cannot watch a connection")?;
            let head = Vec::new();
            let connection =
                Connection { stream, head, body: 0, answer: Answer::Small, writing: None };
            if let Some(place) = self.connections.get_mut(key) {
                *place = Some(connection);
            }
        }
    }

    /// A connection has something to read or room to write.
    fn step(&mut self, key: usize) {
        let Some(place) = self.connections.get_mut(key) else { return };
        // It was closed by an earlier event of the same batch.
        let Some(connection) = place else { return };
        let was_writing = connection.writing.is_some();
        let then = if was_writing {
            connection.write(&self.answers)
        } else {
            connection.read(&mut self.scratch, &self.answers)
        };
        // A proxy that goes away in the middle is none of the backend's business.
        if !matches!(then, Ok(Then::Stays)) {
            *place = None;
            return;
        }
        let is_writing = connection.writing.is_some();
        if was_writing != is_writing {
            let wanted = if is_writing { EventFlags::OUT } else { EventFlags::IN };
            let data = EventData::new_u64(key as u64);
            if epoll::modify(&self.epoll, &connection.stream, data, wanted).is_err() {
                *place = None;
            }
        }
    }
}

impl Answers {
    const fn of(&self, answer: Answer) -> &Vec<u8> {
        match answer {
            Answer::Small => &self.small,
            Answer::Large => &self.large,
            Answer::Stored => &self.stored,
        }
    }
}

impl Connection {
    fn read(&mut self, scratch: &mut [u8], answers: &Answers) -> io::Result<Then> {
        let count = match self.stream.read(scratch) {
            Ok(0) => return Ok(Then::Closes),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Then::Stays),
            Err(error) => return Err(error),
        };
        let bytes = scratch.get(..count).unwrap_or_default();
        if self.body > 0 {
            return self.take_body(bytes, answers);
        }
        if !self.head.is_empty() {
            self.head.extend_from_slice(bytes);
            let head = std::mem::take(&mut self.head);
            return self.take_head(&head, answers);
        }
        self.take_head(bytes, answers)
    }

    fn take_head(&mut self, bytes: &[u8], answers: &Answers) -> io::Result<Then> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            if bytes.len() > HEAD_BYTES_MAX {
                return Ok(Then::Closes);
            }
            self.head = bytes.to_vec();
            return Ok(Then::Stays);
        };
        let (head, rest) = bytes.split_at(end + 4);
        if head.starts_with(b"GET /64k") {
            self.answer = Answer::Large;
        } else if head.starts_with(b"GET /") {
            self.answer = Answer::Small;
        } else {
            self.answer = Answer::Stored;
            self.body = content_length(head).ok_or(ErrorKind::InvalidData)?;
        }
        self.take_body(rest, answers)
    }

    fn take_body(&mut self, bytes: &[u8], answers: &Answers) -> io::Result<Then> {
        let Some(left) = self.body.checked_sub(bytes.len()) else {
            // More than one request at a time is not for this server.
            return Ok(Then::Closes);
        };
        self.body = left;
        if left > 0 {
            return Ok(Then::Stays);
        }
        self.writing = Some(0);
        self.write(answers)
    }

    fn write(&mut self, answers: &Answers) -> io::Result<Then> {
        let answer = answers.of(self.answer);
        while let Some(written) = self.writing {
            let rest = answer.get(written..).unwrap_or_default();
            match self.stream.write(rest) {
                Ok(count) if count == rest.len() => self.writing = None,
                Ok(count) => self.writing = Some(written + count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Then::Stays),
                Err(error) => return Err(error),
            }
        }
        Ok(Then::Stays)
    }
}

/// An answer with as many fields as applications send, and a body of `bytes`.
fn answer(bytes: usize) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\n\
         Server: bench\r\n\
         Date: Sat, 01 Jan 2000 00:00:00 GMT\r\n\
         Content-Type: application/octet-stream\r\n\
         Content-Length: {bytes}\r\n\
         Cache-Control: no-store\r\n\
         ETag: \"0123456789abcdef\"\r\n\r\n"
    )
    .into_bytes();
    answer.resize(answer.len() + bytes, b'x');
    answer
}

fn content_length(head: &[u8]) -> Option<usize> {
    let text = str::from_utf8(head).ok()?;
    let mut fields = text.split("\r\n").filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    value.trim().parse().ok()
}
