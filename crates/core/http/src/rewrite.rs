//! The head that goes on in place of the one that came.
//!
//! Fields that pass are copied in runs of whole lines where they are written as we would write
//! them (`Name: value`), one by one where they are not. So most heads cost a few copies, and
//! what goes on has no optional whitespace for two parsers to disagree about.
//!
//! # Invariants
//!
//! 1. `same_framing`: what is written reads as the same method, target, host and body.
//! 2. The same input gives the same bytes: a rewrite may be done again after a crash.
//!
//! Source: RFC 9110, 7.6; RFC 9112, 3.2 and 6.

use crate::access::{strike_identity, write_identity};
use crate::field::Field;
use crate::forwarded::{Forwarded, Onward, write_forwarded};
use crate::framing::{Body, Version};
use crate::hop::Kind;
use crate::request::Request;
use crate::response::Response;
use crate::section::offset_in;

#[cfg(test)]
mod tests;

/// The head does not fit where it should be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rewritten head is longer than its buffer")]
pub struct HeadTooLong;

/// What a response gets on its way to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Back<'a> {
    pub framing: BackFraming,
    pub connection: BackConnection,
    /// The time, as a `Date` says it, for a server that does not.
    pub date: Option<&'a str>,
}

/// How the client gets the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackFraming {
    /// As it comes: chunks stay chunks.
    AsReceived,
    /// Chunks are taken apart, for a client that knows none; the end is the end of the
    /// connection.
    Decoded,
}

/// What the client is told about its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackConnection {
    /// Nothing: it stays open, as HTTP/1.1 has it.
    Implied,
    /// It stays open, for an HTTP/1.0 client that asked for that.
    KeepAlive,
    Close,
}

/// Writes the head of a request for its server; returns its length.
#[inline]
pub fn write_request(
    request: &Request<'_, '_>,
    onward: &Onward<'_>,
    out: &mut [u8],
) -> Result<usize, HeadTooLong> {
    let mut out = Output::new(out);
    out.put(request.method_text)?;
    out.put(if request.target.starts_with('?') { " /" } else { " " })?;
    out.put(request.target)?;
    out.put(" HTTP/1.1\r\nHost: ")?;
    out.put(if request.authority.is_empty() { onward.server } else { request.authority })?;
    out.put("\r\n")?;
    let expect = match request.version {
        Version::Http11 => bit(Kind::Expect),
        Version::Http10 => 0,
    };
    let kept = match onward.forwarded {
        Forwarded::Replace => KEPT_OF_REQUESTS | expect,
        Forwarded::Append => KEPT_OF_REQUESTS | KEPT_IF_TRUSTED | expect,
    };
    match &onward.identity {
        None => copy_fields(request.head, request.fields, request.kinds, kept, &mut out)?,
        Some(identity) => {
            let kinds = strike_identity(identity, request.fields, request.kinds);
            copy_fields(request.head, request.fields, &kinds, kept, &mut out)?;
            write_identity(identity, request, &mut out)?;
        }
    }
    match request.body {
        Body::Chunked => out.put("Transfer-Encoding: chunked\r\n")?,
        Body::None | Body::Length(_) | Body::UntilClose => {}
    }
    if let Some(protocols) = request.upgrade {
        out.put_upgrade(protocols)?;
    }
    write_forwarded(request, onward, &mut out)?;
    out.put("\r\n\r\n")?;
    Ok(out.len())
}

/// Writes the head of a response for the client; returns its length.
#[inline]
pub fn write_response(
    response: &Response<'_, '_>,
    back: &Back<'_>,
    out: &mut [u8],
) -> Result<usize, HeadTooLong> {
    let mut out = Output::new(out);
    out.put("HTTP/1.1 ")?;
    out.put(response.head.get(9..12).unwrap_or_default())?;
    out.put(" ")?;
    out.put(response.reason)?;
    out.put("\r\n")?;
    let interim = response.status < 200;
    let kept = match response.status {
        // These have no content, and hence no length, even one of 0 (RFC 9110, 8.6).
        100..=199 | 204 => KEPT_OF_RESPONSES & !bit(Kind::ContentLength),
        _ => KEPT_OF_RESPONSES,
    };
    copy_fields(response.head, response.fields, response.kinds, kept, &mut out)?;
    if let Some(date) = back.date
        && !interim
        && !response.kinds.contains(&Kind::Date)
    {
        out.put("Date: ")?;
        out.put(date)?;
        out.put("\r\n")?;
    }
    match (response.body, back.framing) {
        (Body::Chunked, BackFraming::AsReceived) => out.put("Transfer-Encoding: chunked\r\n")?,
        (Body::Chunked, BackFraming::Decoded)
        | (Body::None | Body::Length(_) | Body::UntilClose, _) => {}
    }
    match (response.upgrade, back.connection) {
        (Some(protocol), _) => out.put_upgrade(protocol)?,
        (None, _) if interim => {}
        (None, BackConnection::Implied) => {}
        (None, BackConnection::KeepAlive) => out.put("Connection: keep-alive\r\n")?,
        (None, BackConnection::Close) => out.put("Connection: close\r\n")?,
    }
    out.put("\r\n")?;
    Ok(out.len())
}

/// The kinds of fields that pass, one bit each.
type Kinds = u32;

const fn bit(kind: Kind) -> Kinds {
    1 << kind as u32
}

const KEPT_OF_REQUESTS: Kinds = bit(Kind::EndToEnd)
    | bit(Kind::Cookie)
    | bit(Kind::ContentLength)
    | bit(Kind::Via)
    | bit(Kind::Date);

/// In addition, what a trusted client says about its own client, where we add nothing to it.
const KEPT_IF_TRUSTED: Kinds =
    bit(Kind::ForwardedHost) | bit(Kind::ForwardedProto) | bit(Kind::ForwardedOther);

const KEPT_OF_RESPONSES: Kinds = KEPT_OF_REQUESTS
    | KEPT_IF_TRUSTED
    | bit(Kind::Host)
    | bit(Kind::Expect)
    | bit(Kind::Forwarded)
    | bit(Kind::ForwardedFor)
    | bit(Kind::RequestId);

/// Copies the fields whose kind is in `kept`.
#[inline]
fn copy_fields(
    head: &[u8],
    fields: &[Field<'_>],
    kinds: &[Kind],
    kept: Kinds,
    out: &mut Output<'_>,
) -> Result<(), HeadTooLong> {
    let end_of_fields = head.len().saturating_sub(2);
    let mut run = 0..0;
    let mut rest = fields.iter().zip(kinds).peekable();
    while let Some((field, kind)) = rest.next() {
        let start = offset_in(head, field.name.as_bytes());
        let end = match rest.peek() {
            Some((next, _)) => offset_in(head, next.name.as_bytes()),
            None => end_of_fields,
        };
        if kept & bit(*kind) == 0 {
            out.put(head.get(run.clone()).unwrap_or_default())?;
            run = end..end;
        } else if is_plain(head, field, start, end) {
            run = if run.is_empty() { start..end } else { run.start..end };
        } else {
            out.put(head.get(run.clone()).unwrap_or_default())?;
            run = end..end;
            out.put(field.name)?;
            out.put(": ")?;
            out.put(field.value)?;
            out.put("\r\n")?;
        }
    }
    out.put(head.get(run).unwrap_or_default())
}

/// Whether a line of the head is `Name: value` with nothing more.
#[inline]
fn is_plain(head: &[u8], field: &Field<'_>, start: usize, end: usize) -> bool {
    let value = start + field.name.len() + 2;
    head.get(value.wrapping_sub(1)) == Some(&b' ')
        && offset_in(head, field.value) == value
        && value + field.value.len() + 2 == end
}

/// A buffer that fills up.
pub(crate) struct Output<'o> {
    bytes: &'o mut [u8],
    at: usize,
}

impl<'o> Output<'o> {
    pub(crate) const fn new(bytes: &'o mut [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes written so far.
    pub(crate) const fn len(&self) -> usize {
        self.at
    }

    #[inline]
    pub(crate) fn put(&mut self, text: impl AsRef<[u8]>) -> Result<(), HeadTooLong> {
        let text = text.as_ref();
        let end = self.at + text.len();
        let Some(room) = self.bytes.get_mut(self.at..end) else { return Err(HeadTooLong) };
        room.copy_from_slice(text);
        self.at = end;
        Ok(())
    }

    pub(crate) fn put_number(&mut self, number: u64) -> Result<(), HeadTooLong> {
        let mut digits = [b'0'; 20];
        let mut left = number;
        let mut first = digits.len() - 1;
        for (index, digit) in digits.iter_mut().enumerate().rev() {
            // A remainder of 10 is one digit.
            *digit = b"0123456789".get((left % 10) as usize).copied().unwrap_or(b'0');
            left /= 10;
            first = index;
            if left == 0 {
                break;
            }
        }
        self.put(digits.get(first..).unwrap_or_default())
    }

    fn put_upgrade(&mut self, protocols: &str) -> Result<(), HeadTooLong> {
        self.put("Connection: upgrade\r\nUpgrade: ")?;
        self.put(protocols)?;
        self.put("\r\n")
    }
}
