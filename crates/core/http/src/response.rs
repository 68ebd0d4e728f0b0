//! A response head, read where it lies and checked (RFC 9112, sections 4 to 6).
//!
//! As strict as for requests where lengths are concerned: a response whose end is unclear would
//! put its rest before the next client's response.

use httparse::Status;

use crate::diagnose::diagnose_response;
use crate::field::{Field, FieldSpace};
use crate::framing::{Body, HeadLimits, Parsed, Persistence, Version};
use crate::hop::Kind;
use crate::method::Method;
use crate::refusal::{Fault, HeadDefect};
use crate::request::{read_persistence, read_protocols};
use crate::section::{Section, read_section};

#[cfg(test)]
mod tests;

/// A response that may be passed on.
#[derive(Clone, Copy, Debug)]
pub struct Response<'f, 'b> {
    /// 100 to 999.
    pub status: u16,
    /// Empty if it has bytes beyond ASCII.
    pub reason: &'b str,
    pub version: Version,
    pub body: Body,
    /// Whether the server's connection can be used again after the body.
    pub persistence: Persistence,
    /// The protocol that a 101 changes to.
    pub upgrade: Option<&'b str>,
    /// Bytes of the input up to the content.
    pub head_bytes: usize,
    pub fields: &'f [Field<'b>],
    pub(crate) kinds: &'f [Kind],
    /// The status line and the fields, with the empty line at the end.
    pub(crate) head: &'b [u8],
}

/// Reads a response head at the beginning of `bytes`. `request_method` is that of the request
/// it answers: there is no content after the answer to a HEAD. Nothing beyond
/// [`HeadLimits::head_bytes`] is looked at.
#[inline]
pub fn parse_response<'f, 'b>(
    bytes: &'b [u8],
    space: &'f mut FieldSpace<'b>,
    limits: &HeadLimits,
    request_method: Method,
) -> Result<Parsed<Response<'f, 'b>>, Fault> {
    let bytes = bytes.get(..limits.head_bytes).unwrap_or(bytes);
    // `httparse` would skip empty lines.
    if bytes.first().is_some_and(|&byte| byte != b'H') {
        return Err(Fault::StatusLine);
    }
    let mut raw = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let head = match config.parse_response_with_uninit_headers(&mut raw, bytes, &mut space.fields) {
        Ok(Status::Complete(length)) => bytes.get(..length).unwrap_or_default(),
        Ok(Status::Partial) if bytes.len() >= limits.head_bytes => {
            return Err(HeadDefect::TooLong.into());
        }
        Ok(Status::Partial) => return Ok(Parsed::Partial),
        Err(error) => return Err(diagnose_response(bytes, error)),
    };
    let (Some(status @ 100..), Some(reason)) = (raw.code, raw.reason) else {
        return Err(Fault::StatusLine);
    };
    let fields: &'f [Field<'b>] = raw.headers;
    let version = if raw.version == Some(0) { Version::Http10 } else { Version::Http11 };
    let Some(kinds) = space.kinds.get_mut(..fields.len().min(limits.fields)) else {
        return Err(HeadDefect::TooManyFields.into());
    };
    if kinds.len() < fields.len() {
        return Err(HeadDefect::TooManyFields.into());
    }
    let section = read_section(head, fields, kinds)?;
    let body = read_body(&section, status, version, request_method)?;
    let upgrade = if status == 101 { Some(read_upgrade(&section)?) } else { None };
    let persistence = match body {
        Body::UntilClose => Persistence::Close,
        Body::None | Body::Length(_) | Body::Chunked => read_persistence(&section, version),
    };
    Ok(Parsed::Complete(Response {
        status,
        reason,
        version,
        body,
        persistence,
        upgrade,
        head_bytes: head.len(),
        fields,
        kinds,
        head,
    }))
}

/// Where the content ends (RFC 9112, 6.3).
fn read_body(
    section: &Section<'_>,
    status: u16,
    version: Version,
    request_method: Method,
) -> Result<Body, Fault> {
    let announced = section.lengths.body(version)?;
    match (status, announced) {
        // Many servers say that there are 0 bytes. Any other announcement is of bytes that we
        // would take for the next response.
        (100..=199 | 204, None | Some(Body::Length(0))) => Ok(Body::None),
        (100..=199 | 204, Some(_)) => Err(Fault::ContentForbidden),
        (304, _) => Ok(Body::None),
        (_, _) if request_method == Method::Head => Ok(Body::None),
        (_, Some(body)) => Ok(body),
        (_, None) => Ok(Body::UntilClose),
    }
}

fn read_upgrade<'b>(section: &Section<'b>) -> Result<&'b str, Fault> {
    match section.upgrade.one().and_then(read_protocols) {
        Some(protocol) if section.options.upgrade() => Ok(protocol),
        Some(_) | None => Err(Fault::UpgradeMissing),
    }
}
