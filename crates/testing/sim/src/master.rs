//! The master's loop: events to the lease, effects to the world, accepted connections to the
//! worker that serves.

use mainstay_model::{Process as Role, Slot};
use mainstay_pair::{Effect, Event, Lease, Living, Route};
use mainstay_wire::pair::{ToMaster, ToWorker};

use crate::action::pick;
use crate::world::{Body, Flaw, LIMITS, Master, Notice, Pid, World};

/// Most connections that the master takes out of a queue at once.
const BATCH_MAX: usize = 2;

/// Most connections that wait in a lane: a full one is back-pressure.
const LANE_MAX: usize = 4;

impl World {
    /// A master starts. It asks the system, not the supervisor, who lives.
    pub(crate) fn start_master(&mut self, pid: Pid) {
        let known = self
            .workers
            .map(|worker| worker.filter(|worker| self.process(*worker).body != Body::Dead));
        let living = known.map(|worker| match worker {
            Some(_) if !self.has(Flaw::MasterDoesNotLearn) => Living::Yes,
            Some(_) | None => Living::No,
        });
        let (lease, effects) = Lease::start(LIMITS, living, self.now);
        self.master = Some(Master { pid, lease, known, notices: Vec::new() });
        self.perform_effects(effects);
    }

    /// Tells the lease, and does what it says. What was sent is closed before: the lease may
    /// move now, and who gets it must not find a copy.
    pub(crate) fn tell(&mut self, event: Event) {
        if !self.has(Flaw::SentStaysOpen) {
            self.close_sent();
        }
        let Some(master) = self.master.as_mut() else { return };
        let (lease, effects) = master.lease.step(self.now, event);
        master.lease = lease;
        self.perform_effects(effects);
    }

    fn perform_effects(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Serve(slot) => self.send(slot, ToWorker::Serve),
                Effect::Revoke(slot) => {
                    self.send(slot, ToWorker::Revoke);
                    if self.has(Flaw::LeaseMovesAtRevoke) {
                        self.tell(Event::Revoked(slot));
                    }
                }
                Effect::Kill { slot, .. } => {
                    if let Some(pid) = self.known(slot) {
                        self.end(pid, Body::Dead);
                    }
                }
                // The lease's own route says so too, and that is what the master goes by.
                Effect::AcceptAndRefuse | Effect::StopRefusing | Effect::Report(_) => {}
            }
        }
    }

    fn known(&self, slot: Slot) -> Option<Pid> {
        let [one, two] = self.master.as_ref()?.known;
        match slot {
            Slot::One => one,
            Slot::Two => two,
        }
    }

    fn set_known(&mut self, slot: Slot, pid: Option<Pid>) {
        if let Some(Master { known: [one, two], .. }) = self.master.as_mut() {
            *match slot {
                Slot::One => one,
                Slot::Two => two,
            } = pid;
        }
    }

    fn send(&mut self, slot: Slot, message: ToWorker) {
        let master = self.master.as_ref().map(|master| master.pid);
        if let Some(pid) = self.known(slot)
            && let Some(link) = self.process_mut(pid).mind.link.as_mut()
            && Some(link.master) == master
        {
            link.down.push_back(message);
        }
    }

    /// The oldest message of one link reaches the master. What a dead worker said can still
    /// be read.
    pub(crate) fn deliver_to_master(&mut self, link: usize) -> Option<()> {
        let master = self.master.as_ref()?.pid;
        let full: Vec<Pid> = (0..self.processes.len())
            .map(Pid)
            .filter(|pid| {
                let link = self.process(*pid).mind.link.as_ref();
                link.is_some_and(|link| link.master == master && !link.up.is_empty())
            })
            .collect();
        let pid = pick(&full, link)?;
        let Role::Worker(slot) = self.process(pid).role else { return None };
        let message = self.process_mut(pid).mind.link.as_mut()?.up.pop_front()?;

        if let ToMaster::Hello { serving, .. } = message {
            // Its pidfd says that it is gone; the pid of the next one may be the same.
            if self.process(pid).body.may_act() {
                self.meet(slot, pid);
                self.tell(Event::Arrived { slot, serving });
            }
            return Some(());
        }
        if self.known(slot) != Some(pid) {
            return Some(());
        }
        match message {
            ToMaster::Ready => self.tell(Event::Ready(slot)),
            ToMaster::Revoked => self.tell(Event::Revoked(slot)),
            ToMaster::Leaving => self.tell(Event::Leaving(slot)),
            ToMaster::Hello { .. }
            | ToMaster::Outgrown
            | ToMaster::Adopted(_)
            | ToMaster::Told { .. } => {}
        }
        Some(())
    }

    fn bury(&mut self, slot: Slot) {
        self.set_known(slot, None);
        self.tell(Event::Died(slot));
    }

    /// The master hears of one birth or death.
    pub(crate) fn notice(&mut self, notice: usize) -> Option<()> {
        let master = self.master.as_mut()?;
        let notice = pick(&master.notices, notice)?;
        master.notices.retain(|other| *other != notice);
        let (Notice::Born(pid) | Notice::Died(pid)) = notice;
        let Role::Worker(slot) = self.process(pid).role else { return None };
        let known = self.known(slot) == Some(pid);
        match notice {
            Notice::Died(_) if known => self.bury(slot),
            Notice::Born(_) if !known && self.process(pid).body.may_act() => {
                self.meet(slot, pid);
                self.tell(Event::Started(slot));
            }
            // It has spoken, or is gone, or was followed by another.
            Notice::Born(_) | Notice::Died(_) => {}
        }
        Some(())
    }

    /// This process is in `slot` from now on. The supervisor starts one process for one slot,
    /// after the death of the last, so whoever was there is dead.
    fn meet(&mut self, slot: Slot, pid: Pid) {
        if self.known(slot).is_some_and(|known| known != pid) {
            self.bury(slot);
        }
        self.set_known(slot, Some(pid));
    }

    /// The master finds a heartbeat that stood still for too long.
    pub(crate) fn watch(&mut self, worker: usize) -> Option<()> {
        let now = self.now;
        let hung = self.workers(|process| {
            matches!(process.body, Body::Stopped { since } if now.since(since) >= LIMITS.hang)
        });
        let pid = pick(&hung, worker)?;
        let Role::Worker(slot) = self.process(pid).role else { return None };
        (self.known(slot) == Some(pid)).then(|| self.tell(Event::Hung(slot)))
    }

    /// The master's timer, if it is due.
    pub(crate) fn tick(&mut self) -> Option<()> {
        let due = self.master.as_ref()?.lease.wake_at()?;
        (due <= self.now).then(|| self.tell(Event::Tick))
    }

    /// An operator asks for an exchange.
    pub(crate) fn swap(&mut self) -> Option<()> {
        self.master.is_some().then(|| self.tell(Event::SwapRequested))
    }

    pub(crate) fn route(&self) -> Route {
        self.master.as_ref().map_or(Route::Wait, |master| master.lease.route())
    }

    pub(crate) fn master_accept(&mut self) -> Option<()> {
        let pid = self.master.as_ref()?.pid;
        let Route::To(_) = self.route() else { return None };
        let room = BATCH_MAX.saturating_sub(self.process(pid).table.fresh.len());
        let [_, queue] = &mut self.queues;
        let batch: Vec<_> = queue.drain(..room.min(queue.len())).collect();
        let accepted = !batch.is_empty();
        self.process_mut(pid).table.fresh.extend(batch);
        accepted.then_some(())
    }

    /// The master sends its batch, and keeps it until it closed it.
    pub(crate) fn hand_off(&mut self) -> Option<()> {
        let (from, slot, to) = self.handoff()?;
        if self.process(to).keeper.lanes_are_shut() {
            self.hand_off_failed(from, slot);
            return Some(());
        }
        if self.process(to).table.lane.len() >= LANE_MAX {
            return None;
        }
        let table = &mut self.process_mut(from).table;
        let batch = std::mem::take(&mut table.fresh);
        table.sent.extend(&batch);
        self.process_mut(to).table.lane.extend(batch);
        Some(())
    }

    /// The same, but the send fails.
    pub(crate) fn hand_off_fails(&mut self) -> Option<()> {
        let (from, slot, _) = self.handoff()?;
        self.hand_off_failed(from, slot);
        Some(())
    }

    fn hand_off_failed(&mut self, from: Pid, slot: Slot) {
        if self.has(Flaw::FailedBatchIsDropped) {
            self.process_mut(from).table.fresh.clear();
        }
        self.tell(Event::HandoffFailed(slot));
    }

    /// Who would send a batch, for which slot, and to which process.
    fn handoff(&self) -> Option<(Pid, Slot, Pid)> {
        let from = self.master.as_ref()?.pid;
        let Route::To(slot) = self.route() else { return None };
        let table = &self.process(from).table;
        if table.fresh.is_empty() || !table.sent.is_empty() {
            return None;
        }
        Some((from, slot, self.known(slot)?))
    }

    pub(crate) fn close_sent(&mut self) -> Option<()> {
        let pid = self.master.as_ref()?.pid;
        let sent = std::mem::take(&mut self.process_mut(pid).table.sent);
        (!sent.is_empty()).then_some(())
    }

    /// The master answers one connection with 503, from its own hands first.
    pub(crate) fn refuse(&mut self) -> Option<()> {
        let Route::Refuse = self.route() else { return None };
        let pid = self.master.as_ref()?.pid;
        let in_hand = self.process_mut(pid).table.fresh.pop();
        let [leased, masters] = &mut self.queues;
        let next = in_hand.or_else(|| leased.pop_front()).or_else(|| masters.pop_front());
        let fate = self.fate_mut(next?);
        fate.request_taken = true;
        fate.answers += 1;
        Some(())
    }
}
