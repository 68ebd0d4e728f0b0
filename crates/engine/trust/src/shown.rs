//! The certificate that a manager shows. It may change while the manager serves.
//!
//! # Invariants
//!
//! 1. A handshake is done with one certificate from its first byte to its last: whoever is in the
//!    middle of one when another is shown ends it with the former. No connection is lost.
//! 2. What is shown and the key that signs change in one step.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::certificate::{CertificateError, Identity};
use crate::digest;

/// What is shown from the next handshake on.
#[derive(Debug)]
pub struct Shown(RwLock<Held>);

#[derive(Debug)]
struct Held {
    certified: Arc<CertifiedKey>,
    sha256: [u8; digest::SHA256_BYTES],
}

impl Held {
    fn of(identity: &Identity) -> Result<Self, CertificateError> {
        let certified = identity.certified_key()?;
        Ok(Self { certified, sha256: digest::sha256(identity.der()) })
    }
}

impl Shown {
    /// Shows this one at first.
    ///
    /// # Errors
    ///
    /// If TLS does not take it.
    pub fn new(identity: &Identity) -> Result<Arc<Self>, CertificateError> {
        Ok(Arc::new(Self(RwLock::new(Held::of(identity)?))))
    }

    /// Shows this one from now on.
    ///
    /// # Errors
    ///
    /// If TLS does not take it; the former is shown then.
    pub fn show(&self, identity: &Identity) -> Result<(), CertificateError> {
        let held = Held::of(identity)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = held;
        Ok(())
    }

    /// The SHA-256 of the certificate.
    #[must_use]
    pub fn sha256(&self) -> [u8; digest::SHA256_BYTES] {
        self.0.read().unwrap_or_else(PoisonError::into_inner).sha256
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&held.certified))
    }
}
