//! Broadcast: has every process of the gateway do what one caller asks for, and know who is
//! logged in.
//!
//! Master and workers connect to `broadcast.sock`; callers to the command channel. What is asked
//! for goes to the standby first, then to the master, then to the active worker, as
//! `mainstay-command` decides. Whoever logs users in connects to the session channel; what it
//! says goes to the journal and to every process, as `mainstay-session` decides. This crate is
//! the loop around both.
//!
//! # Invariants
//!
//! 1. Its death stops nobody: traffic goes on, an apply that was under way is undone, and its
//!    successor learns from the processes how things stand.
//! 2. A caller gets one answer to each line, in their order.
//! 3. A logout is confirmed only when no process can accept the session any more.
//! 4. A process is dead when its pidfd says so: a keeper holds its end of the channel open.
//!
//! # Not here
//!
//! What an order means: master and workers. Which generation is current: the master.
//!
//! Source: DESIGN 8.

#![forbid(unsafe_code)]

mod access;
mod callers;
mod commands;
mod peers;
mod requests;
mod sessions;
mod token;
mod turn;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use mainstay_config::Host;
use mainstay_message::Link;
use mainstay_os::{Event, Signals, control_socket};
use tracing::info;

use crate::turn::{Broadcast, Standing};

/// What broadcast is told on its command line.
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
    let host = read(&options.host)?;
    let supervisor = control_socket().context("cannot use the control socket")?;
    info!(pid = std::process::id(), "started");
    let supervisor = Link::connected(&host.run.join("supervisor.sock"), supervisor);
    Broadcast::new(host, Standing::Own { signals }, supervisor)?.run()
}

/// Does broadcast's work as a part of the one process that is master and worker too: it waits for
/// no standby, and ends with the process, or when `stop` is raised.
///
/// # Errors
///
/// If it cannot do its work: then the process has to end.
pub fn run_beside(options: &Options, stop: Event) -> anyhow::Result<()> {
    let host = read(&options.host)?;
    Broadcast::new(host, Standing::Beside { stop }, Link::absent())?.run()
}

fn read(path: &Path) -> anyhow::Result<Host> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    mainstay_config::host::parse(&text).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(|problem| problem.locate(path, &text)).collect();
        anyhow::anyhow!("{}", lines.join("\n"))
    })
}
