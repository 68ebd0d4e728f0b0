//! From the id that a browser shows to the key that is kept.
//!
//! SHA-256 and no slow hash: an id is 256 random bits, which nobody finds by trying.

use mainstay_model::{SessionId, SessionKey};
use sha2::{Digest as _, Sha256};

/// The key of the session with this id.
pub fn key_of(id: &SessionId) -> SessionKey {
    SessionKey::from_bytes(Sha256::digest(id.bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_sha_256_of_the_bits_of_the_id() {
        let id = SessionId::from_bytes([0; 32]);
        // As `head -c 32 /dev/zero | sha256sum` has it.
        let known = "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925";
        assert_eq!(key_of(&id).to_string(), known);
    }
}
