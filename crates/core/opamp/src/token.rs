//! An enrolment token: all that a host needs to become an agent, in one string.
//!
//! ```text
//!   mainstay-1.<base64url of this message>
//! ```
//!
//! Who holds it knows the managers by their certificate before the first byte is exchanged, and
//! may enrol as often as the token allows. The database has the hash of its secret alone.

use std::fmt;

use crate::wire::{self, DecodeError};

/// What the text of a token begins with.
pub const PREFIX: &str = "mainstay-1.";

/// The most bytes of a token, decoded.
pub const TOKEN_BYTES_MAX: usize = 32 * 1024;

/// The most managers in a token's list.
pub const MANAGERS_MAX: usize = 16;

/// The most bytes of a manager's address: `https://HOST:PORT`.
pub const ADDRESS_BYTES_MAX: usize = 512;

/// The most certificates in a token: current, next and recovery, for two fleets that merge.
pub const CERTIFICATES_MAX: usize = 8;

/// An enrolment token. The secret is not printed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct EnrolmentToken {
    /// Where managers are, the primary first: `https://HOST:PORT`, or `http://` for test.
    #[prost(string, repeated, tag = "1")]
    pub managers: Vec<String>,
    /// The certificates to accept, as DER: current before next. None with `http://` alone.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub certificates: Vec<Vec<u8>>,
    /// The group that the agent will be in, for people.
    #[prost(string, tag = "3")]
    pub group: String,
    /// What the request of the enrolment shows.
    #[prost(bytes = "vec", tag = "4")]
    pub secret: Vec<u8>,
    /// When it expires, in s since 1970; 0 if it does not. For people: the manager decides.
    #[prost(uint64, tag = "5")]
    pub expires_unix_s: u64,
}

impl fmt::Debug for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolmentToken")
            .field("managers", &self.managers)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

impl EnrolmentToken {
    /// The token of decoded bytes.
    ///
    /// # Errors
    ///
    /// If it does not decode, or breaks a limit of this module.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::at_most("a token", bytes.len(), TOKEN_BYTES_MAX)?;
        wire::count("the managers of a token", bytes, 1, MANAGERS_MAX)?;
        wire::count("the certificates of a token", bytes, 2, CERTIFICATES_MAX)?;
        let token: Self = wire::plain("a token", bytes)?;
        for manager in &token.managers {
            wire::at_most("the address of a manager", manager.len(), ADDRESS_BYTES_MAX)?;
        }
        wire::at_most("the name of the group", token.group.len(), crate::enrol::NAME_BYTES_MAX)?;
        let secret = token.secret.len();
        wire::at_most("the secret of a token", secret, crate::enrol::SECRET_BYTES_MAX)?;
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> EnrolmentToken {
        EnrolmentToken {
            managers: vec!["https://m1.example.com:4320".to_owned()],
            certificates: vec![vec![1, 2, 3]],
            group: "edge".to_owned(),
            secret: vec![7; 16],
            expires_unix_s: 0,
        }
    }

    #[test]
    fn a_token_is_read_as_it_was_written_and_does_not_print_its_secret() {
        let bytes = wire::encode(&token());
        assert_eq!(EnrolmentToken::decode(&bytes).unwrap(), token());
        assert!(!format!("{:?}", token()).contains("7, 7"));
    }

    #[test]
    fn a_token_has_limits() {
        let mut many = token();
        many.managers = vec!["https://m:1".to_owned(); MANAGERS_MAX + 1];
        let mut long = token();
        long.managers = vec!["x".repeat(ADDRESS_BYTES_MAX + 1)];
        let mut pins = token();
        pins.certificates = vec![vec![1]; CERTIFICATES_MAX + 1];
        for wrong in [many, long, pins] {
            EnrolmentToken::decode(&wire::encode(&wrong)).unwrap_err();
        }
        EnrolmentToken::decode(&vec![0; TOKEN_BYTES_MAX + 1]).unwrap_err();
    }
}
