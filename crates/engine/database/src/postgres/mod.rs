//! PostgreSQL.
use crate::backend::Backend;
use crate::error::StoreError;
use crate::exchange::{Exchange, Exchanged, Loaded};
use crate::id::{AgentUid, StreamId};
use crate::limits::Limits;
use crate::session::Session;
use crate::store::Stored;
use crate::time::Day;
use async_trait::async_trait;
#[derive(Debug)]
pub(crate) struct Postgres;
impl Postgres {
    pub(crate) async fn open(_c: &tokio_postgres::Config, _l: &Limits) -> Stored<Self> {
        Err(StoreError::Closed)
    }
}
#[async_trait]
impl Backend for Postgres {
    async fn load(&self, _agent: AgentUid, _stream: StreamId) -> Stored<Option<Loaded>> {
        Err(StoreError::Closed)
    }
    async fn last_reply(&self, _agent: AgentUid, _sequence: u64) -> Stored<Option<Vec<u8>>> {
        Err(StoreError::Closed)
    }
    async fn exchange(&self, _exchange: Exchange) -> Stored<Exchanged> {
        Err(StoreError::Closed)
    }
    async fn turn_days(&self, _keep: u32) -> Stored<Vec<Day>> {
        Err(StoreError::Closed)
    }
    async fn read<T, F>(&self, _operation: F) -> Stored<T>
    where
        T: Send + 'static,
        F: Fn(&mut dyn Session) -> Stored<T> + Send + 'static,
    {
        Err(StoreError::Closed)
    }
    async fn write<T, F>(&self, _operation: F) -> Stored<T>
    where
        T: Send + 'static,
        F: Fn(&mut dyn Session) -> Stored<T> + Send + 'static,
    {
        Err(StoreError::Closed)
    }
}
