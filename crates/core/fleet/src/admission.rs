//! How many agents are let in at a time, and when the others should come back.
//!
//! After an outage every agent of a fleet asks at once. Whoever is not let in is given a place in
//! a queue that exists only as a time: each refusal is told to come back one place later than the
//! one before it. So a crowd comes back in a row, not together, and not later than it must.
//!
//! ```text
//!   let in:   at most `rate` a second, `burst` at once
//!   queue:    at half that rate, so that those who were let in before find room beside it
//! ```
//!
//! # Invariants
//!
//! 1. In any time `t` at most `burst + rate × t` are let in.
//! 2. Of two that are refused, the later one is told to come back later, but for luck.
//! 3. Nobody is told to come back after more than [`Rate::LATER_MAX`].
//!
//! # Not here
//!
//! What an agent does with the answer: `backoff`. Limits on connections and handshakes: those
//! are refused before anything is said.

use std::time::Duration;

use mainstay_model::Timestamp;

/// How much of a retry's time is left to luck, at least and at most.
const SPREAD_MIN: Duration = Duration::from_secs(1);
const SPREAD_MAX: Duration = Duration::from_secs(5);

/// How many exchanges a manager takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Between two.
    interval: Duration,
    /// At once.
    burst: u32,
    /// Not yet answered.
    waiting: usize,
}

impl Rate {
    /// Longest time that anybody is sent away for.
    pub const LATER_MAX: Duration = Duration::from_mins(10);

    /// `per_second` exchanges (at least one), `burst` of them at once, while fewer than
    /// `waiting` wait for their answer.
    #[must_use]
    pub fn new(per_second: u32, burst: u32, waiting: usize) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self { interval, burst: burst.max(1), waiting }
    }

    /// Twice what `agents` need that ask every `poll` and are spread over `managers`; at least
    /// `least` a second, so that a small or a new fleet is not held up.
    #[must_use]
    pub fn of_fleet(agents: u64, poll: Duration, managers: u64, least: u32) -> u32 {
        let a_second = u128::from(agents) * 2 * 1_000_000;
        let shared = poll.as_micros().max(1) * u128::from(managers.max(1));
        u32::try_from(a_second.div_ceil(shared)).unwrap_or(u32::MAX).max(least)
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Admit,
    /// Too many ask: 429, and a `Retry-After`.
    Later {
        after: Duration,
    },
    /// What was let in is not done yet: 503, and a `Retry-After`.
    Overloaded {
        after: Duration,
    },
}

/// Who was let in, and who was sent away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// When the exchanges that were let in would be done, were they one interval each.
    done: Timestamp,
    /// When the last one that was sent away has its place.
    queue: Timestamp,
}

impl Admission {
    /// Lets the next one in or sends it away. `waiting` exchanges are not answered yet; `luck`
    /// is any number.
    #[must_use]
    pub fn judge(self, rate: Rate, now: Timestamp, waiting: usize, luck: u64) -> (Self, Verdict) {
        let done = self.done.max(now);
        let room = rate.interval * rate.burst.saturating_sub(1);
        let is_full = waiting >= rate.waiting;
        if !is_full && done.since(now) <= room {
            return (Self { done: done + rate.interval, ..self }, Verdict::Admit);
        }
        let queue = self.queue.max(now) + rate.interval * 2;
        let ahead = queue.since(now);
        if ahead > Rate::LATER_MAX {
            // The queue is as long as it may be: the rest is luck.
            let after = spread(Rate::LATER_MAX, luck).min(Rate::LATER_MAX);
            return (self, refused(is_full, after));
        }
        let luck = spread((ahead / 8).clamp(SPREAD_MIN, SPREAD_MAX), luck);
        let after = (ahead + luck).min(Rate::LATER_MAX);
        (Self { queue, ..self }, refused(is_full, after))
    }
}

const fn refused(is_full: bool, after: Duration) -> Verdict {
    if is_full { Verdict::Overloaded { after } } else { Verdict::Later { after } }
}

/// A part of `span`, by luck.
fn spread(span: Duration, luck: u64) -> Duration {
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(luck % micros.max(1))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_burst_is_let_in_and_the_rest_stands_in_a_queue() {
        let rate = Rate::new(100, 2, 10);
        let now = Timestamp::from_micros(7 * SECOND);
        let mut admission = Admission::default();
        let mut judge = |waiting| {
            let (next, verdict) = admission.judge(rate, now, waiting, 0);
            admission = next;
            verdict
        };
        assert_eq!(judge(0), Verdict::Admit);
        assert_eq!(judge(0), Verdict::Admit);
        assert_eq!(judge(0), Verdict::Later { after: Duration::from_millis(20) });
        assert_eq!(judge(0), Verdict::Later { after: Duration::from_millis(40) });
        assert_eq!(judge(10), Verdict::Overloaded { after: Duration::from_millis(60) });
    }

    #[test]
    fn a_fleet_is_let_in_at_twice_its_rate() {
        let poll = Duration::from_secs(30);
        assert_eq!(Rate::of_fleet(10_000, poll, 1, 100), 667);
        assert_eq!(Rate::of_fleet(10_000, poll, 3, 100), 223);
        assert_eq!(Rate::of_fleet(0, poll, 0, 100), 100);
        assert_eq!(Rate::of_fleet(u64::MAX, Duration::ZERO, 1, 1), u32::MAX);
    }

    /// Ten thousand agents find the manager again within the same second.
    #[test]
    fn a_herd_is_back_within_two_polls_at_twice_the_normal_rate() {
        const AGENTS: u64 = 10_000;
        const POLL: u64 = 30 * SECOND;
        let per_second = Rate::of_fleet(AGENTS, Duration::from_micros(POLL), 1, 1);
        let rate = Rate::new(per_second, 32, usize::MAX);
        let mut asks: BTreeSet<(u64, u64)> = BTreeSet::new();
        for agent in 0..AGENTS {
            asks.insert((60 * SECOND + agent * SECOND / AGENTS, agent));
        }
        let mut admission = Admission::default();
        let mut back = BTreeMap::new();
        let mut admitted: BTreeMap<u64, u64> = BTreeMap::new();
        let mut luck = 1_u64;
        while let Some((at, agent)) = asks.pop_first() {
            if at > 60 * SECOND + 4 * POLL {
                break;
            }
            luck = luck.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let verdict;
            (admission, verdict) = admission.judge(rate, Timestamp::from_micros(at), 0, luck >> 20);
            let after = match verdict {
                Verdict::Admit => {
                    back.entry(agent).or_insert(at);
                    *admitted.entry(at / SECOND).or_default() += 1;
                    POLL
                }
                Verdict::Later { after } | Verdict::Overloaded { after } => {
                    u64::try_from(after.as_micros()).unwrap()
                }
            };
            asks.insert((at + after, agent));
        }
        assert_eq!(back.len() as u64, AGENTS);
        let last = back.values().max().unwrap() - 60 * SECOND;
        assert!(last <= 2 * POLL, "the last is back after {last} µs");
        let most = *admitted.values().max().unwrap();
        assert!(most <= u64::from(per_second) + 32, "{most} in one second");
    }

    proptest! {
        #[test]
        fn no_more_are_let_in_than_the_rate_allows(
            per_second in 1_u32..1_000,
            burst in 1_u32..50,
            gaps in prop::collection::vec(0_u64..50_000, 1..400),
            luck in any::<u64>(),
        ) {
            let rate = Rate::new(per_second, burst, usize::MAX);
            let start = Timestamp::from_micros(SECOND);
            let (mut now, mut admission, mut admitted) = (start, Admission::default(), 0_u64);
            let mut before = Duration::ZERO;
            for gap in gaps {
                now = now + Duration::from_micros(gap);
                let verdict;
                (admission, verdict) = admission.judge(rate, now, 0, luck);
                match verdict {
                    Verdict::Admit => admitted += 1,
                    Verdict::Later { after } | Verdict::Overloaded { after } => {
                        prop_assert!(after <= Rate::LATER_MAX);
                        let place = now.since(start) + after;
                        prop_assert!(place + SPREAD_MAX >= before, "{place:?} {before:?}");
                        before = place;
                    }
                }
                let most = u64::from(burst)
                    + u64::try_from(now.since(start).as_micros()).unwrap()
                        * u64::from(per_second) / SECOND + 1;
                prop_assert!(admitted <= most, "{admitted} of {most}");
            }
        }
    }
}
