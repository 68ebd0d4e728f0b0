//! How an order reaches every process of a gateway: standby, then master, then active.
//!
//! The order of things matters: what cannot be done is found out where it harms nobody, and the
//! first failure is the last attempt. Beside the orders that somebody asks for stands one that
//! nobody does: a worker that serves another generation than the current one is told to follow.
//! So whatever died in the middle of an apply, one generation serves everywhere in the end.
//!
//! # Invariants
//!
//! 1. `one_order_at_a_time`: a second caller is told so; the first is not disturbed.
//! 2. Each order has one outcome, and it is true: what is said to have failed does not serve.
//! 3. A process that is down does not block. It follows when it returns.
//! 4. Nobody is told to follow while the master, which alone moves `current`, is away.
//!
//! # Not here
//!
//! What an order means to a process: the roles. Which worker is active: `mainstay-pair`.
//!
//! Source: DESIGN 7 and 8.

#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

mod chain;
mod fanout;
mod roll;
#[cfg(test)]
mod tests;

pub use chain::LOAD_MAX;
pub use fanout::{Effect, Event, Fanout};
