//! The one-process gateway: worker, master and broadcast as threads of one process, index 0.
//!
//! They are what they are in a pair, and say the same to each other over the same sockets; so
//! what is tested of a pair is true of this. The worker's part has the main thread: it makes the
//! keeper before there is another, and its end is the end of the process. If another part cannot
//! go on, the process dies, and its keeper offers what is open to the next one.
//!
//! # Not here
//!
//! When there is to be one process, and how a pair becomes it: the supervisor.
//!
//! Source: decision 0011.

use std::thread::{Builder, JoinHandle};

use anyhow::{Context as _, anyhow};
use mainstay_model::Chain;
use mainstay_os::Event;
use tracing::error;

use crate::role::WorkerOptions;

/// Serves until told to end.
pub(crate) fn run(options: WorkerOptions) -> anyhow::Result<()> {
    let worker = mainstay_worker::Options::from(options);
    let master = mainstay_master::Options { host: worker.host.clone() };
    let broadcast = mainstay_broadcast::Options { host: worker.host.clone() };
    let slot = worker.slot;
    mainstay_worker::run_beside(&worker, |keeper_pid| {
        let parts = [
            start("master", move |stop| {
                let beside = mainstay_master::Beside { slot, keeper_pid, stop };
                mainstay_master::run_beside(&master, beside)
            })?,
            start("broadcast", move |stop| mainstay_broadcast::run_beside(&broadcast, stop))?,
        ];
        Ok(Box::new(move || parts.into_iter().try_for_each(Part::end)))
    })
}

/// A part on a thread of its own.
struct Part {
    stop: Event,
    thread: JoinHandle<()>,
}

/// Starts a part. It ends with the process, or when it is told to.
fn start(
    name: &'static str,
    work: impl FnOnce(Event) -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<Part> {
    let stop = Event::new().context("cannot make an event")?;
    let stopped = stop.try_clone().context("cannot copy an event")?;
    let work = move || {
        if let Err(error) = work(stopped) {
            error!(part = name, error = %Chain(error.as_ref()), "a part of the process cannot go on");
            // Not in order: nothing that is open may be closed.
            std::process::abort();
        }
    };
    let thread =
        Builder::new().name(name.to_owned()).spawn(work).context("cannot start a thread")?;
    Ok(Part { stop, thread })
}

impl Part {
    fn end(self) -> anyhow::Result<()> {
        self.stop.raise().context("cannot end a part of the process")?;
        self.thread.join().map_err(|_panic| anyhow!("a part of the process ended badly"))
    }
}
