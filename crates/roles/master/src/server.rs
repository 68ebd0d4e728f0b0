//! A thread that serves HTTP beside the loop, until it is dropped.
//!
//! # Invariants
//!
//! 1. Nothing of it is left when it is dropped: what a process holds may be another's next.

use std::convert::Infallible;
use std::future::Future;
use std::thread::{self, JoinHandle};

use anyhow::Context as _;
use tokio::sync::oneshot;
use tracing::warn;

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
