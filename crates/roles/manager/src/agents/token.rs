//! The tokens of the chain: random, and known again by every manager of the fleet.
//!
//! ```text
//!   token      number (8) ‖ random (16) ‖ code over agent, number and random (16)
//!   challenge  code over agent and the hash of its current token (32)
//! ```
//!
//! The code makes a token that a database has lost believable; the random bytes make it
//! impossible to guess even for who has stolen the key. The challenge has no number and no
//! clock: it is used up when the row moves.

use mainstay_database::{AgentUid, Hash};
use mainstay_trust::digest::{same, sha256};
use mainstay_trust::token::{mac, random};

use crate::fleet::ChainKey;

const RANDOM_BYTES: usize = 16;
const CODE_BYTES: usize = 16;
const NUMBER_BYTES: usize = 8;

/// The bytes of a token.
pub(super) const BYTES: usize = NUMBER_BYTES + RANDOM_BYTES + CODE_BYTES;

/// The token that goes with the answer to exchange `after`.
pub(super) fn make(key: &ChainKey, agent: AgentUid, after: u64) -> Vec<u8> {
    let number = after.to_be_bytes();
    let luck: [u8; RANDOM_BYTES] = random();
    let code = code(key, agent, &number, &luck);
    let mut token = Vec::with_capacity(BYTES);
    token.extend_from_slice(&number);
    token.extend_from_slice(&luck);
    token.extend_from_slice(code.get(..CODE_BYTES).unwrap_or(&code));
    token
}

/// After which exchange a manager of this fleet made a token for an agent; none if none did.
pub(super) fn made_after(key: &ChainKey, agent: AgentUid, token: &[u8]) -> Option<u64> {
    let (number, rest) = token.split_first_chunk::<NUMBER_BYTES>()?;
    let (luck, shown) = rest.split_first_chunk::<RANDOM_BYTES>()?;
    let code = code(key, agent, number, luck);
    same(code.get(..CODE_BYTES)?, shown).then(|| u64::from_be_bytes(*number))
}

fn code(key: &ChainKey, agent: AgentUid, number: &[u8], luck: &[u8]) -> [u8; 32] {
    mac(&key.0, &[b"chain", &agent.0, number, luck])
}

/// What the database keeps of a token.
pub(super) fn hash(token: &[u8]) -> Hash {
    Hash(sha256(token))
}

/// What a request to register anew has to bring while this is the agent's current token.
pub(super) fn challenge(key: &ChainKey, agent: AgentUid, current: Hash) -> [u8; 32] {
    mac(&key.0, &[b"challenge", &agent.0, &current.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: ChainKey = ChainKey([1; 32]);
    const AGENT: AgentUid = AgentUid([2; 16]);

    #[test]
    fn a_token_is_known_again_by_who_has_the_key() {
        let token = make(&KEY, AGENT, 41);
        assert_eq!(token.len(), BYTES);
        assert_eq!(made_after(&KEY, AGENT, &token), Some(41));
        assert_eq!(made_after(&ChainKey([2; 32]), AGENT, &token), None);
        assert_eq!(made_after(&KEY, AgentUid([3; 16]), &token), None);
        assert_ne!(make(&KEY, AGENT, 41), token);
        for place in 0..BYTES {
            let mut forged = token.clone();
            forged[place] ^= 1;
            assert_eq!(made_after(&KEY, AGENT, &forged), None, "{place}");
        }
        assert_eq!(made_after(&KEY, AGENT, &token[..BYTES - 1]), None);
        assert_eq!(made_after(&KEY, AGENT, b""), None);
    }

    #[test]
    fn a_challenge_is_used_up_when_the_row_moves() {
        let challenge = |hash| challenge(&KEY, AGENT, Hash(hash));
        assert_eq!(challenge([1; 32]), challenge([1; 32]));
        assert_ne!(challenge([1; 32]), challenge([2; 32]));
    }
}
