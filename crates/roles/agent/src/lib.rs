//! `mainstay agent …`: a process that speaks for one gateway to whichever manager is up, and the
//! commands around it.
//!
//! ```text
//!   events.log ──▶ queue ──┐                      ┌─▶ manager A
//!   api.sock ◀─── gateway ─┼─ exchange ─ contact ─┤      ▲ one exchange a connection
//!   agent.sock ◀─ control ─┘   │                  └─▶ manager B
//!                           endpoints (which manager, when)
//! ```
//!
//! # Invariants
//!
//! 1. What a request of a number said never changes: it is the same bytes until it is answered,
//!    so a manager that has carried it out already has missed nothing.
//! 2. Number and token of the next request are on the disk before anything that an answer says is
//!    acted on.
//! 3. An event leaves the queue when a manager's database has it, or when the queue is full; then
//!    it is counted, and the count is delivered.
//!
//! # Not here
//!
//! Which manager is spoken to: `mainstay-fleet`. Keys, pins and signatures: `mainstay-trust`. The
//! gateway is reached through its admin API and its log, never through its code.
//!
//! Source: DESIGN 10; docs/fleet/agent.md.

#![forbid(unsafe_code)]

mod command;
mod contact;
mod control;
mod directory;
mod enroll;
mod exchange;
mod figures;
mod fingerprint;
mod gateway;
mod keys;
mod queue;
mod report;
mod run;
mod sample;
mod state;
mod status;
mod tail;

use std::process::ExitCode;

pub use command::Command;

/// Carries out one command; `run` until it is asked to end.
pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    command::run(command)
}
