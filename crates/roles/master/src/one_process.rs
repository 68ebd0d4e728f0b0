//! The master as a part of a process that is worker and broadcast too.
//!
//! It decides as ever, and speaks to its worker over the same socket. What it does not do is what
//! the process does once: the keeper and the signals are the worker's part's. And it accepts
//! nothing: whoever could refuse a connection because nobody is ready could as well serve it.
//!
//! A worker in a process of its own may be beside it for as long as the gateway changes from a
//! pair to one process, or back. Then they are a pair.
//!
//! Source: decision 0011.

use anyhow::Context as _;
use mainstay_ledger::Kept;
use mainstay_model::{Process, Slot, Timestamp};
use mainstay_os::{Event, Interest, Pidfd, Poller, Signals, control_socket, pin_thread};
use mainstay_pair::Health;
use mainstay_wire::command::Step;
use mainstay_wire::event;
use mainstay_wire::pair::ToWorker;
use tracing::{info, warn};

use crate::token::Token;
use crate::turn::{Master, Phase};
use crate::workers::Room;
use crate::{Options, settings};

/// What the worker's part is.
#[derive(Debug)]
pub struct Beside {
    /// Its slot, towards a worker in a process of its own.
    pub slot: Slot,
    /// The number of the keeper that it made.
    pub keeper_pid: u32,
    /// Raised when the worker's part ends without a keeper, and this part has to end first.
    pub stop: Event,
}

/// What this master is in its process.
#[derive(Debug)]
pub(crate) enum Standing {
    /// All that there is.
    Own { signals: Signals, kept: Kept },
    /// A part of it.
    Beside(Beside),
}

/// Does the master's work until the process ends.
///
/// # Errors
///
/// If it cannot do its work: then the process has to end.
pub fn run_beside(options: &Options, beside: Beside) -> anyhow::Result<()> {
    let settings = settings::read(&options.host)?;
    if !settings.host.master.cpus.is_empty() {
        pin_thread(&settings.host.master.cpus).context("cannot keep it on its processors")?;
    }
    let channel = control_socket().context("cannot use the control socket")?;
    info!(pid = std::process::id(), slot = %beside.slot, "decides for its own worker");
    Master::new(settings, Standing::Beside(beside), channel)?.run()
}

/// How the steps of an apply are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Pair,
    /// Nobody stands by, and nobody follows.
    OneProcess,
}

impl Shown {
    pub(crate) const fn as_shown(self, step: Step) -> Step {
        match (self, step) {
            (Self::OneProcess, Step::Prove) => Step::Load,
            (Self::OneProcess, Step::Follow) => Step::Keep,
            (Self::Pair | Self::OneProcess, step) => step,
        }
    }
}

impl Standing {
    pub(crate) const fn shown(&self) -> Shown {
        match self {
            Self::Own { .. } => Shown::Pair,
            Self::Beside(_) => Shown::OneProcess,
        }
    }

    /// The slot of its own worker, if it has one.
    pub(crate) const fn slot(&self) -> Option<Slot> {
        match self {
            Self::Own { .. } => None,
            Self::Beside(beside) => Some(beside.slot),
        }
    }

    pub(crate) fn keeper_pid(&self) -> u32 {
        match self {
            Self::Own { kept, .. } => kept.keeper_pid(),
            Self::Beside(beside) => beside.keeper_pid,
        }
    }

    /// Has the poller tell when it is to end.
    pub(crate) fn watch(&self, poller: &Poller) -> anyhow::Result<()> {
        let (number, interest) = (Token::Signals.number(), Interest::ReadLevel);
        match self {
            Self::Own { signals, kept } => {
                poller.add(signals, number, interest).context("cannot wait for signals")?;
                kept.watch(poller, Token::Keeper.number()).context("cannot watch the keeper")
            }
            Self::Beside(beside) => {
                poller.add(&beside.stop, number, interest).context("cannot wait for the end")
            }
        }
    }

    /// Whether it was asked to end.
    pub(crate) fn is_asked_to_end(&self) -> anyhow::Result<bool> {
        let signals = match self {
            Self::Own { signals, .. } => signals,
            Self::Beside(beside) => return beside.stop.take().context("cannot read an event"),
        };
        let mut is_asked = false;
        while signals.next().context("cannot read a signal")?.is_some() {
            is_asked = true;
        }
        Ok(is_asked)
    }

    /// Whether its worker's part had a keeper that is gone.
    fn has_lost_keeper(&self) -> bool {
        let pid = self.keeper_pid();
        // 0: it never had one. One whose end nobody waited for is there, and has exited.
        pid != 0 && Pidfd::open(pid).and_then(|keeper| keeper.has_exited()).unwrap_or(true)
    }

    /// Its keeper is gone.
    pub(crate) fn forget_keeper(&self, poller: &Poller) -> anyhow::Result<()> {
        let Self::Own { kept, .. } = self else { return Ok(()) };
        kept.unwatch(poller).context("cannot stop watching the keeper")
    }

    /// Nothing is left to adopt.
    pub(crate) fn close(&self) {
        if let Self::Own { kept, .. } = self {
            kept.close();
        }
    }
}

impl Master {
    /// Whether whoever is to be there is ready.
    pub(crate) fn are_workers_ready(&self) -> bool {
        Slot::ALL.into_iter().all(|slot| {
            let is_awaited = match self.standing.slot() {
                None => true,
                Some(own) => {
                    slot == own || self.workers.get(slot).is_some() || self.is_told_of(slot)
                }
            };
            !is_awaited || self.health(slot) == Health::Ready
        })
    }

    /// Whether the supervisor says that this worker runs.
    pub(crate) fn is_told_of(&self, slot: Slot) -> bool {
        self.processes.iter().any(|running| running.process == Process::Worker(slot))
    }

    /// Whether there is to be such a process: of one that does everything, the others are no part
    /// but for as long as it changes.
    pub(crate) fn is_part_of_gateway(&self, process: Process) -> bool {
        let Some(own) = self.standing.slot() else { return true };
        match process {
            Process::Supervisor | Process::Master => true,
            Process::Broadcast => false,
            Process::Worker(slot) => {
                slot != own && (self.workers.get(slot).is_some() || self.is_told_of(slot))
            }
        }
    }

    /// The own worker asks to be replaced, and nobody is there to take the lease from it: it goes
    /// as it is, its keeper offers what is open, and the next process of this kind takes that. If
    /// the keeper is dead, it serves on until a worker stands in for it.
    pub(crate) fn let_go_alone(&mut self, slot: Slot) -> anyhow::Result<()> {
        if self.standing.slot() != Some(slot) || self.health(slot.other()) == Health::Ready {
            return Ok(());
        }
        if self.standing.has_lost_keeper() {
            warn!("a worker is asked for that stands in for this process");
            self.link.want_stand_in();
            return Ok(());
        }
        info!("making way for the next process");
        self.tell(slot, &ToWorker::Revoke)
    }

    /// Has this process replaced if it was made for fewer connections than may be by now.
    pub(crate) fn replace_own_if_outgrown(&mut self, slot: Slot) -> anyhow::Result<()> {
        let is_whole = self.is_whole();
        let Some(spoken) = self.workers.get_mut(slot).and_then(|it| it.spoken.as_mut()) else {
            return Ok(());
        };
        if spoken.room == Room::Enough || !is_whole {
            return Ok(());
        }
        spoken.room = Room::Enough;
        info!("process was made for fewer connections, it is replaced");
        self.tell(slot, &ToWorker::HandOver)
    }

    /// Has the supervisor hear of what the own worker tells; any other speaks for itself.
    pub(crate) fn pass_on(&mut self, slot: Slot, unix_ms: u64, event: &event::Event) {
        if self.standing.slot() == Some(slot) && event.may_come_from(Process::Worker(slot)) {
            self.link.note_at(unix_ms, event.clone());
        } else {
            warn!(%slot, ?event, "worker tells of what is not its to tell");
        }
    }

    /// The gateway ends: the own worker hears it from us.
    pub(crate) fn stop_own_worker(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let (Some(slot), Phase::Stopping { until }) = (self.standing.slot(), self.phase) else {
            return Ok(());
        };
        let limit_ms = u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX);
        self.tell(slot, &ToWorker::Stop { limit_ms })
    }
}
