//! One connection of the origin: request after request, each answered by its path.

use std::io::Write;
use std::thread;
use std::time::Duration;

use super::record::Record;
use super::{ID_FIELD, SMALL_BYTES, SMALL_SEED, websocket};
use crate::http::{Length, RequestHead, read_body, write_chunk};
use crate::pattern::{PIECE_BYTES, Pattern, Sum};
use crate::socket::{Broken, Socket};

/// What becomes of the connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Keep,
    Close,
}

/// Answers until the peer goes.
pub(super) fn serve(mut socket: Socket, record: &Record) {
    loop {
        let Ok(Some(head)) = RequestHead::read(&mut socket) else { return };
        let mut visit = Visit { socket: &mut socket, record, head: &head };
        match visit.exchange() {
            Ok(After::Keep) => {}
            // A broken connection says so to the one who counts: the client.
            Ok(After::Close) | Err(_) => return,
        }
    }
}

/// One request and who asked.
struct Visit<'a> {
    socket: &'a mut Socket,
    record: &'a Record,
    head: &'a RequestHead,
}

/// The pattern that the query asks for.
struct Body {
    seed: u64,
    n: u64,
}

impl Visit<'_> {
    fn exchange(&mut self) -> Result<After, Broken> {
        let head = self.head;
        if head.path() == "/early" {
            return self.early();
        }
        let (sum, trailers) = self.receive()?;
        self.record.execute(head.fields.first(ID_FIELD));
        let body = Body { seed: head.number("seed", 0), n: head.number("n", SMALL_BYTES) };
        match head.path() {
            "/small" => self.pattern(&Body { seed: SMALL_SEED, n: SMALL_BYTES }, Duration::ZERO)?,
            "/bytes" => self.pattern(&body, Duration::ZERO)?,
            "/slow" => self.pattern(&body, Duration::from_millis(head.number("pause_ms", 10)))?,
            "/chunked" => self.chunked(&body)?,
            "/status" => self.status()?,
            "/hints" => {
                self.socket.send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")?;
                self.text("200 OK", "", "hinted\n")?;
            }
            "/echo" => self.text("200 OK", &trailers, &format!("{}\n", sum.line()))?,
            "/request" => {
                let line = format!("{} {} {}\r\n", head.method, head.target, head.version);
                self.text("200 OK", "", &format!("{line}{}", head.fields))?;
            }
            "/hold" => {
                self.record.hold(head.query("key").unwrap_or_default());
                self.text("200 OK", "", "released\n")?;
            }
            "/until-close" => return self.until_close(&body),
            "/ws" => return websocket::serve(self.socket, head).map(|()| After::Close),
            _ => self.text("404 Not Found", "", "no such path\n")?,
        }
        let close = head.fields.has("connection", "close") || head.version == "HTTP/1.0";
        Ok(if close { After::Close } else { After::Keep })
    }

    /// Reads the body: its digest, and its trailer fields as fields of the answer.
    fn receive(&mut self) -> Result<(Sum, String), Broken> {
        if self.head.fields.has("expect", "100-continue") {
            self.socket.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut sum = Sum::default();
        let trailers = read_body(self.socket, self.head.length()?, &mut |piece| {
            sum.add(piece);
            Ok(())
        })?;
        let trailers = match trailers.to_string() {
            none if none.is_empty() => none,
            some => format!("X-Trailers: {}\r\n", some.trim().replace("\r\n", "; ")),
        };
        Ok((sum, trailers))
    }

    /// Sends a head; `fields` ends with CR LF or is empty.
    fn begin(&mut self, status: &str, fields: &str) -> Result<(), Broken> {
        self.socket.send(format!("HTTP/1.1 {status}\r\n{fields}\r\n").as_bytes())
    }

    fn text(&mut self, status: &str, fields: &str, text: &str) -> Result<(), Broken> {
        let length = text.len();
        let text = if self.head.method == "HEAD" { "" } else { text };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{fields}\r\n");
        self.socket.send(format!("{head}{text}").as_bytes())
    }

    fn pattern(&mut self, body: &Body, pause: Duration) -> Result<(), Broken> {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.n);
        let mut wire = head.into_bytes();
        if self.head.method == "HEAD" {
            return self.socket.send(&wire);
        }
        let piece_bytes = if pause.is_zero() { PIECE_BYTES as u64 } else { 1024 };
        let (mut pattern, mut left) = (Pattern::new(body.seed), body.n);
        loop {
            // The head and the first piece leave in one write, as from any real server.
            let start = wire.len();
            let now = left.min(piece_bytes);
            wire.resize(start + usize::try_from(now).unwrap(), 0);
            pattern.fill(&mut wire[start..]);
            self.socket.send(&wire)?;
            wire.clear();
            left -= now;
            if left == 0 {
                return Ok(());
            }
            thread::sleep(pause);
        }
    }

    fn chunked(&mut self, body: &Body) -> Result<(), Broken> {
        self.begin("200 OK", "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n")?;
        if self.head.method == "HEAD" {
            return Ok(());
        }
        let (mut pattern, mut sum, mut wire) =
            (Pattern::new(body.seed), Sum::default(), Vec::new());
        let piece = usize::try_from(self.head.number("piece", PIECE_BYTES as u64)).unwrap();
        let mut piece = vec![0; piece.clamp(1, PIECE_BYTES)];
        while sum.bytes() < body.n {
            let now = usize::try_from(body.n - sum.bytes()).unwrap().min(piece.len());
            pattern.fill(&mut piece[..now]);
            sum.add(&piece[..now]);
            wire.clear();
            write_chunk(&mut wire, &piece[..now]);
            self.socket.send(&wire)?;
        }
        self.socket.send(format!("0\r\nX-Sum: {}\r\n\r\n", sum.line()).as_bytes())
    }

    fn until_close(&mut self, body: &Body) -> Result<After, Broken> {
        self.begin("200 OK", "Connection: close\r\n")?;
        let bytes = Pattern::bytes(body.seed, usize::try_from(body.n).unwrap());
        self.socket.send(&bytes)?;
        self.socket.finish()?;
        self.drain()
    }

    fn status(&mut self) -> Result<(), Broken> {
        let code = self.head.number("code", 200);
        match code {
            204 => self.begin("204 No Content", ""),
            304 => self.begin("304 Not Modified", "ETag: \"same\"\r\nContent-Length: 1024\r\n"),
            _ => self.text(&format!("{code} As Asked"), "", &format!("{code}\n")),
        }
    }

    /// Answers at once, and only then looks at the body, if at all.
    fn early(&mut self) -> Result<After, Broken> {
        self.text("200 OK", "Connection: close\r\n", "enough\n")?;
        match self.head.query("then") {
            Some("drain") => {
                let (sum, _) = self.receive()?;
                if self.head.length()? != Length::Exact(0) && sum.bytes() > 0 {
                    self.record.execute(self.head.fields.first(ID_FIELD));
                }
                Ok(After::Close)
            }
            _ => {
                self.socket.stream().flush()?;
                self.socket.finish()?;
                self.drain()
            }
        }
    }

    /// Reads until the peer ends, so that closing does not throw away what we sent.
    fn drain(&mut self) -> Result<After, Broken> {
        while !self.socket.take(usize::MAX)?.is_empty() {}
        Ok(After::Close)
    }
}
