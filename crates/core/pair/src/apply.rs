//! Putting a generation into service: the standby loads it, the two change places, the former
//! active follows.
//!
//! ```text
//!            standby loaded it             the standby is active
//!  Proving ────────────────────▶ Swapping ───────────────────────▶ Following ──▶ applied
//!     │ refused, died, too late     │ died, too late      current from here on
//!     ▼                             ▼
//!   back: what was staged is thrown away, whoever loaded it loads the current one again
//! ```
//!
//! # Invariants
//!
//! 1. A generation becomes current when the active worker serves it, and not before.
//! 2. Whatever ends an apply, no worker is left with a generation that is not current.
//! 3. There is one answer to each apply.
//!
//! Source: DESIGN 7.

use std::time::Duration;

use mainstay_model::{Generation, Slot, Timestamp};

/// How long each part of an apply may take.
pub const PART_MAX: Duration = Duration::from_secs(10);

/// An apply that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Apply {
    generation: Generation,
    /// The worker that is first.
    first: Slot,
    part: Part,
    until: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Proving,
    Swapping,
    Following,
}

/// What happened that an apply depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyEvent {
    /// This worker serves the generation of the apply.
    Loaded(Slot),
    /// It cannot.
    Refused(Slot),
    Died(Slot),
    /// This worker holds the lease.
    Active(Slot),
    Tick,
}

/// What the master must do for it, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyEffect {
    /// Have this worker load the generation.
    Load { slot: Slot, generation: Generation },
    /// Exchange active and standby.
    Swap,
    /// From here on every process loads it.
    MakeCurrent(Generation),
    /// Throw away what was staged.
    Discard,
    /// Have this worker load what is current.
    BringBack(Slot),
    /// Tell whoever asked, and forget the apply.
    Answer(Outcome),
}

/// What came of an apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Applied(Generation),
    /// The standby said why.
    Refused,
    /// The worker that was to serve it first died.
    Died(Slot),
    /// The standby took too long.
    NotLoaded,
    /// Active and standby did not change places in time.
    NotSwapped,
}

impl Apply {
    /// Begins with the standby.
    #[must_use]
    pub fn begin(now: Timestamp, generation: Generation, standby: Slot) -> (Self, ApplyEffect) {
        let apply = Self { generation, first: standby, part: Part::Proving, until: now + PART_MAX };
        (apply, ApplyEffect::Load { slot: standby, generation })
    }

    /// What is being put into service.
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// The worker that serves it first.
    pub const fn first(&self) -> Slot {
        self.first
    }

    /// When [`ApplyEvent::Tick`] is due.
    pub const fn wake_at(&self) -> Timestamp {
        self.until
    }

    /// What becomes of it.
    #[must_use]
    pub fn step(self, now: Timestamp, event: ApplyEvent) -> (Option<Self>, Vec<ApplyEffect>) {
        let Self { generation, first, part, until } = self;
        let is_late = now >= until;
        let back = |outcome| {
            let effects = [ApplyEffect::Discard, ApplyEffect::BringBack(first)];
            (None, effects.into_iter().chain([ApplyEffect::Answer(outcome)]).collect())
        };
        let done = || (None, vec![ApplyEffect::Answer(Outcome::Applied(generation))]);
        let follow = || {
            let apply = Self { part: Part::Following, until: now + PART_MAX, ..self };
            let former = first.other();
            let load = ApplyEffect::Load { slot: former, generation };
            (Some(apply), vec![ApplyEffect::MakeCurrent(generation), load])
        };
        match (part, event) {
            (Part::Proving, ApplyEvent::Loaded(slot)) if slot == first => {
                let apply = Self { part: Part::Swapping, until: now + PART_MAX, ..self };
                (Some(apply), vec![ApplyEffect::Swap])
            }
            (Part::Proving, ApplyEvent::Refused(slot)) if slot == first => back(Outcome::Refused),
            (Part::Proving | Part::Swapping, ApplyEvent::Died(slot)) if slot == first => {
                back(Outcome::Died(first))
            }
            (Part::Proving, ApplyEvent::Tick) if is_late => back(Outcome::NotLoaded),
            (Part::Swapping, ApplyEvent::Active(slot)) if slot == first => follow(),
            (Part::Swapping, ApplyEvent::Tick) if is_late => back(Outcome::NotSwapped),
            // It is in service. Who does not follow now is told again when it is back.
            (
                Part::Following,
                ApplyEvent::Loaded(slot) | ApplyEvent::Refused(slot) | ApplyEvent::Died(slot),
            ) if slot != first => done(),
            (Part::Following, ApplyEvent::Tick) if is_late => done(),
            // Of the other worker, of the other part, or too early.
            (
                Part::Proving | Part::Swapping | Part::Following,
                ApplyEvent::Loaded(_)
                | ApplyEvent::Refused(_)
                | ApplyEvent::Died(_)
                | ApplyEvent::Active(_)
                | ApplyEvent::Tick,
            ) => (Some(self), Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests;
