//! The watch after a swap: whether clients are hurt by what serves now.
//!
//! What counts is a rise. An application that failed before fails after, and going back would
//! not help it; so the share of failures is compared with that of the time before the swap.
//!
//! # Invariants
//!
//! 1. Nothing is judged by fewer answers than the limits ask for.
//! 2. Time plays no part: a judgement is the same however often it is asked for.

/// Answers of a worker, counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    pub all: u64,
    /// Those with a status of 500 or more.
    pub failed: u64,
}

/// What may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchLimits {
    /// Failures of a hundred answers beyond those of the time before.
    pub failed_percent: u8,
    /// Answers below which nothing is judged.
    pub least: u64,
}

/// A watch that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    limits: WatchLimits,
    /// In the time before the swap.
    before: Answers,
    /// Of the worker that serves now, when it began to.
    start: Answers,
}

/// How it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    Well,
    /// More fails than may: so many of so many.
    Hurt {
        failed: u64,
        all: u64,
    },
}

impl Answers {
    /// What came since `earlier`.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            all: self.all.saturating_sub(earlier.all),
            failed: self.failed.saturating_sub(earlier.failed),
        }
    }
}

impl Watch {
    /// Begins with the counts of the worker that serves now; `before` is what the other one
    /// answered in the time before.
    #[must_use]
    pub const fn begin(limits: WatchLimits, before: Answers, start: Answers) -> Self {
        Self { limits, before, start }
    }

    /// How it goes by the counts of the worker that serves.
    pub fn judge(&self, counts: Answers) -> Judgement {
        let Answers { all, failed } = counts.since(self.start);
        if all < self.limits.least {
            return Judgement::Well;
        }
        // failed / all > before.failed / before.all + percent / 100, without fractions.
        let [all_wide, failed_wide] = [all, failed].map(u128::from);
        let before_all = u128::from(self.before.all.max(1));
        let allowed = all_wide
            * (u128::from(self.before.failed) * 100
                + u128::from(self.limits.failed_percent) * before_all);
        if failed_wide * 100 * before_all > allowed {
            Judgement::Hurt { failed, all }
        } else {
            Judgement::Well
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn answers(failed: u64, all: u64) -> Answers {
        Answers { all, failed }
    }

    #[test]
    fn a_rise_beyond_the_limit_hurts() {
        let limits = WatchLimits { failed_percent: 5, least: 20 };
        // Before the swap, since the swap, whether that hurts.
        let rows = [
            (answers(0, 1000), answers(0, 1000), false),
            (answers(0, 1000), answers(50, 1000), false),
            (answers(0, 1000), answers(51, 1000), true),
            (answers(0, 0), answers(20, 20), true),
            (answers(0, 0), answers(19, 19), false),
            // It failed before just as much.
            (answers(1000, 1000), answers(500, 500), false),
            (answers(100, 1000), answers(150, 1000), false),
            (answers(100, 1000), answers(151, 1000), true),
        ];
        for (before, after, hurts) in rows {
            let start = answers(7, 9);
            let watch = Watch::begin(limits, before, start);
            let counts = answers(start.failed + after.failed, start.all + after.all);
            let judgement = watch.judge(counts);
            assert_eq!(judgement != Judgement::Well, hurts, "{before:?} {after:?}");
        }
    }

    proptest! {
        /// Fewer failures are never worse.
        #[test]
        fn fewer_failures_are_never_worse(
            percent in 0_u8..=100,
            before in (0_u64..100, 0_u64..100),
            all in 0_u64..1_000_000,
            failed in 0_u64..1_000_000,
        ) {
            let limits = WatchLimits { failed_percent: percent, least: 20 };
            let before = answers(before.0, before.0 + before.1);
            let watch = Watch::begin(limits, before, Answers::default());
            let failed = failed.min(all);
            if watch.judge(answers(failed, all)) == Judgement::Well && failed > 0 {
                prop_assert_eq!(watch.judge(answers(failed - 1, all)), Judgement::Well);
            }
        }
    }
}
