//! One exchange with one manager: a connection, a request, its response, the end.
//!
//! What a manager shows is compared with the pins before it hears a byte of this agent.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER};
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use mainstay_config::agent::{ManagerAddress, ServerAddress};
use mainstay_config::manager::Tls;
use mainstay_fleet::endpoint::Failure;
use mainstay_model::InstanceUid;
use mainstay_opamp::message::ServerToAgent;
use mainstay_opamp::refusal::{self, Refusal};
use mainstay_opamp::wire::{self, DecodeError, MESSAGE_BYTES_MAX};
use mainstay_opamp::{INSTANCE_UID_HEADER, PATH};
use mainstay_trust::digest::{self, CONTENT_DIGEST};
use mainstay_trust::key::AgentKey;
use mainstay_trust::pin::{NotPinned, PinVerifier, Seen, TlsError};
use mainstay_trust::signature::{self, Covered, SIGNATURE, SIGNATURE_INPUT, SignatureError};
use mainstay_trust::token::{from_text, to_text};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// The header with what a registration has to bring.
const CHALLENGE: &str = "mainstay-challenge";

/// The longest wait that is read from a header.
const HOLD_MAX: Duration = Duration::from_hours(24);

/// How long a manager is left alone that does not serve this agent any more.
const REVOKED_HOLD: Duration = Duration::from_mins(10);

/// What managers are spoken to with.
#[derive(Clone)]
pub(crate) struct Contact {
    tls: Option<(Arc<PinVerifier>, Arc<ClientConfig>)>,
}

/// A request, ready to be signed.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) uid: InstanceUid,
    pub(crate) body: Vec<u8>,
    /// The token that it brings; empty for none.
    pub(crate) chain: Vec<u8>,
}

/// A request that was carried out.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) message: ServerToAgent,
    pub(crate) seen: Option<Seen>,
}

/// Why a request was not carried out, as far as is known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContactError {
    #[error("there is no pin, so no manager can be spoken to with TLS")]
    NoPin,
    #[error("cannot connect to {manager}")]
    Connect { manager: String, source: io::Error },
    #[error("{manager} is not a manager of this fleet")]
    Untrusted { manager: String, source: NotPinned },
    #[error("the connection to {manager} broke")]
    Http { manager: String, source: hyper::Error },
    #[error("{manager} did not answer in time")]
    Silent { manager: String },
    #[error("the request cannot be made")]
    Head { source: hyper::http::Error },
    #[error("the request cannot be signed")]
    Sign { source: SignatureError },
    #[error("the answer of {manager} cannot be read")]
    Garbled { manager: String, source: DecodeError },
    #[error("the answer of {manager} is too long, or was cut off")]
    Cut { manager: String },
    #[error("{manager} refused ({status}): {sentence}")]
    Refused {
        manager: String,
        status: u16,
        refusal: Option<Refusal>,
        sentence: String,
        hold: Option<Duration>,
        challenge: Option<Vec<u8>>,
    },
}

impl ContactError {
    /// As the choice of a manager sees it.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::NoPin | Self::Untrusted { .. } => Failure::Untrusted,
            Self::Connect { .. } => Failure::Unreachable,
            Self::Silent { .. } => Failure::Silent,
            Self::Http { .. } | Self::Garbled { .. } | Self::Cut { .. } => Failure::Garbled,
            Self::Refused { status: 429 | 503, hold, .. } => Failure::Busy { hold: *hold },
            // Every manager says the same, and will for long.
            Self::Refused { refusal: Some(Refusal::Revoked), .. } => {
                Failure::Busy { hold: Some(REVOKED_HOLD) }
            }
            Self::Head { .. } | Self::Sign { .. } | Self::Refused { .. } => Failure::Refused,
        }
    }

    /// What a registration has to bring.
    pub(crate) fn challenge(&self) -> Option<&[u8]> {
        match self {
            Self::Refused { challenge, .. } => challenge.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused { refusal, .. } => *refusal,
            _ => None,
        }
    }
}

impl Contact {
    pub(crate) fn new(pins: Vec<mainstay_trust::pin::Pin>) -> Result<Self, TlsError> {
        if pins.is_empty() {
            return Ok(Self { tls: None });
        }
        let verifier = PinVerifier::new(pins);
        let config = verifier.client_config()?;
        Ok(Self { tls: Some((verifier, config)) })
    }

    /// The SHA-256 of each certificate that is accepted; none without TLS.
    pub(crate) fn pins(&self) -> Vec<[u8; digest::SHA256_BYTES]> {
        let pins = self.tls.iter().flat_map(|(verifier, _)| verifier.pins());
        pins.map(|pin| digest::sha256(&pin.der)).collect()
    }

    /// Whether a manager is there and shows a pinned certificate. Nothing is said.
    pub(crate) async fn test(
        &self,
        manager: &ManagerAddress,
        limit: Duration,
    ) -> Result<Option<Seen>, ContactError> {
        within(manager, limit, async {
            let socket = connect(manager).await?;
            match manager.tls {
                Tls::Off => Ok(None),
                Tls::On => {
                    let (_stream, seen) = self.secure(manager, socket).await?;
                    Ok(seen)
                }
            }
        })
        .await
    }

    /// Asks once.
    pub(crate) async fn ask(
        &self,
        manager: &ManagerAddress,
        key: &AgentKey,
        asked: &Asked,
        limit: Duration,
    ) -> Result<Answered, ContactError> {
        let request = request(manager, key, asked)?;
        within(manager, limit, async {
            let socket = connect(manager).await?;
            match manager.tls {
                Tls::Off => Ok((exchange(manager, socket, request).await?, None)),
                Tls::On => {
                    let (stream, seen) = self.secure(manager, socket).await?;
                    Ok((exchange(manager, stream, request).await?, seen))
                }
            }
        })
        .await
        .map(|(message, seen)| Answered { message, seen })
    }

    async fn secure(
        &self,
        manager: &ManagerAddress,
        socket: TcpStream,
    ) -> Result<(tokio_rustls::client::TlsStream<TcpStream>, Option<Seen>), ContactError> {
        let (verifier, config) = self.tls.as_ref().ok_or(ContactError::NoPin)?;
        let name = server_name(&manager.server).map_err(|source| broken(manager, source))?;
        let connected = TlsConnector::from(Arc::clone(config)).connect(name, socket).await;
        let stream = connected.map_err(|error| untrusted(manager, error))?;
        let shown = stream.get_ref().1.peer_certificates();
        let seen = verifier.seen(shown, mainstay_os::unix_seconds());
        Ok((stream, seen))
    }
}

/// Within `limit`.
async fn within<T>(
    manager: &ManagerAddress,
    limit: Duration,
    work: impl Future<Output = Result<T, ContactError>>,
) -> Result<T, ContactError> {
    let silent = |_elapsed| ContactError::Silent { manager: manager.to_string() };
    tokio::time::timeout(limit, work).await.map_err(silent)?
}

fn broken(manager: &ManagerAddress, source: io::Error) -> ContactError {
    ContactError::Connect { manager: manager.to_string(), source }
}

/// The pin is compared inside of the handshake, and says so through two libraries.
fn untrusted(manager: &ManagerAddress, error: io::Error) -> ContactError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if let Some(rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other))) = inner
        && let Some(refusal) = other.0.downcast_ref::<NotPinned>()
    {
        return ContactError::Untrusted { manager: manager.to_string(), source: refusal.clone() };
    }
    broken(manager, error)
}

fn server_name(server: &ServerAddress) -> io::Result<ServerName<'static>> {
    match server {
        ServerAddress::Ip(address) => Ok(ServerName::from(address.ip())),
        ServerAddress::Name { host, .. } => {
            ServerName::try_from(host.clone()).map_err(io::Error::other)
        }
        ServerAddress::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// To the first of its addresses that takes the connection.
async fn connect(manager: &ManagerAddress) -> Result<TcpStream, ContactError> {
    let addresses: Vec<SocketAddr> = match &manager.server {
        ServerAddress::Ip(address) => vec![*address],
        ServerAddress::Name { host, port } => {
            let found = lookup_host((host.as_str(), *port)).await;
            found.map_err(|source| broken(manager, source))?.collect()
        }
        ServerAddress::Unix(_) => Vec::new(),
    };
    let socket = TcpStream::connect(addresses.as_slice()).await;
    let socket = socket.map_err(|source| broken(manager, source))?;
    // Without it the request is only later, and that is no reason to fail.
    drop(socket.set_nodelay(true));
    Ok(socket)
}

fn request(
    manager: &ManagerAddress,
    key: &AgentKey,
    asked: &Asked,
) -> Result<Request<Full<Bytes>>, ContactError> {
    let (content_digest, uid) = (digest::content(&asked.body), asked.uid.to_string());
    let covered =
        Covered { method: "POST", path: PATH, content_digest: &content_digest, instance_uid: &uid };
    let nonce = to_text(&asked.chain);
    let nonce = (!asked.chain.is_empty()).then_some(nonce.as_str());
    let signed = signature::sign(key, &covered, nonce, mainstay_os::unix_seconds())
        .map_err(|source| ContactError::Sign { source })?;
    let authority = match &manager.server {
        ServerAddress::Ip(address) => address.to_string(),
        ServerAddress::Name { host, port } => format!("{host}:{port}"),
        ServerAddress::Unix(_) => String::new(),
    };
    Request::post(PATH)
        .header(HOST, authority)
        .header(CONTENT_TYPE, mainstay_opamp::CONTENT_TYPE)
        .header(CONNECTION, "close")
        .header(INSTANCE_UID_HEADER, &uid)
        .header(CONTENT_DIGEST, &content_digest)
        .header(SIGNATURE_INPUT, signed.signature_input)
        .header(SIGNATURE, signed.signature)
        .body(Full::new(Bytes::from(asked.body.clone())))
        .map_err(|source| ContactError::Head { source })
}

/// Ends the connection's task when the exchange is over or given up.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn exchange<S>(
    manager: &ManagerAddress,
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<ServerToAgent, ContactError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let http = |source| ContactError::Http { manager: manager.to_string(), source };
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(http)?;
    let _driver = Driver(tokio::spawn(async move {
        // Its error comes to the one who asked, too.
        drop(connection.await);
    }));
    let response = sender.send_request(request).await.map_err(http)?;
    read(manager, response).await
}

async fn read<B>(
    manager: &ManagerAddress,
    response: Response<B>,
) -> Result<ServerToAgent, ContactError>
where
    B: hyper::body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = response.into_parts();
    let collected = Limited::new(body, MESSAGE_BYTES_MAX).collect().await;
    let bytes = match collected {
        Ok(collected) => collected.to_bytes(),
        Err(_cut) => return Err(ContactError::Cut { manager: manager.to_string() }),
    };
    let is_message = text(&head.headers, CONTENT_TYPE.as_str())
        .is_some_and(|kind| kind == mainstay_opamp::CONTENT_TYPE);
    let message = if is_message {
        wire::decode_answer(&bytes)
            .map_err(|source| ContactError::Garbled { manager: manager.to_string(), source })?
    } else {
        ServerToAgent::default()
    };
    let status = head.status.as_u16();
    if status == 200 && is_message && message.error_response.is_none() {
        return Ok(message);
    }
    let sentence = match message.error_response {
        Some(error) if !error.error_message.is_empty() => error.error_message,
        Some(_) | None => "it says no more".to_owned(),
    };
    Err(ContactError::Refused {
        manager: manager.to_string(),
        status,
        refusal: text(&head.headers, refusal::HEADER).and_then(|word| word.parse().ok()),
        sentence,
        hold: text(&head.headers, RETRY_AFTER.as_str())
            .and_then(|seconds| seconds.trim().parse().ok())
            .map(|seconds| Duration::from_secs(seconds).min(HOLD_MAX)),
        challenge: text(&head.headers, CHALLENGE).and_then(from_text),
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
