//! The worker: serves the connections that come to it, and carries on those that another
//! process left.
//!
//! Its threads, the lanes, are `mainstay-proxy`'s; this crate is the control thread beside
//! them. It does what the master says, finds estates and hands what is in them to the lanes,
//! and sees to an orderly end.
//!
//! # Invariants
//!
//! 1. It announces itself only when everything that can fail has been built.
//! 2. It accepts and adopts only while it is the active worker.
//! 3. The death of the master or of the supervisor changes nothing for a connection.
//!
//! # Not here
//!
//! Which worker is active: the master. What a connection does: `mainstay-proxy`.

#![forbid(unsafe_code)]

mod adoption;
mod broadcast;
mod control;
mod lanes;
mod listeners;
mod one_process;
mod probes;
mod sessions;
mod settings;

use std::path::PathBuf;

use anyhow::Context as _;
use mainstay_ledger::{Kept, KeptSetup, Layout};
use mainstay_model::Slot;
use mainstay_os::{
    Channel, CoreDumps, Signals, control_socket, limit_memory, memory_share, pin_thread,
    set_core_dumps,
};
use tracing::info;

pub use crate::one_process::run_beside;

use crate::control::{Control, Ending};
use crate::lanes::Lanes;
use crate::settings::Settings;

/// Descriptors that are not a connection's: idle upstream connections, listeners, channels.
const DESCRIPTORS_BESIDE: u64 = 1024;

/// What a worker is told on its command line.
#[derive(Clone, Debug)]
pub struct Options {
    pub slot: Slot,
    /// Where `host.toml` is.
    pub host: PathBuf,
}

/// Serves until told to end.
///
/// # Errors
///
/// If it cannot do its work; the supervisor starts it anew.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let signals = Signals::take_over().context("cannot wait for signals")?;
    let settings = settings::read(options)?;
    serve(settings, signals, ".slavedumpcore", |_keeper_pid| {
        let supervisor = control_socket().context("cannot use the control socket")?;
        Ok(Company::Supervisor(supervisor))
    })
}

/// Whom a worker has to do with that may start and end it.
enum Company {
    /// The supervisor, to whom it speaks itself.
    Supervisor(Channel),
    /// Other parts of its process, which speak for it.
    Parts(EndOthers),
}

/// Ends all other parts of a process, and waits for that.
pub type EndOthers = Box<dyn FnOnce() -> anyhow::Result<()>>;

/// The whole life of a worker. `meet` is called with the number of its keeper when that is made,
/// and before there is a second thread.
fn serve(
    settings: Settings,
    signals: Signals,
    dump_switch: &str,
    meet: impl FnOnce(u32) -> anyhow::Result<Company>,
) -> anyhow::Result<()> {
    let layout = Layout { lanes: settings.worker.threads, slots: settings.capacity };
    let switch = settings.host.state.join(dump_switch);
    let dumps = if switch.exists() { CoreDumps::On } else { CoreDumps::Off };
    set_core_dumps(dumps).context("cannot say whether it writes core dumps")?;
    // Before any thread exists.
    let mut kept = Kept::start(KeptSetup {
        name: "worker",
        layout,
        configuration: settings.generation.number(),
        directory: settings.keepers(),
        patience: settings.host.pair.keep_timeout,
        adoption: settings.adoption(),
        // A connection has two sockets, a pipe two ends.
        descriptors: (layout.lanes * (layout.slots + settings.gateway.limits.pipes) * 2) as u64
            + DESCRIPTORS_BESIDE,
    })?;
    // The keeper is there already: it has to be able to do its work whatever becomes of us.
    let share = memory_share(settings.worker.memory.percent()).context("cannot tell its share")?;
    limit_memory(share).context("cannot limit its memory")?;
    let (supervisor, end_others) = match meet(kept.keeper_pid())? {
        Company::Supervisor(channel) => (Some(channel), None),
        Company::Parts(end_others) => (None, Some(end_others)),
    };
    if !settings.worker.cpus.is_empty() {
        pin_thread(&settings.worker.cpus).context("cannot keep it on its processors")?;
    }
    let lanes = Lanes::start(&settings, &mut kept)?;
    info!(slot = %settings.slot, pid = std::process::id(), keeper_pid = kept.keeper_pid(),
        threads = layout.lanes, "worker started");
    let mut control = Control::new(settings, signals, kept, lanes, supervisor)?;
    let ending = control.run()?;
    if ending == Ending::Drained {
        control.kept.close();
        return Ok(());
    }
    let Control { kept, rest } = control;
    #[expect(clippy::mem_forget, reason = "whatever is open is for the keeper to offer")]
    std::mem::forget(rest);
    let offered = match ending {
        Ending::LeftWithoutKeeper => {
            // Nobody else here may own a descriptor then.
            end_others.map_or(Ok(()), |end_others| end_others())?;
            kept.offer().context("cannot offer what is open")
        }
        Ending::Left | Ending::Drained => Ok(()),
    };
    #[expect(clippy::mem_forget, reason = "its descriptors are the keeper's, or were taken")]
    std::mem::forget(kept);
    offered
}
