//! The manager's certificate, compared with the copies that an agent holds.
//!
//! # Invariants
//!
//! 1. A certificate is accepted if its bytes are those of a pin; nothing in it is looked at.
//!    An expired one is accepted, and [`Seen`] says so.
//! 2. The signature of the handshake is verified all the same: without it anybody could show a
//!    certificate that everybody can have.
//! 3. No session is resumed. A resumed one shows no certificate, and would outlive its pin.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::{
    CertificateError, CipherSuite, ClientConfig, DigitallySignedStruct, OtherError, ServerConfig,
    SignatureScheme, SupportedCipherSuite, SupportedProtocolVersion,
};

use crate::certificate::{self, Facts};
use crate::digest;
use crate::shown::Shown;

/// Both that there are.
pub static VERSIONS: [&SupportedProtocolVersion; 2] =
    [&rustls::version::TLS13, &rustls::version::TLS12];

/// What is spoken inside.
const PROTOCOL: &[u8] = b"http/1.1";

/// What a pin is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PinKind {
    /// The certificate of the managers.
    Current,
    /// The one that follows.
    Next,
    /// One whose key is kept away from every manager, for the day when theirs is stolen.
    Recovery,
}

/// A copy of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// What it is for.
    pub kind: PinKind,
    /// The certificate.
    pub der: CertificateDer<'static>,
}

/// The certificate that a manager showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which pin it is.
    pub kind: PinKind,
    /// Its SHA-256.
    pub sha256: [u8; digest::SHA256_BYTES],
    /// Whether it is within its dates, by this machine's clock. For people.
    pub dates: Dates,
}

/// Whether a certificate is within its dates. Nothing depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dates {
    /// It is.
    Within,
    /// It is not valid yet.
    Early,
    /// It is not valid any more.
    Expired,
    /// They cannot be read.
    Unreadable,
}

/// The manager showed another certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the manager's certificate is none of the {pins} that this agent holds; its SHA-256 is {sha256}"
)]
pub struct NotPinned {
    /// How many pins there are.
    pub pins: usize,
    /// Of the certificate that was shown.
    pub sha256: String,
}

/// What TLS cannot be set up with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No version, no cipher.
    #[error("cannot set up TLS")]
    Setup {
        /// Why.
        source: rustls::Error,
    },
}

/// Accepts the certificates that it holds, and no other.
#[derive(Debug)]
pub struct PinVerifier {
    pins: Vec<Pin>,
    provider: Arc<CryptoProvider>,
}

impl PinVerifier {
    /// One for these pins.
    #[must_use]
    pub fn new(pins: Vec<Pin>) -> Arc<Self> {
        Arc::new(Self { pins, provider: provider() })
    }

    /// All of them.
    #[must_use]
    pub fn pins(&self) -> &[Pin] {
        &self.pins
    }

    /// Which pin a certificate is.
    #[must_use]
    pub fn find(&self, shown: &CertificateDer<'_>) -> Option<&Pin> {
        self.pins.iter().find(|pin| pin.der.as_ref() == shown.as_ref())
    }

    /// What the manager of a finished handshake showed (`peer_certificates` of the connection);
    /// nothing if it is none of the pins, which cannot be after a handshake.
    #[must_use]
    pub fn seen(&self, shown: Option<&[CertificateDer<'_>]>, now_unix_s: u64) -> Option<Seen> {
        let pin = self.find(shown?.first()?)?;
        let now = i64::try_from(now_unix_s).unwrap_or(i64::MAX);
        let dates = match certificate::facts(&pin.der) {
            Ok(Facts { not_after_unix_s, .. }) if now > not_after_unix_s => Dates::Expired,
            Ok(Facts { not_before_unix_s, .. }) if now < not_before_unix_s => Dates::Early,
            Ok(_) => Dates::Within,
            Err(_) => Dates::Unreadable,
        };
        Some(Seen { kind: pin.kind, sha256: digest::sha256(&pin.der), dates })
    }

    /// TLS for an agent.
    ///
    /// # Errors
    ///
    /// If the library cannot be set up.
    pub fn client_config(self: &Arc<Self>) -> Result<Arc<ClientConfig>, TlsError> {
        client_config(self, &VERSIONS)
    }
}

fn client_config(
    verifier: &Arc<PinVerifier>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
        .with_protocol_versions(versions)
        .map_err(|source| TlsError::Setup { source })?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(verifier) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.find(end_entity).is_some() {
            return Ok(ServerCertVerified::assertion());
        }
        let sha256 = certificate::fingerprint(&digest::sha256(end_entity));
        let refusal = NotPinned { pins: self.pins.len(), sha256 };
        Err(CertificateError::Other(OtherError(Arc::new(refusal))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// TLS for a manager: no tickets and no kept sessions, so that every exchange is alike on every
/// manager, and none outlives the certificate that it began with.
///
/// # Errors
///
/// If the library cannot be set up.
pub fn server_config(shown: &Arc<Shown>) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&VERSIONS)
        .map_err(|source| TlsError::Setup { source })?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(shown) as Arc<dyn ResolvesServerCert>);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.ignore_client_order = true;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}

/// The shorter cipher first: its transcript is hashed with SHA-256, for which processors have
/// instructions, and a handshake is most of what an exchange costs.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    let is_longer =
        |suite: &SupportedCipherSuite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256;
    provider.cipher_suites.sort_by_key(is_longer);
    Arc::new(provider)
}

#[cfg(test)]
mod tests;
