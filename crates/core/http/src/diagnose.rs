//! Which rule a head broke that `httparse` did not accept.
//!
//! `httparse` says only where in the grammar it was. This reads the head a second time, line
//! by line, for the sake of the refusal's name; that it is refused is settled. Not on the path
//! of anything that is forwarded.

use memchr::memchr;

use crate::framing::{HeadLimits, Parsed};
use crate::refusal::{Fault, HeadDefect, Refusal, TargetDefect};
use crate::request::METHOD_BYTES_MAX;
use crate::token::{is_text, is_token_byte};

/// What is wrong with a request head that did not parse. [`Parsed::Partial`] is possible: a
/// version that is cut short is refused when it is whole, so that no split changes the status.
#[cold]
pub(crate) fn diagnose_request(
    head: &[u8],
    error: httparse::Error,
    limits: &HeadLimits,
) -> Parsed<Refusal> {
    let line = Line::first(head);
    match request_line(line, limits) {
        Parsed::Partial => Parsed::Partial,
        Parsed::Complete(Some(refusal)) => Parsed::Complete(refusal),
        Parsed::Complete(None) => {
            Parsed::Complete(fields(head.get(line.bytes..).unwrap_or_default(), error).into())
        }
    }
}

/// What is wrong with a response head that did not parse.
#[cold]
pub(crate) fn diagnose_response(head: &[u8], error: httparse::Error) -> Fault {
    match error {
        httparse::Error::Version if version_shape(head.get(..8).unwrap_or(head)) => {
            Fault::VersionUnsupported
        }
        httparse::Error::Version | httparse::Error::Status | httparse::Error::Token => {
            Fault::StatusLine
        }
        httparse::Error::HeaderName
        | httparse::Error::HeaderValue
        | httparse::Error::NewLine
        | httparse::Error::TooManyHeaders => {
            let line = Line::first(head);
            fields(head.get(line.bytes..).unwrap_or_default(), error).into()
        }
    }
}

/// A line, or as much of it as is there.
#[derive(Clone, Copy)]
struct Line<'b> {
    /// Without its end.
    text: &'b [u8],
    end: LineEnd,
    /// Its length with its end.
    bytes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    CrLf,
    BareLf,
    Missing,
}

impl<'b> Line<'b> {
    fn first(bytes: &'b [u8]) -> Self {
        let Some(feed) = memchr(b'\n', bytes) else {
            return Self { text: bytes, end: LineEnd::Missing, bytes: bytes.len() };
        };
        let (text, _) = bytes.split_at(feed);
        match text.strip_suffix(b"\r") {
            Some(text) => Self { text, end: LineEnd::CrLf, bytes: feed + 1 },
            None => Self { text, end: LineEnd::BareLf, bytes: feed + 1 },
        }
    }
}

fn request_line(line: Line<'_>, limits: &HeadLimits) -> Parsed<Option<Refusal>> {
    let refuse = |refusal| Parsed::Complete(Some(refusal));
    let mut parts = line.text.splitn(3, |&byte| byte == b' ');
    let method = parts.next().unwrap_or_default();
    let bad = method.iter().position(|&byte| !is_token_byte(byte));
    if bad.unwrap_or(method.len()) > METHOD_BYTES_MAX {
        return refuse(Refusal::MethodTooLong);
    }
    if let Some(&byte) = bad.and_then(|bad| method.get(bad)) {
        return refuse(control(byte).map_or(Refusal::RequestLine, Refusal::Head));
    }
    let target = parts.next().unwrap_or_default();
    let bad = target.iter().position(|&byte| byte <= b' ' || byte == 0x7f);
    if bad.unwrap_or(target.len()) > limits.target_bytes {
        return refuse(Refusal::TargetTooLong);
    }
    if let Some(&byte) = target.iter().find(|byte| !byte.is_ascii_graphic()) {
        let defect = TargetDefect::NotVisibleAscii;
        return refuse(control(byte).map_or(Refusal::Target(defect), Refusal::Head));
    }
    let version = parts.next().unwrap_or_default();
    if method.is_empty() || target.is_empty() {
        return refuse(Refusal::RequestLine);
    }
    if line.end == LineEnd::Missing && version.len() < 8 && version_shape(version) {
        return Parsed::Partial;
    }
    match version {
        b"HTTP/1.0" | b"HTTP/1.1" if line.end == LineEnd::BareLf => {
            refuse(HeadDefect::BareLineFeed.into())
        }
        b"HTTP/1.0" | b"HTTP/1.1" => Parsed::Complete(None),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1', b'\r', ..] => {
            refuse(HeadDefect::BareCarriageReturn.into())
        }
        // Nothing after the version is looked at: not what is unsupported.
        _ if version.len() >= 8
            && version_shape(version.get(..8).unwrap_or_default())
            && !version.starts_with(b"HTTP/1.0")
            && !version.starts_with(b"HTTP/1.1") =>
        {
            refuse(Refusal::VersionUnsupported)
        }
        _ => refuse(Refusal::RequestLine),
    }
}

/// Whether `text` is `HTTP/d.d`, or the beginning of it.
fn version_shape(text: &[u8]) -> bool {
    text.len() <= 8
        && text.iter().zip(b"HTTP/0.0").all(|(&byte, &shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            exact => byte == exact,
        })
}

fn fields(section: &[u8], error: httparse::Error) -> HeadDefect {
    if error == httparse::Error::TooManyHeaders {
        return HeadDefect::TooManyFields;
    }
    let mut rest = section;
    let mut at = FieldPlace::First;
    while !rest.is_empty() {
        let line = Line::first(rest);
        if let Some(defect) = field_line(line.text, at) {
            return defect;
        }
        match line.end {
            LineEnd::BareLf => return HeadDefect::BareLineFeed,
            LineEnd::CrLf | LineEnd::Missing => {}
        }
        rest = rest.get(line.bytes..).unwrap_or_default();
        at = FieldPlace::Later;
    }
    HeadDefect::FieldNameInvalid
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FieldPlace {
    First,
    Later,
}

fn field_line(line: &[u8], place: FieldPlace) -> Option<HeadDefect> {
    match (line.first(), place) {
        (None, _) => return None,
        (Some(b' ' | b'\t'), FieldPlace::First) => {
            return Some(HeadDefect::SpaceBeforeFirstField);
        }
        (Some(b' ' | b'\t'), FieldPlace::Later) => return Some(HeadDefect::ObsoleteFold),
        (Some(_), _) => {}
    }
    let name_end = line.iter().position(|&byte| !is_token_byte(byte));
    let (name, rest) = line.split_at(name_end.unwrap_or(line.len()));
    match rest.split_first() {
        None => Some(HeadDefect::ColonMissing),
        Some((b':', _)) if name.is_empty() => Some(HeadDefect::FieldNameInvalid),
        Some((b':', value)) => value
            .iter()
            .find(|&&byte| !is_text(byte))
            .map(|&byte| control(byte).unwrap_or(HeadDefect::ControlCharacter)),
        Some((b' ' | b'\t', _)) => Some(HeadDefect::SpaceBeforeColon),
        Some((&byte, _)) => Some(control(byte).unwrap_or(HeadDefect::FieldNameInvalid)),
    }
}

const fn control(byte: u8) -> Option<HeadDefect> {
    match byte {
        b'\r' => Some(HeadDefect::BareCarriageReturn),
        b'\n' => Some(HeadDefect::BareLineFeed),
        0..b' ' | 0x7f => Some(HeadDefect::ControlCharacter),
        b' '..0x7f | 0x80.. => None,
    }
}
