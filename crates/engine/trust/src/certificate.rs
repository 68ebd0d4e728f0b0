//! The certificate that all managers share: ECDSA P-256, signed by itself.
//!
//! Agents hold a copy of it and compare bytes, so nothing that is written in it matters to
//! them: no name, no date, no signer. What matters is the cost of a handshake, and with an RSA
//! key that is some ten times as high; such a one is refused unless an operator insists.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::FromDer as _;

use crate::digest;

/// The most certificates that are read from one text: a chain, or a set of pins.
pub const CERTIFICATES_MAX: usize = 16;

/// The most bytes of a certificate.
pub const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;

/// The most bytes of a text with certificates and a key.
pub const PEM_BYTES_MAX: usize = 256 * 1024;

/// Ten years: the date says nothing to an agent, but others look at it.
const VALID: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Whether a certificate with an RSA key is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RsaKeys {
    /// It is not.
    Refused,
    /// It is: somebody insists.
    Allowed,
}

/// What kind of key a certificate has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// Ed25519.
    Ed25519,
    /// RSA, with so many bits.
    Rsa {
        /// How long its modulus is.
        bits: usize,
    },
    /// Any other.
    Other,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EcdsaP256 => f.write_str("ECDSA P-256"),
            Self::EcdsaP384 => f.write_str("ECDSA P-384"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Rsa { bits } => write!(f, "RSA {bits}"),
            Self::Other => f.write_str("another kind of key"),
        }
    }
}

/// What is in a certificate, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What kind of key it has.
    pub algorithm: Algorithm,
    /// Whom it speaks of.
    pub subject: String,
    /// From when on it is valid, in s since 1970.
    pub not_before_unix_s: i64,
    /// Until when it is valid, in s since 1970.
    pub not_after_unix_s: i64,
    /// The SHA-256 of the whole.
    pub sha256: [u8; digest::SHA256_BYTES],
}

impl Facts {
    /// The SHA-256 as people compare it: `ab:cd:…`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.sha256)
    }
}

/// Bytes as people compare them: `ab:cd:…`.
#[must_use]
pub fn fingerprint(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// Why a certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The library makes none.
    #[error("cannot make a certificate")]
    Make {
        /// Why.
        source: rcgen::Error,
    },
    /// More bytes than any good one has.
    #[error("the certificates have more than {limit} bytes")]
    TooLong {
        /// How many they may have.
        limit: usize,
    },
    /// More certificates than any good text has.
    #[error("there are more than {CERTIFICATES_MAX} certificates")]
    TooMany,
    /// The text is not PEM.
    #[error("the certificates are not PEM")]
    Pem {
        /// What is wrong with it.
        source: rustls::pki_types::pem::Error,
    },
    /// There is none in it.
    #[error("there is no certificate")]
    None,
    /// A certificate is none.
    #[error("a certificate cannot be read")]
    X509 {
        /// What is wrong with it.
        source: x509_parser::nom::Err<x509_parser::error::X509Error>,
    },
    /// Bytes behind the certificate.
    #[error("a certificate has bytes behind its end")]
    Trailing,
    /// There is no key, or it is none.
    #[error("the private key of the certificate is missing or cannot be read")]
    Key,
    /// The key is that of another certificate.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
    /// It would cost ten times the processor time of every manager.
    #[error(
        "the certificate has an RSA key ({bits} bits): every exchange of every agent would cost a manager about ten times as much as with ECDSA P-256; make one with `mainstay manager init`, or insist with --allow-rsa"
    )]
    Rsa {
        /// How long its modulus is.
        bits: usize,
    },
    /// TLS does not take it.
    #[error("a certificate with this kind of key cannot be used")]
    Unsupported,
}

/// A certificate, what led to it, and its key. The key is not printed.
#[derive(Clone)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sha256 = fingerprint(&digest::sha256(self.der()));
        f.debug_struct("Identity").field("sha256", &sha256).finish_non_exhaustive()
    }
}

impl Identity {
    /// A new one: ECDSA P-256, signed by itself. `names` are for clients that are not ours and
    /// look at them.
    ///
    /// # Errors
    ///
    /// If a name is none, or the library makes no certificate.
    pub fn generate(
        common_name: &str,
        names: &[String],
        now_unix_s: u64,
    ) -> Result<Self, CertificateError> {
        let made = |source| CertificateError::Make { source };
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(made)?;
        let mut parameters = rcgen::CertificateParams::new(names.to_vec()).map_err(made)?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        // A date of four figures; nobody's clock is that far off.
        let now = Duration::from_secs(now_unix_s.min(LATEST_UNIX_S));
        parameters.not_before = epoch + now;
        parameters.not_after = epoch + now + VALID;
        parameters.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = parameters.self_signed(&key).map_err(made)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Self { chain: vec![certificate.der().clone()], key: Arc::new(key) })
    }

    /// The certificates and the key of a text.
    ///
    /// # Errors
    ///
    /// If they are none, do not belong together, or are of a kind that is not taken.
    pub fn from_pem(pem: &[u8], rsa: RsaKeys) -> Result<Self, CertificateError> {
        let chain = from_pem(pem)?;
        // Why it cannot be read would have to quote it.
        let key = PrivateKeyDer::from_pem_slice(pem).ok().ok_or(CertificateError::Key)?;
        let leaf = chain.first().ok_or(CertificateError::None)?;
        match (facts(leaf)?.algorithm, rsa) {
            (Algorithm::Rsa { bits }, RsaKeys::Refused) => {
                return Err(CertificateError::Rsa { bits });
            }
            (Algorithm::Other, _) => return Err(CertificateError::Unsupported),
            (
                Algorithm::EcdsaP256
                | Algorithm::EcdsaP384
                | Algorithm::Ed25519
                | Algorithm::Rsa { .. },
                _,
            ) => {}
        }
        let identity = Self { chain, key: Arc::new(key) };
        identity.certified_key()?;
        Ok(identity)
    }

    /// The certificates and the key, as PEM. It is a secret.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let kind = match *self.key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        let mut pem: String = self.chain.iter().map(|der| to_pem("CERTIFICATE", der)).collect();
        pem.push_str(&to_pem(kind, self.key.secret_der()));
        pem
    }

    /// The certificate alone, as PEM: what agents hold.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        to_pem("CERTIFICATE", self.der())
    }

    /// The certificate.
    #[must_use]
    pub fn der(&self) -> &CertificateDer<'static> {
        self.chain.first().expect("there is a certificate: it was read, or made")
    }

    #[cfg(test)]
    pub(crate) fn key(&self) -> &PrivateKeyDer<'static> {
        &self.key
    }

    /// What is in it.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn facts(&self) -> Result<Facts, CertificateError> {
        facts(self.der())
    }

    /// For TLS.
    ///
    /// # Errors
    ///
    /// If the key is of a kind that TLS does not take, or of another certificate.
    pub fn certified_key(&self) -> Result<Arc<CertifiedKey>, CertificateError> {
        let key = any_supported_type(&self.key).ok().ok_or(CertificateError::Unsupported)?;
        let certified = CertifiedKey::new(self.chain.clone(), key);
        match certified.keys_match() {
            Ok(()) => Ok(Arc::new(certified)),
            Err(_) => Err(CertificateError::Mismatch),
        }
    }
}

/// The last second of the year 9980: ten more years have four figures, too.
const LATEST_UNIX_S: u64 = 252_776_419_199;

/// What is in a certificate.
///
/// # Errors
///
/// If it cannot be read.
pub fn facts(der: &[u8]) -> Result<Facts, CertificateError> {
    use x509_parser::public_key::PublicKey;

    if der.len() > CERTIFICATE_BYTES_MAX {
        return Err(CertificateError::TooLong { limit: CERTIFICATE_BYTES_MAX });
    }
    let (rest, certificate) = x509_parser::certificate::X509Certificate::from_der(der)
        .map_err(|source| CertificateError::X509 { source })?;
    if !rest.is_empty() {
        return Err(CertificateError::Trailing);
    }
    let key = certificate.public_key();
    let algorithm = match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => Algorithm::Rsa { bits: rsa.key_size() },
        Ok(PublicKey::EC(point)) if point.key_size() == 256 => Algorithm::EcdsaP256,
        Ok(PublicKey::EC(point)) if point.key_size() == 384 => Algorithm::EcdsaP384,
        _ if key.algorithm.algorithm == x509_parser::oid_registry::OID_SIG_ED25519 => {
            Algorithm::Ed25519
        }
        _ => Algorithm::Other,
    };
    Ok(Facts {
        algorithm,
        subject: certificate.subject().to_string(),
        not_before_unix_s: certificate.validity().not_before.timestamp(),
        not_after_unix_s: certificate.validity().not_after.timestamp(),
        sha256: digest::sha256(der),
    })
}

/// The certificates of a text; there is at least one. Other things in it are passed over.
///
/// # Errors
///
/// If there is none, too many, or the text is not PEM.
pub fn from_pem(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    if pem.len() > PEM_BYTES_MAX {
        return Err(CertificateError::TooLong { limit: PEM_BYTES_MAX });
    }
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|source| CertificateError::Pem { source })?;
        if certificate.len() > CERTIFICATE_BYTES_MAX {
            return Err(CertificateError::TooLong { limit: CERTIFICATE_BYTES_MAX });
        }
        if found.len() == CERTIFICATES_MAX {
            return Err(CertificateError::TooMany);
        }
        found.push(certificate);
    }
    if found.is_empty() { Err(CertificateError::None) } else { Ok(found) }
}

/// Bytes as PEM.
#[must_use]
pub fn to_pem(kind: &str, der: &[u8]) -> String {
    let mut pem = format!("-----BEGIN {kind}-----\n");
    for line in der.chunks(48) {
        STANDARD.encode_string(line, &mut pem);
        pem.push('\n');
    }
    pem.push_str("-----END ");
    pem.push_str(kind);
    pem.push_str("-----\n");
    pem
}

#[cfg(test)]
mod tests;
