//! The master's part of putting a generation into service: the two workers change places, the
//! master watches, and goes back by itself if clients are hurt.
//!
//! ```text
//!  Preparing ──▶ Connecting        hooks: before anything, and for the addresses it needs
//!     │ fails       │      │ fails
//!     ▼             ▼      └────────────────────────────────────────────────┐
//!   undone       Opening, its new listeners, from which nobody accepts yet  │
//!                   │      │ one cannot be opened ──────────────────────────┤
//!                   ▼                                                       │
//!                Proving                                                    │
//!                   │ the chain has reached us                              │
//!                   ▼      the first is active        confirmed: current    │
//!                Swapping ─────────────▶ Watching ────────────▶ Following   │
//!                   │ too late              │ hurt, first is gone  │ everyone follows
//!                   └───────────┬───────────┘                      ▼        │
//!                               ▼                              Finishing ──▶ applied
//!                           Returning                          (the last hook)
//!                               │ the former is active, or too late         │
//!                               ▼                                           ▼
//!                           Unwinding, until the chain has ended ──▶ Disconnecting ──▶ undone
//! ```
//!
//! Where nobody stands by, because the other worker is down or the gateway is one process, the one
//! that serves has loaded it in place: it is watched from there on, and the way back is that it
//! loads what is current.
//!
//! Proving and following are the workers' part and broadcast's (`mainstay-command`). Whoever
//! performs answers for a hook that is not there as for one that went well.
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

/// How long the supervisor may take to open listeners; another one, if it dies, included.
const OPEN_MAX: Duration = Duration::from_secs(10);

/// How long the hooks may take, whatever their own limits are.
const HOOK_MAX: Duration = Duration::from_secs(1200);

/// An apply that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Apply {
    generation: Generation,
    /// For how long it is watched.
    confirm: Duration,
    part: Part,
    until: Timestamp,
    former: Former,
}

/// Whether somebody serves the former generation still, to whom there is a way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Former {
    /// The other worker.
    Other,
    Nobody,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The hook before anything is done.
    Preparing,
    /// The hook that makes the addresses which it needs.
    Connecting,
    /// Its new listeners are opened.
    Opening,
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
    /// The hook after it.
    Finishing,
    Unwinding {
        cause: Cause,
    },
    /// The hook that takes the addresses back.
    Disconnecting {
        cause: Cause,
    },
}

/// Why an apply was undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A hook refused it.
    Hook,
    /// A listener of it could not be opened.
    Listeners,
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
    /// The hook that was run went well.
    HookDone,
    HookFailed,
    /// What it listens on is open.
    Opened,
    /// It is not, and nothing of it is.
    NotOpened,
    /// The chain asks us: this worker has the generation, and is to be active.
    Turn {
        first: Slot,
    },
    /// The same, of the worker that is active: it has loaded it in place.
    TurnInPlace {
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

/// What a machine may want run around an apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    PreApply,
    Network,
    /// The same, to undo it.
    UndoNetwork,
    PostApply,
}

/// What the master must do for it, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyEffect {
    /// Run what this machine wants run here, and tell how that went.
    Hook(Hook),
    /// Open what it listens on and nobody does so far.
    Open,
    /// Close what was opened for it.
    Close,
    /// Have broadcast carry it to every process.
    Chain,
    /// Make this worker active, if it is not.
    Activate(Slot),
    /// Begin to count what fails.
    Watch,
    /// From here on every process loads it, and its listeners are all there are.
    MakeCurrent,
    /// Tell the chain that our part is done, or is not.
    AnswerChain(Result<(), Cause>),
    /// Tell whoever asked, and forget the apply.
    End(Result<(), Cause>),
}

impl Apply {
    /// Begins, and what is done first.
    #[must_use]
    pub fn begin(now: Timestamp, generation: Generation, confirm: Duration) -> (Self, ApplyEffect) {
        let (part, until) = (Part::Preparing, now + HOOK_MAX);
        let apply = Self { generation, confirm, part, until, former: Former::Other };
        (apply, ApplyEffect::Hook(Hook::PreApply))
    }

    /// What is being put into service.
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// Whether there is somebody to go back to.
    pub const fn former(&self) -> Former {
        self.former
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
        if event == ApplyEvent::Tick && now < self.until {
            return self.stay();
        }
        match self.part {
            Part::Preparing | Part::Connecting | Part::Opening => self.prepare(now, event),
            Part::Proving | Part::Swapping { .. } | Part::Watching { .. } => {
                self.exchange(now, event)
            }
            Part::Returning { .. } | Part::Unwinding { .. } | Part::Disconnecting { .. } => {
                self.undo(now, event)
            }
            Part::Following | Part::Finishing => self.finish(now, event),
        }
    }

    // In the four parts of the match, an event that has no arm is another part's matter, or came
    // too early or too late. A tick that comes here says that the part is late.

    fn prepare(self, now: Timestamp, event: ApplyEvent) -> Next {
        use ApplyEvent::{HookDone, HookFailed, NotOpened, Opened, Tick};
        match (self.part, event) {
            (Part::Preparing, HookDone) => {
                let apply = self.at(Part::Connecting, now + HOOK_MAX);
                (Some(apply), vec![ApplyEffect::Hook(Hook::Network)])
            }
            // Nothing was done yet.
            (Part::Preparing, HookFailed | Tick) => end(Err(Cause::Hook)),
            (Part::Connecting, HookDone) => {
                (Some(self.at(Part::Opening, now + OPEN_MAX)), vec![ApplyEffect::Open])
            }
            (Part::Connecting, HookFailed | Tick) => self.disconnect(now, Cause::Hook),
            (Part::Opening, Opened) => {
                (Some(self.at(Part::Proving, now + CHAIN_MAX)), vec![ApplyEffect::Chain])
            }
            (Part::Opening, NotOpened | Tick) => self.disconnect(now, Cause::Listeners),
            _ => self.stay(),
        }
    }

    fn exchange(self, now: Timestamp, event: ApplyEvent) -> Next {
        use ApplyEvent::{
            Active, ChainDone, ChainFailed, ChainLost, Hurt, Tick, Turn, TurnInPlace,
        };
        match (self.part, event) {
            (Part::Proving, Turn { first }) => {
                let apply = self.at(Part::Swapping { first }, now + SWAP_MAX);
                (Some(apply), vec![ApplyEffect::Activate(first)])
            }
            (Part::Proving, TurnInPlace { first }) => {
                let apply = Self { former: Former::Nobody, ..self };
                let apply = apply.at(Part::Watching { first }, now + self.confirm);
                (Some(apply), vec![ApplyEffect::Watch])
            }
            (Part::Proving, ChainDone | ChainFailed) => self.disconnect(now, Cause::Chain),
            (Part::Proving, ChainLost) => self.disconnect(now, Cause::BroadcastGone),
            (Part::Proving, Tick) => self.disconnect(now, Cause::ChainLate),

            (Part::Swapping { first }, Active(slot)) if slot == first => {
                let apply = self.at(Part::Watching { first }, now + self.confirm);
                (Some(apply), vec![ApplyEffect::Watch])
            }
            (Part::Swapping { first }, Tick) => self.go_back(now, first, Cause::NotSwapped),

            (Part::Watching { .. }, Tick) => {
                let apply = self.at(Part::Following, now + CHAIN_MAX);
                (Some(apply), vec![ApplyEffect::MakeCurrent, ApplyEffect::AnswerChain(Ok(()))])
            }
            (Part::Watching { first }, Hurt) => self.go_back(now, first, Cause::Hurt),
            // The lease went to the former one by itself.
            (Part::Watching { first }, Active(slot)) if slot != first => {
                self.unwind(now, Cause::FirstGone)
            }
            (
                Part::Swapping { first } | Part::Watching { first },
                ChainLost | ChainDone | ChainFailed,
            ) => self.go_back(now, first, Cause::BroadcastGone),
            _ => self.stay(),
        }
    }

    fn undo(self, now: Timestamp, event: ApplyEvent) -> Next {
        use ApplyEvent::{Active, ChainDone, ChainFailed, ChainLost, HookDone, HookFailed, Tick};
        match (self.part, event) {
            (Part::Returning { first, cause }, Active(slot)) if slot != first => {
                self.unwind(now, cause)
            }
            // There is nobody to go back to: the first one is told to load what is current.
            (Part::Returning { cause, .. }, Tick) => self.unwind(now, cause),
            (Part::Unwinding { cause }, ChainDone | ChainFailed | ChainLost | Tick) => {
                self.disconnect(now, cause)
            }
            (Part::Disconnecting { cause }, HookDone | HookFailed | Tick) => end(Err(cause)),
            _ => self.stay(),
        }
    }

    /// It is in service. Who does not follow now is told again when it is back.
    fn finish(self, now: Timestamp, event: ApplyEvent) -> Next {
        use ApplyEvent::{ChainDone, ChainFailed, ChainLost, HookDone, HookFailed, Tick};
        match (self.part, event) {
            (Part::Following, ChainDone | ChainFailed | ChainLost | Tick) => {
                let apply = self.at(Part::Finishing, now + HOOK_MAX);
                (Some(apply), vec![ApplyEffect::Hook(Hook::PostApply)])
            }
            (Part::Finishing, HookDone | HookFailed | Tick) => end(Ok(())),
            _ => self.stay(),
        }
    }

    const fn stay(self) -> Next {
        (Some(self), Vec::new())
    }

    const fn at(self, part: Part, until: Timestamp) -> Self {
        Self { part, until, ..self }
    }

    fn go_back(self, now: Timestamp, first: Slot, cause: Cause) -> Next {
        if self.former == Former::Nobody {
            return self.unwind(now, cause);
        }
        let apply = self.at(Part::Returning { first, cause }, now + SWAP_MAX);
        (Some(apply), vec![ApplyEffect::Activate(first.other())])
    }

    /// The chain undoes what the workers did.
    fn unwind(self, now: Timestamp, cause: Cause) -> Next {
        let answer = ApplyEffect::AnswerChain(Err(cause));
        match cause {
            // There is no chain that could end.
            Cause::BroadcastGone => {
                let (apply, effects) = self.disconnect(now, cause);
                (apply, [answer].into_iter().chain(effects).collect())
            }
            Cause::Hook
            | Cause::Listeners
            | Cause::Chain
            | Cause::NotSwapped
            | Cause::Hurt
            | Cause::FirstGone
            | Cause::ChainLate => {
                (Some(self.at(Part::Unwinding { cause }, now + CHAIN_MAX)), vec![answer])
            }
        }
    }

    /// The last of what is undone.
    fn disconnect(self, now: Timestamp, cause: Cause) -> Next {
        let apply = self.at(Part::Disconnecting { cause }, now + HOOK_MAX);
        (Some(apply), vec![ApplyEffect::Close, ApplyEffect::Hook(Hook::UndoNetwork)])
    }
}

/// What becomes of an apply, and what is to be done.
type Next = (Option<Apply>, Vec<ApplyEffect>);

fn end(result: Result<(), Cause>) -> Next {
    (None, vec![ApplyEffect::End(result)])
}

#[cfg(test)]
mod tests;
