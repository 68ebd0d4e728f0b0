//! The real machines in a made-up world: processes, a network and a clock that are values,
//! and bad luck that comes from a seed.
//!
//! A process test tries what can be arranged; this tries what cannot: a master that dies
//! between two messages, an heir that dies between its commit and its answer, a worker that
//! wakes up after everybody gave it up. Everything random comes from the seed, so a failure
//! is a number that anyone can run again, and a history that can be shortened by hand.
//!
//! # What is real
//!
//! `mainstay-pair` decides, `mainstay-supervise` says when a process comes back,
//! `mainstay-wire` gives the messages between master and workers their names. The master's
//! loop, the workers and the keepers are models: as little as the protocols of DESIGN 4 and 5
//! demand of them, each rule in one place, with a [`Flaw`] that leaves it out.
//!
//! # Not here
//!
//! Bytes, sockets, time-outs of clients: `testing/e2e` kills real processes.

#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

mod action;
pub mod agents;
mod check;
mod command;
pub mod gateway;
mod history;
mod keeper;
mod luck;
mod master;
mod play;
pub mod sessions;
mod worker;
mod world;

pub use action::Action;
pub use check::{Broken, Invariant};
pub use command::{CommandError, command};
pub use history::{History, HistoryError};
pub use luck::Luck;
pub use world::Flaw;
