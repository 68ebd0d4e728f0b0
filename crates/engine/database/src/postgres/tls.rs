//! Encrypted connections to PostgreSQL, and whose certificate is accepted.
//!
//! A connector for the client library in one file: the one that others have made brings a second
//! decoder of certificates, and verifies by what a process has set for everybody.
//!
//! # Invariants
//!
//! 1. The signature of the handshake is verified whatever else is not: a certificate that
//!    everybody can have proves nothing.
//! 2. A password is bound to the connection (SCRAM-SHA-256-PLUS) if the server can: who sits
//!    between learns nothing from it, even where nobody's certificate is verified.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use ::aws_lc_rs::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::location::{Roots, Verify};

/// Longest text with certificates. A cloud's list of all its regions has some 200 KiB.
const ROOTS_BYTES_MAX: u64 = 1024 * 1024;

/// What newer servers ask clients to say that they mean.
const PROTOCOL: &[u8] = b"postgresql";

/// Why a server's certificate could not be verified, whatever it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("cannot read the certificates in {path}")]
    File { path: PathBuf, source: io::Error },

    #[error("the certificates that vouch for the server's have more than {ROOTS_BYTES_MAX} bytes")]
    TooLong,

    #[error("the certificates that vouch for the server's are not PEM")]
    Pem { source: rustls::pki_types::pem::Error },

    #[error("a certificate that vouches for the server's cannot be used")]
    Root { source: rustls::Error },

    #[error("there is no certificate that vouches for the server's")]
    None,

    #[error("cannot set up TLS")]
    Setup { source: rustls::Error },
}

/// Makes connections encrypted.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    /// Of the connection that this copy is for.
    used: Arc<AtomicBool>,
}

impl Tls {
    /// Reads the certificates, if there must be any.
    pub(crate) fn new(verify: &Verify) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let belief = match verify {
            Verify::Nothing => Belief::Anybody,
            Verify::Authority(roots) => Belief::Known(read(roots)?, Names::Any),
            Verify::Name(roots) => Belief::Known(read(roots)?, Names::Asked),
        };
        let verifier = Arc::new(Verifier { belief, provider: Arc::clone(&provider) });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|source| TlsError::Setup { source })?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Self { config: Arc::new(config), used: Arc::default() })
    }

    /// For another connection.
    pub(crate) fn another(&self) -> Self {
        Self { config: Arc::clone(&self.config), used: Arc::default() }
    }

    /// Whether the server of this connection has wanted a handshake.
    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }
}

/// Certificates as they were given, and as what they are for.
#[derive(Debug)]
struct Known {
    given: Vec<CertificateDer<'static>>,
    roots: RootCertStore,
}

fn read(roots: &Roots) -> Result<Known, TlsError> {
    let pem = match roots {
        Roots::File(path) => read_file(path)?,
        Roots::Pem(pem) => pem.clone().into_bytes(),
    };
    if u64::try_from(pem.len()).is_ok_and(|bytes| bytes > ROOTS_BYTES_MAX) {
        return Err(TlsError::TooLong);
    }
    let mut known = Known { given: Vec::new(), roots: RootCertStore::empty() };
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|source| TlsError::Pem { source })?;
        known.roots.add(certificate.clone()).map_err(|source| TlsError::Root { source })?;
        known.given.push(certificate);
    }
    if known.given.is_empty() { Err(TlsError::None) } else { Ok(known) }
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::File { path: path.to_owned(), source };
    let mut pem = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(ROOTS_BYTES_MAX + 1).read_to_end(&mut pem).map_err(failed)?;
    Ok(pem)
}

#[derive(Debug)]
enum Belief {
    Anybody,
    Known(Known, Names),
}

#[derive(Clone, Copy, Debug)]
enum Names {
    Any,
    Asked,
}

#[derive(Debug)]
struct Verifier {
    belief: Belief,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Belief::Known(known, names) = &self.belief else {
            return Ok(ServerCertVerified::assertion());
        };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        // One that signed itself is often made as an authority, which no server may be. A copy
        // of the very certificate says more than any signature.
        if !known.given.contains(end_entity) {
            let algorithms = self.provider.signature_verification_algorithms.all;
            let roots = &known.roots;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                roots,
                intermediates,
                now,
                algorithms,
            )?;
        }
        match names {
            Names::Any => {}
            Names::Asked => verify_server_name(&certificate, server_name)?,
        }
        Ok(ServerCertVerified::assertion())
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

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Encrypted;
    type TlsConnect = Handshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<Handshake> {
        let (config, used) = (Arc::clone(&self.config), Arc::clone(&self.used));
        Ok(Handshake { config, used, host: host.to_owned() })
    }
}

/// The next handshake.
pub(crate) struct Handshake {
    config: Arc<ClientConfig>,
    used: Arc<AtomicBool>,
    host: String,
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            self.used.store(true, Ordering::Relaxed);
            let name = ServerName::try_from(self.host)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            TlsConnector::from(self.config).connect(name, socket).await.map(Encrypted)
        })
    }
}

/// An encrypted connection.
pub(crate) struct Encrypted(tokio_rustls::client::TlsStream<Socket>);

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        let (_socket, session) = self.0.get_ref();
        let shown = session.peer_certificates().and_then(<[_]>::first);
        shown
            .and_then(|certificate| end_point(certificate))
            .map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

/// What RFC 5929 calls `tls-server-end-point`: the certificate's hash, with the function that its
/// signature uses, but at least SHA-256. None for signatures that name no function.
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_rest, parsed) = X509Certificate::from_der(certificate).ok()?;
    let function = match parsed.signature_algorithm.algorithm.to_id_string().as_str() {
        // RSA with MD5, SHA-1 and SHA-256; ECDSA with SHA-1 and SHA-256.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => &digest::SHA256,
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => &digest::SHA384,
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => &digest::SHA512,
        _ => return None,
    };
    Some(digest::digest(function, certificate).as_ref().to_vec())
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
