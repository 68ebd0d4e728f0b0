//! A request head, read where it lies and checked (RFC 9112, sections 2 to 6).
//!
//! `httparse` finds the parts; everything that makes it a request that may be forwarded is
//! decided here and in the modules that this one calls. What comes back borrows from the bytes.
//!
//! # Invariants
//!
//! 1. `one_reading`: see the crate. In particular, the host that routes are found by is the one
//!    that goes upstream.
//! 2. A prefix of a head that is accepted is [`Parsed::Partial`].
//!
//! # Not here
//!
//! What goes upstream in its place: `rewrite.rs`.

use httparse::Status;
use memchr::memchr;

use crate::authority::Authority;
use crate::diagnose::diagnose_request;
use crate::field::{Field, FieldSpace};
use crate::framing::{Body, Expectation, HeadLimits, Parsed, Persistence, Version};
use crate::hop::Kind;
use crate::method::Method;
use crate::refusal::{HeadDefect, HostDefect, Refusal};
use crate::section::{Expected, Section, Single, read_section};
use crate::target::{Absolute, read_target};
use crate::token::{elements, is_token_byte};

#[cfg(test)]
mod tests;

/// Most empty lines that are skipped before a request (RFC 9112, 2.2): some clients end their
/// content with one that is not part of it.
pub const LEADING_LINES_MAX: usize = 2;

/// Longest method. The longest of the registry has 17 bytes.
pub(crate) const METHOD_BYTES_MAX: usize = 32;

/// Most passages through gateways of our kind before a request is in a loop.
const PASSAGES_MAX: usize = 8;

/// A request that may be forwarded.
#[derive(Clone, Copy, Debug)]
pub struct Request<'f, 'b> {
    pub method: Method,
    /// As it came; what goes upstream.
    pub method_text: &'b str,
    /// What goes upstream: path and query, or `*`. Begins with `?` when an absolute target had
    /// no path: [`crate::write_request`] puts the `/` before it.
    pub target: &'b str,
    /// What routes are found by: no query, never empty.
    pub path: &'b str,
    pub version: Version,
    /// Host and port as they came; empty only in an HTTP/1.0 request that names none.
    pub authority: &'b str,
    /// Without the port; an IPv6 address keeps its brackets. Empty when `authority` is.
    pub host: &'b str,
    pub body: Body,
    /// What the client wants for its connection.
    pub persistence: Persistence,
    /// The protocols that the client would change to, if it may.
    pub upgrade: Option<&'b str>,
    /// [`Expectation::Continue`] only if there is content to wait with.
    pub expectation: Expectation,
    /// Bytes of the input up to the content, empty lines before the request included.
    pub head_bytes: usize,
    pub fields: &'f [Field<'b>],
    pub(crate) kinds: &'f [Kind],
    /// The request line and the fields, with the empty line at the end.
    pub(crate) head: &'b [u8],
}

/// Reads a request head at the beginning of `bytes`.
///
/// Nothing beyond [`HeadLimits::head_bytes`] is looked at, and a limit that is passed counts
/// before what is wrong behind it: so the refusal does not depend on how the bytes arrived.
#[inline]
pub fn parse_request<'f, 'b>(
    bytes: &'b [u8],
    space: &'f mut FieldSpace<'b>,
    limits: &HeadLimits,
) -> Result<Parsed<Request<'f, 'b>>, Refusal> {
    let bytes = bytes.get(..limits.head_bytes).unwrap_or(bytes);
    let skipped = match bytes.first() {
        Some(b'\r' | b'\n') => match leading_lines(bytes)? {
            Parsed::Partial => return check_partial(bytes, bytes.len(), limits),
            Parsed::Complete(skipped) => skipped,
        },
        Some(_) | None => 0,
    };
    let message = bytes.get(skipped..).unwrap_or_default();
    let mut raw = httparse::Request::new(&mut []);
    let head = match raw.parse_with_uninit_headers(message, &mut space.fields) {
        Ok(Status::Complete(length)) => message.get(..length).unwrap_or_default(),
        Ok(Status::Partial) => return check_partial(bytes, skipped, limits),
        Err(error) => {
            return match diagnose_request(message, error, limits) {
                Parsed::Partial => check_partial(bytes, skipped, limits),
                Parsed::Complete(refusal) => Err(refusal),
            };
        }
    };
    let (Some(method_text), Some(target)) = (raw.method, raw.path) else {
        return Err(Refusal::RequestLine);
    };
    let fields: &'f [Field<'b>] = raw.headers;
    let version = if raw.version == Some(0) { Version::Http10 } else { Version::Http11 };
    if method_text.len() > METHOD_BYTES_MAX {
        return Err(Refusal::MethodTooLong);
    }
    if target.len() > limits.target_bytes {
        return Err(Refusal::TargetTooLong);
    }
    let Some(kinds) = space.kinds.get_mut(..fields.len().min(limits.fields)) else {
        return Err(HeadDefect::TooManyFields.into());
    };
    if kinds.len() < fields.len() {
        return Err(HeadDefect::TooManyFields.into());
    }
    let section = read_section(head, fields, kinds)?;
    let method = read_method(method_text)?;
    let target = read_target(method, target)?;
    let authority = read_authority(&section, target.absolute, version)?;
    let body = section.lengths.body(version)?.unwrap_or(Body::None);
    if section.passages > PASSAGES_MAX {
        return Err(Refusal::Loop);
    }
    Ok(Parsed::Complete(Request {
        method,
        method_text,
        target: target.text,
        path: target.path,
        version,
        authority: authority.text,
        host: authority.host,
        body,
        persistence: read_persistence(&section, version),
        upgrade: read_upgrade(&section, version, body),
        expectation: read_expectation(&section, version, body)?,
        head_bytes: skipped + head.len(),
        fields,
        kinds,
        head,
    }))
}

/// How many bytes of empty lines come before the request.
#[cold]
fn leading_lines(bytes: &[u8]) -> Result<Parsed<usize>, Refusal> {
    let mut skipped = 0;
    let mut rest = bytes;
    for _ in 0..=LEADING_LINES_MAX {
        match rest {
            [b'\r', b'\n', after @ ..] => {
                rest = after;
                skipped += 2;
            }
            [b'\r'] | [] => return Ok(Parsed::Partial),
            [b'\r', ..] => return Err(HeadDefect::BareCarriageReturn.into()),
            [b'\n', ..] => return Err(HeadDefect::BareLineFeed.into()),
            [_, ..] => return Ok(Parsed::Complete(skipped)),
        }
    }
    Err(Refusal::TooManyLeadingLines)
}

/// A head that has not ended: refuses it if it can only become too long.
fn check_partial<'f, 'b>(
    bytes: &[u8],
    skipped: usize,
    limits: &HeadLimits,
) -> Result<Parsed<Request<'f, 'b>>, Refusal> {
    let message = bytes.get(skipped..).unwrap_or_default();
    if bytes.len() < limits.head_bytes && message.len() <= limits.target_bytes.min(METHOD_BYTES_MAX)
    {
        return Ok(Parsed::Partial);
    }
    let feed = memchr(b'\n', message);
    let line = message.get(..feed.unwrap_or(message.len())).unwrap_or_default();
    let mut parts = line.splitn(3, |&byte| byte == b' ');
    if parts.next().is_some_and(|method| method.len() > METHOD_BYTES_MAX) {
        return Err(Refusal::MethodTooLong);
    }
    if parts.next().is_some_and(|target| target.len() > limits.target_bytes)
        || (feed.is_none() && bytes.len() >= limits.head_bytes)
    {
        return Err(Refusal::TargetTooLong);
    }
    if bytes.len() >= limits.head_bytes {
        return Err(HeadDefect::TooLong.into());
    }
    Ok(Parsed::Partial)
}

#[inline]
fn read_method(text: &str) -> Result<Method, Refusal> {
    match Method::read(text) {
        // A tunnel to anywhere, and an echo of credentials: neither is a gateway's to give.
        Method::Connect | Method::Trace => Err(Refusal::MethodNotAllowed),
        method @ (Method::Get
        | Method::Head
        | Method::Post
        | Method::Put
        | Method::Delete
        | Method::Options
        | Method::Patch
        | Method::Other) => Ok(method),
    }
}

/// The host that the request is for (RFC 9112, 3.2 and 3.3).
#[inline]
fn read_authority<'b>(
    section: &Section<'b>,
    absolute: Option<Absolute<'b>>,
    version: Version,
) -> Result<Authority<'b>, HostDefect> {
    let host = match (section.host, version) {
        (Single::One(value), _) => Some(Authority::read(value)?),
        (Single::Many, _) => return Err(HostDefect::Repeated),
        (Single::None, Version::Http11) => return Err(HostDefect::Missing),
        (Single::None, Version::Http10) => None,
    };
    match (absolute, host) {
        (None, Some(host)) => Ok(host),
        (None, None) => Ok(Authority::EMPTY),
        (Some(absolute), None) => Ok(absolute.authority),
        (Some(Absolute { authority, default_port }), Some(host)) => {
            if authority.agrees(&host, default_port) {
                Ok(authority)
            } else {
                Err(HostDefect::Disagrees)
            }
        }
    }
}

pub(crate) const fn read_persistence(section: &Section<'_>, version: Version) -> Persistence {
    let options = section.options;
    match version {
        _ if options.close() => Persistence::Close,
        Version::Http11 => Persistence::KeepAlive,
        Version::Http10 if options.keep_alive() => Persistence::KeepAlive,
        Version::Http10 => Persistence::Close,
    }
}

/// The protocols to offer upstream. Anything that does not fit makes the request an ordinary
/// one, which is what a server does that does not care to upgrade (RFC 9110, 7.8).
fn read_upgrade<'b>(section: &Section<'b>, version: Version, body: Body) -> Option<&'b str> {
    let protocols = section.upgrade.one()?;
    if !section.options.upgrade() || version != Version::Http11 || !body.is_empty() {
        return None;
    }
    read_protocols(protocols)
}

/// `1#( token [ "/" token ] )`. Not h2c: what came after it could not be routed or checked.
pub(crate) fn read_protocols(protocols: &[u8]) -> Option<&str> {
    let good = elements(protocols).all(|protocol| {
        !protocol.is_empty()
            && protocol.iter().all(|&byte| is_token_byte(byte) || byte == b'/')
            && !protocol.get(..3).is_some_and(|name| name.eq_ignore_ascii_case(b"h2c"))
    });
    if good { str::from_utf8(protocols).ok() } else { None }
}

/// An HTTP/1.0 client knows no 100 response, whatever it says (RFC 9110, 10.1.1).
fn read_expectation(
    section: &Section<'_>,
    version: Version,
    body: Body,
) -> Result<Expectation, Refusal> {
    match (section.expected, version) {
        (Expected::Unknown, _) => Err(Refusal::ExpectationUnknown),
        (Expected::Continue, Version::Http11) if !body.is_empty() => Ok(Expectation::Continue),
        (Expected::Continue | Expected::Nothing, Version::Http10 | Version::Http11) => {
            Ok(Expectation::None)
        }
    }
}
