//! The worker as a part of a process that does the master's and broadcast's work too.
//!
//! It is the part that is kept, that owns the signals, and whose end is the end of the process.
//! What a worker of a pair hears from the supervisor, this one hears from the master's part.
//!
//! Source: decision 0011.

use anyhow::Context as _;
use mainstay_os::Signals;

use crate::settings::Leases;
use crate::{Company, EndOthers, Options, serve, settings};

/// Serves until told to end. `start_others` is called with the number of the keeper when that is
/// made: before it there may be no other thread. What it returns ends the others: if the keeper
/// is dead, this process offers by itself what is open, to a worker that stands in for it.
///
/// # Errors
///
/// If it cannot do its work; the supervisor starts it anew.
pub fn run_beside(
    options: &Options,
    start_others: impl FnOnce(u32) -> anyhow::Result<EndOthers>,
) -> anyhow::Result<()> {
    let signals = Signals::take_over().context("cannot wait for signals")?;
    let mut settings = settings::read(options)?;
    settings.worker = settings.host.one_process();
    settings.leases = Leases::All;
    serve(settings, signals, ".dumpcore", |keeper_pid| start_others(keeper_pid).map(Company::Parts))
}
