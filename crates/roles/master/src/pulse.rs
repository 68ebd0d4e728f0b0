//! Whether a worker's threads still turn.
//!
//! Each thread counts up in its ledger, busy or not. Time is an argument.

use std::time::Duration;

use mainstay_model::Timestamp;

/// The heartbeats of one worker, as they were seen last.
#[derive(Clone, Debug)]
pub(crate) struct Pulse {
    /// For each lane: its count, and since when it has been that.
    beats: Vec<(u64, Timestamp)>,
    looked: Timestamp,
}

/// How a worker was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Turning,
    /// A lane stood still for the whole limit.
    Standing,
}

impl Pulse {
    /// The pulse of a worker that was turning at `now`.
    pub(crate) fn new(lanes: usize, now: Timestamp) -> Self {
        Self { beats: vec![(0, now); lanes], looked: now }
    }

    /// Looks at the counts, one for each lane in order.
    ///
    /// What counts is a thread that stood still while we looked on. If we ourselves did not
    /// look for half the limit, we stood still too, and so may have the whole machine: the
    /// time before does not count.
    pub(crate) fn look(
        &mut self,
        counts: impl IntoIterator<Item = u64>,
        now: Timestamp,
        limit: Duration,
    ) -> Condition {
        let absent = now.since(self.looked) > limit / 2;
        self.looked = now;
        let mut condition = Condition::Turning;
        for ((last, since), count) in self.beats.iter_mut().zip(counts) {
            if absent || *last != count {
                (*last, *since) = (count, now);
            } else if now.since(*since) >= limit {
                condition = Condition::Standing;
            }
        }
        condition
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(1000);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    #[test]
    fn one_lane_that_stands_still_is_enough() {
        let mut pulse = Pulse::new(2, at(0));
        let rows = [
            (250, [1, 1], Condition::Turning),
            (500, [2, 1], Condition::Turning),
            (750, [3, 1], Condition::Turning),
            (1000, [4, 1], Condition::Turning),
            (1250, [5, 1], Condition::Standing),
            (1500, [6, 2], Condition::Turning),
        ];
        for (millis, counts, expected) in rows {
            assert_eq!(pulse.look(counts, at(millis), LIMIT), expected, "at {millis} ms");
        }
    }

    #[test]
    fn a_time_in_which_nobody_looked_does_not_count() {
        let mut pulse = Pulse::new(1, at(0));
        assert_eq!(pulse.look([1], at(250), LIMIT), Condition::Turning);
        assert_eq!(pulse.look([1], at(9000), LIMIT), Condition::Turning);
        assert_eq!(pulse.look([1], at(9400), LIMIT), Condition::Turning);
        assert_eq!(pulse.look([1], at(9800), LIMIT), Condition::Turning);
        assert_eq!(pulse.look([1], at(10_000), LIMIT), Condition::Standing);
    }
}
