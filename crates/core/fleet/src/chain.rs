//! Whether a request is the next one of its agent: sequence numbers, and a token that goes with
//! each, so that replays, lost replies and cloned machines are told apart without a clock.
//!
//! ```text
//!   agent: sequence 8, token t7 ──▶ manager, row (7, hash t7, hash t6)      Next
//!          ◀── token t8 ────────    row (8, hash t8, hash t7)
//!   agent: sequence 8, token t7 ──▶ the reply got lost: the same again      Repeat
//!   clone: sequence 8, token t7 ──▶ another host                            OtherHost
//!   agent: sequence 9, token t8 ──▶ row (5, …): the database lost commits   Ahead
//!   wire:  sequence 6, token t5 ──▶ a recording, or a disk from a backup    Stale
//! ```
//!
//! # Invariants
//!
//! 1. Of all requests that were made from one state, one is `Next`; whatever else comes of that
//!    state is never carried out.
//! 2. A request of another host than the one that enrolled is never carried out.
//! 3. A token is only ever believed ahead of its row if a manager of this fleet made it for this
//!    agent after the exchange that it names.
//!
//! # Not here
//!
//! Signatures (`mainstay-trust`): what comes here is signed by the agent's key. Rows and
//! commits (`mainstay-database`).

/// A SHA-256.
pub type Hash = [u8; 32];

/// What a row says of an agent's last exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// Of the last exchange that was accepted.
    pub sequence: u64,
    /// Hash of the token that the next request must bring.
    pub current: Hash,
    /// Hash of the token that the last accepted request brought.
    pub previous: Hash,
    /// Of the host that enrolled; empty if it said none.
    pub fingerprint: &'a [u8],
}

/// What a signed request says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    pub sequence: u64,
    /// Hash of the token that it brings; none if it brings none.
    pub token: Option<Hash>,
    /// After which exchange a manager of this fleet made the token for this agent; none if it
    /// made none such.
    pub made_after: Option<u64>,
    /// Of the host that it comes from.
    pub fingerprint: &'a [u8],
}

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The next one: to be carried out.
    Next,
    /// The next one of a state that the database has lost: to be carried out.
    Ahead,
    /// The last one again: to be answered as it was, and not carried out.
    Repeat,
    /// From a second holder of the identity, on another host.
    OtherHost,
    /// From a state that was left behind: a recording, or a disk that was restored. Whoever has
    /// the key may register anew.
    Stale,
}

impl Verdict {
    /// Whether the request is to be carried out.
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        match self {
            Self::Next | Self::Ahead => true,
            Self::Repeat | Self::OtherHost | Self::Stale => false,
        }
    }
}

/// What a request is.
#[must_use]
pub fn judge(link: &Link<'_>, claim: &Claim<'_>) -> Verdict {
    if !link.fingerprint.is_empty() && link.fingerprint != claim.fingerprint {
        return Verdict::OtherHost;
    }
    let Some(token) = claim.token else { return Verdict::Stale };
    let next = link.sequence.checked_add(1);
    if next == Some(claim.sequence) && token == link.current {
        return Verdict::Next;
    }
    if claim.sequence == link.sequence && token == link.previous {
        return Verdict::Repeat;
    }
    let before = claim.sequence.checked_sub(1);
    match claim.made_after {
        Some(after) if Some(after) == before && after > link.sequence => Verdict::Ahead,
        Some(_) | None => Verdict::Stale,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The token after an exchange, in place of its hash.
    fn token(after: u64) -> Hash {
        let mut hash = [7; 32];
        hash[..8].copy_from_slice(&after.to_be_bytes());
        hash
    }

    fn link(sequence: u64) -> Link<'static> {
        Link {
            sequence,
            current: token(sequence),
            previous: token(sequence.wrapping_sub(1)),
            fingerprint: b"host",
        }
    }

    fn claim(sequence: u64) -> Claim<'static> {
        let after = sequence.wrapping_sub(1);
        Claim { sequence, token: Some(token(after)), made_after: Some(after), fingerprint: b"host" }
    }

    #[test]
    fn a_request_is_one_of_five_things() {
        let forged = |sequence| Claim { made_after: None, token: Some([1; 32]), ..claim(sequence) };
        let elsewhere = |sequence| Claim { fingerprint: b"clone", ..claim(sequence) };
        let bare = |sequence| Claim { token: None, ..claim(sequence) };
        for (claim, expected) in [
            (claim(8), Verdict::Next),
            (claim(7), Verdict::Repeat),
            (claim(9), Verdict::Ahead),
            (claim(1_000), Verdict::Ahead),
            (claim(6), Verdict::Stale),
            (claim(1), Verdict::Stale),
            (forged(8), Verdict::Stale),
            (forged(7), Verdict::Stale),
            (forged(9), Verdict::Stale),
            (bare(8), Verdict::Stale),
            (elsewhere(8), Verdict::OtherHost),
            (elsewhere(7), Verdict::OtherHost),
            (elsewhere(3), Verdict::OtherHost),
        ] {
            assert_eq!(judge(&link(7), &claim), expected, "{claim:?}");
        }
        let unknown = Link { fingerprint: b"", ..link(7) };
        assert_eq!(judge(&unknown, &claim(8)), Verdict::Next);
        let mixed = Claim { sequence: 12, ..claim(9) };
        assert_eq!(judge(&link(7), &mixed), Verdict::Stale, "the number is not the token's");
        assert_eq!(judge(&link(u64::MAX), &claim(0)), Verdict::Stale);
    }

    proptest! {
        /// Requests and replies get lost, doubled and late in any order: each exchange is carried
        /// out once, and an honest agent always comes through.
        #[test]
        fn each_exchange_is_carried_out_once(fates in prop::collection::vec(0_u8..4, 1..200)) {
            let (mut row, mut agent, mut carried_out) = (7_u64, 8_u64, 0_u64);
            for fate in fates {
                match judge(&link(row), &claim(agent)) {
                    Verdict::Next => {
                        row += 1;
                        carried_out += 1;
                    }
                    Verdict::Repeat => prop_assert_eq!(row, agent),
                    verdict @ (Verdict::Ahead | Verdict::OtherHost | Verdict::Stale) => {
                        prop_assert!(false, "{:?} of {} at {}", verdict, agent, row);
                    }
                }
                // The reply arrives, or the agent sends the same again.
                if fate == 0 {
                    agent += 1;
                }
                for late in 1..agent {
                    let verdict = judge(&link(row), &claim(late));
                    prop_assert!(!verdict.is_accepted(), "{} at {}", late, row);
                }
            }
            prop_assert_eq!(carried_out, row - 7);
        }
    }
}
