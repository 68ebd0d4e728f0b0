//! Managers, and the jobs that one of them does at a time.

use std::time::Duration;

use crate::id::ManagerId;
use crate::time::WallTime;

/// What a manager says of itself, every few seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagerBeat {
    pub manager: ManagerId,
    /// For people: its host's name.
    pub name: String,
    pub version: String,
    /// Where its agent port listens.
    pub address: String,
    pub started_at: WallTime,
    /// Agents' exchanges a second, in thousandths.
    pub exchange_rate: u64,
    /// Connections that are open.
    pub connections: u64,
    /// Of a commit of the last minute, the 99th in a hundred.
    pub commit_latency: Duration,
    /// More for people, as the manager encodes it.
    pub detail: Vec<u8>,
}

/// A manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagerRow {
    pub beat: ManagerBeat,
    pub seen_at: WallTime,
    pub drain: Drain,
}

/// Whether a manager should send its agents away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    Serve,
    Drain,
}

/// Who does a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// The one who asked.
    Held {
        /// Grows whenever another takes over.
        term: u64,
        until: WallTime,
    },
    /// Another one.
    Taken { by: ManagerId, until: WallTime },
}
