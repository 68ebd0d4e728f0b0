//! A whole gateway in one thread: the real machines, a made-up network, and bad luck.
//!
//! Everything random comes from the seed, so a failure is a number anyone can run again:
//! `cargo xtask sim gateway --seed 8181`.

use std::fmt;
use std::time::Duration;

use mainstay_model::Process as Role;

use crate::action::{Action, pick};
use crate::check::{Broken, Finding, Invariant, liveness, safety};
use crate::history::History;
use crate::luck::Luck;
use crate::play;
use crate::world::{Body, Flaw, Pid, World};

/// Rounds in which everything under way must arrive once the bad luck stopped. A round is
/// 100 ms, and the longest waits are the master's for a first word, of ten seconds, and the
/// supervisor's after a death, of five.
const CALM_ROUNDS: u32 = 250;

/// Plays `steps` random actions, checking every invariant after each.
pub fn run(seed: u64, steps: u32) -> Result<(), Box<Broken>> {
    run_flawed(seed, steps, None)
}

/// The same, in a world that leaves a rule out.
pub fn run_flawed(seed: u64, steps: u32, flaw: Option<Flaw>) -> Result<(), Box<Broken>> {
    play::run::<World>(seed, steps, flaw)
}

/// Plays a history again. `watch` sees every action before it happens and the world in which
/// it will, and in the end the world after the calm.
pub fn replay(
    history: &History,
    mut watch: impl FnMut(Option<&Action>, &dyn fmt::Display),
) -> Result<(), Box<Broken>> {
    play::replay::<World>(history, |action, world| watch(action, world))
}

/// The same failure, from as few actions as can be found by leaving some out.
pub fn shorten(broken: Box<Broken>) -> Box<Broken> {
    play::shorten::<World>(broken)
}

impl play::World for World {
    type Action = Action;
    type Flaw = Flaw;
    type Invariant = Invariant;

    fn new(_seed: u64, flaw: Option<Flaw>) -> Self {
        Self::new(flaw)
    }

    fn draw(luck: &mut Luck) -> Action {
        Action::any(luck)
    }

    fn perform(&mut self, action: Action) -> Option<()> {
        Self::perform(self, action)
    }

    fn safety(&self) -> Result<(), Finding> {
        safety(self)
    }

    /// Who hangs goes on hanging: the master has to find out.
    fn calm_down(&mut self) -> Result<(), Finding> {
        for _ in 0..CALM_ROUNDS {
            for action in calm_round(self.estates.len()) {
                let _nothing_to_do = self.perform(action);
            }
            safety(self)?;
            if liveness(self).is_ok() {
                break;
            }
        }
        liveness(self)
    }
}

impl World {
    /// Does it, or returns `None` if there is nothing to do it to.
    fn perform(&mut self, action: Action) -> Option<()> {
        match action {
            Action::Connect { listener } => self.connect(listener),
            Action::AdvanceClock { milliseconds } => {
                self.now = self.now + Duration::from_millis(u64::from(milliseconds));
                Some(())
            }
            Action::DeliverToMaster { link } => self.deliver_to_master(link),
            Action::DeliverToWorker { link } => self.deliver_to_worker(link),
            Action::Notice { notice } => self.notice(notice),
            Action::Watch { worker } => self.watch(worker),
            Action::Tick => self.tick(),
            Action::MasterAccept => self.master_accept(),
            Action::HandOff => self.hand_off(),
            Action::HandOffFails => self.hand_off_fails(),
            Action::CloseSent => self.close_sent(),
            Action::Refuse => self.refuse(),
            Action::Run { worker } => self.run_worker(worker),
            Action::Accept { worker } => self.accept(worker),
            Action::ReadLane { worker } => self.read_lane(worker),
            Action::Work { worker, connection } => self.work(worker, connection),
            Action::Claim { estate } => self.claim(estate),
            Action::Take { offer } => self.take(offer),
            Action::Answer { worker } => self.answer(worker),
            Action::Keep { estate } => self.keep(estate),
            Action::Spawn { process } => self.spawn(process),
            Action::Swap => self.swap(),
            Action::Leave { worker } => self.leave(worker),
            Action::Kill { process } => {
                let pid = pick(&self.killable(), process)?;
                self.end(pid, Body::Dead)
            }
            Action::DumpCore { worker } => {
                let living = self.workers(|process| process.body.may_act());
                self.end(pick(&living, worker)?, Body::Dumping)
            }
            Action::Reap { worker } => {
                let dumping = self.workers(|process| process.body == Body::Dumping);
                self.end(pick(&dumping, worker)?, Body::Dead)
            }
            Action::Hang { worker } => {
                let pid = pick(&self.running(), worker)?;
                self.process_mut(pid).body = Body::Stopped { since: self.now };
                Some(())
            }
            Action::Wake { worker } => {
                let stopped = self.workers(|process| matches!(process.body, Body::Stopped { .. }));
                let pid = pick(&stopped, worker)?;
                self.process_mut(pid).body = Body::Running;
                Some(())
            }
        }
    }

    fn killable(&self) -> Vec<Pid> {
        let mut living = self.workers(|process| process.body != Body::Dead);
        living.extend(self.master.as_ref().map(|master| master.pid));
        living
    }
}

/// Everything that does good, for every index that there can be.
fn calm_round(estates: usize) -> impl Iterator<Item = Action> {
    let each = (0..2).flat_map(|worker| {
        [
            Action::Spawn { process: worker },
            Action::Run { worker },
            Action::DeliverToMaster { link: worker },
            Action::DeliverToWorker { link: worker },
            Action::Notice { notice: worker },
            Action::Watch { worker },
            Action::Reap { worker },
            Action::Accept { worker },
            Action::ReadLane { worker },
            Action::Work { worker, connection: 0 },
            Action::Claim { estate: worker },
            Action::Take { offer: worker },
            Action::Answer { worker },
            Action::Work { worker, connection: 1 },
        ]
    });
    let master = [
        Action::MasterAccept,
        Action::HandOff,
        Action::CloseSent,
        Action::AdvanceClock { milliseconds: 100 },
        Action::Tick,
    ];
    let keepers = (0..estates).map(|estate| Action::Keep { estate });
    each.chain(master).chain(keepers)
}

impl fmt::Display for World {
    /// Every process that matters, a line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [leased, masters] = &self.queues;
        writeln!(f, "  at {} µs, queues {leased:?} {masters:?}", self.now.micros())?;
        if let Some(master) = &self.master {
            writeln!(f, "  master {:?} knows {:?}, {:?}", master.pid, master.known, master.lease)?;
        }
        for (pid, process) in self.processes.iter().enumerate() {
            let estate = self.estates.contains(&Pid(pid));
            if !process.body.may_act() && !estate {
                continue;
            }
            let Role::Worker(slot) = process.role else {
                writeln!(f, "  {pid} master {:?} {:?}", process.body, process.table)?;
                continue;
            };
            writeln!(f, "  {pid} worker {slot} {:?} {:?}", process.body, process.mind)?;
            writeln!(f, "    {:?}", process.table)?;
            if estate {
                writeln!(f, "    {:?}", process.keeper)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_history_breaks_the_same_invariant() {
        let long = run_flawed(0, 500, Some(Flaw::FailedBatchIsDropped)).unwrap_err();
        let (invariant, actions) = (long.invariant, long.history.actions.len());
        let short = shorten(long);
        assert_eq!(short.invariant, invariant);
        assert!(short.history.actions.len() < actions / 2, "{:?}", short.history.actions);
    }
}
