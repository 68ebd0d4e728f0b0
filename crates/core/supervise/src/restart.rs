//! When a process that died is started again.
//!
//! ```text
//!   died ──▶ delay_min ──▶ died young ──▶ twice as long … ──▶ delay_max
//!               ▲                                                 │
//!               └───────── it lived for stable_after ─────────────┘
//! ```
//!
//! The first delay is short: a gateway with one worker has no spare. It doubles, so that a
//! process that cannot start does not take the processor from the one that serves.
//!
//! # Invariants
//!
//! 1. A delay is never shorter than `delay_min` nor longer than `delay_max`.
//! 2. A process that lived for `stable_after` is forgiven everything.

use std::collections::VecDeque;
use std::time::Duration;

use mainstay_model::Timestamp;

/// Deaths that make a crash loop.
pub const LOOP_DEATHS: usize = 5;

/// The time in which they make one.
pub const LOOP_WINDOW: Duration = Duration::from_secs(60);

/// How long to wait before a process is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// After the first death.
    pub delay_min: Duration,
    /// However many there were.
    pub delay_max: Duration,
    /// A life this long makes the next death a first one.
    pub stable_after: Duration,
}

/// What to do about a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    /// Start it again after this long.
    pub wait: Duration,
    pub verdict: Verdict,
}

/// What a death says about its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// One of those that happen.
    Accident,
    /// It dies young again and again: [`LOOP_DEATHS`] times in [`LOOP_WINDOW`]. Something has
    /// to be done about it, and not by a restart.
    CrashLoop,
}

/// The deaths of one process.
#[derive(Clone, Debug)]
pub struct Backoff {
    policy: Restart,
    /// The next delay.
    next: Duration,
    /// When it died young, oldest first; at most [`LOOP_DEATHS`].
    young_deaths: VecDeque<Timestamp>,
    /// What its last death said. A crash loop ends with a life that is long enough, and not
    /// because the delays grew beyond the window.
    verdict: Verdict,
}

impl Backoff {
    /// Of a process that never died.
    pub fn new(policy: Restart) -> Self {
        let young_deaths = VecDeque::with_capacity(LOOP_DEATHS);
        Self { policy, next: policy.delay_min, young_deaths, verdict: Verdict::Accident }
    }

    /// The process died at `now`, having lived for `lived`.
    #[must_use]
    pub fn died(&mut self, now: Timestamp, lived: Duration) -> Delay {
        let Restart { delay_min, delay_max, stable_after } = self.policy;
        if lived >= stable_after {
            self.next = delay_min;
            self.young_deaths.clear();
            self.verdict = Verdict::Accident;
        } else {
            if self.young_deaths.len() == LOOP_DEATHS {
                self.young_deaths.pop_front();
            }
            self.young_deaths.push_back(now);
        }
        let wait = self.next.min(delay_max);
        self.next = wait.saturating_mul(2).min(delay_max);
        if self.is_loop(now) {
            self.verdict = Verdict::CrashLoop;
        }
        Delay { wait, verdict: self.verdict }
    }

    /// The process ended because it was asked to, and did so in order: nothing is held against
    /// it.
    #[must_use]
    pub const fn left(&self) -> Delay {
        Delay { wait: self.policy.delay_min, verdict: Verdict::Accident }
    }

    fn is_loop(&self, now: Timestamp) -> bool {
        self.young_deaths.len() == LOOP_DEATHS
            && self.young_deaths.front().is_some_and(|&first| now.since(first) <= LOOP_WINDOW)
    }
}

#[cfg(test)]
mod tests;
