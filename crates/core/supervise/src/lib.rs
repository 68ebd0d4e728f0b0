//! Which processes must run, and when one that died is started again.
//!
//! [`tree`] says who needs whom, [`restart`] how long to wait, [`arrange`] who there is to be at all.
//! The supervisor performs.
//!
//! # Invariants
//!
//! 1. Nothing gives up: a process that died is always started again, if later and later.
//! 2. Time is an argument.
//!
//! # Not here
//!
//! Which worker serves: `mainstay-pair`. Starting, watching and killing processes: the
//! supervisor.

#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

pub mod arrange;
pub mod restart;
pub mod tree;

pub use arrange::{Arrangement, Condition, Course, Facts, Plan, Presence, Zero, plan};
pub use restart::{Backoff, Delay, Restart, Verdict};
