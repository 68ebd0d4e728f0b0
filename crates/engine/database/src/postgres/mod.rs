//! The database as a PostgreSQL server, or a primary with standbys: for several managers.
//!
//! Exchanges go over one connection: what comes within a few milliseconds is one transaction of
//! two round trips. What they read goes over another, and what people ask over a few more.
//!
//! # Invariants
//!
//! 1. Rows of agents are locked in the order of their uids, in every transaction, so two
//!    managers never wait for each other.
//! 2. A batch whose connection was lost is tried once more, over a new one, wherever that leads:
//!    an exchange that had been committed is recognised.
//! 3. Operations that are not urgent run as serializable transactions.

mod batch;
mod batcher;
mod connections;
mod error;
mod events;
mod loads;
mod session;
mod target;
#[cfg(test)]
mod tests;
mod tls;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use self::batcher::Waiting;
use self::connections::Connections;
use self::loads::Loads;
use crate::backend::Backend;
use crate::error::StoreError;
use crate::exchange::{Exchange, Exchanged, Loaded};
use crate::id::{AgentUid, StreamId};
use crate::limits::Limits;
use crate::location::PostgresLocation;
use crate::session::Session;
use crate::store::Stored;
use crate::time::Day;

/// A store in a server.
#[derive(Debug)]
pub(crate) struct Postgres {
    connections: Connections,
    loads: std::sync::Arc<Loads>,
    exchanges: mpsc::Sender<Waiting>,
}

impl Postgres {
    /// Connects, makes or migrates the schema, and starts the task that commits exchanges.
    pub(crate) async fn open(location: &PostgresLocation, limits: &Limits) -> Stored<Self> {
        let connections = Connections::new(location, limits)?;
        connections.migrate().await?;
        let loads =
            std::sync::Arc::new(Loads::new(connections.target().clone(), limits.answer_timeout));
        let (exchanges, receiver) = mpsc::channel(limits.waiting.max(1));
        let batcher = batcher::run(
            connections.target().clone(),
            std::sync::Arc::clone(&loads),
            receiver,
            limits.clone(),
        );
        tokio::spawn(batcher);
        Ok(Self { connections, loads, exchanges })
    }
}

#[async_trait]
impl Backend for Postgres {
    async fn load(&self, agent: AgentUid, stream: StreamId) -> Stored<Option<Loaded>> {
        self.loads.load(agent, stream).await
    }

    async fn last_reply(&self, agent: AgentUid, sequence: u64) -> Stored<Option<Vec<u8>>> {
        self.loads.last_reply(agent, sequence).await
    }

    async fn exchange(&self, exchange: Exchange) -> Stored<Exchanged> {
        let (answer, receiver) = oneshot::channel();
        let sent = self.exchanges.try_send(Waiting { exchange, answer });
        sent.map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })?;
        receiver.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn turn_days(&self, keep: u32) -> Stored<Vec<Day>> {
        events::turn(self.connections.target(), keep).await
    }

    async fn read<T, F>(&self, operation: F) -> Stored<T>
    where
        T: Send + 'static,
        F: Fn(&mut dyn Session) -> Stored<T> + Send + 'static,
    {
        self.connections.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", operation).await
    }

    async fn write<T, F>(&self, operation: F) -> Stored<T>
    where
        T: Send + 'static,
        F: Fn(&mut dyn Session) -> Stored<T> + Send + 'static,
    {
        self.connections.run("BEGIN ISOLATION LEVEL SERIALIZABLE", operation).await
    }
}
