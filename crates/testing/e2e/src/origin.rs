//! The application behind the gateway: makes bodies, checks bodies, counts what it executed.
//!
//! A thread per connection, blocking, with a small stack: two hundred connections cost little
//! and each is a straight line of code. It never closes an idle connection, so a close that a
//! client sees is the gateway's doing.
//!
//! | path | answers with |
//! | --- | --- |
//! | `/small` | 1 KiB |
//! | `/bytes?n=&seed=` | a pattern, with its length |
//! | `/chunked?n=&seed=&piece=` | the same in chunks; its SHA-256 as the trailer field `X-Sum` |
//! | `/until-close?n=&seed=` | the same, ended by the close of the connection |
//! | `/slow?n=&seed=&pause_ms=` | the same, 1 KiB at a time |
//! | `/status?code=` | that status |
//! | `/hints` | 103, then 200 |
//! | `/echo` | SHA-256 and length of the body it received |
//! | `/request` | the head that it received |
//! | `/early?then=drain` or `close` | 200 before it has read the body |
//! | `/hold?key=` | 200 once [`Origin::release`] was called for the key |
//! | `/ws` | WebSocket: an echo; the text `sum` asks for the digest of all binary messages |
//!
//! On the second port every byte is echoed, and so is the end.
//!
//! # Invariants
//!
//! A request is counted under its `X-Torture-Id` once its last byte was read: what is counted
//! once was executed once.

mod answer;
mod record;
mod websocket;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::socket::Socket;
use crate::wait;
use record::Record;

/// The field whose value names a request, for counting how often it was executed.
pub const ID_FIELD: &str = "X-Torture-Id";

/// Size of what `/small` answers.
pub const SMALL_BYTES: u64 = 1024;

/// Seed of what `/small` answers.
pub const SMALL_SEED: u64 = 1;

const STACK_BYTES: usize = 256 * 1024;

/// A running origin. Ends with its value.
#[derive(Debug)]
pub struct Origin {
    record: Arc<Record>,
    http: SocketAddr,
    tcp: SocketAddr,
    acceptors: Vec<JoinHandle<()>>,
}

impl Origin {
    /// Starts it on two ports that the kernel chooses.
    pub fn start() -> io::Result<Self> {
        let record = Arc::new(Record::default());
        let (http, http_thread) = accept_on(&record, answer::serve)?;
        let (tcp, tcp_thread) = accept_on(&record, |socket, _| echo(socket.stream()))?;
        Ok(Self { record, http, tcp, acceptors: vec![http_thread, tcp_thread] })
    }

    /// Where it speaks HTTP.
    pub const fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where it echoes bytes.
    pub const fn tcp(&self) -> SocketAddr {
        self.tcp
    }

    /// How many requests it has executed, with and without an id.
    pub fn requests(&self) -> u64 {
        self.record.requests()
    }

    /// How often it executed the request with this id.
    pub fn executed(&self, id: &str) -> u32 {
        self.record.executed(id)
    }

    /// The ids that it executed more than once.
    pub fn executed_twice(&self) -> Vec<String> {
        self.record.executed_twice()
    }

    /// Keeps a copy of every byte that arrives on connections from now on.
    pub fn record_bytes(&self) {
        self.record.tap_connections();
    }

    /// What arrived, connection by connection, since [`Self::record_bytes`].
    pub fn received(&self) -> Vec<Vec<u8>> {
        self.record.received()
    }

    /// Open HTTP and TCP connections.
    pub fn connections(&self) -> usize {
        self.record.connections()
    }

    /// Closes every connection, as a server that restarts does; new ones are welcome.
    pub fn close_connections(&self) {
        self.record.close_all();
    }

    /// Waits until `n` requests are held under `key`.
    pub fn wait_held(&self, key: &str, n: usize) -> Result<(), wait::TooLate> {
        let name = format!("{n} requests held under {key}");
        wait::until(&name, Duration::from_secs(10), || (self.record.held(key) >= n).then_some(()))
    }

    /// Answers what is held under `key`, now and later.
    pub fn release(&self, key: &str) {
        self.record.release(key);
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.record.end();
        for address in [self.http, self.tcp] {
            // Wakes the acceptor, which then sees that it is over.
            drop(TcpStream::connect(address));
        }
        for acceptor in self.acceptors.drain(..) {
            acceptor.join().unwrap();
        }
    }
}

/// Listens, and gives each connection to `serve` on a thread of its own.
fn accept_on(
    record: &Arc<Record>,
    serve: fn(Socket, &Record),
) -> io::Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    rustix::net::listen(&listener, 4096)?;
    let address = listener.local_addr()?;
    let record = Arc::clone(record);
    let thread = thread::Builder::new().name(format!("origin {address}")).spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let Some((number, tap)) = record.open(&stream) else { return };
            let record = Arc::clone(&record);
            let serve_one = move || {
                // On loopback a delayed small write would only measure Nagle's algorithm.
                if stream.set_nodelay(true).is_ok() {
                    serve(Socket::new(stream, tap), &record);
                }
                record.close(number);
            };
            let name = format!("origin connection {number}");
            let builder = thread::Builder::new().name(name).stack_size(STACK_BYTES);
            builder.spawn(serve_one).unwrap();
        }
    })?;
    Ok((address, thread))
}

fn echo(mut stream: &TcpStream) {
    let mut piece = vec![0; 16 * 1024];
    while let Ok(read) = stream.read(&mut piece) {
        if read == 0 {
            // The peer may have gone altogether; then there is nobody to tell the end.
            stream.shutdown(Shutdown::Write).ok();
            return;
        }
        if stream.write_all(&piece[..read]).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
