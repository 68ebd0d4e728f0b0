//! Who is killed next, how, and what is waited for afterwards.

use std::fmt;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::ValueEnum;
use mainstay_model::{Process, Slot};
use rustix::process::Signal;

use crate::children;
use crate::gateway::{DEADLINE, Gateway};
use crate::luck::Luck;
use crate::report::Recorder;

/// A way to hurt a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Sort {
    /// SIGKILL of the worker that serves
    Active,
    /// SIGKILL of the worker that stands by
    Standby,
    /// SIGKILL of the master
    Master,
    /// SIGKILL of the supervisor
    Supervisor,
    /// SIGKILL of both workers at once
    Both,
    /// SIGKILL of the active worker, and of its heir while that adopts
    Heir,
    /// SIGSTOP of the worker that serves
    StopActive,
    /// SIGSTOP of the worker that stands by
    StopStandby,
    /// SIGSTOP of the master
    StopMaster,
    /// SIGSEGV of the active worker, with a core dump
    Segv,
    /// SIGKILL of broadcast
    Broadcast,
    /// SIGKILL of the keeper of the master or of a worker
    Keeper,
}

/// How often each happens, in a hundred.
const WEIGHTS: [(u64, Sort); 12] = [
    (55, Sort::Active),
    (7, Sort::Standby),
    (7, Sort::Master),
    (5, Sort::Supervisor),
    (5, Sort::Both),
    (6, Sort::Heir),
    (2, Sort::StopActive),
    (2, Sort::StopStandby),
    (2, Sort::StopMaster),
    (3, Sort::Segv),
    (3, Sort::Broadcast),
    (3, Sort::Keeper),
];

/// The same of a gateway that is one process, which is the active worker and the master.
const ONE_PROCESS_WEIGHTS: [(u64, Sort); 5] = [
    (70, Sort::Active),
    (10, Sort::Supervisor),
    (5, Sort::StopActive),
    (5, Sort::Segv),
    (10, Sort::Keeper),
];

/// What the gateway is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Pair,
    OneProcess,
}

impl Sort {
    /// Whether the worker that serves dies of it.
    pub const fn hits_active(self) -> bool {
        match self {
            Self::Active | Self::Both | Self::Heir | Self::StopActive | Self::Segv => true,
            Self::Standby
            | Self::Master
            | Self::Supervisor
            | Self::StopStandby
            | Self::StopMaster
            | Self::Broadcast
            | Self::Keeper => false,
        }
    }

    /// Whether the next kill may come before the pair is whole again. After the death of a
    /// keeper it may not: until its process has been replaced, nobody would hold what a second
    /// death leaves, and one death at a time is what is promised.
    const fn may_be_followed_at_once(self) -> bool {
        !matches!(self, Self::Keeper)
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Active => "kill active",
            Self::Standby => "kill standby",
            Self::Master => "kill master",
            Self::Supervisor => "kill supervisor",
            Self::Both => "kill both workers",
            Self::Heir => "kill active, then heir",
            Self::StopActive => "stop active",
            Self::StopStandby => "stop standby",
            Self::StopMaster => "stop master",
            Self::Segv => "crash active, core dump",
            Self::Broadcast => "kill broadcast",
            Self::Keeper => "kill a keeper",
        })
    }
}

/// Something that was done to the gateway.
#[derive(Clone, Debug)]
pub struct Kill {
    pub sort: Sort,
    /// Since the traffic began.
    pub at: Duration,
    /// Until the pair was whole again, if that was waited for.
    pub whole_after: Option<Duration>,
}

/// Hurts one gateway, again and again.
pub(super) struct Killer<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) recorder: &'a Recorder,
    pub(super) luck: Luck,
    /// All of them, if empty.
    pub(super) only: &'a [Sort],
    pub(super) shape: Shape,
    pub(super) kills: Vec<Kill>,
    /// Processes that died since the pair was last seen whole.
    pub(super) gone: Vec<u32>,
}

impl Killer<'_> {
    /// Hurts it once, in a way that the seed chooses.
    pub(super) fn strike(&mut self) -> anyhow::Result<()> {
        let weights = match self.shape {
            Shape::Pair => WEIGHTS.as_slice(),
            Shape::OneProcess => &ONE_PROCESS_WEIGHTS,
        };
        let choices: Vec<(u64, Sort)> = weights
            .iter()
            .copied()
            .filter(|(_, sort)| self.only.is_empty() || self.only.contains(sort))
            .collect();
        let sort = self.luck.weighted(&choices);
        let (start, at) = (Instant::now(), self.recorder.elapsed());
        self.perform(sort).with_context(|| format!("at kill {}: {sort}", self.kills.len() + 1))?;

        let at_once = sort.may_be_followed_at_once() && self.luck.between(0..8) == 0;
        let whole_after = if at_once { None } else { Some(self.wait_whole(start)?) };
        self.kills.push(Kill { sort, at, whole_after });
        Ok(())
    }

    /// Waits until the dead have been replaced and the pair is whole.
    pub(super) fn wait_whole(&mut self, since: Instant) -> anyhow::Result<Duration> {
        self.gateway.wait_ready_without(&self.gone)?;
        self.gone.clear();
        Ok(since.elapsed())
    }

    fn perform(&mut self, sort: Sort) -> anyhow::Result<()> {
        let shape = self.shape;
        let worker = |slot| match shape {
            Shape::Pair => Process::Worker(slot),
            Shape::OneProcess => Process::Master,
        };
        let active = self.active();
        let standby = active.other();
        match sort {
            Sort::Active => self.signal(sort, worker(active), Signal::KILL),
            Sort::Standby => self.signal(sort, worker(standby), Signal::KILL),
            Sort::Master => self.signal(sort, Process::Master, Signal::KILL),
            Sort::Supervisor => self.kill_supervisor(),
            Sort::Both => self.kill_two(sort, active, Duration::ZERO),
            Sort::Heir => {
                let later = self.luck.duration(Duration::ZERO..Duration::from_millis(5));
                self.kill_two(sort, active, later)
            }
            Sort::StopActive => self.stop(sort, worker(active)),
            Sort::StopStandby => self.stop(sort, worker(standby)),
            Sort::StopMaster => self.stop(sort, Process::Master),
            Sort::Segv => self.crash(worker(active)),
            Sort::Broadcast => self.signal(sort, Process::Broadcast, Signal::KILL),
            Sort::Keeper => self.kill_keeper(),
        }
    }

    /// The worker that serves; any, while nobody says so.
    fn active(&mut self) -> Slot {
        let chance = Slot::ALL[usize::try_from(self.luck.between(0..2)).unwrap()];
        self.gateway.status().and_then(|status| status.active).unwrap_or(chance)
    }

    fn mark(&mut self, sort: Sort, process: Process, pid: u32) {
        let number = self.kills.len() + 1;
        self.recorder.mark(format!("kill {number}: {sort} ({process}, pid {pid})"));
        self.gone.push(pid);
    }

    fn signal(&mut self, sort: Sort, process: Process, signal: Signal) -> anyhow::Result<()> {
        let victim = self.gateway.wait_process(process)?;
        self.mark(sort, process, victim.pid());
        Ok(victim.signal(signal)?)
    }

    fn kill_supervisor(&mut self) -> anyhow::Result<()> {
        let victim = self.gateway.wait_process(Process::Supervisor)?;
        self.mark(Sort::Supervisor, Process::Supervisor, victim.pid());
        victim.signal(Signal::KILL)?;
        // The status may not show it, so its file is what tells that another one is there.
        let is_new = || self.gateway.process(Process::Supervisor).is_ok();
        victim.ends_within(DEADLINE);
        crate::wait::until("another supervisor", DEADLINE, || is_new().then_some(()))?;
        Ok(())
    }

    fn kill_two(&mut self, sort: Sort, first: Slot, later: Duration) -> anyhow::Result<()> {
        let (first, second) = (Process::Worker(first), Process::Worker(first.other()));
        let victims = (self.gateway.wait_process(first)?, self.gateway.wait_process(second)?);
        self.mark(sort, first, victims.0.pid());
        victims.0.signal(Signal::KILL)?;
        if !later.is_zero() {
            thread::sleep(later);
        }
        self.mark(sort, second, victims.1.pid());
        Ok(victims.1.signal(Signal::KILL)?)
    }

    /// Stops a process, which must be noticed and cost it its life.
    fn stop(&mut self, sort: Sort, process: Process) -> anyhow::Result<()> {
        let victim = self.gateway.wait_process(process)?;
        self.mark(sort, process, victim.pid());
        victim.signal(Signal::STOP)?;
        if victim.ends_within(DEADLINE) {
            return Ok(());
        }
        victim.signal(Signal::CONT)?;
        bail!("nobody noticed for {DEADLINE:?} that the {process} stood still");
    }

    fn crash(&mut self, process: Process) -> anyhow::Result<()> {
        self.signal(Sort::Segv, process, Signal::SEGV)?;
        remove_core_dumps(&self.gateway.path().join("state"));
        Ok(())
    }

    fn kill_keeper(&mut self) -> anyhow::Result<()> {
        let chance = usize::try_from(self.luck.between(0..3)).unwrap();
        let process = match self.shape {
            Shape::Pair => Process::KEPT[chance],
            Shape::OneProcess => Process::Master,
        };
        // Only a whole pair has a keeper for each, and only then is this one death.
        self.wait_whole(Instant::now())?;
        let victim: children::Process = self.gateway.keeper(process)?;
        self.mark(Sort::Keeper, process, victim.pid());
        Ok(victim.signal(Signal::KILL)?)
    }
}

/// Removes what earlier crashes left: a run must not fill the disk.
fn remove_core_dumps(state: &Path) {
    for entry in fs::read_dir(state).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("core") {
            fs::remove_file(entry.path()).ok();
        }
    }
}
