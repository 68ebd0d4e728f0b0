//! `/metrics`, for Prometheus: a thread that speaks HTTP and asks the loop for the text.
//!
//! The loop owns all that is shown, and renders it when somebody wants it; so a gateway that
//! nobody scrapes does nothing for it. The thread is started after the keeper.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use mainstay_model::Chain;
use mainstay_os::Event;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::metrics_text::render;
use crate::server::{Server, listen_at, until_bound};
use crate::turn::Master;

/// The one format that there is.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Most connections at a time.
const CONNECTIONS_MAX: usize = 32;
/// Most questions that wait for the loop.
const QUESTIONS_MAX: usize = 32;
/// Largest request.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// How long a request's head may take.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// How long a connection may live.
const CONNECTION_LIMIT: Duration = Duration::from_secs(300);
/// How long the loop may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// The loop's end of it.
#[derive(Debug)]
pub(crate) struct Metrics {
    questions: mpsc::Receiver<oneshot::Sender<String>>,
    asked: Event,
    _server: Server,
}

/// The thread's end of it.
struct Asker {
    questions: mpsc::SyncSender<oneshot::Sender<String>>,
    asked: Event,
}

impl Metrics {
    /// Starts the thread.
    pub(crate) fn start(address: SocketAddr) -> anyhow::Result<Self> {
        let (sender, questions) = mpsc::sync_channel(QUESTIONS_MAX);
        let asked = Event::new().context("cannot make an event")?;
        let copy = asked.try_clone().context("cannot copy an event")?;
        let asker = Arc::new(Asker { questions: sender, asked: copy });
        let server = Server::start("metrics", serve(address, asker))?;
        Ok(Self { questions, asked, _server: server })
    }
}

impl AsFd for Metrics {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.asked.as_fd()
    }
}

impl Master {
    /// Answers everyone who waits for the text.
    pub(crate) fn answer_metrics(&self) {
        let Some(metrics) = &self.metrics else { return };
        if let Err(error) = metrics.asked.take() {
            warn!(error = %Chain(&error), "cannot read an event");
        }
        let mut text = None;
        while let Ok(question) = metrics.questions.try_recv() {
            let text = text.get_or_insert_with(|| render(&self.snapshot()));
            // Whoever asked may be gone.
            if question.send(text.clone()).is_err() {
                debug!("nobody waits for the metrics any more");
            }
        }
    }
}

/// Accepts for as long as the process lives. Dropped with its runtime, it loses nothing.
async fn serve(address: SocketAddr, asker: Arc<Asker>) {
    let listener = until_bound("metrics", &address.to_string(), || listen_at(address)).await;
    info!(%address, "metrics are served");
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let asker = Arc::clone(&asker);
                drop(tokio::spawn(async move {
                    converse(stream, asker).await;
                    drop(permit);
                }));
            }
            Err(error) => warn!(error = %Chain(&error), "cannot accept a connection for metrics"),
        }
    }
}

async fn converse(stream: TcpStream, asker: Arc<Asker>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&asker)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(REQUEST_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_LIMIT, connection).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => debug!(error = %Chain(&error), "connection for metrics failed"),
    }
}

/// Dropped when its client goes: nothing is lost but the answer.
async fn answer(
    request: Request<Incoming>,
    asker: Arc<Asker>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => match ask(&asker).await {
            Some(text) => (StatusCode::OK, text),
            None => (StatusCode::SERVICE_UNAVAILABLE, "the master is busy\n".to_owned()),
        },
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "GET only\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "only /metrics is here\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    Ok(response)
}

/// Asks the loop. Dropped while it waits, the answer goes to nobody.
async fn ask(asker: &Asker) -> Option<String> {
    let (sender, answer) = oneshot::channel();
    asker.questions.try_send(sender).ok()?;
    asker.asked.raise().ok()?;
    timeout(ANSWER_LIMIT, answer).await.ok()?.ok()
}
