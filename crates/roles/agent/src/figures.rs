//! What this agent has done since it began to run: for whoever watches it.

use std::time::Duration;

use serde::Serialize;

/// Counts, and the last delay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Figures {
    /// When it began to run.
    pub(crate) since_unix: u64,
    /// Exchanges that a manager answered.
    pub(crate) exchanges: u64,
    /// Exchanges that none did, or not so that it could be used.
    pub(crate) failures: u64,
    /// How often another manager was gone to.
    pub(crate) switches: u64,
    /// How long the last exchange took, from the connection to the answer.
    pub(crate) last_exchange_ms: Option<u64>,
    /// Samples of the gateway's figures that were put into the queue.
    pub(crate) samples: u64,
    /// Samples that were not, because too many events waited.
    pub(crate) samples_left_out: u64,
    /// Events that a full queue dropped.
    pub(crate) events_dropped: u64,
    /// What waits on the disk.
    pub(crate) queue_bytes: u64,
    /// And how much may.
    pub(crate) queue_bytes_max: u64,
}

impl Figures {
    /// Of an agent that begins to run.
    pub(crate) fn new(now_unix: u64) -> Self {
        Self { since_unix: now_unix, ..Self::default() }
    }

    /// A manager answered.
    pub(crate) fn answered(&mut self, took: Duration) {
        self.exchanges += 1;
        self.last_exchange_ms = Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    }
}
