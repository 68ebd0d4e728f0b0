//! Everything random, from one seed.
//!
//! SplitMix64: small, fast, and good enough to choose victims and sizes. A run is repeated by
//! its seed; threads take a [`Luck::fork`] of their own, so that the order in which they run
//! does not change what each of them does.

use std::ops::Range;
use std::time::Duration;

/// A stream of random numbers that a seed determines.
#[derive(Clone, Debug)]
pub struct Luck(u64);

impl Luck {
    /// The stream of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another stream, determined by this one's seed and `label`.
    #[must_use]
    pub const fn fork(&self, label: u64) -> Self {
        Self(mix(self.0 ^ mix(label)))
    }

    /// The next 64 bits.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number of `range`, which must not be empty.
    pub const fn between(&mut self, range: Range<u64>) -> u64 {
        range.start + self.draw() % (range.end - range.start)
    }

    /// A length of `range`, to the microsecond.
    pub fn duration(&mut self, range: Range<Duration>) -> Duration {
        let micros = |limit: Duration| u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        let (start, end) = (micros(range.start), micros(range.end));
        Duration::from_micros(self.between(start..end.max(start + 1)))
    }

    /// One of `choices`, each as often as its weight says.
    pub fn weighted<T: Copy>(&mut self, choices: &[(u64, T)]) -> T {
        let total = choices.iter().map(|(weight, _)| weight).sum();
        let mut left = self.between(0..total);
        for (weight, choice) in choices {
            if left < *weight {
                return *choice;
            }
            left -= weight;
        }
        panic!("the weights sum up to {total}");
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads the bits of a counter over all 64.
pub(crate) const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The word at place `index` of the stream of `seed`.
pub(crate) const fn word(seed: u64, index: u64) -> u64 {
    mix(seed.wrapping_add(index.wrapping_mul(GOLDEN)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_every_choice() {
        let (mut first, mut second) = (Luck::new(7), Luck::new(7));
        for _ in 0..100 {
            assert_eq!(first.between(3..9), second.between(3..9));
        }
        assert_ne!(first.fork(1).draw(), first.fork(2).draw());
    }

    #[test]
    fn weights_are_kept() {
        let mut luck = Luck::new(1);
        let ones = (0..10_000).filter(|_| luck.weighted(&[(1, 1), (9, 2)]) == 1).count();
        assert!((800..1200).contains(&ones), "{ones}");
        let mut range = |micros| luck.duration(Duration::ZERO..Duration::from_micros(micros));
        assert_eq!(range(0), Duration::ZERO);
        assert!(range(50) < Duration::from_micros(50));
    }
}
