//! What is kept of a user's password: Argon2id, with a salt of its own, as a PHC string.
//!
//! Both functions take some 20 MiB and tens of milliseconds on purpose. A manager calls them on
//! a thread that may block, and not for many people at once.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};

use crate::token;

/// The fewest characters of a password.
pub const CHARACTERS_MIN: usize = 12;

/// The most bytes of a password.
pub const BYTES_MAX: usize = 1024;

const SALT_BYTES: usize = 16;

/// Why a password is not taken.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// It is soon guessed.
    #[error("a password has at least {CHARACTERS_MIN} characters")]
    TooShort,
    /// It would take long to hash.
    #[error("a password has at most {BYTES_MAX} bytes")]
    TooLong,
    /// The library does not hash it.
    #[error("the password cannot be hashed")]
    Hash {
        /// Why.
        source: argon2::password_hash::Error,
    },
}

/// What is kept of a password.
///
/// # Errors
///
/// If it is too short, too long, or cannot be hashed.
pub fn hash(password: &str) -> Result<String, PasswordError> {
    if password.chars().count() < CHARACTERS_MIN {
        return Err(PasswordError::TooShort);
    }
    if password.len() > BYTES_MAX {
        return Err(PasswordError::TooLong);
    }
    let salt: [u8; SALT_BYTES] = token::random();
    let hash: PasswordHash = Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(|source| PasswordError::Hash { source })?;
    Ok(hash.to_string())
}

/// Whether a password is the one of which `kept` was made.
#[must_use]
pub fn verify(password: &str, kept: &str) -> bool {
    let Ok(kept) = PasswordHash::new(kept) else { return false };
    password.len() <= BYTES_MAX
        && Argon2::default().verify_password(password.as_bytes(), &kept).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_itself_is_taken() {
        let kept = hash("correct horse battery").unwrap();
        assert!(kept.starts_with("$argon2id$v=19$"), "{kept}");
        assert!(verify("correct horse battery", &kept));
        assert!(!verify("correct horse batterz", &kept));
        assert!(!verify("correct horse battery", "plain"));
        assert_ne!(hash("correct horse battery").unwrap(), kept, "a salt of its own");
    }

    #[test]
    fn passwords_have_limits() {
        assert!(matches!(hash("elevenchars"), Err(PasswordError::TooShort)));
        assert!(matches!(hash(&"x".repeat(1025)), Err(PasswordError::TooLong)));
    }
}
