//! Seeded choices: `SplitMix64`, which is eight lines and the same on every machine.
//!
//! Source: Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014.

/// A stream of choices, determined by its seed.
#[derive(Clone, Debug)]
pub struct Luck {
    state: u64,
}

impl Luck {
    /// The stream of this seed.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub const fn below(&mut self, limit: u32) -> u32 {
        assert!(limit > 0, "nothing is below 0");
        // The remainder is below `limit`, so nothing is cut off.
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is below a u32")]
        let number = (self.next() % limit as u64) as u32;
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_published_one() {
        let mut luck = Luck::new(1_234_567);
        let numbers = [luck.next(), luck.next(), luck.next()];
        assert_eq!(
            numbers,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn a_choice_is_below_its_limit() {
        let mut luck = Luck::new(7);
        assert!((0..1_000).all(|_| luck.below(3) < 3));
    }
}
