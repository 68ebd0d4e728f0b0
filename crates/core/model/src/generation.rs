//! The number of a configuration.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Numbers the configurations of one gateway, from 1.
///
/// A process refuses a generation older than the newest it has seen, so a message that was
/// late, repeated or sent by a manager that was behind can never undo a later apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(NonZeroU64);

impl Generation {
    /// The configuration a new gateway starts with.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// The one after this.
    ///
    /// # Panics
    ///
    /// If there is none: nobody applies that often.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("fewer configurations than numbers"))
    }

    /// The number itself.
    pub const fn number(self) -> u64 {
        self.0.get()
    }
}

/// A text that is no generation's number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a generation is a number from 1, not {0:?}")]
pub struct NotAGeneration(String);

impl FromStr for Generation {
    type Err = NotAGeneration;

    fn from_str(text: &str) -> Result<Self, NotAGeneration> {
        // What is written otherwise (a sign, zeroes ahead) is the name of something else.
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        let number = text.parse().ok().filter(|_| is_plain);
        number.map(Self).ok_or_else(|| NotAGeneration(text.to_owned()))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_read_as_it_is_written() {
        let second = Generation::FIRST.next();
        assert_eq!(second.to_string().parse(), Ok(second));
        for text in ["", "0", "-1", "+1", "01", "1 ", "one", "99999999999999999999999"] {
            assert_eq!(text.parse::<Generation>(), Err(NotAGeneration(text.to_owned())));
        }
    }
}
