//! Names of things that are counted.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A listener's place in the configuration, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ListenerId(pub u16);

impl ListenerId {
    /// No listener: a connection that the gateway makes to itself, to see whether it serves.
    pub const OWN: Self = Self(u16::MAX - 1);
}

/// A client connection, for the whole of its life and through every worker that carries it.
///
/// It is the kernel's own cookie of the socket (`SO_COOKIE`), so two processes that hold the
/// same socket know it without having agreed on anything. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}
