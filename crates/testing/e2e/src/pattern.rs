//! Bodies that both ends can make and check without having met.
//!
//! Byte `i` of the body with seed `s` is a function of the two. So the receiver knows each
//! byte, and a body that lost, repeated or exchanged a piece is wrong at a known offset, which
//! says more than a digest that differs. Both are checked: the digest is what the far end can
//! report.

use sha2::{Digest, Sha256};

use crate::luck;
use crate::socket::Broken;

/// Most bytes that are made or compared at once.
pub const PIECE_BYTES: usize = 64 * 1024;

/// The bytes of one seed, in order.
#[derive(Clone, Debug)]
pub struct Pattern {
    seed: u64,
    offset: u64,
}

impl Pattern {
    /// The bytes of `seed`, from the first.
    pub const fn new(seed: u64) -> Self {
        Self { seed, offset: 0 }
    }

    /// The next bytes, as many as fit.
    pub fn fill(&mut self, out: &mut [u8]) {
        let mut out = out;
        let inside = usize::try_from(self.offset % 8).unwrap();
        if inside != 0 {
            let word = luck::word(self.seed, self.offset / 8).to_le_bytes();
            let n = out.len().min(8 - inside);
            out[..n].copy_from_slice(&word[inside..inside + n]);
            self.offset += n as u64;
            out = &mut out[n..];
        }
        let mut index = self.offset / 8;
        self.offset += out.len() as u64;
        let mut words = out.chunks_exact_mut(8);
        for place in &mut words {
            place.copy_from_slice(&luck::word(self.seed, index).to_le_bytes());
            index += 1;
        }
        let rest = words.into_remainder();
        let word = luck::word(self.seed, index).to_le_bytes();
        rest.copy_from_slice(&word[..rest.len()]);
    }

    /// The first `n` bytes of `seed`.
    pub fn bytes(seed: u64, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        Self::new(seed).fill(&mut bytes);
        bytes
    }
}

/// A running SHA-256 and how many bytes went into it.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    hash: Sha256,
    bytes: u64,
}

impl Sum {
    /// Adds the next bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// How many bytes were added.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digest so far and the number of bytes: `<64 hex digits> <number>`.
    pub fn line(&self) -> String {
        let digest = self.hash.clone().finalize();
        let mut line: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        line.push_str(&format!(" {}", self.bytes));
        line
    }

    /// The line of the first `n` bytes of `seed`.
    pub fn of_pattern(seed: u64, n: u64) -> String {
        let (mut pattern, mut sum) = (Pattern::new(seed), Self::default());
        let mut piece = vec![0; PIECE_BYTES];
        while sum.bytes < n {
            let now = piece.len().min(usize::try_from(n - sum.bytes).unwrap_or(usize::MAX));
            pattern.fill(&mut piece[..now]);
            sum.add(&piece[..now]);
        }
        sum.line()
    }
}

/// Compares what arrives with what must arrive.
#[derive(Debug)]
pub struct Check {
    pattern: Pattern,
    expected: Vec<u8>,
    sum: Sum,
}

impl Check {
    /// Expects the bytes of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { pattern: Pattern::new(seed), expected: Vec::new(), sum: Sum::default() }
    }

    /// Takes the next bytes that arrived.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        for piece in bytes.chunks(PIECE_BYTES) {
            self.expected.resize(piece.len(), 0);
            self.pattern.fill(&mut self.expected);
            if piece != self.expected {
                let place = piece.iter().zip(&self.expected).position(|(a, b)| a != b).unwrap();
                let (found, expected) = (piece[place], self.expected[place]);
                let offset = self.sum.bytes() + place as u64;
                return Err(Broken::WrongByte { offset, expected, found });
            }
            self.sum.add(piece);
        }
        Ok(())
    }

    /// What has arrived so far.
    pub const fn sum(&self) -> &Sum {
        &self.sum
    }

    /// Whether exactly `n` bytes arrived.
    pub fn complete(&self, n: u64) -> Result<(), Broken> {
        if self.sum.bytes == n {
            return Ok(());
        }
        Err(Broken::WrongLength { expected: n, found: self.sum.bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_does_not_depend_on_the_pieces_it_is_asked_in() {
        let whole = Pattern::bytes(9, 1000);
        for step in [1, 3, 7, 8, 9, 64, 999] {
            let (mut pattern, mut pieces) = (Pattern::new(9), Vec::new());
            while pieces.len() < whole.len() {
                let mut piece = vec![0; step.min(whole.len() - pieces.len())];
                pattern.fill(&mut piece);
                pieces.extend(piece);
            }
            assert_eq!(pieces, whole, "in steps of {step}");
        }
    }

    #[test]
    fn a_wrong_byte_is_named_by_its_offset() {
        let mut bytes = Pattern::bytes(4, 100_000);
        let mut check = Check::new(4);
        check.feed(&bytes).unwrap();
        assert_eq!(check.sum().line(), Sum::of_pattern(4, 100_000));

        bytes[70_001] ^= 1;
        let Err(Broken::WrongByte { offset, .. }) = Check::new(4).feed(&bytes) else {
            panic!("it was not noticed")
        };
        assert_eq!(offset, 70_001);
    }

    #[test]
    fn the_digest_is_sha_256() {
        let mut sum = Sum::default();
        sum.add(b"abc");
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sum.line(), format!("{digest} 3"));
    }
}
