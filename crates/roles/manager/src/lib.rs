//! `mainstay manager …`: a process that serves the agents of a fleet, and the commands around it.
//!
//! ```text
//!   agents ══ HTTPS, one exchange a connection ══▶ agents/ ─┐
//!                                                           ├─▶ Fleet ─▶ the database
//!   people, programs ══ HTTPS ══▶ admin, api/ ──────────────┤
//!                                                   jobs ───┘
//! ```
//!
//! # Invariants
//!
//! 1. What matters is in the database: any manager can serve any agent, and one that is lost is
//!    lost without harm. What is in memory is a copy, a count, or a limit.
//! 2. No answer says that something was done before it is on the disk of the database.
//! 3. Everything that a stranger can make a manager do has a limit.
//!
//! # Not here
//!
//! What a sequence and a token mean: `mainstay-fleet`. Messages: `mainstay-opamp`. Keys and
//! signatures: `mainstay-trust`. Tables: `mainstay-database`.
//!
//! Source: DESIGN 10; docs/fleet/manager.md.

#![forbid(unsafe_code)]

mod admin;
mod agents;
mod api;
mod certificate;
mod command;
mod crowd;
mod directory;
mod figures;
mod fleet;
mod invitation;
mod jobs;
mod offers;
mod orphans;
mod presence;
mod rollouts;
mod serve;

use std::process::ExitCode;

pub use command::Command;

/// Carries out one command; `serve` until it is asked to end.
pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    command::run(command)
}
