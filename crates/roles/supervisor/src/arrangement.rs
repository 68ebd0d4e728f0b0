//! Making the gateway what it is to be: a pair of workers, or one process.
//!
//! ```text
//!                 host.toml says otherwise             it is what it is to be
//!  (nothing) ─────────────────────────────▶ Forth ─────────────────────────────▶ done
//!                                             │ a step takes too long
//!                                             ▼                                 it is again
//!                                           Back ─────────────────────────────▶ failed
//! ```
//!
//! Which step is next, [`mainstay_supervise::plan`] says in every turn, from what runs; so it
//! says it to a supervisor too that was killed in the middle. Here it is performed, and whoever
//! asked is told.
//!
//! # Not here
//!
//! What host.toml says: `mainstay ha` changes it, or whoever edits it.
//!
//! Source: decision 0011.

use std::fs;

use anyhow::anyhow;
use mainstay_config::host::{Ha, TrialHa};
use mainstay_message::send;
use mainstay_model::{Chain, Process, Slot, Timestamp};
use mainstay_os::{Channel, now};
use mainstay_supervise::{Arrangement, Condition, Course, Facts, Plan, Presence, Zero, plan};
use mainstay_wire::event::Event;
use mainstay_wire::upgrade::ToOperator;
use tracing::{info, warn};

use crate::children::{Asked, Child, State};
use crate::settings;
use crate::token::place;
use crate::turn::{Phase, Supervisor};

/// A change that an operator asked for.
#[derive(Debug)]
pub(crate) struct Change {
    operator: Channel,
    until: Timestamp,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Forth { from: Arrangement },
    Back { reason: String },
}

impl Change {
    /// When something is due.
    pub(crate) const fn until(&self) -> Timestamp {
        self.until
    }

    /// Tells whoever asked. They may have gone; the change goes on.
    fn tell(&self, message: &ToOperator) {
        if let Err(error) = send(&self.operator, message, &[]) {
            info!(error = %Chain(&error), "whoever asked for the change is not told");
        }
    }
}

/// What the gateway is to be.
pub(crate) const fn wanted(ha: Ha) -> Arrangement {
    match ha {
        Ha::Enabled => Arrangement::Pair,
        Ha::Disabled => Arrangement::OneProcess,
    }
}

/// What the process at index 0 is, by the words that it was started with.
pub(crate) fn zero_of(pid: u32) -> Zero {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    read_zero(&line)
}

fn read_zero(line: &[u8]) -> Zero {
    let words: Vec<&[u8]> = line.split(|&byte| byte == 0).collect();
    match *words.as_slice() {
        [_, b"gateway", b"--slot", b"two", ..] => Zero::Gateway(Slot::Two),
        [_, b"gateway", ..] => Zero::Gateway(Slot::One),
        _ => Zero::Master,
    }
}

impl Supervisor {
    /// Has the gateway become what host.toml says now.
    pub(crate) fn asked_to_arrange(&mut self, operator: Channel) {
        let ha = settings::read(&self.settings.file).map(|settings| settings.host.ha);
        let begun = match ha {
            Err(error) => Err(error),
            Ok(_) if !matches!(self.phase, Phase::Gathering(_) | Phase::Running) => {
                Err(anyhow!("the gateway is being stopped"))
            }
            Ok(_) if self.upgrade.is_some() => Err(anyhow!("an upgrade is under way")),
            Ok(_) if self.change.is_some() => Err(anyhow!("another change is under way")),
            Ok(ha) => Ok(ha),
        };
        match begun {
            Ok(ha) => {
                info!(?ha, "gateway is asked to become what host.toml says");
                let from = self.target;
                self.settings.host.ha = ha;
                self.target = wanted(ha);
                let until = now() + self.settings.host.upgrade.timeout;
                self.change = Some(Change { operator, until, way: Way::Forth { from } });
            }
            Err(error) => {
                let reason = Chain(error.as_ref()).to_string();
                warn!(reason, "change is refused");
                let until = now();
                let way = Way::Forth { from: self.target };
                Change { operator, until, way }.tell(&ToOperator::Failed { reason });
            }
        }
    }

    /// Whether it is on its way from one arrangement to the other.
    pub(crate) fn is_changing(&self) -> bool {
        self.change.is_some()
            || self.target
                != match self.zero {
                    Zero::Master => Arrangement::Pair,
                    Zero::Gateway(_) => Arrangement::OneProcess,
                }
    }

    /// Takes the next step, if there is one.
    pub(crate) fn arrange(&mut self, now: Timestamp) {
        if self.phase != Phase::Running {
            return;
        }
        let facts = self.facts();
        self.follow_plan(&plan(self.target, &facts), now);
        self.go_on_with_change(&facts, now);
    }

    fn facts(&self) -> Facts {
        let presence = |process| {
            let is_here = self.life_of(process).is_some();
            if is_here { Presence::Here } else { Presence::Away }
        };
        Facts {
            zero: self.life_of(Process::Master).map(|_| self.zero),
            course: self.life_of(Process::Master).map_or(Course::Stays, |life| life.course),
            broadcast: presence(Process::Broadcast),
            workers: Slot::ALL.map(|slot| presence(Process::Worker(slot))),
            active: self.pair.active,
            condition: if self.is_whole() { Condition::Whole } else { Condition::Disturbed },
        }
    }

    fn follow_plan(&mut self, plan: &Plan, now: Timestamp) {
        for child in &mut self.children {
            let is_wanted = plan.wants(child.process);
            match child.state {
                State::Due(_) if !is_wanted => {
                    child.state = State::Ended;
                    if let Err(error) = self.directory.forget(child.process) {
                        warn!(process = %child.process, %error, "cannot remove the file of a process");
                    }
                    self.telling.note(&Event::ProcessUnneeded { process: child.process });
                }
                State::Ended if is_wanted => child.state = State::Due(now),
                State::Due(_) | State::Ended | State::Alive(_) => {}
            }
        }
        if self.life_of(Process::Master).is_none()
            && let Some(zero) = plan.zero
        {
            self.zero = zero;
        }
        for &process in &plan.asked {
            self.ask_to_give_way(process, now);
        }
    }

    /// Asks a process to end for good; once.
    fn ask_to_give_way(&mut self, process: Process, now: Timestamp) {
        let Some(life) = self.child_mut(place(process)).and_then(Child::life_mut) else { return };
        if life.asked == Asked::Yes {
            return;
        }
        life.asked = Asked::Yes;
        info!(%process, pid = life.pid, "process is asked to end, its work is another's now");
        if let Err(error) = life.pidfd.terminate() {
            warn!(%process, %error, "cannot ask a process to end");
        }
        let timeout = self.settings.host.upgrade.timeout;
        if let Some(change) = &mut self.change {
            change.until = now + timeout;
            change.tell(&ToOperator::Step { sentence: format!("{process}: asked to hand over") });
        }
    }

    fn go_on_with_change(&mut self, facts: &Facts, now: Timestamp) {
        let Some(change) = &self.change else { return };
        let is_late = now >= change.until;
        let is_done = facts.are(self.target);
        match (&change.way, is_done) {
            (Way::Forth { .. }, true) => {
                info!(arrangement = %self.target, "gateway is what host.toml says");
                self.telling.note(&Event::Rearranged { arrangement: self.target.to_string() });
                self.end_change(&ToOperator::Done {
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                });
            }
            (Way::Back { reason }, true) => {
                let reason = reason.clone();
                self.change_failed(reason);
            }
            (Way::Forth { from }, false) if is_late && facts.is_made(*from) => {
                // Nothing was done: there was never a moment for it.
                self.target = *from;
                let reason = "the gateway was not whole in time".to_owned();
                warn!(reason, "change is given up");
                self.change_failed(reason);
            }
            (Way::Forth { from }, false) if is_late || self.is_trial(facts) => {
                let reason = format!("it is not {} in time", self.target);
                warn!(reason, "gateway becomes what it was");
                self.target = *from;
                let until = now + self.settings.host.upgrade.timeout;
                if let Some(change) = &mut self.change {
                    change.tell(&ToOperator::Step { sentence: format!("going back: {reason}") });
                    change.until = until;
                    change.way = Way::Back { reason };
                }
            }
            (Way::Back { reason }, false) if is_late => {
                let reason = format!("{reason}; and it is not {} again either", self.target);
                self.change_failed(reason);
            }
            (Way::Forth { .. } | Way::Back { .. }, false) => {}
        }
    }

    /// Whether it is to fail for a drill, and has begun to be another.
    fn is_trial(&self, facts: &Facts) -> bool {
        let has_begun = match (self.target, facts.zero) {
            (Arrangement::Pair, Some(Zero::Master))
            | (Arrangement::OneProcess, Some(Zero::Gateway(_))) => true,
            (Arrangement::Pair | Arrangement::OneProcess, _) => false,
        };
        has_begun && self.settings.host.trial.ha == TrialHa::Fails
    }

    /// The gateway stops, whatever it is made of.
    pub(crate) fn give_up_change(&mut self) {
        self.end_change(&ToOperator::Failed { reason: "the gateway is being stopped".to_owned() });
    }

    fn change_failed(&mut self, reason: String) {
        self.telling.note(&Event::RearrangementFailed { reason: reason.clone() });
        self.end_change(&ToOperator::Failed { reason });
    }

    fn end_change(&mut self, message: &ToOperator) {
        if let Some(change) = self.change.take() {
            change.tell(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_process_tell_what_it_is() {
        let zero = |line: &str| read_zero(line.replace(' ', "\0").as_bytes());
        assert_eq!(zero("mainstay master --host /h "), Zero::Master);
        assert_eq!(zero("mainstay gateway --slot one --host /h "), Zero::Gateway(Slot::One));
        assert_eq!(zero("mainstay gateway --slot two --host /h "), Zero::Gateway(Slot::Two));
        assert_eq!(zero(""), Zero::Master);
    }
}
