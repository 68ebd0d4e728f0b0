//! The lease: who holds the right to take connections, and how it moves.
//!
//! Two things are kept apart. The **pointer** to the active worker is a decision and moves at
//! once ([`Pair::select`], a swap). The **lease** follows the pointer when that is safe: after
//! the holder's answer to `Revoke`, or after its death, and never on the strength of a
//! timeout alone.
//!
//! ```text
//!                        one says it serves
//!  Learning ────────────────────────────────────────────────▶ Held(slot) ◀───────┐
//!     │ everyone who lives has spoken, none serves               │    │          │ the pointer's
//!     ▼                                                died, or  │    │ pointer  │ worker is ready
//!  Waiting ◀───────────────────────── nobody is ready ◀── Free ◀─┤    ▼ moved    │
//!     │ hold timeout                                       │     └─ Revoking     │
//!     ▼                                                    └─────────────────────┤
//!  Refusing ──────────── a worker is ready (from Waiting too) ───────────────────┘
//! ```
//!
//! A holder that does not answer `Revoke` within the hang timeout is killed, and the state
//! is `Held` again: by a condemned worker, whose death frees it.
//!
//! Source: DESIGN 4.

use std::time::Duration;

use mainstay_model::{Slot, Timestamp};

use crate::worker::Worker;
use crate::{Effect, Event, Health, Living, Pair, Route};

mod end;
mod settle;
#[cfg(test)]
mod tests;

/// How long the lease waits for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long connections wait when nobody is ready, before they are refused.
    pub hold: Duration,
    /// How long a worker may leave a question unanswered.
    pub hang: Duration,
}

/// How long a process may take from its start to its first word. Not a setting: a worker
/// speaks before it does anything that could be slow.
pub const FIRST_WORD_MAX: Duration = Duration::from_secs(10);

/// Who serves, and what is known of both workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    limits: Limits,
    active: Slot,
    one: Worker,
    two: Worker,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A new master: some worker that has not spoken may hold the lease.
    Learning,
    /// This worker holds it.
    Held(Slot),
    /// It was asked to give it back.
    Revoking { from: Slot, until: Timestamp },
    /// Its holder lost it in this step; the end of the step decides what follows.
    Free,
    /// Nobody is ready; connections wait.
    Waiting { until: Timestamp },
    /// Nobody is ready; connections are refused.
    Refusing,
    /// The gateway ends; roles do not change any more.
    Stopping,
}

impl Lease {
    /// The lease of a master that just started, and what it must do at once.
    #[must_use]
    pub fn start(limits: Limits, living: [Living; 2], now: Timestamp) -> (Self, Vec<Effect>) {
        let [one, two] = living.map(|living| match living {
            Living::Yes => Worker::Silent { until: now + limits.hang },
            Living::No => Worker::Absent,
        });
        let mut lease = Self { limits, active: Slot::One, one, two, state: State::Learning };
        let mut effects = Vec::new();
        lease.settle(now, &mut effects);
        (lease, effects)
    }

    /// Takes one event; returns the next state and what the master must now do.
    #[must_use]
    pub fn step(mut self, now: Timestamp, event: Event) -> (Self, Vec<Effect>) {
        let mut effects = Vec::new();
        if let Some(slot) = event.slot() {
            self.set(slot, self.worker(slot).after(event, now + FIRST_WORD_MAX));
        }
        self.end(now, event, &mut effects);
        self.settle(now, &mut effects);
        (self, effects)
    }

    /// The slot that is active, whether or not its worker lives.
    pub const fn active(&self) -> Slot {
        self.active
    }

    /// The worker that holds the lease, as far as this master knows.
    pub const fn holder(&self) -> Option<Slot> {
        match self.state {
            State::Held(slot) | State::Revoking { from: slot, .. } => Some(slot),
            State::Learning
            | State::Free
            | State::Waiting { .. }
            | State::Refusing
            | State::Stopping => None,
        }
    }

    /// Whether the worker in `slot` may be given the lease.
    pub const fn health(&self, slot: Slot) -> Health {
        self.worker(slot).health()
    }

    /// Where a batch of accepted connections goes.
    ///
    /// To the holder of the lease, and only while it is the active one: so whichever way a
    /// connection comes, at every instant there is one process that may be given it, and the
    /// heir of a dead master is the process that its last handoff went to.
    pub fn route(&self) -> Route {
        match self.state {
            State::Held(slot) if slot == self.active && self.health(slot) == Health::Ready => {
                Route::To(slot)
            }
            State::Refusing => Route::Refuse,
            State::Held(_)
            | State::Learning
            | State::Revoking { .. }
            | State::Free
            | State::Waiting { .. }
            | State::Stopping => Route::Wait,
        }
    }

    /// When the next [`Event::Tick`] is due, if one is.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let silent = Slot::ALL.into_iter().filter_map(|slot| match self.worker(slot) {
            Worker::Starting { until } | Worker::Silent { until } => Some(until),
            Worker::Absent
            | Worker::Building
            | Worker::Ready
            | Worker::Leaving { .. }
            | Worker::Parting
            | Worker::Condemned => None,
        });
        let own = match self.state {
            State::Revoking { until, .. } | State::Waiting { until } => Some(until),
            State::Stopping => return None,
            State::Learning | State::Held(_) | State::Free | State::Refusing => None,
        };
        silent.chain(own).min()
    }

    const fn pair(&self) -> Pair {
        Pair::new(self.active)
            .with_health(Slot::One, self.one.health())
            .with_health(Slot::Two, self.two.health())
    }

    const fn worker(&self, slot: Slot) -> Worker {
        match slot {
            Slot::One => self.one,
            Slot::Two => self.two,
        }
    }

    const fn set(&mut self, slot: Slot, worker: Worker) {
        match slot {
            Slot::One => self.one = worker,
            Slot::Two => self.two = worker,
        }
    }
}
