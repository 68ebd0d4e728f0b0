//! Somebody who is logged in.
//!
//! # Invariants
//!
//! 1. A [`SessionId`] is a secret: it has no `Display`, its `Debug` tells nothing, and nothing
//!    but its [`SessionKey`] is kept.
//! 2. What a session says of its user is not printed by `Debug`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::WallTime;

/// Bytes of an id and of a key: 256 bits.
const BYTES: usize = 32;

/// Letters of an id as text.
const ID_LETTERS: usize = 43;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What a browser shows to be let in: 256 random bits, as text in base64url without padding.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionId([u8; BYTES]);

/// What is kept of a [`SessionId`]: its SHA-256. Whoever reads it cannot make the id of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey([u8; BYTES]);

/// What is known of one who is logged in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// Who it is, as the identity provider names them.
    pub subject: String,
    pub claims: Claims,
    pub authenticated_at: WallTime,
    /// It ends when it was not used for so long.
    #[serde(rename = "idle_limit_ms", with = "millis")]
    pub idle_limit: Duration,
    /// It ends so long after the authentication, however much it is used.
    #[serde(rename = "absolute_limit_ms", with = "millis")]
    pub absolute_limit: Duration,
    /// The identity provider's own session (`sid` in OpenID Connect).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_session: Option<String>,
}

/// What else is known of a user: one JSON object, as text.
///
/// Text, because most requests need none of it, and a hundred thousand parsed objects are
/// several times as large.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Claims(Box<str>);

/// A text that is no session id or key. It does not say what the text was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not 256 bits in the form that is asked for")]
pub struct NotASession;

/// Claims that cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum ClaimsError {
    #[error("claims have {bytes} bytes, and {max} is the limit")]
    TooLong { bytes: usize, max: usize },

    #[error("claims are not a JSON object")]
    NotAnObject { source: serde_json::Error },
}

impl SessionId {
    /// The id that these random bits are.
    pub const fn from_bytes(bytes: [u8; BYTES]) -> Self {
        Self(bytes)
    }

    pub const fn bytes(&self) -> &[u8; BYTES] {
        &self.0
    }

    /// As a cookie has it.
    pub fn reveal(&self) -> String {
        let mut text = String::with_capacity(ID_LETTERS);
        for chunk in self.0.chunks(3) {
            let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
                << (8 * (3 - chunk.len()));
            for place in 0..=chunk.len() {
                let index = (bits >> (18 - 6 * place)) & 63;
                text.extend(ALPHABET.get(index as usize).map(|letter| char::from(*letter)));
            }
        }
        text
    }
}

impl FromStr for SessionId {
    type Err = NotASession;

    fn from_str(text: &str) -> Result<Self, NotASession> {
        let letters = text.as_bytes();
        if letters.len() != ID_LETTERS {
            return Err(NotASession);
        }
        let mut bytes = [0; BYTES];
        let mut into = bytes.iter_mut();
        let (mut bits, mut count) = (0_u32, 0_u32);
        for letter in letters {
            bits = bits << 6 | six_bits(*letter).ok_or(NotASession)?;
            count += 6;
            if count >= 8 {
                count -= 8;
                let [.., byte] = (bits >> count).to_be_bytes();
                *into.next().ok_or(NotASession)? = byte;
            }
        }
        // One id has one text: the bits that are left over say nothing.
        if bits & ((1 << count) - 1) != 0 {
            return Err(NotASession);
        }
        Ok(Self(bytes))
    }
}

const fn six_bits(letter: u8) -> Option<u32> {
    let bits = match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    };
    Some(bits as u32)
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(…)")
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_secret| {
            de::Error::custom("a session id is 256 bits in base64url without padding, 43 letters")
        })
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.reveal())
    }
}

impl SessionKey {
    /// The key that this digest is.
    pub const fn from_bytes(bytes: [u8; BYTES]) -> Self {
        Self(bytes)
    }

    pub const fn bytes(&self) -> &[u8; BYTES] {
        &self.0
    }
}

impl FromStr for SessionKey {
    type Err = NotASession;

    fn from_str(text: &str) -> Result<Self, NotASession> {
        let mut bytes = [0; BYTES];
        if text.len() != BYTES * 2 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        {
            return Err(NotASession);
        }
        for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
            let digits = text.get(at..at + 2).ok_or(NotASession)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_text| NotASession)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "SessionKey({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

impl<'de> Deserialize<'de> for SessionKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for SessionKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Session {
    /// Whether it is over at this instant, if it was used last at `last_active`.
    pub fn is_over(&self, last_active: WallTime, now: WallTime) -> bool {
        now >= self.authenticated_at + self.absolute_limit || now >= last_active + self.idle_limit
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("authenticated_at", &self.authenticated_at)
            .field("idle_limit", &self.idle_limit)
            .field("absolute_limit", &self.absolute_limit)
            .finish_non_exhaustive()
    }
}

impl Claims {
    /// Longest claims, as text.
    pub const BYTES_MAX: usize = 4096;

    /// Takes a text that is a JSON object.
    pub fn new(text: &str) -> Result<Self, ClaimsError> {
        let (bytes, max) = (text.len(), Self::BYTES_MAX);
        if bytes > max {
            return Err(ClaimsError::TooLong { bytes, max });
        }
        let parsed: Result<serde_json::Map<String, serde_json::Value>, _> =
            serde_json::from_str(text);
        parsed.map_err(|source| ClaimsError::NotAnObject { source })?;
        Ok(Self(text.into()))
    }

    /// Text that was checked when it was taken: from our own journal.
    pub fn trusted(text: &str) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// All of them.
    pub fn parse(&self) -> serde_json::Map<String, serde_json::Value> {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl Default for Claims {
    fn default() -> Self {
        Self("{}".into())
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Claims({} bytes)", self.0.len())
    }
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// A duration as a number of milliseconds.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        of: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(of.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written_and_is_never_printed() {
        for fill in [0, 1, 0x55, 0xfe, 0xff] {
            let id = SessionId::from_bytes([fill; BYTES]);
            let text = id.reveal();
            assert_eq!((text.len(), text.parse()), (ID_LETTERS, Ok(id)));
            assert_eq!(format!("{id:?}"), "SessionId(…)");
        }
        let counted: [u8; BYTES] = std::array::from_fn(|at| u8::try_from(at * 7).unwrap());
        // As `openssl base64` and `tr` have it.
        let text = "AAcOFRwjKjE4P0ZNVFtiaXB3foWMk5qhqK-2vcTL0tk";
        assert_eq!(SessionId::from_bytes(counted).reveal(), text);
        for wrong in [
            "",
            "AAcO",
            text.strip_prefix(|_: char| true).unwrap(),
            &format!("{text}="),
            &text.replace('-', "+"),
            &text.replace("tk", "tl"),
        ] {
            assert_eq!(wrong.parse::<SessionId>(), Err(NotASession), "{wrong}");
        }
    }

    #[test]
    fn a_key_is_read_as_it_is_written() {
        let key = SessionKey::from_bytes([0xa5; BYTES]);
        assert_eq!(key.to_string().parse(), Ok(key));
        for wrong in ["", "a5", &"A5".repeat(BYTES), &"+5".repeat(BYTES)] {
            assert_eq!(wrong.parse::<SessionKey>(), Err(NotASession), "{wrong}");
        }
    }

    #[test]
    fn claims_are_an_object_of_limited_size() {
        assert!(Claims::new(r#"{"email":"a@example.com","groups":["x"]}"#).is_ok());
        for wrong in ["", "[]", "1", "{", r#"{"a":1}x"#] {
            assert!(matches!(Claims::new(wrong), Err(ClaimsError::NotAnObject { .. })), "{wrong}");
        }
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(Claims::BYTES_MAX));
        assert!(matches!(Claims::new(&long), Err(ClaimsError::TooLong { .. })));
    }

    #[test]
    fn a_session_ends_by_its_limits_and_debug_does_not_tell_whose_it_is() {
        let at = WallTime::from_millis;
        let session = Session {
            subject: "alice".to_owned(),
            claims: Claims::default(),
            authenticated_at: at(1_000),
            idle_limit: Duration::from_millis(100),
            absolute_limit: Duration::from_millis(1_000),
            provider_session: None,
        };
        for (last_active, now, over) in [
            (1_000, 1_099, false),
            (1_000, 1_100, true),
            (1_950, 1_999, false),
            (1_950, 2_000, true),
        ] {
            assert_eq!(session.is_over(at(last_active), at(now)), over, "{last_active} {now}");
        }
        assert!(!format!("{session:?}").contains("alice"));
    }
}
