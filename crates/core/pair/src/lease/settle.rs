//! What begins at the end of every step: the pointer moves to a ready worker, and the lease
//! to the pointer, as far as that is safe.

use mainstay_model::{Slot, Timestamp};

use super::{Lease, State};
use crate::worker::Worker;
use crate::{Effect, Health, Report, Selection};

impl Lease {
    /// Brings the pointer to a ready worker, and the lease to the pointer.
    pub(super) fn settle(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.state == State::Stopping {
            return;
        }
        if self.state == State::Learning {
            if self.someone_may_hold() {
                return;
            }
            self.state = State::Waiting { until: now + self.limits.hold };
            if self.pair().select().1 == Selection::Refuse {
                effects.push(Effect::Report(Report::NobodyReady));
            }
        }
        let moved = self.move_pointer();
        let ready = self.health(self.active) == Health::Ready;
        match self.state {
            State::Free if ready => self.serve(effects),
            State::Free => {
                self.state = State::Waiting { until: now + self.limits.hold };
                effects.push(Effect::Report(Report::NobodyReady));
            }
            State::Waiting { .. } if ready => {
                self.serve(effects);
                effects.push(Effect::Report(Report::Recovered(self.active)));
            }
            State::Refusing if ready => {
                effects.push(Effect::StopRefusing);
                self.serve(effects);
                effects.push(Effect::Report(Report::Recovered(self.active)));
            }
            State::Held(holder) if holder != self.active => self.revoke(holder, now, effects),
            State::Held(_)
            | State::Revoking { .. }
            | State::Waiting { .. }
            | State::Refusing
            | State::Learning
            | State::Stopping => {}
        }
        effects.extend(moved.map(Effect::Report));
        self.dismiss_who_wants_to_go(effects);
    }

    /// Moves the pointer off a worker that is down, or that wants to be replaced and can be.
    fn move_pointer(&mut self) -> Option<Report> {
        // Nobody lost the lease by it: the first worker after a time without one is no
        // failover.
        let vacant = matches!(self.state, State::Waiting { .. } | State::Refusing);
        let (pair, selection) = self.pair().select();
        self.active = pair.active();
        let report = match selection {
            Selection::FailOver { from, to } => Report::FailedOver { from, to },
            Selection::Serve(from)
                if matches!(self.worker(from), Worker::Leaving { .. })
                    && self.worker(from.other()) == Worker::Ready =>
            {
                self.active = from.other();
                Report::Swapped { from, to: from.other() }
            }
            Selection::Serve(_) | Selection::Refuse => return None,
        };
        (!vacant).then_some(report)
    }

    fn serve(&mut self, effects: &mut Vec<Effect>) {
        self.state = State::Held(self.active);
        effects.push(Effect::Serve(self.active));
    }

    /// Asks the holder for the lease, unless it was killed and its death is what counts.
    fn revoke(&mut self, holder: Slot, now: Timestamp, effects: &mut Vec<Effect>) {
        match self.worker(holder) {
            Worker::Condemned => return,
            Worker::Leaving { .. } => self.set(holder, Worker::Parting),
            Worker::Absent
            | Worker::Starting { .. }
            | Worker::Silent { .. }
            | Worker::Building
            | Worker::Ready
            | Worker::Parting => {}
        }
        self.state = State::Revoking { from: holder, until: now + self.limits.hang };
        effects.push(Effect::Revoke(holder));
    }

    /// A worker that wants to go and does not serve may go at once: `Revoke` lets it.
    fn dismiss_who_wants_to_go(&mut self, effects: &mut Vec<Effect>) {
        for slot in Slot::ALL {
            let Worker::Leaving { health } = self.worker(slot) else { continue };
            let next_to_serve = slot == self.active && health == Health::Ready;
            if self.holder() != Some(slot) && !next_to_serve {
                self.set(slot, Worker::Parting);
                effects.push(Effect::Revoke(slot));
            }
        }
    }

    /// Whether a worker lives of which it is not known that it holds no lease.
    fn someone_may_hold(&self) -> bool {
        Slot::ALL
            .into_iter()
            .any(|slot| matches!(self.worker(slot), Worker::Silent { .. } | Worker::Condemned))
    }
}
