//! The master: decides which worker serves, and sees to it.
//!
//! The decision is `mainstay-pair`'s; this crate is the loop around it. It feeds the lease
//! with what happens to the workers and performs what comes out: a message, a kill, a line in
//! the log. It accepts connections only for listeners that say so, and when nobody else is
//! there to answer. It interprets no byte from a client.
//!
//! # Invariants
//!
//! 1. Its death stops nobody: the active worker goes on accepting, and a new master learns
//!    from the workers who that is. What it accepted and not handed over, its keeper holds.
//! 2. It holds a bounded number of connections, and leaves the others in the kernel's queue.
//! 3. A worker is dead when its pidfd says so or its keeper does, and not before.
//!
//! # Not here
//!
//! Starting what died: the supervisor. Adopting its connections: the active worker.

#![forbid(unsafe_code)]

mod admin;
mod api;
mod apply;
mod arrivals;
mod broadcast_link;
mod dispatch;
mod hooks;
mod kept;
mod listeners;
mod metrics;
mod metrics_text;
mod one_process;
mod opening;
mod perform;
mod proposal;
mod pulse;
mod refuse;
mod server;
mod sessions;
mod settings;
mod status;
mod supervisor_link;
mod token;
mod turn;
mod watch;
mod workers;

pub use one_process::{Beside, run_beside};

use std::path::PathBuf;

use anyhow::Context as _;
use mainstay_os::{
    CoreDumps, Signals, control_socket, limit_memory, memory_share, pin_thread, set_core_dumps,
};
use tracing::info;

use crate::one_process::Standing;
use crate::turn::Master;

/// What the master is told on its command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The host.toml of the gateway
    #[arg(long, value_name = "FILE", default_value = "/etc/mainstay/host.toml")]
    pub host: PathBuf,
}

/// Runs until the gateway ends.
///
/// # Errors
///
/// If it cannot do its work; the supervisor starts it anew.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let signals = Signals::take_over().context("cannot wait for signals")?;
    let settings = settings::read(&options.host)?;
    let switch = settings.host.state.join(".dumpcore");
    let dumps = if switch.exists() { CoreDumps::On } else { CoreDumps::Off };
    set_core_dumps(dumps).context("cannot say whether it writes core dumps")?;
    // Before any thread exists.
    let kept = kept::start(&settings.host)?;
    // The keeper is there already: it has to be able to do its work whatever becomes of us.
    let share =
        memory_share(settings.host.master.memory.percent()).context("cannot tell its share")?;
    limit_memory(share).context("cannot limit its memory")?;
    if !settings.host.master.cpus.is_empty() {
        pin_thread(&settings.host.master.cpus).context("cannot keep it on its processors")?;
    }
    let channel = control_socket().context("cannot use the control socket")?;
    info!(pid = std::process::id(), keeper_pid = kept.keeper_pid(), "started");
    Master::new(settings, Standing::Own { signals, kept }, channel)?.run()
}
