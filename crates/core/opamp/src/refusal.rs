//! Why a manager did not carry out an exchange, for a machine to act on.
//!
//! OpAMP's own error says whether to try again, and a sentence. What an agent of ours has to
//! know beyond that stands in the response header [`HEADER`], beside the status code.

use std::fmt;
use std::str::FromStr;

/// The response header that holds a [`Refusal`].
pub const HEADER: &str = "mainstay-refusal";

/// Why an exchange was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// The message does not decode, or breaks a limit.
    Malformed,
    /// No agent of this name is registered.
    UnknownAgent,
    /// The signature is missing, or is not that of the agent's key.
    BadSignature,
    /// The request is one that was carried out before, and not the last one.
    Replayed,
    /// Somebody else went on from this agent's state, and it is not clear who is who.
    Forked,
    /// An operator took this agent's registration away.
    Revoked,
    /// The enrolment token is unknown, used up, expired or revoked.
    TokenRefused,
    /// The enrolment waits for an operator's approval.
    ApprovalPending,
    /// The manager has too much to do, or is being drained.
    Overloaded,
    /// The database cannot be reached.
    NoDatabase,
}

/// A word that is no refusal of this build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the manager refused for a reason that this version does not know")]
pub struct UnknownRefusal;

impl Refusal {
    /// Every one, in the order of their statuses.
    pub const ALL: [Self; 10] = [
        Self::Malformed,
        Self::UnknownAgent,
        Self::BadSignature,
        Self::Replayed,
        Self::Forked,
        Self::Revoked,
        Self::TokenRefused,
        Self::ApprovalPending,
        Self::Overloaded,
        Self::NoDatabase,
    ];

    /// The word in the header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownAgent => "unknown-agent",
            Self::BadSignature => "bad-signature",
            Self::Replayed => "replayed",
            Self::Forked => "forked",
            Self::Revoked => "revoked",
            Self::TokenRefused => "token-refused",
            Self::ApprovalPending => "approval-pending",
            Self::Overloaded => "overloaded",
            Self::NoDatabase => "no-database",
        }
    }

    /// The status code beside it.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::UnknownAgent | Self::BadSignature => 401,
            Self::Revoked | Self::TokenRefused => 403,
            Self::Replayed | Self::Forked => 409,
            Self::ApprovalPending | Self::Overloaded | Self::NoDatabase => 503,
        }
    }

    /// Whether another manager, or the same one later, may carry it out.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        match self {
            Self::ApprovalPending | Self::Overloaded | Self::NoDatabase => true,
            Self::Malformed
            | Self::UnknownAgent
            | Self::BadSignature
            | Self::Replayed
            | Self::Forked
            | Self::Revoked
            | Self::TokenRefused => false,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Refusal {
    type Err = UnknownRefusal;

    fn from_str(word: &str) -> Result<Self, UnknownRefusal> {
        Self::ALL.into_iter().find(|refusal| refusal.as_str() == word).ok_or(UnknownRefusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_read_as_it_is_written() {
        for refusal in Refusal::ALL {
            assert_eq!(refusal.as_str().parse(), Ok(refusal));
            assert_eq!(refusal.may_pass(), refusal.status() >= 500, "{refusal}");
        }
        assert_eq!("gone".parse::<Refusal>(), Err(UnknownRefusal));
    }
}
