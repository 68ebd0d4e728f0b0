//! HTTP/1.1 semantics that need no socket (RFC 9110, RFC 9112): what a head means, what is
//! refused, where a request goes, and what is written in its place.
//!
//! Everything here is a function of bytes. Nothing allocates on the path of a request (but for the address of a redirect): a head
//! is read where it lies, its fields are classified once ([`FieldSpace`]), and what goes on is
//! copied in runs of whole lines into the caller's buffer.
//!
//! # Invariants
//!
//! 1. `one_reading`: a message that two correct parsers could delimit differently is refused,
//!    never repaired. What is accepted is written so that it has only one reading.
//! 2. `splits_do_not_matter`: the outcome depends on the bytes, not on how they arrived.
//! 3. No input panics, and no input costs more than time linear in its length.
//!
//! # Not here
//!
//! Sockets, buffers and time: `mainstay-proxy`. What an operator may write: `mainstay-config`.

#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

mod access;
mod answer;
mod authority;
mod chunk;
mod cookie;
mod diagnose;
mod exchange;
mod field;
mod forwarded;
mod framing;
mod hop;
mod method;
mod refusal;
mod request;
mod response;
mod rewrite;
mod route;
mod section;
#[cfg(test)]
mod table;
mod target;
mod token;

pub use access::{Identity, LoginAddress};
pub use answer::{ANSWER_BYTES_MAX, Answer, AnswerBody, Aside, UNAVAILABLE, write_answer};
pub use chunk::{BodyEnd, ChunkRefusal, Chunks, Decoded, Scanned};
pub use exchange::{
    ClientEnd, Continue, Download, Exchange, Mark, Next, Phase, Sink, Turn, Upload, UpstreamEnd,
};
pub use field::{FIELDS_MAX, Field, FieldSpace};
pub use forwarded::{Forwarded, Onward};
pub use framing::{Body, Expectation, HeadLimits, Parsed, Persistence, Version};
pub use method::Method;
pub use refusal::{
    ConnectionDefect, Fault, HeadDefect, HostDefect, LengthDefect, Refusal, TargetDefect,
};
pub use request::{LEADING_LINES_MAX, Request, parse_request};
pub use response::{Response, parse_response};
pub use rewrite::{Back, BackConnection, BackFraming, HeadTooLong, write_request, write_response};
pub use route::{NoRoute, PathPattern, RouteEntry, RouteId, RouteProblem, Routes};
