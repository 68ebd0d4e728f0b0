//! The supervisor: starts every other process, and restarts what dies.
//!
//! It reads `host.toml`, binds the listening sockets, and spawns master and workers, each
//! with its control socket as standard input. It takes part in no request: killing it harms
//! nobody. The others go on and look for a new supervisor at `supervisor.sock`; it finds
//! them by their files in the run directory, takes the listening sockets back from whichever
//! has them, and carries on.
//!
//! # Invariants
//!
//! 1. One supervisor for each run directory.
//! 2. A process is known by number and start time, and watched and killed by pidfd.
//! 3. What ends is started again, if later and later; nothing is ever given up.
//! 4. It is the reaper of all that comes from it, keepers included: no zombie stays.
//!
//! # Not here
//!
//! Which worker serves, and whether a worker's threads stand still: the master.

#![forbid(unsafe_code)]

mod arrangement;
mod children;
mod compatibility;
mod directory;
mod ending;
mod hello;
mod listeners;
mod lives;
mod orphans;
mod settings;
mod settle;
mod shutdown;
mod telling;
mod token;
mod turn;
mod upgrade;

pub use compatibility::{FitOptions, fits};

use std::path::PathBuf;

use anyhow::Context as _;
use mainstay_model::Process;
use mainstay_os::{ChannelListener, CoreDumps, Signals, raise_descriptor_limit, set_core_dumps};
use rustix::process::{getpid, set_child_subreaper};
use tracing::info;

use crate::directory::Directory;
use crate::settings::Start;
use crate::turn::Supervisor;
use crate::upgrade::Former;

/// What the supervisor is told on its command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The host.toml of the gateway
    #[arg(long, value_name = "FILE", default_value = "/etc/mainstay/host.toml")]
    pub host: PathBuf,

    /// A supervisor became this program, and left word on standard input
    #[arg(long, hide = true)]
    pub upgraded: bool,
}

/// Runs a gateway until it is asked to end.
///
/// # Errors
///
/// If it cannot be started, or was asked twice to end and did so at once.
pub fn run(options: &Options) -> anyhow::Result<()> {
    // Before anything else, so that an early request to end is not lost.
    let signals = Signals::take_over().context("cannot wait for signals")?;
    if !options.upgraded {
        return start(options, signals)?.run();
    }
    let former = Former::take_over().context("cannot take over from the former program")?;
    let mut supervisor = match start(options, signals) {
        Ok(supervisor) => supervisor,
        Err(error) => return Err(former.go_back(&options.host, error)),
    };
    supervisor.follow(former);
    supervisor.run()
}

/// Everything up to the first turn.
fn start(options: &Options, signals: Signals) -> anyhow::Result<Supervisor> {
    // For itself and for all that it starts; those with a switch look at it.
    set_core_dumps(CoreDumps::Off).context("cannot do without core dumps")?;
    let settings = settings::read(&options.host)?;
    let directory = Directory::take(&settings.host.run, &settings.host.state)?;
    let start = if directory.was_abandoned() { Start::Again } else { Start::Anew };
    let current = settings::read_current(&settings.host, start)?;
    let pid = std::process::id();
    let former = directory.former_supervisor();
    directory.note(Process::Supervisor, pid).context("cannot write supervisor.pid")?;
    let nofile = raise_descriptor_limit(settings.host.nofile)
        .context("cannot raise the limit on open descriptors")?;
    set_child_subreaper(Some(getpid())).context("cannot become the reaper of orphans")?;
    let door = ChannelListener::bind(&directory.socket())
        .with_context(|| format!("cannot listen at {}", directory.socket().display()))?;
    info!(pid, run = %settings.host.run.display(), generation = %current.generation, nofile, "started");
    let mut supervisor = Supervisor::new(settings, &current, directory, signals, door)?;
    supervisor.meet_former(former);
    Ok(supervisor)
}
