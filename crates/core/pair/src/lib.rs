//! Which of the two workers serves, and what makes them change places.
//!
//! A gateway runs two workers with the same configuration. One is **active**: it holds the
//! **lease**, which is the right to take new connections, out of the listeners' queues and
//! from the master's hands. The other is **standby**. This crate decides which is which. It
//! is the part of Mainstay that must not be wrong, so it does nothing else: the master's loop
//! feeds it events and performs the effects that it returns, in their order.
//!
//! # Invariants
//!
//! 1. `one_active_worker`: exactly one worker is active, even while both are down. The role
//!    is a pointer, not a claim about health, and [`Pair`] cannot represent anything else.
//! 2. `one_lease_holder`: two workers never hold the lease at once. The pointer moves when it
//!    must; the lease follows when its holder gave it back, or is past doing anything.
//! 3. The lease is given to a worker that announced itself, and to no other.
//! 4. Roles change for a failover, a swap, or a worker that asks to be replaced, and for
//!    nothing else. A worker that recovers becomes standby: there is no failback.
//!
//! Properties in `lease/tests.rs` and every event of `testing/sim` check them.
//!
//! # Not here
//!
//! Sending a message or a descriptor, killing a process, measuring a heartbeat: the master.
//! Starting what died: `mainstay-supervise`. Adopting its connections: the active worker.
//!
//! Source: DESIGN 4 and 5.

#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

mod apply;
mod event;
mod lease;
mod select;
mod watch;
mod worker;

pub use apply::{
    Apply, ApplyEffect, ApplyEvent, Cause as ApplyCause, Former as ApplyFormer, Hook,
    Part as ApplyPart,
};
pub use event::{Cause, Effect, Event, Living, Report, Route};
pub use lease::{FIRST_WORD_MAX, Lease, Limits};
pub use select::{Health, Pair, Selection};
pub use watch::{Answers, Judgement, Watch, WatchLimits};
