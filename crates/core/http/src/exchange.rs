//! One request and its response as a machine over bytes: what passes unchanged, what has to
//! be rewritten, and what an end of file means at each point.
//!
//! ```text
//!            head whole               both sides complete, client keeps alive
//!  Waiting ────────────▶ Exchanging ───────────────────────────────────────▶ Waiting
//!     │                     │   │ 101                     ┐
//!     │ refused             │   └────▶ Tunnel ── both ended ├▶ closed
//!     ▼                     ▼ failed before the response   │
//!  Answering ◀──────────────┘                              │
//!     │ sent                                               │
//!     ├──────────▶ Waiting (nothing of the request is left)│
//!     └──────────▶ Lingering ──────────────────────────────┘
//! ```
//!
//! The state is plain data, 80 bytes, so that it can lie in the ledger and be carried on by
//! another worker in the middle of a body.
//!
//! # Invariants
//!
//! 1. `splits_do_not_matter`: what goes on depends on the bytes, not on how they arrived.
//! 2. A response is never taken for complete because its connection ended, unless it has no
//!    other end ([`Download::UntilClose`]).
//! 3. A request whose end is not known is never followed by another on the same connection.
//!
//! # Not here
//!
//! Reading heads: `request`, `response`. Writing them: `rewrite`. Sockets and buffers:
//! `mainstay-proxy`.
//!
//! Source: RFC 9112, 6 to 9; RFC 9110, 10.1.1 and 15.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use crate::chunk::{BodyEnd, ChunkRefusal, Chunks};
use crate::framing::{Body, Expectation, Persistence, Version};
use crate::method::Method;
use crate::refusal::Fault;
use crate::request::Request;
use crate::response::Response;

/// Declares an enum that can lie in shared memory.
macro_rules! plain {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident,)+ }) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable,
        )]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* $variant,)+ }
    };
}

plain! {
    /// How far a connection has come.
    pub enum Phase {
        /// Between requests, or in the middle of a request's head.
        Waiting,
        /// A request was accepted and its exchange is under way.
        Exchanging,
        /// Bytes pass both ways without being looked at.
        Tunnel,
        /// The gateway's own answer is on its way to the client.
        Answering,
        /// Everything was said; the client gets time to read it before the socket is closed.
        Lingering,
    }
}

plain! {
    /// How much of a request's body is still to come.
    pub enum Upload {
        Complete,
        Length,
        Chunked,
        /// A tunnel: until the client ends.
        Open,
    }
}

plain! {
    /// How much of a response is still to come.
    pub enum Download {
        /// Its head.
        Head,
        Length,
        Chunked,
        /// Chunked, and decoded on the way: the client speaks HTTP/1.0.
        Decoded,
        UntilClose,
        /// A tunnel: until the upstream ends.
        Open,
        Complete,
    }
}

plain! {
    /// Where the request's body goes.
    pub enum Sink {
        Upstream,
        /// The upstream takes no more of it; it is read so that the client hears the answer.
        Nowhere,
    }
}

plain! {
    /// Yes or no, where a `bool` cannot lie in shared memory.
    pub enum Mark {
        No,
        Yes,
    }
}

plain! {
    /// Whether a client waits for `100 Continue` before it sends the body.
    pub enum Continue {
        NotAsked,
        /// It waits, and may never send the body.
        Awaited,
        /// It was told to go on, or went on by itself.
        Settled,
    }
}

/// An exchange, or the pause between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Exchange {
    upload_left: u64,
    download_left: u64,
    upload_chunks: Chunks,
    download_chunks: Chunks,
    pub phase: Phase,
    pub upload: Upload,
    pub download: Download,
    pub sink: Sink,
    pub method: Method,
    /// The client speaks HTTP/1.0.
    client_is_old: Mark,
    /// The client's connection can carry another request.
    pub client_persists: Mark,
    /// The upstream's connection can carry another request.
    pub upstream_persists: Mark,
    pub expects: Continue,
    upgrade_asked: Mark,
    /// A byte of the final response has been made for the client.
    pub response_begun: Mark,
    padding: [u8; 3],
    /// Of the final response; 0 before it.
    pub status: u16,
}

/// What a response's head turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// 1xx: passed on to a client that understands it, and another head follows.
    Interim,
    /// 1xx for a client that does not: dropped.
    Dropped,
    /// 101: both directions become a tunnel.
    Switched,
    /// The response itself.
    Final,
}

/// What the end of the client's bytes means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientEnd {
    /// Nothing was going on: close.
    Idle,
    /// The request can never be completed: give the exchange up.
    Aborted,
    /// The request is whole; the client still wants its answer.
    HalfClosed,
}

/// What the end of the upstream's bytes means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamEnd {
    /// Not one byte of an answer came.
    NoAnswer,
    /// The response is whole.
    Complete,
    /// The response was cut off: the client must not take it for whole.
    Truncated,
}

/// What to do when no more can be done for the exchange as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Wait for more bytes.
    Wait,
    /// The connection can carry another request.
    NextRequest,
    /// Close the client's connection: it has nothing more to send that matters.
    Close,
    /// The client may still be sending: end our side, and read on for a while.
    Linger,
}

impl Default for Exchange {
    fn default() -> Self {
        Self::WAITING
    }
}

impl Exchange {
    /// The pause before a request.
    pub const WAITING: Self = Self {
        upload_left: 0,
        download_left: 0,
        upload_chunks: Chunks::start(),
        download_chunks: Chunks::start(),
        phase: Phase::Waiting,
        upload: Upload::Complete,
        download: Download::Complete,
        sink: Sink::Upstream,
        method: Method::Other,
        client_is_old: Mark::No,
        client_persists: Mark::Yes,
        upstream_persists: Mark::No,
        expects: Continue::NotAsked,
        upgrade_asked: Mark::No,
        response_begun: Mark::No,
        padding: [0; 3],
        status: 0,
    };

    /// A tunnel from its first byte: plain TCP.
    pub const TUNNEL: Self = Self {
        phase: Phase::Tunnel,
        upload: Upload::Open,
        download: Download::Open,
        client_persists: Mark::No,
        ..Self::WAITING
    };

    /// The exchange that begins with `request`.
    pub fn begin(request: &Request<'_, '_>) -> Self {
        let (upload, upload_left) = match request.body {
            Body::None | Body::Length(0) => (Upload::Complete, 0),
            Body::Length(length) => (Upload::Length, length),
            Body::Chunked => (Upload::Chunked, 0),
            Body::UntilClose => (Upload::Open, 0),
        };
        let waits = request.expectation == Expectation::Continue && upload != Upload::Complete;
        Self {
            upload_left,
            phase: Phase::Exchanging,
            upload,
            download: Download::Head,
            method: request.method,
            client_is_old: mark(request.version == Version::Http10),
            client_persists: mark(request.persistence == Persistence::KeepAlive),
            expects: if waits { Continue::Awaited } else { Continue::NotAsked },
            upgrade_asked: mark(request.upgrade.is_some()),
            ..Self::WAITING
        }
    }

    /// Whether the client speaks HTTP/1.0.
    pub const fn client_is_old(&self) -> bool {
        matches!(self.client_is_old, Mark::Yes)
    }

    /// How many of the bytes at the head of `raw` belong to the request and pass unchanged.
    pub fn pass_request(&mut self, raw: &[u8]) -> Result<usize, ChunkRefusal> {
        if !raw.is_empty() && self.expects == Continue::Awaited {
            self.expects = Continue::Settled;
        }
        match self.upload {
            Upload::Complete => Ok(0),
            Upload::Open => Ok(raw.len()),
            Upload::Length => {
                let taken = take(&mut self.upload_left, raw);
                if self.upload_left == 0 {
                    self.upload = Upload::Complete;
                }
                Ok(taken)
            }
            Upload::Chunked => {
                let scanned = self.upload_chunks.scan(raw)?;
                if scanned.end == BodyEnd::Complete {
                    self.upload = Upload::Complete;
                }
                Ok(scanned.taken)
            }
        }
    }

    /// Takes note of a response's head; tells what to make of it.
    pub fn begin_response(&mut self, response: &Response<'_, '_>) -> Result<Turn, Fault> {
        match response.status {
            101 if self.upgrade_asked == Mark::Yes => {
                self.phase = Phase::Tunnel;
                self.status = 101;
                self.upload = Upload::Open;
                self.download = Download::Open;
                self.client_persists = Mark::No;
                self.upstream_persists = Mark::No;
                self.response_begun = Mark::Yes;
                return Ok(Turn::Switched);
            }
            101 => return Err(Fault::UpgradeUnasked),
            100..=199 if self.client_is_old() => return Ok(Turn::Dropped),
            100..=199 => {
                if response.status == 100 && self.expects == Continue::Awaited {
                    self.expects = Continue::Settled;
                }
                return Ok(Turn::Interim);
            }
            _ => {}
        }
        self.status = response.status;
        self.response_begun = Mark::Yes;
        self.upstream_persists = mark(response.persistence == Persistence::KeepAlive);
        match response.body {
            Body::None | Body::Length(0) => self.download = Download::Complete,
            Body::Length(length) => {
                self.download = Download::Length;
                self.download_left = length;
            }
            Body::Chunked if self.client_is_old() => {
                self.download = Download::Decoded;
                self.client_persists = Mark::No;
            }
            Body::Chunked => self.download = Download::Chunked,
            Body::UntilClose => {
                self.download = Download::UntilClose;
                self.client_persists = Mark::No;
                self.upstream_persists = Mark::No;
            }
        }
        // A client that was not told to go on may never send the body, and then what it
        // sends next cannot be told from one (RFC 9110, 10.1.1).
        if self.expects == Continue::Awaited {
            self.client_persists = Mark::No;
        }
        Ok(Turn::Final)
    }

    /// How many of the bytes at the head of `raw` belong to the response and pass unchanged.
    pub fn pass_response(&mut self, raw: &[u8]) -> Result<usize, ChunkRefusal> {
        match self.download {
            Download::Head | Download::Complete | Download::Decoded => Ok(0),
            Download::UntilClose | Download::Open => Ok(raw.len()),
            Download::Length => {
                let taken = take(&mut self.download_left, raw);
                if self.download_left == 0 {
                    self.download = Download::Complete;
                }
                Ok(taken)
            }
            Download::Chunked => {
                let scanned = self.download_chunks.scan(raw)?;
                if scanned.end == BodyEnd::Complete {
                    self.download = Download::Complete;
                }
                Ok(scanned.taken)
            }
        }
    }

    /// How many bytes of the response are still to come and need not be looked at.
    pub const fn unseen_response(&self) -> u64 {
        match self.download {
            Download::Length => self.download_left,
            Download::Head
            | Download::Complete
            | Download::Decoded
            | Download::Chunked
            | Download::UntilClose
            | Download::Open => 0,
        }
    }

    /// How many of `count` bytes that nobody looked at belong to the response.
    pub fn pass_unseen_response(&mut self, count: usize) -> usize {
        let left = self.unseen_response();
        let passed = usize::try_from(left).map_or(count, |left| count.min(left));
        if passed > 0 {
            self.download_left -= passed as u64;
            if self.download_left == 0 {
                self.download = Download::Complete;
            }
        }
        passed
    }

    /// Decodes from the head of `raw` into `output`; returns how many bytes were taken and
    /// how many were written. For [`Download::Decoded`].
    pub fn decode_response(
        &mut self,
        raw: &[u8],
        output: &mut [u8],
    ) -> Result<(usize, usize), ChunkRefusal> {
        let decoded = self.download_chunks.decode(raw, output)?;
        if decoded.end == BodyEnd::Complete {
            self.download = Download::Complete;
        }
        Ok((decoded.taken, decoded.written))
    }

    /// The client will send nothing more.
    pub const fn client_ended(&mut self) -> ClientEnd {
        match (self.phase, self.upload) {
            (Phase::Waiting | Phase::Lingering, _) => ClientEnd::Idle,
            (_, Upload::Complete) => {
                self.client_persists = Mark::No;
                ClientEnd::HalfClosed
            }
            (_, Upload::Open) => {
                self.upload = Upload::Complete;
                ClientEnd::HalfClosed
            }
            (_, Upload::Length | Upload::Chunked) => ClientEnd::Aborted,
        }
    }

    /// The upstream will send nothing more.
    pub const fn upstream_ended(&mut self) -> UpstreamEnd {
        self.upstream_persists = Mark::No;
        match self.download {
            Download::Head => UpstreamEnd::NoAnswer,
            Download::UntilClose | Download::Open => {
                self.download = Download::Complete;
                UpstreamEnd::Complete
            }
            Download::Complete => UpstreamEnd::Complete,
            Download::Length | Download::Chunked | Download::Decoded => UpstreamEnd::Truncated,
        }
    }

    /// The upstream takes no more of the request; its answer may still come.
    pub const fn upstream_stopped_reading(&mut self) {
        self.sink = Sink::Nowhere;
        if matches!(self.upload, Upload::Open) {
            // A tunnel that is open one way only; it ends with the upstream's last byte.
            self.upload = Upload::Complete;
        }
        self.upstream_persists = Mark::No;
    }

    /// The gateway answers this request itself, in the place of an upstream.
    pub const fn answer(&mut self, status: u16) {
        self.phase = Phase::Answering;
        self.status = status;
        self.download = Download::Complete;
        self.sink = Sink::Nowhere;
        self.response_begun = Mark::Yes;
        if !matches!(self.upload, Upload::Complete) {
            self.client_persists = Mark::No;
        }
    }

    /// What follows when everything that was made for the client has gone out.
    pub fn next(&self) -> Next {
        match (self.phase, self.upload, self.download) {
            (Phase::Waiting | Phase::Lingering, _, _) => Next::Wait,
            (Phase::Tunnel, Upload::Complete, Download::Complete) => Next::Close,
            (Phase::Exchanging | Phase::Answering, Upload::Complete, Download::Complete) => {
                match self.client_persists {
                    Mark::Yes => Next::NextRequest,
                    Mark::No if self.phase == Phase::Answering => Next::Linger,
                    Mark::No => Next::Close,
                }
            }
            // The whole answer, but not the whole request: a client that will not be heard
            // again is told so; another may finish.
            (Phase::Exchanging | Phase::Answering, _, Download::Complete)
                if self.client_persists == Mark::No =>
            {
                Next::Linger
            }
            (Phase::Tunnel | Phase::Exchanging | Phase::Answering, _, _) => Next::Wait,
        }
    }
}

const fn mark(yes: bool) -> Mark {
    if yes { Mark::Yes } else { Mark::No }
}

/// Takes from the head of `raw` what is left of a body of known length.
fn take(left: &mut u64, raw: &[u8]) -> usize {
    let taken = usize::try_from(*left).map_or(raw.len(), |left| raw.len().min(left));
    *left -= taken as u64;
    taken
}

#[cfg(test)]
mod tests;
