//! An agent's key: Ed25519, made on its host, and never anywhere else.
//!
//! The database has the public key alone; who reads it can forge nothing.

use std::fmt;
use std::path::Path;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;

use crate::certificate::to_pem;
use crate::file::{self, FileError};
use crate::token;

/// The bytes of a public key.
pub const PUBLIC_KEY_BYTES: usize = 32;

/// The bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// The most bytes of a key's file.
const FILE_BYTES_MAX: usize = 4096;

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The library makes none.
    #[error("cannot make a key")]
    Make,
    /// The file cannot be read or written.
    #[error("cannot keep the key of this agent")]
    File {
        /// Which, and why.
        source: FileError,
    },
    /// The file has something else in it.
    #[error("{path} is not an Ed25519 key, as PKCS #8 in PEM")]
    NotAKey {
        /// The file.
        path: String,
    },
}

/// An agent's key. It is not printed.
pub struct AgentKey {
    pair: Ed25519KeyPair,
}

impl fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentKey").field("public", &self.public()).finish_non_exhaustive()
    }
}

impl AgentKey {
    /// A new key.
    ///
    /// # Errors
    ///
    /// If the library makes none.
    pub fn generate() -> Result<Self, KeyError> {
        // Its error says nothing.
        let pair = Ed25519KeyPair::generate().ok().ok_or(KeyError::Make)?;
        Ok(Self { pair })
    }

    /// Writes the key to a file that only its owner may read, in one step.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        // Version 1, because openssl(1) reads no other.
        let der = self.pair.to_pkcs8v1().ok().ok_or(KeyError::Make)?;
        let pem = to_pem("PRIVATE KEY", der.as_ref());
        file::write_secret(path, pem.as_bytes()).map_err(|source| KeyError::File { source })
    }

    /// The key of a file that only its owner may read.
    ///
    /// # Errors
    ///
    /// If it cannot be read, others may read it, or it is no key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let bytes =
            file::read_secret(path, FILE_BYTES_MAX).map_err(|source| KeyError::File { source })?;
        Self::from_pem(&bytes).ok_or_else(|| KeyError::NotAKey { path: path.display().to_string() })
    }

    /// The key of a PEM text; nothing if it is none.
    #[must_use]
    pub fn from_pem(pem: &[u8]) -> Option<Self> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).ok()?;
        let pair = Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()).ok()?;
        Some(Self { pair })
    }

    /// What the database keeps.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let bytes = self.pair.public_key().as_ref();
        PublicKey(bytes.try_into().expect("an Ed25519 public key has 32 bytes"))
    }

    /// A signature.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let signature = self.pair.sign(message);
        signature.as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }
}

/// What the database keeps of an agent's key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; PUBLIC_KEY_BYTES]);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicKey").field(&self.key_id()).finish()
    }
}

impl PublicKey {
    /// From its bytes; nothing if there are not [`PUBLIC_KEY_BYTES`] of them.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// From a signature's `keyid`; nothing if it is none.
    #[must_use]
    pub fn from_key_id(key_id: &str) -> Option<Self> {
        token::from_text(key_id).as_deref().and_then(Self::from_bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        &self.0
    }

    /// What a signature names it by: the key itself, as text.
    #[must_use]
    pub fn key_id(&self) -> String {
        token::to_text(&self.0)
    }

    /// Whether a signature of a message was made with the key that belongs to this one.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written_and_by_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.key");
        let key = AgentKey::generate().unwrap();
        key.write(&path).unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let again = AgentKey::read(&path).unwrap();
        assert_eq!(again.public(), key.public());
        assert!(key.public().verify(b"a request", &again.sign(b"a request")));
        assert!(!key.public().verify(b"b request", &again.sign(b"a request")));
        let public = PublicKey::from_key_id(&key.public().key_id());
        assert_eq!(public, Some(key.public()));
    }

    #[test]
    fn a_key_that_others_may_read_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.key");
        AgentKey::generate().unwrap().write(&path).unwrap();
        for mode in [0o640, 0o604, 0o620] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = AgentKey::read(&path).unwrap_err();
            let KeyError::File { source: FileError::Open { .. } } = error else {
                panic!("{mode:o}: {error}")
            };
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.key");
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        for text in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", &other] {
            file::write_secret(&path, text.as_bytes()).unwrap();
            assert!(matches!(AgentKey::read(&path), Err(KeyError::NotAKey { .. })), "{text}");
        }
    }
}
