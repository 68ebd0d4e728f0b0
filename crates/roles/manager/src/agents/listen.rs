//! Accepting agents: one loop, and a task for each connection.
//!
//! # Invariants
//!
//! 1. A connection beyond the limits is reset before a byte of it is read: a handshake costs a
//!    hundred times what a reset does, and an agent that is reset tries the next manager at once.
//! 2. Every connection that waits for its client does so for at most `timeout` at a time.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mainstay_model::Chain;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, interval_at, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use super::http::{Exchanges, answer};
use crate::fleet::Fleet;

/// The most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How long nothing is accepted after that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves agents until it is told to stop, and returns when the last connection has ended.
pub(crate) async fn serve(
    fleet: Arc<Fleet>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    mut stop: watch::Receiver<bool>,
) {
    let limits = &fleet.settings.agents;
    let connections = Arc::new(Semaphore::new(limits.connections));
    let handshakes = Arc::new(Semaphore::new(limits.handshakes));
    let exchanges = Arc::new(Exchanges::new(limits.exchanges));
    let stopped = stop.clone();
    loop {
        let accepted = match select(pin!(listener.accept()), pin!(told(&mut stop))).await {
            Either::Left((accepted, _)) => accepted,
            Either::Right(_) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        fleet.figures.connections_taken.add(1);
        let permits = (Arc::clone(&connections), Arc::clone(&handshakes));
        let permits = (permits.0.try_acquire_owned(), permits.1.try_acquire_owned());
        let (Ok(connection), Ok(handshake)) = permits else {
            shed(&fleet, &stream);
            continue;
        };
        let visitor = Visitor {
            fleet: Arc::clone(&fleet),
            exchanges: Arc::clone(&exchanges),
            peer,
            stop: stopped.clone(),
            _connection: connection,
        };
        let tls = tls.clone();
        drop(tokio::spawn(visitor.receive(stream, tls, handshake)));
    }
    drop(listener);
    // Every connection holds one; when all are back, none is left.
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    drop(connections.acquire_many(all).await);
}

/// Waits until this manager is told to stop.
async fn told(stop: &mut watch::Receiver<bool>) {
    // Whoever could tell is gone: that is as good as told.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Ends a connection without a word.
fn shed(fleet: &Fleet, stream: &TcpStream) {
    fleet.figures.connections_shed.add(1);
    if let Err(error) = mainstay_os::reset(stream) {
        debug!(error = %Chain(&error), "a connection could not be reset, it is closed");
    }
}

async fn pause_after(error: &io::Error) {
    warn!(error = %Chain(error), "cannot accept a connection of an agent");
    interval_at(Instant::now() + ACCEPT_PAUSE, ACCEPT_PAUSE).tick().await;
}

/// One connection.
struct Visitor {
    fleet: Arc<Fleet>,
    exchanges: Arc<Exchanges>,
    peer: SocketAddr,
    stop: watch::Receiver<bool>,
    _connection: OwnedSemaphorePermit,
}

impl Visitor {
    async fn receive(
        self,
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
        handshake: OwnedSemaphorePermit,
    ) {
        let fleet = Arc::clone(&self.fleet);
        let _open = fleet.figures.connections.hold();
        // An answer must not wait for the end of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(error = %Chain(&error), "a connection is gone already");
            return;
        }
        let Some(tls) = tls else {
            drop(handshake);
            return self.converse(stream).await;
        };
        let shaken = timeout(fleet.settings.agents.timeout, tls.accept(stream)).await;
        drop(handshake);
        match shaken {
            Ok(Ok(stream)) => self.converse(stream).await,
            Ok(Err(error)) => {
                fleet.figures.handshakes_failed.add(1);
                debug!(peer = %self.peer, error = %Chain(&error), "no handshake with an agent");
            }
            Err(_elapsed) => {
                fleet.figures.handshakes_failed.add(1);
                debug!(peer = %self.peer, "a handshake took too long");
            }
        }
    }

    async fn converse<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Self { fleet, exchanges, peer, mut stop, _connection } = self;
        let peer = peer.ip().to_canonical();
        let wait = fleet.settings.agents.timeout;
        let service = service_fn(|request| answer(&fleet, &exchanges, peer, request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(wait)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let stopping = pin!(told(&mut stop));
        let done = match select(connection.as_mut(), stopping).await {
            Either::Left((done, _)) => done,
            Either::Right(_) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = done {
            debug!(%peer, error = %Chain(&error), "a connection of an agent ended badly");
        }
    }
}
