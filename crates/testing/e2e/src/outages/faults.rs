//! What goes wrong, when, and for how long: drawn from one seed.
//!
//! About a third of the faults come alone: nothing else is wrong from some time before until some time
//! after, so that what agents did about it can be timed. The others come as they come.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;

use super::Options;
use super::world::{MANAGERS, Side, World};
use crate::luck::Luck;
use crate::network::Cable;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sort {
    ManagerKilled,
    ManagerStopped,
    CutOffFromAgents,
    CutOffFromDatabase,
    CutOff,
    AgentsKilled,
    PrimaryKilled,
}

impl Sort {
    const CHOICES: [(u64, Self); 6] = [
        (5, Self::ManagerKilled),
        (2, Self::ManagerStopped),
        (3, Self::CutOffFromAgents),
        (2, Self::CutOffFromDatabase),
        (1, Self::CutOff),
        (3, Self::AgentsKilled),
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ManagerKilled => "manager killed",
            Self::ManagerStopped => "manager stopped (SIGSTOP)",
            Self::CutOffFromAgents => "manager cut off from agents",
            Self::CutOffFromDatabase => "manager cut off from the database",
            Self::CutOff => "manager cut off from both",
            Self::AgentsKilled => "agents killed and started again",
            Self::PrimaryKilled => "primary killed, standby promoted",
        }
    }
}

/// Something that went wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) sort: Sort,
    /// Who it happened to, if it was a manager.
    pub(super) manager: Option<usize>,
    pub(super) is_alone: bool,
    /// In microseconds since 1970, the last instant at which it had not begun.
    pub(super) began_us: u64,
    /// The first instant at which it was over.
    pub(super) ended_us: u64,
}

/// What ends a fault, or leads on.
#[derive(Clone, Copy, Debug)]
enum Remedy {
    Start,
    Continue,
    Plug(Side),
    StartAgents { first: usize, count: usize },
    Promote,
    Follow,
}

#[derive(Clone, Copy, Debug)]
struct Due {
    at: Instant,
    fault: usize,
    remedy: Remedy,
}

/// How long a manager is away.
const KILLED: std::ops::Range<Duration> = Duration::from_millis(500)..Duration::from_secs(8);
const SILENT: std::ops::Range<Duration> = Duration::from_secs(7)..Duration::from_secs(12);

/// Between faults that do not come alone.
const PAUSE: std::ops::Range<Duration> = Duration::from_millis(200)..Duration::from_secs(3);

/// How long nothing is wrong, before a fault that comes alone and after it: time for agents to ask,
/// which they do every two seconds.
const QUIET: std::ops::Range<Duration> = Duration::from_secs(3)..Duration::from_secs(6);

/// How long somebody needs to find that the primary is gone, and to make another standby.
const FOUND: std::ops::Range<Duration> = Duration::from_secs(1)..Duration::from_secs(4);
const REBUILT: Duration = Duration::from_secs(10);

/// Most agents that die at once.
const AGENTS: u64 = 10;

/// Draws faults, and ends them.
#[derive(Debug)]
pub(super) struct Faults {
    luck: Luck,
    all: Vec<Fault>,
    due: Vec<Due>,
    /// When the next one comes at the earliest.
    next: Instant,
    is_next_alone: bool,
    /// When primaries are killed, the last first.
    promotions: Vec<Duration>,
}

impl Faults {
    pub(super) fn new(luck: Luck, options: &Options) -> Self {
        let part = Duration::from_secs(options.seconds) / (options.promotions + 1);
        let promotions = (1..=options.promotions).rev().map(|number| part * number).collect();
        Self {
            luck,
            all: Vec::new(),
            due: Vec::new(),
            next: Instant::now() + QUIET.start,
            is_next_alone: true,
            promotions,
        }
    }

    pub(super) fn all(&self) -> &[Fault] {
        &self.all
    }

    pub(super) fn into_all(self) -> Vec<Fault> {
        self.all
    }

    /// Does what is due; returns when something is due again.
    pub(super) fn act(&mut self, world: &mut World, elapsed: Duration) -> anyhow::Result<Instant> {
        while let Some(due) = self.take_due(Instant::now()) {
            self.remedy(world, due)?;
        }
        if Instant::now() >= self.next {
            if self.promotions.last().is_some_and(|at| *at <= elapsed) && !self.is_rebuilding() {
                self.promotions.pop();
                self.kill_primary(world)?;
            } else if !self.is_next_alone || self.due.is_empty() {
                self.strike(world)?;
            }
        }
        // Who has to wait until nothing is wrong waits for the last remedy.
        let waits = self.is_next_alone && !self.due.is_empty() && Instant::now() >= self.next;
        let next = Some(self.next).filter(|_| !waits);
        Ok(self.due.iter().map(|due| due.at).chain(next).min().unwrap_or(self.next))
    }

    /// Ends all that is wrong.
    pub(super) fn repair_all(&mut self, world: &mut World) -> anyhow::Result<()> {
        while let Some(last) = self.due.iter().map(|due| due.at).max() {
            if let Some(due) = self.take_due(last) {
                self.remedy(world, due)?;
            }
        }
        Ok(())
    }

    fn take_due(&mut self, now: Instant) -> Option<Due> {
        let due = self.due.iter().enumerate().filter(|(_, due)| due.at <= now);
        let (place, _) = due.min_by_key(|(_, due)| due.at)?;
        Some(self.due.swap_remove(place))
    }

    fn is_rebuilding(&self) -> bool {
        self.due.iter().any(|due| matches!(due.remedy, Remedy::Promote | Remedy::Follow))
    }

    fn is_hurt(&self, manager: usize) -> bool {
        let whose = |due: &Due| self.all.get(due.fault).and_then(|fault| fault.manager);
        self.due.iter().any(|due| whose(due) == Some(manager))
    }

    /// Something goes wrong, with somebody that nothing is wrong with.
    fn strike(&mut self, world: &mut World) -> anyhow::Result<()> {
        let sort = self.luck.weighted(&Sort::CHOICES);
        let manager = usize::try_from(self.luck.between(0..MANAGERS as u64))?;
        let is_alone = std::mem::replace(&mut self.is_next_alone, self.luck.between(0..3) == 0);
        let mut over = Instant::now();
        if sort == Sort::AgentsKilled {
            over = self.kill_agents(world, is_alone)?;
        } else if !self.is_hurt(manager) {
            over = self.hurt_manager(world, sort, manager, is_alone)?;
        }
        self.next = if is_alone {
            over + self.luck.duration(QUIET)
        } else {
            Instant::now() + self.luck.duration(PAUSE)
        };
        Ok(())
    }

    fn hurt_manager(
        &mut self,
        world: &mut World,
        sort: Sort,
        manager: usize,
        is_alone: bool,
    ) -> anyhow::Result<Instant> {
        let fault = self.begin(sort, Some(manager), is_alone);
        let (remedies, away): (&[Remedy], _) = match sort {
            Sort::ManagerKilled => {
                world.kill_manager(manager)?;
                (&[Remedy::Start], KILLED)
            }
            Sort::ManagerStopped => {
                world.signal_manager(manager, Signal::STOP)?;
                (&[Remedy::Continue], SILENT)
            }
            Sort::CutOffFromAgents => {
                world.cable(manager, Side::Front, Cable::Out)?;
                (&[Remedy::Plug(Side::Front)], SILENT)
            }
            Sort::CutOffFromDatabase => {
                world.cable(manager, Side::Back, Cable::Out)?;
                (&[Remedy::Plug(Side::Back)], SILENT)
            }
            Sort::CutOff => {
                world.cable(manager, Side::Front, Cable::Out)?;
                world.cable(manager, Side::Back, Cable::Out)?;
                (&[Remedy::Plug(Side::Front), Remedy::Plug(Side::Back)], SILENT)
            }
            Sort::AgentsKilled | Sort::PrimaryKilled => (&[], KILLED),
        };
        let at = Instant::now() + self.luck.duration(away);
        self.due.extend(remedies.iter().map(|&remedy| Due { at, fault, remedy }));
        Ok(at)
    }

    fn kill_agents(&mut self, world: &mut World, is_alone: bool) -> anyhow::Result<Instant> {
        let all = world.agents.len() as u64;
        let count = usize::try_from(self.luck.between(1..AGENTS.min(all) + 1))?;
        let first = usize::try_from(self.luck.between(0..all + 1 - count as u64))?;
        let is_down = |due: &Due| matches!(due.remedy, Remedy::StartAgents { .. });
        if self.due.iter().any(is_down) {
            // Some are down already; who comes back comes back once.
            return Ok(Instant::now());
        }
        let fault = self.begin(Sort::AgentsKilled, None, is_alone);
        for agent in first..first + count {
            world.kill_agent(agent)?;
        }
        let at = Instant::now() + self.luck.duration(KILLED);
        self.due.push(Due { at, fault, remedy: Remedy::StartAgents { first, count } });
        Ok(at)
    }

    fn kill_primary(&mut self, world: &mut World) -> anyhow::Result<()> {
        let fault = self.begin(Sort::PrimaryKilled, None, false);
        world.databases.kill_primary()?;
        let at = Instant::now() + self.luck.duration(FOUND);
        self.due.push(Due { at, fault, remedy: Remedy::Promote });
        Ok(())
    }

    fn begin(&mut self, sort: Sort, manager: Option<usize>, is_alone: bool) -> usize {
        self.all.push(Fault { sort, manager, is_alone, began_us: now_us(), ended_us: u64::MAX });
        self.all.len() - 1
    }

    fn remedy(&mut self, world: &mut World, due: Due) -> anyhow::Result<()> {
        let Some(fault) = self.all.get_mut(due.fault) else { return Ok(()) };
        let manager = fault.manager.unwrap_or_default();
        match due.remedy {
            Remedy::Start => world.start_manager(manager)?,
            Remedy::Continue => world.signal_manager(manager, Signal::CONT)?,
            Remedy::Plug(side) => world.cable(manager, side, Cable::In)?,
            Remedy::StartAgents { first, count } => {
                for agent in first..first + count {
                    world.start_agent(agent)?;
                }
            }
            Remedy::Promote => {
                world.databases.promote()?;
                let at = Instant::now() + REBUILT;
                self.due.push(Due { at, remedy: Remedy::Follow, ..due });
            }
            Remedy::Follow => world.databases.follow()?,
        }
        fault.ended_us = now_us();
        if self.due.is_empty() && self.is_next_alone {
            self.next = self.next.max(Instant::now() + self.luck.duration(QUIET));
        }
        Ok(())
    }
}

/// How often each sort came.
pub(super) fn tally(faults: &[Fault]) -> BTreeMap<&'static str, usize> {
    let mut times = BTreeMap::new();
    for fault in faults {
        *times.entry(fault.sort.name()).or_default() += 1;
    }
    times
}

fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
