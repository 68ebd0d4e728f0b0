//! A connection to the admin API: at the socket in the run directory, or over TLS.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use mainstay_os::Pidfd;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, interval_at, timeout};
use tokio_rustls::TlsConnector;

use super::Admin;

/// Between two attempts to reach a master that is away.
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(50);

/// How long a connection may take to be there.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The port of `https`.
const HTTPS_PORT: u16 = 443;

/// Where a gateway's API is.
#[derive(Debug)]
pub(crate) enum Gateway {
    Here { run: PathBuf },
    Elsewhere(Elsewhere),
}

/// A gateway that is reached over the network.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    host: String,
    port: u16,
    token: Token,
    /// Who is believed.
    certificate: PathBuf,
}

/// What opens it.
struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here { run } => write!(f, "the master in {}", run.display()),
            Self::Elsewhere(Elsewhere { host, port, .. }) => write!(f, "https://{host}:{port}"),
        }
    }
}

/// Nothing was asked: nobody is there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReached {
    #[error("no gateway runs in {}", run.display())]
    NotRunning { run: PathBuf, source: io::Error },

    #[error("the run directory {} may be entered by the gateway's own user only", run.display())]
    NotAllowed { run: PathBuf, source: io::Error },

    #[error("the master in {} ended", run.display())]
    Ended { run: PathBuf },

    #[error("cannot connect to {address}")]
    Network { address: String, source: io::Error },
}

impl NotReached {
    /// Whether it may be otherwise in a moment.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::NotRunning { run, .. } | Self::Ended { run } => run.exists(),
            Self::Network { .. } => true,
            Self::NotAllowed { .. } => false,
        }
    }
}

/// A connection, and who is at the other end, if that is known.
pub(super) struct Connected {
    pub(super) sender: SendRequest<Full<Bytes>>,
    pub(super) master: Option<Pidfd>,
}

impl Gateway {
    pub(super) fn of(admin: &Admin) -> anyhow::Result<Self> {
        let (Some(url), Some(token), Some(certificate)) =
            (&admin.url, &admin.token_file, &admin.certificate)
        else {
            return Ok(Self::Here { run: admin.place.run()? });
        };
        let (host, port) = read_url(url)
            .with_context(|| format!("{url:?} is no address such as https://HOST:PORT"))?;
        let text = fs::read_to_string(token)
            .with_context(|| format!("cannot read {}", token.display()))?;
        let token = Token(text.trim_ascii().to_owned());
        let certificate = certificate.clone();
        Ok(Self::Elsewhere(Elsewhere { host, port, token, certificate }))
    }

    pub(super) fn authority(&self) -> String {
        match self {
            Self::Here { .. } => "gateway".to_owned(),
            Self::Elsewhere(Elsewhere { host, port, .. }) => format!("{host}:{port}"),
        }
    }

    pub(super) fn token(&self) -> Option<&str> {
        match self {
            Self::Here { .. } => None,
            Self::Elsewhere(elsewhere) => Some(&elsewhere.token.0),
        }
    }

    pub(super) async fn connect(&self) -> anyhow::Result<Connected> {
        match self {
            Self::Here { run } => here(run).await,
            Self::Elsewhere(elsewhere) => {
                let connecting = timeout(CONNECT_LIMIT, elsewhere.connect()).await;
                let sender =
                    connecting.with_context(|| format!("{self} does not let itself be reached"))?;
                Ok(Connected { sender: sender?, master: None })
            }
        }
    }
}

async fn here(run: &Path) -> anyhow::Result<Connected> {
    let stream = UnixStream::connect(run.join("api.sock")).await.map_err(|source| {
        let run = run.to_path_buf();
        match source.kind() {
            io::ErrorKind::PermissionDenied => NotReached::NotAllowed { run, source },
            _ => NotReached::NotRunning { run, source },
        }
    })?;
    // A socket that connected names who listened: perhaps a master that has died since.
    let ended = || NotReached::Ended { run: run.to_path_buf() };
    let peer = stream.peer_cred().context("cannot tell who the master is")?;
    let pid =
        peer.pid().and_then(|pid| u32::try_from(pid).ok()).context("the master has no pid")?;
    let master = Pidfd::open(pid).map_err(|_gone| ended())?;
    if master.has_exited().context("cannot look at the master")? {
        return Err(ended().into());
    }
    Ok(Connected { sender: speak(stream).await?, master: Some(master) })
}

impl Elsewhere {
    async fn connect(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let Self { host, port, certificate, .. } = self;
        let mut roots = rustls::RootCertStore::empty();
        let read = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(|| format!("cannot read {}", certificate.display()))?;
        for one in read {
            roots.add(one).with_context(|| format!("cannot use {}", certificate.display()))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("TLS has no version")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let plain = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(plain.to_owned())
            .with_context(|| format!("{host} is no name of a host"))?;
        let stream = TcpStream::connect((plain, *port))
            .await
            .map_err(|source| NotReached::Network { address: format!("{host}:{port}"), source })?;
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .with_context(|| format!("{host}:{port} is not believed"))?;
        speak(stream).await
    }
}

async fn speak<S>(stream: S) -> anyhow::Result<SendRequest<Full<Bytes>>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) =
        handshake(TokioIo::new(stream)).await.context("cannot begin to speak HTTP")?;
    // What goes wrong with it is told to whoever waits for the response.
    drop(tokio::spawn(async { drop(connection.await) }));
    Ok(sender)
}

/// Waits until it is worth trying again, and no longer than there is time.
pub(super) async fn pause(left: Duration) {
    let moment = ATTEMPT_INTERVAL.min(left).max(Duration::from_millis(1));
    interval_at(Instant::now() + moment, moment).tick().await;
}

/// `https://HOST:PORT`, with or without a slash at the end.
fn read_url(url: &str) -> Option<(String, u16)> {
    let authority = url.strip_prefix("https://")?;
    let authority: hyper::http::uri::Authority =
        authority.strip_suffix('/').unwrap_or(authority).parse().ok()?;
    let has_user = authority.as_str().contains('@');
    let port = authority.port_u16().unwrap_or(HTTPS_PORT);
    (!has_user && !authority.host().is_empty()).then(|| (authority.host().to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let rows = [
            ("https://gateway.example:8443", Some(("gateway.example", 8443))),
            ("https://gateway.example/", Some(("gateway.example", 443))),
            ("https://[::1]:8443", Some(("[::1]", 8443))),
            ("https://gateway.example/v1", None),
            ("https://me@gateway.example", None),
            ("http://gateway.example", None),
            ("gateway.example:8443", None),
            ("https://", None),
        ];
        for (url, expected) in rows {
            let expected = expected.map(|(host, port): (&str, u16)| (host.to_owned(), port));
            assert_eq!(read_url(url), expected, "{url}");
        }
    }
}
