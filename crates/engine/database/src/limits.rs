//! How much the store does at once.

use std::time::Duration;

/// See each. The defaults suit a fleet of ten thousand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most exchanges in one commit.
    pub batch_rows: usize,
    /// How long the first exchange of a commit waits for others.
    pub batch_window: Duration,
    /// Most operations of one kind that wait; more are refused as [`crate::StoreError::Busy`].
    pub waiting: usize,
    /// Connections to PostgreSQL for what people ask; exchanges have two of their own.
    pub connections: usize,
    /// How long to try to connect to one host of PostgreSQL.
    pub connect_timeout: Duration,
    /// How long PostgreSQL may take for any answer, a commit among them. Then the connection is
    /// given up, and the next host is tried.
    pub answer_timeout: Duration,
    /// How long PostgreSQL lets a transaction wait for its manager: one that hangs or is cut off in the
    /// middle of it holds up the others no longer.
    pub transaction_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch_rows: 256,
            batch_window: Duration::from_millis(5),
            waiting: 4_096,
            connections: 4,
            connect_timeout: Duration::from_secs(3),
            answer_timeout: Duration::from_secs(5),
            transaction_timeout: Duration::from_secs(1),
        }
    }
}
