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

use std::path::PathBuf;

use anyhow::Context as _;
use mainstay_os::{Signals, control_socket};
use tracing::info;

use crate::turn::Broadcast;

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
    let text = std::fs::read_to_string(&options.host)
        .with_context(|| format!("cannot read {}", options.host.display()))?;
    let host = mainstay_config::host::parse(&text).map_err(|problems| {
        let lines: Vec<_> =
            problems.iter().map(|problem| problem.locate(&options.host, &text)).collect();
        anyhow::anyhow!("{}", lines.join("\n"))
    })?;
    let supervisor = control_socket().context("cannot use the control socket")?;
    info!(pid = std::process::id(), "started");
    Broadcast::new(host, signals, supervisor)?.run()
}
