//! HTTP/1.1 as this harness writes and reads it: strictly, and no more of it than it needs.
//!
//! What a real client forgives is an error here: a line without CR, a field without a colon, a
//! chunk that is longer than it says.

use std::fmt;

use crate::socket::{Broken, Socket};

/// Fields in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// The first value of the field, whatever the case of its name.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of the field.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |field| field.0.eq_ignore_ascii_case(name)).map(|f| f.1.as_str())
    }

    /// Whether one of the field's comma-separated values is `token`.
    pub fn has(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(','))
            .any(|v| v.trim().eq_ignore_ascii_case(token))
    }

    fn read(socket: &mut Socket) -> Result<Self, Broken> {
        let mut fields = Vec::new();
        loop {
            let line = socket.line()?.ok_or(Broken::Closed)?;
            if line.is_empty() {
                return Ok(Self(fields));
            }
            let Some((name, value)) = line.split_once(':') else {
                return Err(Broken::malformed(format!("field {line:?}")));
            };
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, value)| write!(f, "{name}: {value}\r\n"))
    }
}

/// The head of a request.
#[derive(Clone, Debug)]
pub struct RequestHead {
    pub method: String,
    pub target: String,
    pub version: String,
    pub fields: Fields,
}

/// The head of a response.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    pub version: String,
    pub status: u16,
    pub reason: String,
    pub fields: Fields,
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Exact(u64),
    Chunked,
    UntilClose,
}

impl RequestHead {
    /// Reads a head; none if the connection ended before its first byte.
    pub fn read(socket: &mut Socket) -> Result<Option<Self>, Broken> {
        let Some(line) = socket.line()? else { return Ok(None) };
        let words: Vec<&str> = line.split(' ').collect();
        let [method, target, version] = words[..] else {
            return Err(Broken::malformed(format!("request line {line:?}")));
        };
        let (method, target, version) = (method.to_owned(), target.to_owned(), version.to_owned());
        Ok(Some(Self { method, target, version, fields: Fields::read(socket)? }))
    }

    /// How long the body is.
    pub fn length(&self) -> Result<Length, Broken> {
        Ok(length(&self.fields)?.unwrap_or(Length::Exact(0)))
    }

    /// The path, without what follows the question mark.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// A value of the query.
    pub fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|p| p.0 == name).map(|p| p.1)
    }

    /// A number of the query, or `default`.
    pub fn number(&self, name: &str, default: u64) -> u64 {
        self.query(name).and_then(|value| value.parse().ok()).unwrap_or(default)
    }
}

impl ResponseHead {
    /// Reads a head.
    pub fn read(socket: &mut Socket) -> Result<Self, Broken> {
        let line = socket.line()?.ok_or(Broken::Closed)?;
        let malformed = || Broken::malformed(format!("status line {line:?}"));
        let (version, rest) = line.split_once(' ').ok_or_else(malformed)?;
        let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        if !matches!(version, "HTTP/1.0" | "HTTP/1.1") || status.len() != 3 {
            return Err(malformed());
        }
        let status = status.parse().ok().ok_or_else(malformed)?;
        let (version, reason) = (version.to_owned(), reason.to_owned());
        Ok(Self { version, status, reason, fields: Fields::read(socket)? })
    }

    /// Whether this is not yet the final response.
    pub const fn is_interim(&self) -> bool {
        self.status / 100 == 1 && self.status != 101
    }

    /// How long the body of this response to a request with `method` is.
    pub fn length(&self, method: &str) -> Result<Length, Broken> {
        if method == "HEAD" || matches!(self.status, 100..200 | 204 | 304) {
            return Ok(Length::Exact(0));
        }
        Ok(length(&self.fields)?.unwrap_or(Length::UntilClose))
    }

    /// This head as an error, for whoever expected another.
    pub fn unexpected(&self) -> Broken {
        Broken::Status { status: self.status, text: self.reason.clone() }
    }
}

fn length(fields: &Fields) -> Result<Option<Length>, Broken> {
    let lengths: Vec<&str> = fields.all("content-length").collect();
    let codings: Vec<&str> = fields.all("transfer-encoding").collect();
    match (&lengths[..], &codings[..]) {
        ([], []) => Ok(None),
        ([length], []) => length
            .parse()
            .ok()
            .map(|length| Some(Length::Exact(length)))
            .ok_or_else(|| Broken::malformed(format!("length {length:?}"))),
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Some(Length::Chunked)),
        _ => Err(Broken::malformed(format!("lengths {lengths:?} and codings {codings:?}"))),
    }
}

/// Takes the pieces of a body as they arrive.
pub type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), Broken> + 'a;

/// Reads a body, and returns the trailer fields after it.
pub fn read_body(
    socket: &mut Socket,
    length: Length,
    sink: &mut Sink<'_>,
) -> Result<Fields, Broken> {
    match length {
        Length::Exact(length) => read_exact(socket, length, sink)?,
        Length::UntilClose => loop {
            let piece = socket.take(usize::MAX)?;
            if piece.is_empty() {
                break;
            }
            sink(piece)?;
        },
        Length::Chunked => loop {
            let size = read_chunk_size(socket)?;
            if size == 0 {
                return Fields::read(socket);
            }
            read_exact(socket, size, sink)?;
            if socket.line()?.as_deref() != Some("") {
                return Err(Broken::malformed("a chunk longer than its size"));
            }
        },
    }
    Ok(Fields::default())
}

fn read_chunk_size(socket: &mut Socket) -> Result<u64, Broken> {
    let line = socket.line()?.ok_or(Broken::Closed)?;
    let digits = line.split(';').next().unwrap_or_default();
    u64::from_str_radix(digits, 16)
        .ok()
        .ok_or_else(|| Broken::malformed(format!("chunk size {line:?}")))
}

fn read_exact(socket: &mut Socket, length: u64, sink: &mut Sink<'_>) -> Result<(), Broken> {
    let mut left = length;
    while left > 0 {
        let piece = socket.take(usize::try_from(left).unwrap_or(usize::MAX))?;
        if piece.is_empty() {
            return Err(Broken::Closed);
        }
        left -= piece.len() as u64;
        sink(piece)?;
    }
    Ok(())
}

/// Appends one chunk to `out`; an empty one is the last, and the caller ends the trailers.
pub fn write_chunk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    if !bytes.is_empty() {
        out.extend_from_slice(b"\r\n");
    }
}
