//! What each database does in its own way: exchanges, which must be many to a commit, and
//! running an operation as one transaction.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::exchange::{Exchange, Exchanged, Loaded};
use crate::id::{AgentUid, StreamId};
use crate::session::Session;
use crate::store::Stored;
use crate::time::Day;

#[async_trait]
pub(crate) trait Backend: Debug + Send + Sync + 'static {
    async fn load(&self, agent: AgentUid, stream: StreamId) -> Stored<Option<Loaded>>;
    async fn last_reply(&self, agent: AgentUid, sequence: u64) -> Stored<Option<Vec<u8>>>;
    async fn exchange(&self, exchange: Exchange) -> Stored<Exchanged>;
    async fn turn_days(&self, keep: u32) -> Stored<Vec<Day>>;

    /// Runs an operation that only reads, on one state of the database.
    async fn read<T, F>(&self, operation: F) -> Stored<T>
    where
        T: Send + 'static,
        F: Fn(&mut dyn Session) -> Stored<T> + Send + 'static;

    /// Runs an operation as one transaction, as if it were alone. The answer comes after the
    /// commit. An error of the operation undoes it.
    async fn write<T, F>(&self, operation: F) -> Stored<T>
    where
        T: Send + 'static,
        F: Fn(&mut dyn Session) -> Stored<T> + Send + 'static;
}
