//! The admin port: health and metrics for machines, and the API.
//!
//! `/health` and `/metrics` need no login: they name no agent. What begins with `/v1/` is the
//! matter of `api`.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use mainstay_model::Chain;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, interval_at, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::api::Api;
use crate::fleet::Fleet;

/// What is sent back.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// How long nothing is accepted after that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long the database may take to answer a question about health.
const HEALTH_LIMIT: Duration = Duration::from_secs(2);

/// What every connection needs.
struct Port {
    fleet: Arc<Fleet>,
    api: Arc<Api>,
}

/// Serves until it is told to stop; connections that are open end with the process.
pub(crate) async fn serve(
    fleet: Arc<Fleet>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    mut stop: watch::Receiver<bool>,
) {
    let connections = Arc::new(Semaphore::new(fleet.settings.admin.connections));
    let api = Api::new(Arc::clone(&fleet.store), fleet.settings.clone());
    let port = Arc::new(Port { fleet, api });
    loop {
        let stopped = pin!(stop.wait_for(|stop| *stop));
        let accepted = match select(pin!(listener.accept()), stopped).await {
            Either::Left((accepted, _)) => accepted,
            Either::Right(_) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Too many: closed by being dropped.
                let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else { continue };
                let (port, tls) = (Arc::clone(&port), tls.clone());
                drop(tokio::spawn(async move {
                    receive(port, stream, peer.ip().to_canonical(), tls).await;
                    drop(permit);
                }));
            }
            Err(error) => pause_after(&error).await,
        }
    }
}

async fn pause_after(error: &io::Error) {
    warn!(error = %Chain(error), "cannot accept a connection at the admin port");
    interval_at(Instant::now() + ACCEPT_PAUSE, ACCEPT_PAUSE).tick().await;
}

async fn receive(port: Arc<Port>, stream: TcpStream, peer: IpAddr, tls: Option<TlsAcceptor>) {
    let Some(tls) = tls else { return converse(port, stream, peer).await };
    match timeout(port.fleet.settings.admin.timeout, tls.accept(stream)).await {
        Ok(Ok(stream)) => converse(port, stream, peer).await,
        Ok(Err(error)) => debug!(%peer, error = %Chain(&error), "no handshake at the admin port"),
        Err(_elapsed) => debug!(%peer, "a handshake at the admin port took too long"),
    }
}

async fn converse<S>(port: Arc<Port>, stream: S, peer: IpAddr)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(|request| answer(Arc::clone(&port), peer, request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(port.fleet.settings.admin.timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        debug!(%peer, error = %Chain(&error), "a connection at the admin port ended badly");
    }
}

async fn answer(
    port: Arc<Port>,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let response = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/health") => health(&port.fleet).await,
        (&Method::GET | &Method::HEAD, "/metrics") => {
            respond(StatusCode::OK, "text/plain; version=0.0.4", port.fleet.figures.text())
        }
        (_, path) if Api::has(path) => port.api.answer(peer, request).await,
        (_, path) => {
            debug!(%peer, path, "nothing is here");
            respond(StatusCode::NOT_FOUND, "application/json", "{\"error\":\"not found\"}\n")
        }
    };
    Ok(response)
}

/// Whether a balancer should send agents here.
async fn health(fleet: &Fleet) -> Response<Body> {
    let database = matches!(timeout(HEALTH_LIMIT, fleet.store.now()).await, Ok(Ok(_)));
    let serving = fleet.duty.is_serving();
    let status = if database && serving { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let text = json!({
        "status": if status == StatusCode::OK { "up" } else { "down" },
        "database": if database { "up" } else { "down" },
        "agents": if serving { "served" } else { "sent away" },
        "manager": fleet.id.to_string(),
        "name": fleet.name,
        "version": env!("CARGO_PKG_VERSION"),
    });
    respond(status, "application/json", format!("{text}\n"))
}

/// A response that is there at once.
pub(crate) fn respond(
    status: StatusCode,
    media_type: &'static str,
    text: impl Into<Bytes>,
) -> Response<Body> {
    let mut response = Response::new(Full::new(text.into()).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
