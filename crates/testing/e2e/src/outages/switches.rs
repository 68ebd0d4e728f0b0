//! How long agents were without a manager: from the beginning of the first exchange that failed to
//! the commit of the first that did not.
//!
//! An agent's event says how long the former manager had failed when it went on, and it is stored by
//! the first exchange that succeeds.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::ensure;
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
    by_cause: BTreeMap<Sort, Vec<Duration>>,
    all: usize,
}

/// What a switch may take.
const fn limit(cause: Sort) -> Option<Duration> {
    match cause {
        Sort::ManagerKilled => Some(Duration::from_secs(1)),
        Sort::ManagerStopped | Sort::CutOffFromAgents | Sort::CutOff => {
            Some(Duration::from_secs(5))
        }
        // The manager is there, and says so.
        Sort::CutOffFromDatabase | Sort::AgentsKilled | Sort::PrimaryKilled => None,
    }
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
        switches.by_cause.entry(cause.sort).or_default().push(took);
    }
    switches
}

impl Switches {
    /// An error if one took longer than is promised.
    pub(super) fn verdict(&self) -> anyhow::Result<()> {
        for (cause, times) in &self.by_cause {
            let most = times.iter().max().copied().unwrap_or_default();
            let limit = limit(*cause).unwrap_or(Duration::MAX);
            ensure!(most <= limit, "{}: a switch took {most:?}, at most {limit:?}", cause.name());
        }
        Ok(())
    }
}

impl fmt::Display for Switches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (cause, times) in &self.by_cause {
            let at = |share| percentile(times, share).as_secs_f64();
            let (name, count) = (cause.name(), times.len());
            write!(f, "| switch, s: {name} ({count} timed) | ")?;
            if let Some(limit) = limit(*cause) {
                write!(f, "at most {}", limit.as_secs())?;
            }
            writeln!(f, " | p50 {:.2}, p99 {:.2}, most {:.2} |", at(50), at(99), at(100))?;
        }
        writeln!(f, "| switches | | {} |", self.all)
    }
}
