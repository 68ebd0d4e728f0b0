//! When to try again, with luck given as a number.
//!
//! ```text
//!  wait = luck · min(max, base · 2^n)
//! ```
//!
//! The whole of a wait is luck ("full jitter"), so that agents which failed together do not come
//! back together, however long the outage was.
//!
//! # Invariants
//!
//! 1. A wait is never longer than `max`.
//! 2. The more often it failed, the longer the longest wait, up to `max`.

use std::time::Duration;

/// A number of which every value is as likely as any other. Whoever drives a machine draws it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Luck(pub u64);

impl Luck {
    /// A part of `whole`, all of them as likely.
    #[must_use]
    pub fn part_of(self, whole: Duration) -> Duration {
        let micros = (whole.as_micros() * u128::from(self.0)) >> 64;
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

/// How waits grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest first wait.
    pub base: Duration,
    /// The longest of all.
    pub max: Duration,
}

impl Backoff {
    /// How long to wait after `failures` waits that came to nothing.
    #[must_use]
    pub fn wait(&self, failures: u32, luck: Luck) -> Duration {
        let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
        luck.part_of(self.base.saturating_mul(factor).min(self.max))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let backoff = Backoff { base: Duration::from_millis(500), max: Duration::from_secs(3) };
        let longest = |failures| backoff.wait(failures, Luck(u64::MAX)).as_micros() + 1;
        let waits = [0, 1, 2, 3, 31, 32, u32::MAX].map(longest);
        assert_eq!(
            waits,
            [500_000, 1_000_000, 2_000_000, 3_000_000, 3_000_000, 3_000_000, 3_000_000]
        );
        assert_eq!(backoff.wait(3, Luck(0)), Duration::ZERO);
        assert_eq!(backoff.wait(0, Luck(1 << 63)), Duration::from_millis(250));
    }

    proptest! {
        #[test]
        fn a_part_is_never_more_than_the_whole(luck: u64, micros: u64) {
            let whole = Duration::from_micros(micros);
            prop_assert!(Luck(luck).part_of(whole) <= whole);
        }
    }
}
