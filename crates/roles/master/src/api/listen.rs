//! Where callers come in: the socket in the run directory, and an address with TLS.
//!
//! Certificate, key and tokens are read for each connection: what is renewed is used at once, and
//! what is wrong with them is said when it matters.

use std::io;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mainstay_config::admin::Https;
use mainstay_model::Chain;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixListener};
use tokio::time::{Instant, interval_at, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use super::access::{Caller, is_permitted};
use super::answer::answer;
use super::{Api, SOCKET};
use crate::server::{listen_at, until_bound};

/// Largest head of a request.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long a connection may live: an apply that is watched for as long as one may be, with every
/// hook as slow as one may be.
const CONNECTION_LIMIT: Duration = Duration::from_hours(3);
/// What is waited for when an address is taken.
const PURPOSE: &str = "the admin API";
/// How long nothing is accepted after that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves for as long as the process lives. Dropped with its runtime, it loses nothing.
pub(super) async fn serve(api: Arc<Api>) {
    if let Some(https) = api.admin.https.clone() {
        drop(tokio::spawn(serve_https(Arc::clone(&api), https)));
    }
    serve_socket(api).await;
}

async fn serve_socket(api: Arc<Api>) {
    let path = api.run.join(SOCKET);
    let listener = until_bound(PURPOSE, &path.display().to_string(), || listen(&path)).await;
    loop {
        let accepted = listener.accept().await;
        let Ok(permit) = Arc::clone(&api.connections).acquire_owned().await else { return };
        match accepted {
            Ok((stream, _)) if is_permitted(&stream) => {
                let api = Arc::clone(&api);
                drop(tokio::spawn(async move {
                    converse(&api, stream, Caller::Local).await;
                    drop(permit);
                }));
            }
            Ok(_) => warn!("connection at {SOCKET} of another user was closed"),
            Err(error) => pause_after(&error).await,
        }
    }
}

/// Listens at `path`, in the place of whatever was there; the name appears when it can be used.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let making = path.with_file_name(format!(".{SOCKET}.{}", std::process::id()));
    mainstay_os::remove_if_there(&making)?;
    let listener = StdUnixListener::bind(&making)?;
    listener.set_nonblocking(true)?;
    std::fs::rename(&making, path)?;
    UnixListener::from_std(listener)
}

async fn serve_https(api: Arc<Api>, https: Https) {
    let address = https.address;
    let listener = until_bound(PURPOSE, &address.to_string(), || listen_at(address)).await;
    info!(%address, "the admin API is served");
    loop {
        let accepted = listener.accept().await;
        let Ok(permit) = Arc::clone(&api.connections).acquire_owned().await else { return };
        match accepted {
            Ok((stream, _)) => {
                let (api, https) = (Arc::clone(&api), https.clone());
                drop(tokio::spawn(async move {
                    converse_securely(&api, stream, https).await;
                    drop(permit);
                }));
            }
            Err(error) => pause_after(&error).await,
        }
    }
}

fn acceptor(https: &Https) -> anyhow::Result<TlsAcceptor> {
    let certificates = CertificateDer::pem_file_iter(&https.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot read {}", https.certificate.display()))?;
    let key = PrivateKeyDer::from_pem_file(&https.key)
        .with_context(|| format!("cannot read {}", https.key.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS has no version")?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .context("the certificate cannot be used")?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn converse_securely(api: &Arc<Api>, stream: TcpStream, https: Https) {
    let acceptor = match acceptor(&https) {
        Ok(acceptor) => acceptor,
        Err(error) => {
            let error = Chain(error.as_ref());
            warn!(%error, "a connection to the admin API was closed");
            return;
        }
    };
    match timeout(api.admin.timeout, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => converse(api, stream, Caller::Remote { tokens: https.tokens }).await,
        Ok(Err(error)) => debug!(error = %Chain(&error), "no handshake with the admin API"),
        Err(_) => debug!("a handshake with the admin API took too long"),
    }
}

/// One request and its response. Dropped when its client goes: what was begun goes on.
async fn converse<S>(api: &Arc<Api>, stream: S, caller: Caller)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(|request| answer(request, Arc::clone(api), caller.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(api.admin.timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_LIMIT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(error = %Chain(&error), "connection to the admin API failed"),
        Err(_) => warn!("a connection to the admin API took too long"),
    }
}

async fn pause_after(error: &io::Error) {
    warn!(error = %Chain(error), "cannot accept a connection for the admin API");
    interval_at(Instant::now() + ACCEPT_PAUSE, ACCEPT_PAUSE).tick().await;
}
