//! A worker: it greets masters, takes and gives back the lease, and serves.

use std::collections::VecDeque;

use mainstay_model::Process as Role;
use mainstay_wire::frame::WIRE_VERSION;
use mainstay_wire::pair::{Serving, ToMaster, ToWorker};

use crate::action::pick;
use crate::world::{Body, Built, Entry, Flaw, Link, Phase, Pid, Stay, World};

impl World {
    /// A worker does the next thing for itself.
    pub(crate) fn run_worker(&mut self, worker: usize) -> Option<()> {
        let pid = pick(&self.running(), worker)?;
        let master = self.master.as_ref().map(|master| master.pid);
        let mind = &self.process(pid).mind;
        if mind.stay == Stay::Released {
            // It offers what it has as the dead do, through its keeper.
            self.end(pid, Body::Dead);
        } else if let Some(master) = master
            && mind.link.as_ref().is_none_or(|link| link.master != master)
        {
            self.greet(pid, master);
        } else if mind.built == Built::No {
            self.process_mut(pid).mind.built = Built::Yes;
            self.say(pid, ToMaster::Ready);
        } else {
            return None;
        }
        Some(())
    }

    /// Connects to a new master. Everything that the old one said is acted on first: it may
    /// have given the lease, and told a third party so.
    fn greet(&mut self, pid: Pid, master: Pid) {
        while !self.has(Flaw::OldMasterIsForgotten) && self.hear(pid).is_some() {}
        let process = self.process_mut(pid);
        let Role::Worker(slot) = process.role else { return };
        let number = u32::try_from(pid.0).unwrap_or(u32::MAX);
        let mind = &mut process.mind;
        if mind.stay == Stay::Released {
            return;
        }
        let mut up = VecDeque::from([ToMaster::Hello {
            wire: WIRE_VERSION,
            slot,
            pid: number,
            keeper_pid: number,
            serving: mind.serving,
            threads: 1,
        }]);
        if mind.built == Built::Yes {
            up.push_back(ToMaster::Ready);
        }
        if mind.stay == Stay::Leaving {
            up.push_back(ToMaster::Leaving);
        }
        mind.link = Some(Link { master, up, down: VecDeque::new() });
    }

    fn say(&mut self, pid: Pid, message: ToMaster) {
        if let Some(link) = self.process_mut(pid).mind.link.as_mut() {
            link.up.push_back(message);
        }
    }

    /// The oldest message of one link reaches its worker.
    pub(crate) fn deliver_to_worker(&mut self, link: usize) -> Option<()> {
        let full = self.workers(|process| {
            let link = process.mind.link.as_ref();
            process.body == Body::Running && link.is_some_and(|link| !link.down.is_empty())
        });
        self.hear(pick(&full, link)?)
    }

    /// Acts on one message, if there is one.
    fn hear(&mut self, pid: Pid) -> Option<()> {
        let mind = &mut self.process_mut(pid).mind;
        match mind.link.as_mut()?.down.pop_front()? {
            ToWorker::Serve => {
                if mind.stay != Stay::Released {
                    mind.serving = Serving::Active;
                }
            }
            ToWorker::Revoke => {
                // Who gives the lease back is the heir of what was left until then.
                let was = std::mem::replace(&mut mind.serving, Serving::Standby);
                if mind.stay == Stay::Leaving {
                    mind.stay = Stay::Released;
                }
                if was == Serving::Active && !self.has(Flaw::RevokedBeforeClaims) {
                    self.claim_everything(pid);
                }
                self.say(pid, ToMaster::Revoked);
            }
            // There is one generation here.
            ToWorker::Welcome { .. }
            | ToWorker::Listeners { .. }
            | ToWorker::HandOver
            | ToWorker::Stop { .. } => {}
        }
        Some(())
    }

    pub(crate) fn leave(&mut self, worker: usize) -> Option<()> {
        let pid = pick(&self.running(), worker)?;
        let mind = &mut self.process_mut(pid).mind;
        let asks = mind.stay == Stay::Yes;
        if asks {
            mind.stay = Stay::Leaving;
            self.say(pid, ToMaster::Leaving);
        }
        asks.then_some(())
    }

    pub(crate) fn accept(&mut self, worker: usize) -> Option<()> {
        let leased = self.workers(|process| {
            process.body == Body::Running && process.mind.serving == Serving::Active
        });
        let pid = pick(&leased, worker)?;
        let [queue, _] = &mut self.queues;
        let client = queue.pop_front()?;
        self.process_mut(pid).table.fresh.push(client);
        Some(())
    }

    /// A worker takes one handoff. It may have the connection already, from the estate of
    /// the master that sent it.
    pub(crate) fn read_lane(&mut self, worker: usize) -> Option<()> {
        let full =
            self.workers(|process| process.body == Body::Running && !process.table.lane.is_empty());
        let pid = pick(&full, worker)?;
        let twice = self.has(Flaw::SameConnectionTwice);
        let table = &mut self.process_mut(pid).table;
        let client = table.lane.pop_front()?;
        if twice || !table.knows(client) {
            table.fresh.push(client);
        }
        Some(())
    }

    /// A worker carries one connection one step on: gives it a slot, reads, answers.
    pub(crate) fn work(&mut self, worker: usize, connection: usize) -> Option<()> {
        let busy = self.workers(|process| {
            let table = &process.table;
            process.body == Body::Running && !(table.fresh.is_empty() && table.ledger.is_empty())
        });
        let pid = pick(&busy, worker)?;
        let early = self.has(Flaw::WorkBeforeAnswer);
        let table = &mut self.process_mut(pid).table;
        if let Some(client) = table.fresh.pop() {
            table.ledger.push(Entry { client, phase: Phase::Unread, unanswered: None });
            return Some(());
        }
        // What is not answered may be taken back by nobody, but is not ours to touch: see
        // the keeper's side of the protocol.
        let workable: Vec<usize> = (0..table.ledger.len())
            .filter(|at| {
                let entry = table.ledger.get(*at);
                early || entry.is_some_and(|entry| entry.unanswered.is_none())
            })
            .collect();
        let at = pick(&workable, connection)?;
        let entry = *table.ledger.get(at)?;
        let fate = self.fate(entry.client);
        match entry.phase {
            Phase::Unread if !fate.request_taken => {
                self.fate_mut(entry.client).request_taken = true;
                if let Some(entry) = self.process_mut(pid).table.ledger.get_mut(at) {
                    entry.phase = Phase::Read;
                }
            }
            // Nothing to read: the copy of a connection that was served meanwhile.
            Phase::Unread => {
                self.process_mut(pid).table.ledger.remove(at);
            }
            Phase::Read => {
                self.fate_mut(entry.client).answers += 1;
                self.process_mut(pid).table.ledger.remove(at);
            }
        }
        Some(())
    }
}
