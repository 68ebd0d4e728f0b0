//! Connections that are answered by the master, because nobody else is there to do it.
//!
//! The page goes out, then the client's bytes are read and thrown away until it closes or a
//! second has passed: a socket that is closed with bytes unread is reset, and a reset
//! overtakes the page.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use mainstay_model::{Chain, Timestamp};
use mainstay_os::{Interest, Poller};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown, send, shutdown};
use tracing::debug;

use crate::settings::Refusal;
use crate::token::Token;

/// What a client of a listener that speaks HTTP gets. The same bytes whatever it asked: the
/// master reads no request.
const PAGE: &str = "HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 54\r\n\
    Retry-After: 1\r\n\
    Cache-Control: no-store\r\n\
    Connection: close\r\n\
    \r\n\
    The gateway is starting again. Please try once more.\r\n";

/// How long a client may take to read the page.
const LINGER: Duration = Duration::from_secs(1);

/// Most bytes of a client that are read and thrown away.
const DISCARD_BYTES_MAX: usize = 256 * 1024;

/// Most clients at a time; the others wait in the queue of the listener.
const REFUSED_MAX: usize = 1_024;

/// The clients that were answered and not let go yet.
#[derive(Debug, Default)]
pub(crate) struct Refusing {
    clients: BTreeMap<u32, Client>,
    seen: u32,
    /// How many there were in all.
    pub(crate) total: u64,
}

#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    until: Timestamp,
    discarded: usize,
}

/// Whether a client may be closed.
enum Progress {
    Open,
    Finished,
}

impl Refusing {
    /// How many more clients there is room for.
    pub(crate) fn room(&self) -> usize {
        REFUSED_MAX.saturating_sub(self.clients.len())
    }

    /// Whether [`Refusing::expire`] will have something to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Answers one client.
    pub(crate) fn refuse(
        &mut self,
        poller: &Poller,
        socket: OwnedFd,
        refusal: Refusal,
        now: Timestamp,
    ) {
        self.total = self.total.saturating_add(1);
        if refusal == Refusal::Close || self.room() == 0 {
            return;
        }
        self.seen = self.seen.wrapping_add(1);
        let number = self.seen;
        // The page is far smaller than the buffer of a socket that nothing was written to.
        let answered = send(&socket, PAGE.as_bytes(), SendFlags::NOSIGNAL)
            .and_then(|_| shutdown(&socket, Shutdown::Write))
            .map_err(io::Error::from)
            .and_then(|()| {
                poller.add(&socket, Token::Refused(number).number(), Interest::ReadLevel)
            });
        match answered {
            Ok(()) => {
                let client = Client { socket, until: now + LINGER, discarded: 0 };
                self.clients.insert(number, client);
            }
            Err(error) => debug!(error = %Chain(&error), "cannot answer a client"),
        }
    }

    /// Reads what a client sent.
    pub(crate) fn discard(&mut self, number: u32) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        match client.discard() {
            Progress::Open => {}
            Progress::Finished => drop(self.clients.remove(&number)),
        }
    }

    /// Lets go of who took too long.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        self.clients.retain(|_, client| client.until > now);
    }
}

impl Client {
    fn discard(&mut self) -> Progress {
        let mut buffer = [0; 16 * 1024];
        loop {
            match rustix::io::read(&self.socket, &mut buffer) {
                Ok(0) => return Progress::Finished,
                Ok(bytes) => {
                    self.discarded = self.discarded.saturating_add(bytes);
                    if self.discarded > DISCARD_BYTES_MAX {
                        return Progress::Finished;
                    }
                }
                Err(Errno::AGAIN) => return Progress::Open,
                Err(Errno::INTR) => {}
                Err(_) => return Progress::Finished,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use mainstay_os::now;

    use super::*;

    #[test]
    fn the_page_is_as_long_as_it_says() {
        let (head, body) = PAGE.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }

    #[test]
    fn a_client_that_is_still_sending_reads_the_whole_page() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut poller = Poller::new(8).unwrap();
        let mut refusing = Refusing::default();
        client.write_all(&[b'x'; 4096]).unwrap();
        refusing.refuse(&poller, socket.into(), Refusal::Page, now());
        client.write_all(&[b'x'; 4096]).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, PAGE);
        drop(client);
        while !refusing.is_empty() {
            let count = poller.wait(Some(Duration::from_secs(5))).unwrap();
            assert!(count > 0, "the client's end is seen");
            for index in 0..count {
                let Some(Token::Refused(number)) = Token::read(poller.event(index).unwrap().token)
                else {
                    panic!("nothing else is watched");
                };
                refusing.discard(number);
            }
        }
    }

    #[test]
    fn a_client_of_something_else_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        let mut refusing = Refusing::default();
        refusing.refuse(&Poller::new(1).unwrap(), socket.into(), Refusal::Close, now());
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
        assert!(refusing.is_empty());
    }
}
