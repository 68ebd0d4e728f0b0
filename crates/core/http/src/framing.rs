//! Where a message ends, and whether the connection goes on after it (RFC 9112, 6.3 and 9.3).
//!
//! # Invariants
//!
//! A message has one length or is refused: a second `Content-Length`, a `Content-Length` beside
//! a `Transfer-Encoding`, and every coding but a single `chunked` are defects, whatever the
//! values say.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use crate::refusal::LengthDefect;
use crate::token::{elements, is_token, trim};

/// Most digits of a Content-Length: every such number fits an `i64` too.
const LENGTH_DIGITS_MAX: usize = 18;

/// What a parser made of the bytes so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// Nothing is wrong yet, and the head has not ended.
    Partial,
    Complete(T),
}

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes from the first of the request line (or of an empty line before it) to the empty
    /// line that ends the head.
    pub head_bytes: usize,
    /// At most [`crate::FIELDS_MAX`].
    pub fields: usize,
    /// Bytes of the request target as it came. Responses have none.
    pub target_bytes: usize,
}

/// How the content of a message is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// So many bytes; may be 0.
    Length(u64),
    Chunked,
    /// All until the server closes. Responses only.
    UntilClose,
}

impl Body {
    /// Whether bytes follow the head.
    pub const fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }
}

/// A version of HTTP. There are no others here.
#[derive(TryFromBytes, IntoBytes, KnownLayout, Immutable, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Version {
    Http10,
    Http11,
}

/// Whether another message may follow on the connection.
#[derive(TryFromBytes, IntoBytes, KnownLayout, Immutable, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Persistence {
    KeepAlive,
    Close,
}

/// What a client waits for before it sends its content.
#[derive(TryFromBytes, IntoBytes, KnownLayout, Immutable, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Expectation {
    None,
    /// A 100 response, or a final one.
    Continue,
}

/// The fields that give a message its length, as far as they have been seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lengths {
    length: Option<u64>,
    coding: Coding,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Coding {
    #[default]
    None,
    Chunked,
}

impl Lengths {
    pub(crate) fn add_content_length(&mut self, value: &[u8]) -> Result<(), LengthDefect> {
        if self.length.is_some() {
            return Err(LengthDefect::LengthRepeated);
        }
        self.length = Some(read_length(value)?);
        Ok(())
    }

    pub(crate) fn add_transfer_encoding(&mut self, value: &[u8]) -> Result<(), LengthDefect> {
        if self.coding == Coding::Chunked {
            return Err(LengthDefect::CodingRepeated);
        }
        read_coding(value)?;
        self.coding = Coding::Chunked;
        Ok(())
    }

    /// What all fields together say; `None` if they say nothing.
    pub(crate) const fn body(self, version: Version) -> Result<Option<Body>, LengthDefect> {
        match (self.length, self.coding, version) {
            (Some(_), Coding::Chunked, _) => Err(LengthDefect::LengthAndCoding),
            (None, Coding::Chunked, Version::Http10) => Err(LengthDefect::CodingInHttp10),
            (None, Coding::Chunked, Version::Http11) => Ok(Some(Body::Chunked)),
            (Some(bytes), Coding::None, _) => Ok(Some(Body::Length(bytes))),
            (None, Coding::None, _) => Ok(None),
        }
    }
}

/// `1*DIGIT`: no sign, no list, no space.
fn read_length(value: &[u8]) -> Result<u64, LengthDefect> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(LengthDefect::LengthInvalid);
    }
    if value.len() > LENGTH_DIGITS_MAX {
        return Err(LengthDefect::LengthTooLarge);
    }
    Ok(value.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// Passes `chunked` and nothing else. The rest is told apart only for the status: a coding
/// that we do not know is a thing we cannot do, anything else is a mistake or an attack.
fn read_coding(value: &[u8]) -> Result<(), LengthDefect> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut unknown = false;
    let mut chunked = false;
    for coding in elements(value) {
        // Whatever comes after `chunked`, a second one included, leaves the end unclear.
        if chunked {
            return Err(LengthDefect::CodingInvalid);
        }
        let name = coding.split(|&byte| byte == b';').next().map_or(coding, trim);
        if !is_token(name) {
            return Err(LengthDefect::CodingInvalid);
        }
        if name.eq_ignore_ascii_case(b"chunked") {
            if name.len() != coding.len() {
                return Err(LengthDefect::CodingInvalid);
            }
            chunked = true;
        } else {
            unknown = true;
        }
    }
    Err(if unknown { LengthDefect::CodingUnknown } else { LengthDefect::CodingInvalid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_plain_numbers() {
        check(
            "
            0                    | 0
            42                   | 42
            007                  | 7
            999999999999999999   | 999999999999999999
            1000000000000000000  | LengthTooLarge
            99999999999999999999999999 | LengthTooLarge
                                 | LengthInvalid
            +1                   | LengthInvalid
            -1                   | LengthInvalid
            0x10                 | LengthInvalid
            1,1                  | LengthInvalid
            1, 1                 | LengthInvalid
            1 1                  | LengthInvalid
            1.0                  | LengthInvalid
            1e3                  | LengthInvalid
            1_000                | LengthInvalid
            ",
            |value| match read_length(value) {
                Ok(length) => length.to_string(),
                Err(defect) => format!("{defect:?}"),
            },
        );
    }

    #[test]
    fn chunked_is_the_only_coding() {
        check(
            "
            chunked              | fine
            Chunked              | fine
            CHUNKED              | fine
                                 | CodingInvalid
            ,                    | CodingInvalid
            chunked,             | CodingInvalid
            ,chunked             | CodingInvalid
            chunked, chunked     | CodingInvalid
            chunked;q=1          | CodingInvalid
            chunked ;x           | CodingInvalid
            chunked, gzip        | CodingInvalid
            chunked chunked      | CodingInvalid
            \"chunked\"          | CodingInvalid
            gzip, chunked        | CodingUnknown
            gzip;q=1, chunked    | CodingUnknown
            gzip                 | CodingUnknown
            identity             | CodingUnknown
            xchunked             | CodingUnknown
            chunkedx             | CodingUnknown
            ",
            |value| match read_coding(value) {
                Ok(()) => "fine".to_owned(),
                Err(defect) => format!("{defect:?}"),
            },
        );
    }

    #[track_caller]
    fn check(table: &str, read: impl Fn(&[u8]) -> String) {
        for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
            let (value, expected) = row.split_once('|').expect("two cells");
            assert_eq!(read(value.trim().as_bytes()), expected.trim(), "in row: {row}");
        }
    }
}
