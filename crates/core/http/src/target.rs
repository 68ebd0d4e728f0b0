//! The request target: its four forms, and what in a path could be read as another path
//! (RFC 9112, 3.2; RFC 3986, 3.3 and 6.2.2).
//!
//! A path is never normalised: it goes upstream as it came, and so routes are found by the path
//! that the server sees. What a server may normalise into another path is refused: dot segments
//! in any disguise (`%2e`, a backslash or `%2f` for the slash, `..;x`).
//!
//! `CONNECT` has been refused before; its form is not read here.

use crate::authority::Authority;
use crate::method::Method;
use crate::refusal::{Refusal, TargetDefect};

#[cfg(test)]
mod tests;

/// A request target, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target<'b> {
    /// What goes upstream: path and query, or `*`. Begins with `?` if an absolute target has no
    /// path; whoever writes it puts the `/` before it.
    pub(crate) text: &'b str,
    /// What routes are found by.
    pub(crate) path: &'b str,
    pub(crate) absolute: Option<Absolute<'b>>,
}

/// What an absolute target says beyond the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Absolute<'b> {
    pub(crate) authority: Authority<'b>,
    /// That of its scheme.
    pub(crate) default_port: u16,
}

// What a byte may be. `DOT` is `SLASH` moved by one bit, for `survey`.
const REFUSED: u8 = 1;
const FRAGMENT: u8 = 1 << 1;
const QUERY: u8 = 1 << 2;
const SLASH: u8 = 1 << 3;
const DOT: u8 = 1 << 4;
const ESCAPE: u8 = 1 << 5;

const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_u8;
    loop {
        #[expect(clippy::indexing_slicing, reason = "a byte is an index of 256")]
        {
            table[byte as usize] = match byte {
                b'#' => FRAGMENT,
                b'?' => QUERY,
                b'/' => SLASH,
                b'.' => DOT,
                b'%' | b'\\' => ESCAPE,
                b'!'..=b'~' => 0,
                _ => REFUSED,
            };
        }
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

/// Takes a request target apart.
#[inline]
pub(crate) fn read_target(method: Method, target: &str) -> Result<Target<'_>, Refusal> {
    if target.starts_with('/') {
        let path = survey(target)?;
        return Ok(Target { text: target, path, absolute: None });
    }
    if target == "*" {
        return match method {
            Method::Options => Ok(Target { text: target, path: "/", absolute: None }),
            Method::Get
            | Method::Head
            | Method::Post
            | Method::Put
            | Method::Delete
            | Method::Patch
            | Method::Trace
            | Method::Connect
            | Method::Other => Err(TargetDefect::AsteriskWithoutOptions.into()),
        };
    }
    read_absolute(method, target)
}

fn read_absolute(method: Method, target: &str) -> Result<Target<'_>, Refusal> {
    let Some((scheme, rest)) = target.split_once("://") else {
        survey(target)?;
        return Err(TargetDefect::FormInvalid.into());
    };
    let default_port = if scheme.eq_ignore_ascii_case("http") {
        80
    } else if scheme.eq_ignore_ascii_case("https") {
        443
    } else {
        survey(target)?;
        let mut bytes = scheme.bytes();
        let is_scheme = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        return Err(match is_scheme {
            true => TargetDefect::SchemeUnknown.into(),
            false => TargetDefect::FormInvalid.into(),
        });
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, text) = rest.split_at(end);
    let path = survey(text)?;
    let authority = Authority::read(authority.as_bytes())?;
    let absolute = Some(Absolute { authority, default_port });
    Ok(match (text, path, method) {
        // The last proxy says it so (RFC 9112, 3.2.4).
        ("", _, Method::Options) => Target { text: "*", path: "/", absolute },
        ("", _, _) => Target { text: "/", path: "/", absolute },
        (_, "", _) => Target { text, path: "/", absolute },
        (_, _, _) => Target { text, path, absolute },
    })
}

/// Checks a path and query, and returns the path.
#[inline]
fn survey(text: &str) -> Result<&str, TargetDefect> {
    let bytes = text.as_bytes();
    let mut seen = 0;
    let mut dots_at_start = 0;
    let mut before = 0;
    let mut path_bytes = bytes.len();
    for (index, &byte) in bytes.iter().enumerate() {
        let class = class(byte);
        if class == QUERY {
            path_bytes = index;
            break;
        }
        seen |= class;
        dots_at_start |= (before << 1) & class & DOT;
        before = class;
    }
    let (path, query) = bytes.split_at(path_bytes);
    let all = query.iter().fold(seen, |seen, &byte| seen | class(byte));
    if all & REFUSED != 0 {
        return Err(TargetDefect::NotVisibleAscii);
    }
    if all & FRAGMENT != 0 {
        return Err(TargetDefect::Fragment);
    }
    if seen & ESCAPE != 0 || dots_at_start != 0 {
        check_segments(path)?;
    }
    Ok(text.split_at_checked(path_bytes).map_or(text, |(path, _)| path))
}

#[inline]
fn class(byte: u8) -> u8 {
    #[expect(clippy::indexing_slicing, reason = "a byte is an index of 256")]
    CLASS[byte as usize]
}

/// Refuses a path that a server may take for another one once it has decoded it.
fn check_segments(path: &[u8]) -> Result<(), TargetDefect> {
    let mut segment = Segment::default();
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let decoded = match (byte, after) {
            (b'\\', _) => return Err(TargetDefect::Backslash),
            (b'%', [high, low, after @ ..]) => {
                rest = after;
                let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
                    return Err(TargetDefect::EncodingInvalid);
                };
                high << 4 | low
            }
            (b'%', _) => return Err(TargetDefect::EncodingInvalid),
            (_, _) => byte,
        };
        match decoded {
            // It ends a string in half of the world's servers.
            0 => return Err(TargetDefect::EncodingInvalid),
            b'/' | b'\\' => {
                segment.check()?;
                segment = Segment::default();
            }
            byte => segment.add(byte),
        }
    }
    segment.check()
}

/// What a segment is so far, up to its parameters: some servers cut those off first.
#[derive(Clone, Copy, Default)]
enum Segment {
    #[default]
    Empty,
    Dot,
    DotDot,
    DotsAndParameters,
    Other,
}

impl Segment {
    fn add(&mut self, byte: u8) {
        *self = match (*self, byte) {
            (Self::Empty, b'.') => Self::Dot,
            (Self::Dot, b'.') => Self::DotDot,
            (Self::Dot | Self::DotDot, b';') => Self::DotsAndParameters,
            (Self::DotsAndParameters, _) => Self::DotsAndParameters,
            (Self::Empty | Self::Dot | Self::DotDot | Self::Other, _) => Self::Other,
        };
    }

    const fn check(self) -> Result<(), TargetDefect> {
        match self {
            Self::Dot | Self::DotDot | Self::DotsAndParameters => Err(TargetDefect::DotSegment),
            Self::Empty | Self::Other => Ok(()),
        }
    }
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
