//! `[sessions]`: what this machine keeps of who is logged in.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::section::Section;

const MAX: usize = 100_000;
const MAXES: RangeInclusive<usize> = 1..=10_000_000;
const IDLES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24 * 366);
const CONFIRMS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(1);
const AWAITS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(10);
const JOURNALS: RangeInclusive<u64> = 64 * 1024..=1024 * 1024 * 1024;

/// What is kept of who is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sessions {
    /// Most sessions at a time.
    pub max: usize,
    /// When a session ends that is not used, if whoever announces it does not say.
    pub idle: Duration,
    /// When a session ends however much it is used, if whoever announces it does not say.
    pub absolute: Duration,
    /// How long an answer waits for every process.
    pub confirm_timeout: Duration,
    /// How long a worker that starts waits for the sessions before it serves without them.
    pub await_timeout: Duration,
    /// How long the journal becomes before a snapshot is made.
    pub journal_bytes: u64,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            max: MAX,
            idle: Duration::from_mins(30),
            absolute: Duration::from_hours(8),
            confirm_timeout: Duration::from_secs(5),
            await_timeout: Duration::from_secs(5),
            journal_bytes: 16 * 1024 * 1024,
        }
    }
}

pub(crate) fn read(file: &mut Section<'_>) -> Sessions {
    let default = Sessions::default();
    let mut section = file.table("sessions", "[sessions]");
    let sessions = Sessions {
        max: section.integer("max", default.max, &MAXES),
        idle: section.duration("idle", default.idle, &IDLES),
        absolute: section.duration("absolute", default.absolute, &IDLES),
        confirm_timeout: section.duration("confirm_timeout", default.confirm_timeout, &CONFIRMS),
        await_timeout: section.duration("await_timeout", default.await_timeout, &AWAITS),
        journal_bytes: section.size("journal", default.journal_bytes, &JOURNALS),
    };
    section.finish();
    sessions
}
