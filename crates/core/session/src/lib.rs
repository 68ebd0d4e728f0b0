//! Who is logged in, in every process at once.
//!
//! ```text
//!  caller ─▶ Register: what does it come to? ─▶ updates ─▶ Replication: journal, workers, master
//!                                                               │
//!                       Table in each process  ◀── apply ───────┘──▶ the caller's answer
//! ```
//!
//! # Invariants
//!
//! 1. The same updates in the same order make the same table.
//! 2. An id is never kept: a session is found by the SHA-256 of it ([`key_of`]).
//!
//! # Not here
//!
//! Clocks, the disk and the channels: who uses this crate. What a session permits: the route's
//! policy.
//!
//! Source: DESIGN 8.

#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

mod codec;
mod key;
mod register;
mod replica;
mod replicate;
mod table;

pub use codec::{NotAnUpdate, decode, encode};
pub use key::key_of;
pub use register::{Register, SetError, Whose};
pub use replica::{Replica, ReplicaEffect, ReplicaEvent};
pub use replicate::{Answer, Effect, Event, Member, Replication, Standing};
pub use table::{News, Table, Visit};
