//! The master's part of putting a generation into service: the two workers change places, the
//! master watches, and goes back by itself if clients are hurt.
//!
//! ```text
//!           the chain has      the first        confirmed:          everyone
//!           reached us         is active        current             follows
//!  Proving ────────────▶ Swapping ──────▶ Watching ──────▶ Following ──────▶ applied
//!     │ the chain failed    │ too late       │ hurt, first is gone
//!     │                     └────────────────┴▶ Returning
//!     │                                            │ the former is active, or too late
//!     ▼                                            ▼
//!   undone ◀───────────────────────────────── Unwinding, until the chain has ended
//! ```
//!
//! Proving and following are the workers' part and broadcast's (`mainstay-command`).
//!
//! # Invariants
//!
//! 1. A generation becomes current when the active worker has served it for as long as was
//!    asked, and not before.
//! 2. Whatever ends an apply, the active worker serves what is current, or is told to.
//! 3. There is one answer to each apply, and it says what is in service.
//!
//! Source: DESIGN 7.

use std::time::Duration;

use mainstay_model::{Generation, Slot, Timestamp};

/// How long the workers may take to change places.
const SWAP_MAX: Duration = Duration::from_secs(10);

/// How long the chain may take for everything that is not ours: the proof before, the
/// following after.
const CHAIN_MAX: Duration = Duration::from_secs(120);

/// An apply that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Apply {
    generation: Generation,
    /// For how long it is watched.
    confirm: Duration,
    part: Part,
    until: Timestamp,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Proving,
    Swapping {
        first: Slot,
    },
    Watching {
        first: Slot,
    },
    /// Back to the worker that served before.
    Returning {
        first: Slot,
        cause: Cause,
    },
    Following,
    Unwinding {
        cause: Cause,
    },
}

/// Why an apply was undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The chain says why.
    Chain,
    /// Active and standby did not change places in time.
    NotSwapped,
    /// Requests failed under it.
    Hurt,
    /// The worker that served it first went down.
    FirstGone,
    /// Broadcast, which carries it to the workers, died.
    BroadcastGone,
    /// The chain did not come to an end.
    ChainLate,
}

/// What happened that an apply depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyEvent {
    /// The chain asks us: this worker has the generation, and is to be active.
    Turn {
        first: Slot,
    },
    /// This worker holds the lease.
    Active(Slot),
    /// More requests fail than may.
    Hurt,
    /// Everyone who is there has done it.
    ChainDone,
    /// Somebody did not, us included.
    ChainFailed,
    /// Broadcast is gone, and the chain with it.
    ChainLost,
    Tick,
}

/// What the master must do for it, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyEffect {
    /// Make this worker active, if it is not.
    Activate(Slot),
    /// Begin to count what fails.
    Watch,
    /// From here on every process loads it.
    MakeCurrent,
    /// Tell the chain that our part is done, or is not.
    AnswerChain(Result<(), Cause>),
    /// Tell whoever asked, and forget the apply.
    End(Result<(), Cause>),
}

impl Apply {
    /// Begins when the chain was asked for.
    #[must_use]
    pub fn begin(now: Timestamp, generation: Generation, confirm: Duration) -> Self {
        Self { generation, confirm, part: Part::Proving, until: now + CHAIN_MAX }
    }

    /// What is being put into service.
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// How far it has come.
    pub const fn part(&self) -> Part {
        self.part
    }

    /// When [`ApplyEvent::Tick`] is due.
    pub const fn wake_at(&self) -> Timestamp {
        self.until
    }

    /// What becomes of it.
    #[must_use]
    pub fn step(self, now: Timestamp, event: ApplyEvent) -> (Option<Self>, Vec<ApplyEffect>) {
        use ApplyEvent::{Active, ChainDone, ChainFailed, ChainLost, Hurt, Tick, Turn};
        let is_late = now >= self.until;
        match (self.part, event) {
            (Part::Proving, Turn { first }) => {
                let apply = self.at(Part::Swapping { first }, now + SWAP_MAX);
                (Some(apply), vec![ApplyEffect::Activate(first)])
            }
            (Part::Proving, ChainDone | ChainFailed) => end(Cause::Chain),
            (Part::Proving, ChainLost) => end(Cause::BroadcastGone),
            (Part::Proving, Tick) if is_late => end(Cause::ChainLate),

            (Part::Swapping { first }, Active(slot)) if slot == first => {
                let apply = self.at(Part::Watching { first }, now + self.confirm);
                (Some(apply), vec![ApplyEffect::Watch])
            }
            (Part::Swapping { first }, Tick) if is_late => self.go_back(now, first, Cause::NotSwapped),

            (Part::Watching { .. }, Tick) if is_late => {
                let apply = self.at(Part::Following, now + CHAIN_MAX);
                (Some(apply), vec![ApplyEffect::MakeCurrent, ApplyEffect::AnswerChain(Ok(()))])
            }
            (Part::Watching { first }, Hurt) => self.go_back(now, first, Cause::Hurt),
            // The lease went to the former one by itself.
            (Part::Watching { first }, Active(slot)) if slot != first => {
                self.unwind(now, Cause::FirstGone)
            }

            (Part::Swapping { first } | Part::Watching { first }, ChainLost | ChainDone | ChainFailed) => {
                self.go_back(now, first, Cause::BroadcastGone)
            }

            (Part::Returning { first, cause }, Active(slot)) if slot != first => {
                self.unwind(now, cause)
            }
            // There is nobody to go back to: the first one is told to load what is current.
            (Part::Returning { cause, .. }, Tick) if is_late => self.unwind(now, cause),

            // It is in service. Who does not follow now is told again when it is back.
            (Part::Following, ChainDone | ChainFailed | ChainLost) => {
                (None, vec![ApplyEffect::End(Ok(()))])
            }
            (Part::Following, Tick) if is_late => (None, vec![ApplyEffect::End(Ok(()))]),

            (Part::Unwinding { cause }, ChainDone | ChainFailed | ChainLost) => end(cause),
            (Part::Unwinding { cause }, Tick) if is_late => end(cause),

            // A chain that is lost while we go back has nothing more to tell us.
            (Part::Returning { .. }, ChainDone | ChainFailed | ChainLost)
            // Of the other part, of the other worker, or too early.
            | (Part::Proving | Part::Following | Part::Unwinding { .. }, Active(_) | Hurt)
            | (Part::Swapping { .. }, Active(_) | Hurt)
            | (Part::Returning { .. }, Active(_) | Hurt)
            | (Part::Watching { .. }, Active(_))
            | (
                Part::Swapping { .. }
                | Part::Watching { .. }
                | Part::Returning { .. }
                | Part::Following
                | Part::Unwinding { .. },
                Turn { .. },
            )
            | (
                Part::Proving
                | Part::Swapping { .. }
                | Part::Watching { .. }
                | Part::Returning { .. }
                | Part::Following
                | Part::Unwinding { .. },
                Tick,
            ) => (Some(self), Vec::new()),
        }
    }

    const fn at(self, part: Part, until: Timestamp) -> Self {
        Self { part, until, ..self }
    }

    fn go_back(
        self,
        now: Timestamp,
        first: Slot,
        cause: Cause,
    ) -> (Option<Self>, Vec<ApplyEffect>) {
        let apply = self.at(Part::Returning { first, cause }, now + SWAP_MAX);
        (Some(apply), vec![ApplyEffect::Activate(first.other())])
    }

    /// The chain undoes what the workers did; then it is over.
    fn unwind(self, now: Timestamp, cause: Cause) -> (Option<Self>, Vec<ApplyEffect>) {
        let effects = vec![ApplyEffect::AnswerChain(Err(cause))];
        match cause {
            // There is no chain that could end.
            Cause::BroadcastGone => {
                let end = ApplyEffect::End(Err(cause));
                (None, effects.into_iter().chain([end]).collect())
            }
            Cause::Chain
            | Cause::NotSwapped
            | Cause::Hurt
            | Cause::FirstGone
            | Cause::ChainLate => {
                (Some(self.at(Part::Unwinding { cause }, now + CHAIN_MAX)), effects)
            }
        }
    }
}

fn end(cause: Cause) -> (Option<Apply>, Vec<ApplyEffect>) {
    (None, vec![ApplyEffect::End(Err(cause))])
}

#[cfg(test)]
mod tests;
