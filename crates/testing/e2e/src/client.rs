//! One connection of a client, and what it can do wrong or right on it.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use crate::http::{Fields, ResponseHead, Sink, read_body, write_chunk};
use crate::pattern::{PIECE_BYTES, Pattern};
use crate::socket::{Broken, Socket};

/// The host that every request names, unless it says otherwise.
pub const HOST: &str = "torture.test";

/// A client with one connection. It never reconnects and never repeats anything.
#[derive(Debug)]
pub struct Client {
    socket: Socket,
}

/// A whole response, in memory.
#[derive(Clone, Debug)]
pub struct Response {
    pub head: ResponseHead,
    pub body: Vec<u8>,
    pub trailers: Fields,
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// How the length of an upload is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length,
    Chunked,
}

/// Writes the head of a request with a Host field.
pub fn request(method: &str, target: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {HOST}\r\n");
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Result<Self, Broken> {
        Ok(Self { socket: Socket::connect(address)? })
    }

    /// Connects from an address of 127.0.0.0/8.
    pub fn connect_from(source: Ipv4Addr, address: SocketAddr) -> Result<Self, Broken> {
        Ok(Self { socket: Socket::connect_from(source, address)? })
    }

    /// The connection, for raw bytes.
    pub const fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// The bare connection, for polling.
    pub const fn stream(&self) -> &TcpStream {
        self.socket.stream()
    }

    /// The connection, for whatever follows HTTP on it.
    pub fn into_socket(self) -> Socket {
        self.socket
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.socket.send(bytes)
    }

    /// GET on this connection, which stays open.
    pub fn get(&mut self, target: &str) -> Result<Response, Broken> {
        self.send(&request("GET", target, &[]))?;
        self.response("GET")
    }

    /// GET with further fields.
    pub fn get_with(&mut self, target: &str, fields: &[(&str, &str)]) -> Result<Response, Broken> {
        self.send(&request("GET", target, fields))?;
        self.response("GET")
    }

    /// GET that asks for the close of the connection, and sees that it comes.
    pub fn get_and_close(&mut self, target: &str) -> Result<Response, Broken> {
        self.send(&request("GET", target, &[("Connection", "close")]))?;
        let response = self.response("GET")?;
        self.socket.expect_end()?;
        Ok(response)
    }

    /// The final response to a request with `method`, whole.
    pub fn response(&mut self, method: &str) -> Result<Response, Broken> {
        let head = self.final_head()?;
        let mut body = Vec::new();
        let trailers = read_body(&mut self.socket, head.length(method)?, &mut |piece| {
            body.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(Response { head, body, trailers })
    }

    /// The next head, interim or final.
    pub fn head(&mut self) -> Result<ResponseHead, Broken> {
        ResponseHead::read(&mut self.socket)
    }

    /// The next final head.
    pub fn final_head(&mut self) -> Result<ResponseHead, Broken> {
        loop {
            let head = self.head()?;
            if !head.is_interim() {
                return Ok(head);
            }
        }
    }

    /// The body that follows `head`, piece by piece.
    pub fn body(&mut self, head: &ResponseHead, sink: &mut Sink<'_>) -> Result<Fields, Broken> {
        read_body(&mut self.socket, head.length("GET")?, sink)
    }

    /// Sends the head of an upload of `n` bytes.
    pub fn start_upload(
        &mut self,
        target: &str,
        (framing, n): (Framing, u64),
        fields: &[(&str, &str)],
    ) -> Result<(), Broken> {
        let length = n.to_string();
        let mut all = fields.to_vec();
        all.push(match framing {
            Framing::Length => ("Content-Length", &length),
            Framing::Chunked => ("Transfer-Encoding", "chunked"),
        });
        self.send(&request("POST", target, &all))
    }

    /// Sends the first `n` bytes of `seed` as a body. `before` is asked before each piece how
    /// long the piece is to be at most, which is where a caller paces itself.
    pub fn upload(
        &mut self,
        (framing, n): (Framing, u64),
        seed: u64,
        mut before: impl FnMut(u64) -> usize,
    ) -> Result<(), Broken> {
        let (mut pattern, mut sent, mut wire) = (Pattern::new(seed), 0, Vec::new());
        let mut piece = vec![0; PIECE_BYTES];
        while sent < n {
            let limit = before(sent).clamp(1, PIECE_BYTES);
            let now = limit.min(usize::try_from(n - sent).unwrap_or(usize::MAX));
            pattern.fill(&mut piece[..now]);
            match framing {
                Framing::Length => self.socket.send(&piece[..now])?,
                Framing::Chunked => {
                    wire.clear();
                    write_chunk(&mut wire, &piece[..now]);
                    self.socket.send(&wire)?;
                }
            }
            sent += now as u64;
        }
        match framing {
            Framing::Length => Ok(()),
            Framing::Chunked => self.socket.send(b"0\r\n\r\n"),
        }
    }
}
