//! Which fields concern one connection only, and are not forwarded (RFC 9110, 7.6.1).
//!
//! Every field of a head is classified once, by length and first letter, without lower-casing
//! it; all else works on the [`Kind`].
//!
//! Besides what the RFC lists, these go no further:
//! - `Proxy-Authorization`, `Proxy-Authenticate`, `Proxy-Authentication-Info`: they are between
//!   a client and a forward proxy. A gateway is not one, and the origin must not see such
//!   credentials.
//! - `HTTP2-Settings`: part of an upgrade to h2c, which is never honoured.
//! - Names that differ from ours in `_` for `-` alone (`Content_Length`): many servers make one
//!   variable of both.
//!
//! `Trailer` is end-to-end: trailers are passed on.

use crate::field::Field;
use crate::refusal::ConnectionDefect;
use crate::token::{elements, is_token};

/// Most options in all `Connection` fields of a head: each may cost a pass over the fields.
const OPTIONS_MAX: u8 = 32;

/// What a field means to a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Passed on, and none of our business.
    EndToEnd,
    /// Of this connection, or named in `Connection`: not passed on.
    HopByHop,
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    Upgrade,
    Expect,
    Date,
    Via,
    Forwarded,
    ForwardedFor,
    ForwardedHost,
    ForwardedProto,
    /// The other `X-Forwarded-…`, and `X-Real-IP`.
    ForwardedOther,
    RequestId,
    Cookie,
}

impl Kind {
    /// Whether `Connection` may not name such a field: taking it away would change where the
    /// message ends, where it goes, or where it came from.
    const fn is_protected(self) -> bool {
        match self {
            Self::Host
            | Self::ContentLength
            | Self::TransferEncoding
            | Self::Connection
            | Self::Expect
            | Self::Via
            | Self::Forwarded
            | Self::ForwardedFor
            | Self::ForwardedHost
            | Self::ForwardedProto
            | Self::ForwardedOther
            | Self::RequestId => true,
            Self::EndToEnd | Self::HopByHop | Self::Upgrade | Self::Date | Self::Cookie => false,
        }
    }
}

/// What a field of that name means.
#[inline]
pub(crate) fn classify(name: &str) -> Kind {
    let Some(first) = name.as_bytes().first() else { return Kind::EndToEnd };
    let (kind, ours) = match (name.len(), first | 0x20) {
        (2, b't') => (Kind::HopByHop, "te"),
        (3, b'v') => (Kind::Via, "via"),
        (4, b'h') => (Kind::Host, "host"),
        (4, b'd') => (Kind::Date, "date"),
        (6, b'c') => (Kind::Cookie, "cookie"),
        (6, b'e') => (Kind::Expect, "expect"),
        (7, b'u') => (Kind::Upgrade, "upgrade"),
        (9, b'f') => (Kind::Forwarded, "forwarded"),
        (10, b'c') => (Kind::Connection, "connection"),
        (10, b'k') => (Kind::HopByHop, "keep-alive"),
        (14, b'c') => (Kind::ContentLength, "content-length"),
        (14, b'h') => (Kind::HopByHop, "http2-settings"),
        (16, b'p') => (Kind::HopByHop, "proxy-connection"),
        (17, b't') => (Kind::TransferEncoding, "transfer-encoding"),
        (18, b'p') => (Kind::HopByHop, "proxy-authenticate"),
        (19, b'p') => (Kind::HopByHop, "proxy-authorization"),
        (25, b'p') => (Kind::HopByHop, "proxy-authentication-info"),
        (9, b'x') => (Kind::ForwardedOther, "x-real-ip"),
        (12, b'x') => (Kind::RequestId, "x-request-id"),
        (15, b'x') => (Kind::ForwardedFor, "x-forwarded-for"),
        (16, b'x') => (Kind::ForwardedHost, "x-forwarded-host"),
        (17, b'x') => (Kind::ForwardedProto, "x-forwarded-proto"),
        (_, b'x') => return classify_forwarded(name),
        _ => return Kind::EndToEnd,
    };
    if name.eq_ignore_ascii_case(ours) {
        kind
    } else if is_lookalike(name, ours) {
        Kind::HopByHop
    } else if *first | 0x20 == b'x' {
        classify_forwarded(name)
    } else {
        Kind::EndToEnd
    }
}

fn classify_forwarded(name: &str) -> Kind {
    const PREFIX: &str = "x-forwarded-";
    match name.get(..PREFIX.len()) {
        Some(prefix) if prefix.eq_ignore_ascii_case(PREFIX) => Kind::ForwardedOther,
        Some(prefix) if is_lookalike(prefix, PREFIX) => Kind::HopByHop,
        Some(_) | None => Kind::EndToEnd,
    }
}

/// Whether the two differ in `_` for `-` alone. Both have the same length.
fn is_lookalike(name: &str, ours: &str) -> bool {
    name.len() == ours.len()
        && name.bytes().zip(ours.bytes()).all(|(theirs, ours)| {
            theirs.to_ascii_lowercase() == ours || (theirs == b'_' && ours == b'-')
        })
}

/// What the `Connection` fields of a head say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    seen: u8,
    count: u8,
}

impl Options {
    const CLOSE: u8 = 1;
    const KEEP_ALIVE: u8 = 2;
    const UPGRADE: u8 = 4;
    const NAMES: u8 = 8;

    /// Takes in one `Connection` field.
    pub(crate) fn add(&mut self, value: &[u8]) -> Result<(), ConnectionDefect> {
        for option in elements(value).filter(|option| !option.is_empty()) {
            self.count = self.count.saturating_add(1);
            if self.count > OPTIONS_MAX {
                return Err(ConnectionDefect::TooManyOptions);
            }
            self.seen |= match known(option) {
                Some(bit) => bit,
                None => {
                    check_name(option)?;
                    Self::NAMES
                }
            };
        }
        Ok(())
    }

    pub(crate) const fn close(self) -> bool {
        self.seen & Self::CLOSE != 0
    }

    pub(crate) const fn keep_alive(self) -> bool {
        self.seen & Self::KEEP_ALIVE != 0
    }

    pub(crate) const fn upgrade(self) -> bool {
        self.seen & Self::UPGRADE != 0
    }

    /// Whether fields are named that [`strike_named`] must look for.
    pub(crate) const fn names_fields(self) -> bool {
        self.seen & Self::NAMES != 0
    }
}

fn known(option: &[u8]) -> Option<u8> {
    if option.eq_ignore_ascii_case(b"keep-alive") {
        Some(Options::KEEP_ALIVE)
    } else if option.eq_ignore_ascii_case(b"close") {
        Some(Options::CLOSE)
    } else if option.eq_ignore_ascii_case(b"upgrade") {
        Some(Options::UPGRADE)
    } else {
        None
    }
}

fn check_name(option: &[u8]) -> Result<(), ConnectionDefect> {
    match str::from_utf8(option) {
        Ok(name) if is_token(option) => match classify(name).is_protected() {
            true => Err(ConnectionDefect::NamesProtectedField),
            false => Ok(()),
        },
        Ok(_) | Err(_) => Err(ConnectionDefect::OptionInvalid),
    }
}

/// Makes every field that a `Connection` field names [`Kind::HopByHop`].
#[cold]
pub(crate) fn strike_named(fields: &[Field<'_>], kinds: &mut [Kind]) {
    for (index, connection) in fields.iter().enumerate() {
        if kinds.get(index) != Some(&Kind::Connection) {
            continue;
        }
        for option in elements(connection.value).filter(|option| known(option).is_none()) {
            for (field, kind) in fields.iter().zip(kinds.iter_mut()) {
                if field.name.as_bytes().eq_ignore_ascii_case(option) {
                    *kind = Kind::HopByHop;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_known_in_any_case() {
        let table = "
            host, Host, HOST, hOsT                             | Host
            content-length, Content-Length                     | ContentLength
            Transfer-Encoding                                  | TransferEncoding
            Connection                                         | Connection
            Keep-Alive, Proxy-Connection, TE, HTTP2-Settings   | HopByHop
            Proxy-Authorization, Proxy-Authenticate            | HopByHop
            Proxy-Authentication-Info                          | HopByHop
            Content_Length, transfer_encoding, X_Forwarded_For | HopByHop
            X-Forwarded_Port, X_Request_ID                     | HopByHop
            Upgrade                                            | Upgrade
            Expect                                             | Expect
            Date                                               | Date
            Via                                                | Via
            Forwarded                                          | Forwarded
            X-Forwarded-For                                    | ForwardedFor
            x-forwarded-host                                   | ForwardedHost
            X-Forwarded-Proto                                  | ForwardedProto
            X-Forwarded-Port, X-Forwarded-Prefix, X-Real-Ip    | ForwardedOther
            X-Forwarded-Server, X-Forwarded-Path, X-Forwarded- | ForwardedOther
            X-Forwarded-Pro, X-Forwarded-Protos                | ForwardedOther
            X-Request-Id                                       | RequestId
            Cookie, cookie                                     | Cookie
            Accept, User-Agent, Trailer, Content-Type  | EndToEnd
            Hosts, Hoot, Content-Lengt, Content-Lengths, X     | EndToEnd
            X-Requested, X-Forwarded, XX-Forwarded-For, Tx     | EndToEnd
        ";
        for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
            let (names, kind) = row.split_once('|').unwrap();
            for name in names.split(',').map(str::trim) {
                assert_eq!(format!("{:?}", classify(name)), kind.trim(), "{name}");
            }
        }
    }

    #[test]
    fn options_are_read_from_all_fields() {
        let mut options = Options::default();
        options.add(b" , Keep-Alive ,").unwrap();
        assert!(options.keep_alive() && !options.close() && !options.names_fields());
        options.add(b"UPGRADE").unwrap();
        options.add(b"x-mine, close").unwrap();
        assert!(options.upgrade() && options.close() && options.names_fields());
    }

    #[test]
    fn options_that_cannot_be_followed_are_refused() {
        let many = "a,".repeat(33);
        let table = [
            ("host", ConnectionDefect::NamesProtectedField),
            ("close, Content-Length", ConnectionDefect::NamesProtectedField),
            ("Transfer-Encoding", ConnectionDefect::NamesProtectedField),
            ("X-Forwarded-For", ConnectionDefect::NamesProtectedField),
            ("X-Forwarded-Port", ConnectionDefect::NamesProtectedField),
            ("a b", ConnectionDefect::OptionInvalid),
            ("a=b", ConnectionDefect::OptionInvalid),
            ("\"close\"", ConnectionDefect::OptionInvalid),
            (&many, ConnectionDefect::TooManyOptions),
        ];
        for (value, defect) in table {
            assert_eq!(Options::default().add(value.as_bytes()), Err(defect), "{value}");
        }
    }
}
