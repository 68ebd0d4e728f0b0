//! Random bytes as text, and codes that only the managers can make.

use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::digest;

/// The bytes of a secret: an enrolment token's, an API token's, a web session's.
pub const SECRET_BYTES: usize = 16;

/// The most characters that [`from_text`] looks at.
pub const TEXT_BYTES_MAX: usize = 512;

/// Random bytes.
///
/// # Panics
///
/// If the kernel gives none; nothing could be trusted then.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the kernel gives random bytes");
    bytes
}

/// A secret that its bearer shows. Neither printed nor kept: the database has its hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret([u8; SECRET_BYTES]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        Self(random())
    }

    /// One from a token's bytes; nothing if there are not [`SECRET_BYTES`] of them.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// One from its text; nothing if it is none.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        from_text(text).as_deref().and_then(Self::from_bytes)
    }

    /// The bytes, for the message that shows it.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    /// The text, for the person or the command that it is given to once.
    #[must_use]
    pub fn to_text(&self) -> String {
        to_text(&self.0)
    }

    /// What the database keeps of it. A plain hash will do: there is no guessing 128 bits.
    #[must_use]
    pub fn hash(&self) -> [u8; digest::SHA256_BYTES] {
        digest::sha256(&self.0)
    }
}

impl Default for Secret {
    fn default() -> Self {
        Self::new()
    }
}

/// Bytes as base64url without padding: fit for headers, addresses and file names.
#[must_use]
pub fn to_text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Bytes from base64url without padding; nothing if it is none, or too long.
#[must_use]
pub fn from_text(text: &str) -> Option<Vec<u8>> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Bytes from a longer text of the same form; nothing if it is none, or would have more than
/// `bytes_max` bytes.
#[must_use]
pub fn from_long_text(text: &str, bytes_max: usize) -> Option<Vec<u8>> {
    // Four characters for three bytes.
    if text.len() / 4 > bytes_max / 3 {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() <= bytes_max)
}

/// A code over several parts that only who holds the key can make (HMAC-SHA-256).
///
/// The length of each part goes in, so that no other division into parts has the same code.
#[must_use]
pub fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; digest::SHA256_BYTES] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut context = hmac::Context::with_key(&key);
    for part in parts {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    }
    let tag = context.sign();
    tag.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_back_from_its_text_and_its_bytes() {
        let secret = Secret::new();
        assert_eq!(Secret::from_text(&secret.to_text()), Some(secret));
        assert_eq!(Secret::from_bytes(secret.as_bytes()), Some(secret));
        assert_ne!(Secret::new(), secret);
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_eq!(Secret::from_text("AAAA"), None);
        assert_eq!(from_text(&"A".repeat(TEXT_BYTES_MAX + 4)), None);
        assert_eq!(from_text("AA=="), None, "no padding");
    }

    #[test]
    fn another_division_into_parts_has_another_code() {
        let codes = [
            mac(b"key", &[b"ab", b"c"]),
            mac(b"key", &[b"a", b"bc"]),
            mac(b"key", &[b"abc"]),
            mac(b"kez", &[b"ab", b"c"]),
        ];
        for (index, code) in codes.iter().enumerate() {
            assert_eq!(codes.iter().position(|other| other == code), Some(index));
        }
        assert_eq!(mac(b"key", &[b"ab", b"c"]), codes[0]);
    }
}
