//! A TCP connection with a buffer for what was read, and a word for everything that can go
//! wrong with it.
//!
//! Both ends of the harness use it: the client in front of the gateway, with timeouts, and
//! the origin behind it, without.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// What a client may wait for anything, before that counts as a failure.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How an exchange failed, as the one who took part in it saw it.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("connection refused")]
    Refused,
    #[error("closed before the end")]
    Closed,
    #[error("reset")]
    Reset,
    #[error("nothing for {PATIENCE:?}")]
    TimedOut,
    #[error("byte {offset} is {found:#04x}, not {expected:#04x}")]
    WrongByte { offset: u64, expected: u8, found: u8 },
    #[error("{found} bytes, not {expected}")]
    WrongLength { expected: u64, found: u64 },
    #[error("got {found:?}, not {expected:?}")]
    WrongAnswer { expected: String, found: String },
    #[error("status {status}: {text}")]
    Status { status: u16, text: String },
    #[error("not HTTP: {what}")]
    Malformed { what: String },
    #[error("input or output failed")]
    Io { source: io::Error },
}

impl Broken {
    /// What the other end sent is not what the protocol allows.
    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed { what: what.into() }
    }
}

impl From<io::Error> for Broken {
    fn from(source: io::Error) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is told by its source")]
        match source.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Self::Reset,
            ErrorKind::UnexpectedEof => Self::Closed,
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Io { source },
        }
    }
}

impl From<rustix::io::Errno> for Broken {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::from(io::Error::from(errno))
    }
}

/// A connection and the bytes that arrived on it and were not asked for yet.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    buffer: Vec<u8>,
    head: usize,
    tail: usize,
    /// Where a copy of every byte that arrives goes.
    tap: Option<Arc<Mutex<Vec<u8>>>>,
}

/// Longest line that a head may have here.
const LINE_BYTES_MAX: usize = 128 * 1024;
const BUFFER_BYTES: usize = 16 * 1024;

impl Socket {
    /// Connects, with [`PATIENCE`] for this and for each later read and write.
    pub fn connect(address: SocketAddr) -> Result<Self, Broken> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        Self::patient(stream)
    }

    /// Connects from an address of 127.0.0.0/8: each has ports of its own.
    pub fn connect_from(source: Ipv4Addr, address: SocketAddr) -> Result<Self, Broken> {
        let kind = SocketType::STREAM;
        let socket =
            rustix::net::socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, None)?;
        rustix::net::bind(&socket, &SocketAddrV4::new(source, 0))?;
        rustix::net::connect(&socket, &address)?;
        Self::patient(TcpStream::from(socket))
    }

    fn patient(stream: TcpStream) -> Result<Self, Broken> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self::from_stream(stream))
    }

    /// Wraps a connection as it is.
    pub const fn from_stream(stream: TcpStream) -> Self {
        Self::new(stream, None)
    }

    /// Wraps an accepted connection.
    pub(crate) const fn new(stream: TcpStream, tap: Option<Arc<Mutex<Vec<u8>>>>) -> Self {
        Self { stream, buffer: Vec::new(), head: 0, tail: 0, tap }
    }

    /// The connection itself, for its options and for polling.
    pub const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends all of `bytes`.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Ends the sending direction.
    pub fn finish(&self) -> Result<(), Broken> {
        Ok(self.stream.shutdown(Shutdown::Write)?)
    }

    /// What has arrived and was not taken, without waiting for more.
    pub fn pending(&self) -> &[u8] {
        &self.buffer[self.head..self.tail]
    }

    /// Takes whatever comes next, at most `limit` bytes; an empty slice is the end.
    pub fn take(&mut self, limit: usize) -> Result<&[u8], Broken> {
        if self.head == self.tail && !self.fill()? {
            return Ok(&[]);
        }
        let start = self.head;
        self.head += limit.min(self.tail - start);
        Ok(&self.buffer[start..self.head])
    }

    /// Takes exactly `out.len()` bytes.
    pub fn take_exact(&mut self, out: &mut [u8]) -> Result<(), Broken> {
        let mut got = 0;
        while got < out.len() {
            let piece = self.take(out.len() - got)?;
            if piece.is_empty() {
                return Err(Broken::Closed);
            }
            out[got..got + piece.len()].copy_from_slice(piece);
            got += piece.len();
        }
        Ok(())
    }

    /// Takes a line that ends in CR LF, without the two; none at the end of the connection.
    pub fn line(&mut self) -> Result<Option<String>, Broken> {
        let mut line = Vec::new();
        loop {
            if self.head == self.tail && !self.fill()? {
                if line.is_empty() {
                    return Ok(None);
                }
                return Err(Broken::Closed);
            }
            let pending = &self.buffer[self.head..self.tail];
            let Some(place) = pending.iter().position(|byte| *byte == b'\n') else {
                line.extend_from_slice(pending);
                self.head = self.tail;
                if line.len() > LINE_BYTES_MAX {
                    return Err(Broken::malformed("a line without end"));
                }
                continue;
            };
            line.extend_from_slice(&pending[..place]);
            self.head += place + 1;
            if line.pop() != Some(b'\r') {
                return Err(Broken::malformed("a line that ends without CR"));
            }
            return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
        }
    }

    /// Waits for the orderly end of the other direction, and takes any other byte as wrong.
    pub fn expect_end(&mut self) -> Result<(), Broken> {
        let left = self.take(usize::MAX)?;
        if left.is_empty() {
            return Ok(());
        }
        let found = String::from_utf8_lossy(left).into_owned();
        Err(Broken::WrongAnswer { expected: "the end".to_owned(), found })
    }

    /// Gives the buffer back, if nothing is in it: ten thousand idle connections need none.
    pub fn release(&mut self) {
        if self.head == self.tail {
            (self.buffer, self.head, self.tail) = (Vec::new(), 0, 0);
        }
    }

    /// Reads into the empty buffer; false is the end of the connection.
    fn fill(&mut self) -> Result<bool, Broken> {
        self.buffer.resize(BUFFER_BYTES, 0);
        let read = loop {
            match self.stream.read(&mut self.buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        (self.head, self.tail) = (0, read);
        if let Some(tap) = &self.tap {
            tap.lock().unwrap().extend_from_slice(&self.buffer[..read]);
        }
        Ok(read > 0)
    }
}
/// Addresses of this host where nobody listens now.
pub fn free_addresses<const N: usize>() -> io::Result<[SocketAddr; N]> {
    // All are bound before the first is let go, so no two are the same.
    let bound: Vec<TcpListener> =
        (0..N).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    let addresses: Vec<SocketAddr> =
        bound.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
    Ok(std::array::from_fn(|place| addresses[place]))
}
