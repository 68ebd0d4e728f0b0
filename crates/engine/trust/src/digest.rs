//! SHA-256, and the digest of a body in a request's head.
//!
//! Source: RFC 9530 (`Content-Digest`), RFC 9651 (its form).

use aws_lc_rs::{constant_time, digest};

use crate::signature::fields::{self, Bare, FieldError};

/// The bytes of a SHA-256.
pub const SHA256_BYTES: usize = 32;

/// The request header.
pub const CONTENT_DIGEST: &str = "content-digest";

/// Why a body is not the one that its digest was made of.
#[derive(Debug, thiserror::Error)]
pub enum DigestError {
    /// The header has not the form of one.
    #[error("the content digest cannot be read")]
    Form {
        /// What is wrong with it.
        source: FieldError,
    },
    /// Neither SHA-256 nor SHA-512 is in it.
    #[error("the content digest has neither sha-256 nor sha-512")]
    NoneKnown,
    /// The body is another one.
    #[error("the body is not the one that the content digest was made of")]
    Differs,
}

/// The SHA-256 of bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; SHA256_BYTES] {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
#[must_use]
pub fn same(one: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

/// The value of `Content-Digest` for a body.
#[must_use]
pub fn content(body: &[u8]) -> String {
    format!("sha-256={}", fields::bytes_text(&sha256(body)))
}

/// Whether a body is the one that the header was made of. Every digest in it that is known is
/// checked, so that nobody can hide a wrong one behind a right one.
///
/// # Errors
///
/// If it is not, or the header cannot be read.
pub fn check_content(header: &str, body: &[u8]) -> Result<(), DigestError> {
    let members = fields::dictionary(header).map_err(|source| DigestError::Form { source })?;
    let mut known = false;
    for member in &members {
        let algorithm = match member.key {
            "sha-256" => &digest::SHA256,
            "sha-512" => &digest::SHA512,
            _ => continue,
        };
        let Some(Bare::Bytes(claimed)) = member.item() else { return Err(DigestError::Differs) };
        if digest::digest(algorithm, body).as_ref() != claimed.as_slice() {
            return Err(DigestError::Differs);
        }
        known = true;
    }
    if known { Ok(()) } else { Err(DigestError::NoneKnown) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 9421, appendix B.2, which has the digest of RFC 9530's own body.
    const BODY: &[u8] = br#"{"hello": "world"}"#;
    const SHA_512: &str = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
    const SHA_256: &str = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";

    #[test]
    fn the_digests_of_the_rfcs_are_right() {
        assert_eq!(content(BODY), SHA_256);
        check_content(SHA_256, BODY).unwrap();
        check_content(SHA_512, BODY).unwrap();
        check_content(&format!("{SHA_256}, {SHA_512}"), BODY).unwrap();
    }

    #[test]
    fn another_body_is_found_out() {
        for header in [SHA_256, SHA_512, &format!("{SHA_256},{SHA_512}")] {
            let error = check_content(header, b"{}").unwrap_err();
            assert!(matches!(error, DigestError::Differs));
        }
        let mixed = format!("{}, {SHA_512}", content(b"{}"));
        assert!(matches!(check_content(&mixed, b"{}"), Err(DigestError::Differs)));
        assert!(matches!(check_content("sha-256=1", BODY), Err(DigestError::Differs)));
    }

    #[test]
    fn a_header_without_a_digest_that_is_known_is_refused() {
        assert!(matches!(check_content("md5=:AAAA:", BODY), Err(DigestError::NoneKnown)));
        assert!(matches!(check_content("", BODY), Err(DigestError::Form { .. })));
        assert!(matches!(check_content("sha-256=:!:", BODY), Err(DigestError::Form { .. })));
    }

    #[test]
    fn secrets_are_compared_as_a_whole() {
        assert!(same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd"));
        assert!(!same(b"abc", b"abcd"));
    }
}
