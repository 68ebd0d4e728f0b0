//! What an event ends: a holder's lease, a wait, a worker, the machine.
//!
//! One match over state and event. What begins in place of what ended is not decided here but
//! in `settle`, so that it is decided the same way whatever ended.

use mainstay_model::{Slot, Timestamp};
use mainstay_wire::pair::Serving;

use super::{Lease, State};
use crate::worker::Worker;
use crate::{Cause, Effect, Event, Report};

impl Lease {
    /// Ends what `event` ends.
    pub(super) fn end(&mut self, now: Timestamp, event: Event, effects: &mut Vec<Effect>) {
        match (self.state, event) {
            (_, Event::Hung(slot)) => self.condemn(slot, Cause::Hung, effects),
            (_, Event::HandoffFailed(slot)) => self.condemn(slot, Cause::HandoffFailed, effects),

            (State::Stopping, _) => {}
            (State::Refusing, Event::Stopping) => {
                effects.push(Effect::StopRefusing);
                self.state = State::Stopping;
            }
            (_, Event::Stopping) => self.state = State::Stopping,

            // The holder gave it back, or is past using it. The word of one that was killed
            // is not waited for and not believed: its death is.
            (
                State::Held(holder) | State::Revoking { from: holder, .. },
                Event::Died(slot)
                | Event::Revoked(slot)
                | Event::Arrived { slot, serving: Serving::Standby },
            ) if slot == holder && self.worker(slot) != Worker::Condemned => {
                self.state = State::Free;
            }

            // It connected anew and still holds the lease: the `Revoke` was lost.
            (State::Revoking { from, .. }, Event::Arrived { slot, serving: Serving::Active })
                if slot == from && self.worker(slot) != Worker::Condemned =>
            {
                effects.push(Effect::Revoke(from));
            }
            // It asked to go before it read the `Revoke`, and goes when it does.
            (State::Revoking { from, .. }, Event::Leaving(slot)) if slot == from => {
                if self.worker(slot) != Worker::Condemned {
                    self.set(slot, Worker::Parting);
                }
            }

            (
                State::Held(holder) | State::Revoking { from: holder, .. },
                Event::Arrived { slot, serving: Serving::Active },
            ) if slot != holder => self.condemn(slot, Cause::SecondClaim, effects),
            (
                State::Learning | State::Waiting { .. } | State::Refusing,
                Event::Arrived { slot, serving: Serving::Active },
            ) if self.worker(slot) == Worker::Ready => self.accept_claim(slot, effects),

            (state, Event::SwapRequested) => self.swap(state, effects),
            (state, Event::Tick) => self.expire(state, now, effects),

            // Nothing ends by these.
            (
                State::Learning
                | State::Held(_)
                | State::Revoking { .. }
                | State::Free
                | State::Waiting { .. }
                | State::Refusing,
                Event::Started(_)
                | Event::Arrived { .. }
                | Event::Ready(_)
                | Event::Revoked(_)
                | Event::Leaving(_)
                | Event::Died(_),
            ) => {}
        }
    }

    /// Believes a worker that says it serves, when nobody else is known to.
    fn accept_claim(&mut self, slot: Slot, effects: &mut Vec<Effect>) {
        match self.state {
            State::Learning => effects.push(Effect::Report(Report::Learned(slot))),
            State::Refusing => {
                effects.push(Effect::StopRefusing);
                effects.push(Effect::Report(Report::Recovered(slot)));
            }
            State::Waiting { .. } => effects.push(Effect::Report(Report::Recovered(slot))),
            State::Held(_) | State::Revoking { .. } | State::Free | State::Stopping => {}
        }
        self.active = slot;
        self.state = State::Held(slot);
    }

    /// Moves the pointer to a standby that is ready and means to stay.
    fn swap(&mut self, state: State, effects: &mut Vec<Effect>) {
        let (from, to) = (self.active, self.active.other());
        if state == State::Held(from) && self.worker(to) == Worker::Ready {
            self.active = to;
            effects.push(Effect::Report(Report::Swapped { from, to }));
        } else {
            effects.push(Effect::Report(Report::SwapRefused));
        }
    }

    /// Ends whatever has waited long enough.
    fn expire(&mut self, state: State, now: Timestamp, effects: &mut Vec<Effect>) {
        for slot in Slot::ALL {
            if let Worker::Starting { until } | Worker::Silent { until } = self.worker(slot)
                && until <= now
            {
                self.condemn(slot, Cause::Silent, effects);
            }
        }
        match state {
            State::Revoking { from, until } if until <= now => {
                self.condemn(from, Cause::RevokeUnanswered, effects);
                self.state = State::Held(from);
            }
            State::Waiting { until } if until <= now => {
                self.state = State::Refusing;
                effects.push(Effect::AcceptAndRefuse);
                effects.push(Effect::Report(Report::HoldExpired));
            }
            State::Learning
            | State::Held(_)
            | State::Revoking { .. }
            | State::Free
            | State::Waiting { .. }
            | State::Refusing
            | State::Stopping => {}
        }
    }

    /// Has a worker killed; from then on only its death counts.
    fn condemn(&mut self, slot: Slot, cause: Cause, effects: &mut Vec<Effect>) {
        match self.worker(slot) {
            Worker::Absent | Worker::Condemned => {}
            Worker::Starting { .. }
            | Worker::Silent { .. }
            | Worker::Building
            | Worker::Ready
            | Worker::Leaving { .. }
            | Worker::Parting => {
                self.set(slot, Worker::Condemned);
                effects.push(Effect::Kill { slot, cause });
            }
        }
    }
}
