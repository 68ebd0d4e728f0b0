//! Which processes a gateway is made of, and the way from one arrangement to the other with
//! nothing closed.
//!
//! ```text
//!  the pair                                                       one process
//!  master, broadcast, active, standby                             gateway
//!       │ the standby is asked to end                                 ▲
//!       ▼                                                             │
//!  master, broadcast, active                                          │
//!       │ master and broadcast are asked to end                       │
//!       ▼                                                             │
//!  active ──▶ gateway (as standby), active ── the active is asked ────┘
//!             to hand over to it
//!
//!  gateway ──▶ gateway, standby ── the gateway is asked to hand over to it ──▶ active
//!  active ──▶ master, broadcast, active, standby
//! ```
//!
//! The one process is a master, a broadcast and a worker in one, so to a worker beside it it is
//! the other half of a pair: each step is one that a pair takes when a process dies or makes way.
//!
//! # Invariants
//!
//! 1. A [`plan`] follows from what runs and from nothing else: a supervisor that was killed in
//!    the middle goes on from where it finds things.
//! 2. Nobody is asked to end while the gateway is not whole, but who serves nobody and whose place
//!    is needed.
//! 3. There is one process at index 0, and one that holds the ports of broadcast.
//!
//! # Not here
//!
//! Which worker serves, and how what is open goes from one to the other: `mainstay-pair`.

use std::fmt;

use mainstay_model::{Process, Slot};

/// What a gateway is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrangement {
    Pair,
    OneProcess,
}

impl fmt::Display for Arrangement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pair => "a pair",
            Self::OneProcess => "one process",
        })
    }
}

/// What the process at index 0 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zero {
    /// The master of a pair.
    Master,
    /// Everything in one; towards a worker beside it, it is the worker in this slot.
    Gateway(Slot),
}

/// Whether the process at index 0 goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    Stays,
    /// It is one process, cannot be protected any more, and goes when a worker takes over.
    Goes,
}

/// Whether a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Here,
    Away,
}

/// Whether every process that there should be does its work, and nothing is being changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Whole,
    Disturbed,
}

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub zero: Option<Zero>,
    pub course: Course,
    pub broadcast: Presence,
    /// By slot.
    pub workers: [Presence; 2],
    /// Who serves, as the process at index 0 said last.
    pub active: Option<Slot>,
    pub condition: Condition,
}

/// What is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What is started at index 0, if nothing is there.
    pub zero: Option<Zero>,
    /// Who else is started again when it is not there.
    pub wanted: Vec<Process>,
    /// Who is asked to end now.
    pub asked: Vec<Process>,
}

/// What is to be done so that the gateway becomes, or stays, what it is to be.
#[must_use]
pub fn plan(target: Arrangement, facts: &Facts) -> Plan {
    match target {
        Arrangement::Pair => to_pair(facts),
        Arrangement::OneProcess => to_one_process(facts),
    }
}

fn to_pair(facts: &Facts) -> Plan {
    match facts.zero {
        Some(Zero::Master) | None => Plan::pair(),
        Some(Zero::Gateway(slot)) => {
            let other = slot.other();
            let is_ready = facts.has(other) && facts.condition == Condition::Whole;
            Plan {
                // Until then it is started again as what it is: somebody has to serve.
                zero: Some(Zero::Gateway(slot)),
                wanted: vec![Process::Worker(other)],
                asked: if is_ready { vec![Process::Master] } else { Vec::new() },
            }
        }
    }
}

fn to_one_process(facts: &Facts) -> Plan {
    match (facts.zero, facts.active) {
        (Some(Zero::Gateway(slot)), _) => {
            let mut asked = facts.here(&[Process::Broadcast, Process::Worker(slot)]);
            if facts.course == Course::Goes {
                let wanted = vec![Process::Worker(slot.other())];
                return Plan { zero: Some(Zero::Gateway(slot)), wanted, asked };
            }
            if facts.condition == Condition::Whole {
                asked.extend(facts.here(&[Process::Worker(slot.other())]));
            }
            Plan { zero: Some(Zero::Gateway(slot)), wanted: Vec::new(), asked }
        }
        // Nobody serves, or a new master has not found out who does.
        (Some(Zero::Master), None) => Plan::pair(),
        (Some(Zero::Master), Some(active)) if facts.has(active.other()) => {
            let is_whole = facts.condition == Condition::Whole;
            let asked = if is_whole { vec![Process::Worker(active.other())] } else { Vec::new() };
            Plan { asked, ..Plan::pair() }
        }
        (Some(Zero::Master), Some(active)) => Plan {
            zero: None,
            wanted: vec![Process::Worker(active)],
            asked: facts.here(&[Process::Master, Process::Broadcast]),
        },
        (None, _) => nobody_at_zero(facts),
    }
}

/// The place at index 0 is free: for the one process, if the one slot that it takes is free too.
fn nobody_at_zero(facts: &Facts) -> Plan {
    let slot = match (facts.has(Slot::One), facts.has(Slot::Two)) {
        // Only a master finds out which of them serves.
        (true, true) => return Plan::pair(),
        (true, false) => Slot::Two,
        (false, _) => Slot::One,
    };
    // Broadcast has to let go of its ports first.
    let asked = facts.here(&[Process::Broadcast]);
    let zero = if asked.is_empty() { Some(Zero::Gateway(slot)) } else { None };
    Plan { zero, wanted: Vec::new(), asked }
}

impl Facts {
    /// Whether the gateway is what it is to be, and whole.
    pub fn are(&self, target: Arrangement) -> bool {
        self.is_made(target) && self.condition == Condition::Whole
    }

    /// Whether it is made of what it is to be made of.
    pub fn is_made(&self, target: Arrangement) -> bool {
        let others = [Process::Broadcast, Process::Worker(Slot::One), Process::Worker(Slot::Two)];
        let count = self.here(&others).len();
        match (target, self.zero) {
            (Arrangement::Pair, Some(Zero::Master)) => count == others.len(),
            (Arrangement::OneProcess, Some(Zero::Gateway(slot))) => {
                count == 0 && self.active == Some(slot)
            }
            (Arrangement::Pair | Arrangement::OneProcess, _) => false,
        }
    }

    fn has(&self, slot: Slot) -> bool {
        !self.here(&[Process::Worker(slot)]).is_empty()
    }

    /// Who of these runs.
    fn here(&self, processes: &[Process]) -> Vec<Process> {
        let [one, two] = self.workers;
        let presence = |process: &Process| match process {
            Process::Supervisor => Presence::Here,
            Process::Master if self.zero.is_some() => Presence::Here,
            Process::Master => Presence::Away,
            Process::Broadcast => self.broadcast,
            Process::Worker(Slot::One) => one,
            Process::Worker(Slot::Two) => two,
        };
        let is_here = |process: &Process| presence(process) == Presence::Here;
        processes.iter().copied().filter(is_here).collect()
    }
}

impl Plan {
    /// Everyone of a pair, and nobody has to go.
    fn pair() -> Self {
        let workers = Slot::ALL.map(Process::Worker);
        Self {
            zero: Some(Zero::Master),
            wanted: [Process::Broadcast].into_iter().chain(workers).collect(),
            asked: Vec::new(),
        }
    }

    /// Whether a process is started again when it is not there.
    pub fn wants(&self, process: Process) -> bool {
        match process {
            Process::Master => self.zero.is_some(),
            Process::Supervisor | Process::Broadcast | Process::Worker(_) => {
                self.wanted.contains(&process)
            }
        }
    }
}

#[cfg(test)]
mod tests;
