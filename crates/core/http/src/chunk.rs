//! The chunked transfer coding, read strictly (RFC 9112, 7.1).
//!
//! One machine, two uses: [`Chunks::scan`] checks bytes that go on unchanged, and
//! [`Chunks::decode`] takes the content out of them. Content is skipped or copied whole; only
//! the lines between are read byte by byte.
//!
//! ```text
//!  Size ──▶ SizeLf ──▶ Data ──▶ DataCr ──▶ DataLf ─┐
//!   │ ▲        │ size 0                            │
//!   ▼ │        ▼                                   │
//!  Extension…  TrailerStart ──▶ EndLf ──▶ Done     │
//!     ▲        │  ▲                                │
//!     │        ▼  └─ TrailerLf ◀─ TrailerValue     │
//!     │      TrailerName ───────────────▲          │
//!     └────────────────────────────────────────────┘
//! ```
//!
//! # Invariants
//!
//! 1. The state is plain data of a fixed layout: it lies in shared memory and another process
//!    goes on with it. Any bit pattern that reads as a [`Chunks`] is safe to run.
//! 2. Any split of the input gives the same outcome.
//!
//! Source: RFC 9112, 7.1; RFC 9110, 5.5, 5.6.2, 5.6.4 and 6.5.1.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use crate::token::{is_text, is_token_byte};

#[cfg(test)]
mod tests;

/// Most digits of a chunk size: no sum of two sizes can overflow.
const SIZE_DIGITS_MAX: u8 = 15;
/// Most bytes of extensions in one chunk.
const EXTENSION_BYTES_MAX: u16 = 256;
/// Most bytes of extensions in one body: no more than a head may have.
const EXTENSIONS_TOTAL_MAX: u32 = 16 * 1024;
/// Most bytes of trailer fields.
const TRAILER_BYTES_MAX: u16 = 8 * 1024;

/// Fields that mean something to whoever delimits, routes, authenticates or decodes the
/// message, and hence may not come after it (RFC 9110, 6.5.1). At most 32: one bit each.
const FORBIDDEN: [&str; 32] = [
    "content-length",
    "transfer-encoding",
    "host",
    "trailer",
    "connection",
    "keep-alive",
    "proxy-connection",
    "upgrade",
    "te",
    "expect",
    "max-forwards",
    "cache-control",
    "range",
    "content-encoding",
    "content-type",
    "content-range",
    "authorization",
    "proxy-authorization",
    "proxy-authenticate",
    "www-authenticate",
    "cookie",
    "set-cookie",
    "if-match",
    "if-none-match",
    "location",
    "via",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
    "x-real-ip",
];

/// How far a chunked body has been read.
#[derive(TryFromBytes, IntoBytes, KnownLayout, Immutable, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Chunks {
    /// Content bytes still to come in this chunk; while its size is read, the value so far.
    remaining: u64,
    /// The forbidden names that the trailer name being read may still become, one bit each.
    candidates: u32,
    /// Bytes of extensions in the body so far.
    extensions_total: u32,
    /// Bytes of extensions in this chunk so far.
    extension_bytes: u16,
    /// Bytes of trailer fields so far.
    trailer_bytes: u16,
    /// Digits of the size, or bytes of the trailer name, so far; stops at 255.
    position: u8,
    state: State,
    /// The layout has no hidden bytes.
    padding: [u8; 2],
}

#[derive(TryFromBytes, IntoBytes, KnownLayout, Immutable, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum State {
    Size,
    ExtensionStart,
    ExtensionName,
    ExtensionValueStart,
    ExtensionToken,
    ExtensionQuoted,
    ExtensionEscaped,
    ExtensionQuotedEnd,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

/// Whether the body ends with what was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    More,
    /// The last byte of the body was taken; what follows is another message.
    Complete,
}

/// What [`Chunks::scan`] read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Bytes of the input that belong to the body and are as they must be.
    pub taken: usize,
    pub end: BodyEnd,
}

/// What [`Chunks::decode`] read and wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the input that need not be seen again.
    pub taken: usize,
    /// Bytes of content in the output.
    pub written: usize,
    pub end: BodyEnd,
}

/// The rule that a chunked body broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkRefusal {
    #[error("a chunk has no size")]
    SizeMissing,
    #[error("a chunk size is not a hexadecimal number")]
    SizeInvalid,
    #[error("a chunk size is too large")]
    SizeTooLarge,
    #[error("a chunk extension is malformed")]
    ExtensionInvalid,
    #[error("chunk extensions are too long")]
    ExtensionTooLong,
    #[error("a chunk does not end where its size says")]
    DataOverrun,
    #[error("a line of the body ends in a bare line feed")]
    BareLineFeed,
    #[error("a line of the body has a bare carriage return")]
    BareCarriageReturn,
    #[error("a trailer field is folded")]
    TrailerFold,
    #[error("a trailer field has an invalid name")]
    TrailerNameInvalid,
    #[error("a trailer field has an invalid value")]
    TrailerValueInvalid,
    #[error("a field is not allowed in trailers")]
    TrailerForbidden,
    #[error("trailer fields are too long")]
    TrailersTooLong,
}

impl ChunkRefusal {
    /// What a client that sent such a body is answered, if its response has not begun.
    pub const fn status(self) -> u16 {
        400
    }
}

impl Chunks {
    /// Before the first byte of a body.
    pub const fn start() -> Self {
        Self {
            remaining: 0,
            candidates: 0,
            extensions_total: 0,
            extension_bytes: 0,
            trailer_bytes: 0,
            position: 0,
            state: State::Size,
            padding: [0; 2],
        }
    }

    /// Whether the last byte of the body has been read.
    pub const fn end(&self) -> BodyEnd {
        match self.state {
            State::Done => BodyEnd::Complete,
            State::Size
            | State::ExtensionStart
            | State::ExtensionName
            | State::ExtensionValueStart
            | State::ExtensionToken
            | State::ExtensionQuoted
            | State::ExtensionEscaped
            | State::ExtensionQuotedEnd
            | State::SizeLf
            | State::Data
            | State::DataCr
            | State::DataLf
            | State::TrailerStart
            | State::TrailerName
            | State::TrailerValue
            | State::TrailerLf
            | State::EndLf => BodyEnd::More,
        }
    }

    /// Checks bytes that go on as they are. Takes all of them, unless the body ends first.
    ///
    /// After a refusal the state is of no use.
    pub fn scan(&mut self, input: &[u8]) -> Result<Scanned, ChunkRefusal> {
        let taken = self.run(input, <[u8]>::len)?;
        Ok(Scanned { taken, end: self.end() })
    }

    /// Writes the content of `input` to `output`, without sizes, extensions and trailers.
    ///
    /// Stops when the input is used up, the body ends, or there is content and no room.
    pub fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Decoded, ChunkRefusal> {
        let mut written = 0;
        let taken = self.run(input, |content| {
            let room = output.get_mut(written..).unwrap_or_default();
            let bytes = content.len().min(room.len());
            if let (Some(to), Some(from)) = (room.get_mut(..bytes), content.get(..bytes)) {
                to.copy_from_slice(from);
            }
            written += bytes;
            bytes
        })?;
        Ok(Decoded { taken, written, end: self.end() })
    }

    /// Reads until the input or the body ends, or until `pass` takes less than all of the
    /// content it is given. Returns how many bytes were read.
    fn run(
        &mut self,
        input: &[u8],
        mut pass: impl FnMut(&[u8]) -> usize,
    ) -> Result<usize, ChunkRefusal> {
        let mut rest = input;
        while let Some((&byte, after)) = rest.split_first() {
            match self.state {
                State::Done => break,
                State::Data => {
                    let here = usize::try_from(self.remaining).unwrap_or(usize::MAX);
                    let (content, _) = rest.split_at(here.min(rest.len()));
                    let passed = pass(content).min(content.len());
                    self.remaining = self.remaining.saturating_sub(passed as u64);
                    rest = rest.split_at(passed).1;
                    if self.remaining == 0 {
                        self.state = State::DataCr;
                    } else if passed < content.len() {
                        break;
                    }
                }
                State::Size => {
                    self.size_byte(byte)?;
                    rest = after;
                }
                State::SizeLf | State::DataCr | State::DataLf | State::EndLf => {
                    self.state = self.line_end(byte)?;
                    rest = after;
                }
                State::ExtensionStart
                | State::ExtensionName
                | State::ExtensionValueStart
                | State::ExtensionToken
                | State::ExtensionQuoted
                | State::ExtensionEscaped
                | State::ExtensionQuotedEnd => {
                    self.state = self.extension_byte(byte)?;
                    rest = after;
                }
                State::TrailerStart
                | State::TrailerName
                | State::TrailerValue
                | State::TrailerLf => {
                    self.state = self.trailer_byte(byte)?;
                    rest = after;
                }
            }
        }
        Ok(input.len() - rest.len())
    }

    fn size_byte(&mut self, byte: u8) -> Result<(), ChunkRefusal> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\r' | b';' | b'\n' if self.position == 0 => return Err(ChunkRefusal::SizeMissing),
            b'\r' => {
                self.state = State::SizeLf;
                return Ok(());
            }
            b';' => {
                self.state = State::ExtensionStart;
                return self.count_extension();
            }
            b'\n' => return Err(ChunkRefusal::BareLineFeed),
            _ => return Err(ChunkRefusal::SizeInvalid),
        };
        if self.position >= SIZE_DIGITS_MAX {
            return Err(ChunkRefusal::SizeTooLarge);
        }
        self.remaining = (self.remaining << 4) | u64::from(digit);
        self.position += 1;
        Ok(())
    }

    /// The bytes that may only be one byte: the ends of lines, and of chunks.
    fn line_end(&mut self, byte: u8) -> Result<State, ChunkRefusal> {
        match (self.state, byte) {
            (State::SizeLf, b'\n') => {
                self.position = 0;
                self.extension_bytes = 0;
                Ok(if self.remaining == 0 { State::TrailerStart } else { State::Data })
            }
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => {
                self.remaining = 0;
                self.position = 0;
                Ok(State::Size)
            }
            (State::EndLf, b'\n') => Ok(State::Done),
            (State::DataCr | State::DataLf, _) => Err(ChunkRefusal::DataOverrun),
            (_, _) => Err(ChunkRefusal::BareCarriageReturn),
        }
    }

    /// `*( ";" token [ "=" ( token / quoted-string ) ] )`. The grammar allows "bad"
    /// whitespace around `;` and `=`; nothing sends it but tests and attacks.
    fn extension_byte(&mut self, byte: u8) -> Result<State, ChunkRefusal> {
        self.count_extension()?;
        match (self.state, byte) {
            (State::ExtensionName | State::ExtensionToken | State::ExtensionQuotedEnd, b'\r') => {
                Ok(State::SizeLf)
            }
            (State::ExtensionName | State::ExtensionToken | State::ExtensionQuotedEnd, b';') => {
                Ok(State::ExtensionStart)
            }
            (State::ExtensionName, b'=') => Ok(State::ExtensionValueStart),
            (State::ExtensionValueStart, b'"') => Ok(State::ExtensionQuoted),
            (State::ExtensionStart | State::ExtensionName, _) if is_token_byte(byte) => {
                Ok(State::ExtensionName)
            }
            (State::ExtensionValueStart | State::ExtensionToken, _) if is_token_byte(byte) => {
                Ok(State::ExtensionToken)
            }
            (State::ExtensionQuoted, b'"') => Ok(State::ExtensionQuotedEnd),
            (State::ExtensionQuoted, b'\\') => Ok(State::ExtensionEscaped),
            (State::ExtensionQuoted | State::ExtensionEscaped, _) if is_text(byte) => {
                Ok(State::ExtensionQuoted)
            }
            (_, b'\n') => Err(ChunkRefusal::BareLineFeed),
            (_, _) => Err(ChunkRefusal::ExtensionInvalid),
        }
    }

    fn trailer_byte(&mut self, byte: u8) -> Result<State, ChunkRefusal> {
        if (self.state, byte) == (State::TrailerStart, b'\r') {
            return Ok(State::EndLf);
        }
        self.trailer_bytes = self.trailer_bytes.saturating_add(1);
        if self.trailer_bytes > TRAILER_BYTES_MAX {
            return Err(ChunkRefusal::TrailersTooLong);
        }
        match (self.state, byte) {
            (State::TrailerStart, _) if is_token_byte(byte) => {
                self.candidates = u32::MAX;
                self.position = 0;
                self.name_byte(byte);
                Ok(State::TrailerName)
            }
            (State::TrailerStart, b' ' | b'\t') => Err(ChunkRefusal::TrailerFold),
            (State::TrailerName, b':') if self.is_forbidden() => {
                Err(ChunkRefusal::TrailerForbidden)
            }
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerName, _) if is_token_byte(byte) => {
                self.name_byte(byte);
                Ok(State::TrailerName)
            }
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, _) if is_text(byte) => Ok(State::TrailerValue),
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            (State::TrailerLf, _) => Err(ChunkRefusal::BareCarriageReturn),
            (_, b'\n') => Err(ChunkRefusal::BareLineFeed),
            (State::TrailerValue, _) => Err(ChunkRefusal::TrailerValueInvalid),
            (_, _) => Err(ChunkRefusal::TrailerNameInvalid),
        }
    }

    /// Strikes out the forbidden names that the name being read can no longer become. An
    /// underscore counts as a hyphen: what reads trailers may well see no difference.
    fn name_byte(&mut self, byte: u8) {
        let byte = if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
        let mut left = self.candidates;
        while left != 0 {
            let bit = left & left.wrapping_neg();
            left ^= bit;
            let name = FORBIDDEN.get(bit.trailing_zeros() as usize);
            let expected = name.and_then(|name| name.as_bytes().get(usize::from(self.position)));
            if expected != Some(&byte) {
                self.candidates ^= bit;
            }
        }
        self.position = self.position.saturating_add(1);
    }

    fn is_forbidden(&self) -> bool {
        FORBIDDEN.iter().enumerate().any(|(index, name)| {
            self.candidates & (1 << index) != 0 && name.len() == usize::from(self.position)
        })
    }

    fn count_extension(&mut self) -> Result<(), ChunkRefusal> {
        self.extension_bytes = self.extension_bytes.saturating_add(1);
        self.extensions_total = self.extensions_total.saturating_add(1);
        if self.extension_bytes > EXTENSION_BYTES_MAX
            || self.extensions_total > EXTENSIONS_TOTAL_MAX
        {
            return Err(ChunkRefusal::ExtensionTooLong);
        }
        Ok(())
    }
}
