//! The number of a configuration.

use std::fmt;
use std::num::NonZeroU64;

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

    /// The number itself.
    pub const fn number(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
