//! A thread that serves HTTP beside the loop, until it is dropped.
//!
//! # Invariants
//!
//! 1. Nothing of it is left when it is dropped: what a process holds may be another's next.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use mainstay_model::Chain;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::interval;
use tracing::warn;

/// How often an address is tried while the keeper of a dead master still holds it.
const BIND_INTERVAL: Duration = Duration::from_millis(250);

/// The thread.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    /// Ends it when it is dropped.
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts it with what it serves.
    pub(crate) fn start(
        name: &'static str,
        serve: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot make a runtime")?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    drop(tokio::spawn(serve));
                    drop(stopped.await);
                });
            })
            .context("cannot start a thread")?;
        Ok(Self { name, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(Err(_panic)) = self.thread.take().map(JoinHandle::join) {
            warn!(name = self.name, "a thread that serves HTTP ended badly");
        }
    }
}

/// Listens as soon as nobody else does; that it has to wait is said once.
pub(crate) async fn until_bound<L>(
    purpose: &str,
    address: &str,
    bind: impl Fn() -> io::Result<L>,
) -> L {
    let mut ticks = interval(BIND_INTERVAL);
    let mut warned = false;
    loop {
        ticks.tick().await;
        match bind() {
            Ok(listener) => return listener,
            Err(error) if !warned => {
                warn!(address, error = %Chain(&error), "cannot listen for {purpose} yet");
                warned = true;
            }
            Err(_) => {}
        }
    }
}

/// Listens at an address, for [`until_bound`].
pub(crate) fn listen_at(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}
