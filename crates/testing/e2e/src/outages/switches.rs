//! How long agents were without a manager: from the beginning of the first exchange that failed to
//! the commit of the first that did not.
//!
//! An agent's event says how long the former manager had failed when it went on, and it is stored by
//! the first exchange that succeeds.

use std::fmt;
use std::time::Duration;

use mainstay_database::EventRow;
use serde_json::Value;

use super::faults::{Fault, Sort};
use super::world::World;
use crate::torture::percentile;

/// What agents call it.
const KIND: &str = "agent.manager-switched";

/// How long after the end of a fault somebody may still find out.
const AFTERWARDS_US: u64 = 1_000_000;

/// Times of switches whose cause is known.
#[derive(Debug, Default)]
pub(super) struct Switches {
    pub(super) after_kill: Vec<Duration>,
    /// The manager stood still, or its cable was out.
    pub(super) after_silence: Vec<Duration>,
    /// The manager answered that it has no database.
    without_database: Vec<Duration>,
    all: usize,
}

/// Looks for switches away from a manager that was the only thing that was wrong.
pub(super) fn judge(events: &[EventRow], world: &World, faults: &[Fault]) -> Switches {
    let mut switches = Switches::default();
    for event in events.iter().filter(|event| event.kind == KIND) {
        switches.all += 1;
        let body: Value = serde_json::from_slice(&event.body).unwrap_or_default();
        let (Some(from), Some(after)) = (body["from"].as_str(), body["after_ms"].as_u64()) else {
            continue;
        };
        // To come back to the first is no failure.
        if after == 0 && body["reason"] == "the first of the list is back" {
            continue;
        }
        let decided_us = event.at.cast_unsigned();
        let done_us = event.received_at.0.cast_unsigned();
        let cause = faults.iter().find(|fault| {
            fault.is_alone
                && fault.manager.is_some_and(|manager| world.url(manager) == from)
                && (fault.began_us..fault.ended_us.saturating_add(AFTERWARDS_US))
                    .contains(&decided_us)
        });
        let Some(cause) = cause else { continue };
        let took = Duration::from_millis(after)
            + Duration::from_micros(done_us.saturating_sub(decided_us));
        match cause.sort {
            Sort::ManagerKilled => switches.after_kill.push(took),
            Sort::ManagerStopped | Sort::CutOffFromAgents | Sort::CutOff => {
                switches.after_silence.push(took);
            }
            Sort::CutOffFromDatabase => switches.without_database.push(took),
            Sort::AgentsKilled | Sort::PrimaryKilled => {}
        }
    }
    switches
}

impl fmt::Display for Switches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, promised, times) in [
            ("a kill", "at most 1 s", &self.after_kill),
            ("silence", "at most 5 s", &self.after_silence),
            ("no database", "", &self.without_database),
        ] {
            let at = |share| percentile(times, share).as_secs_f64();
            let count = times.len();
            writeln!(
                f,
                "| switch after {name}, s ({count} timed) | {promised} | p50 {:.2}, p99 {:.2}, most {:.2} |",
                at(50),
                at(99),
                at(100),
            )?;
        }
        writeln!(f, "| switches | | {} |", self.all)
    }
}
