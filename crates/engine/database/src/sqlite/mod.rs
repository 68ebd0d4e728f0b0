//! The database as one file: the default, for one manager, or several on one host.
//!
//! One thread writes. It gathers what comes within a few milliseconds and commits it at once,
//! so one fsync serves many exchanges. Others read, each from its own connection; in WAL mode
//! they never wait for the writer.
//!
//! # Invariants
//!
//! 1. `synchronous=FULL`: a commit is on the disk when it returns.
//! 2. A transaction that writes takes the lock before it reads (`BEGIN IMMEDIATE`), so what it
//!    read is still so when it writes.

mod connection;
mod events;
mod exchange;
mod session;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::thread;

use async_trait::async_trait;
use tokio::sync::oneshot;

use self::connection::{clock, failed, open};
use self::session::SqliteSession;
use self::writer::Writing;
use crate::backend::Backend;
use crate::error::StoreError;
use crate::exchange::{Exchange, Exchanged, Loaded};
use crate::id::{AgentUid, StreamId};
use crate::limits::Limits;
use crate::operation::agents;
use crate::queue::{Hurry, Queue, QueueLimits};
use crate::session::{Session, values};
use crate::store::Stored;
use crate::time::Day;

/// Threads that answer people's questions, so that a long list delays nobody much.
const READERS: usize = 2;

type Reading = Box<dyn FnOnce(&mut dyn Session) + Send>;

/// A store in a file.
pub(crate) struct Sqlite {
    writes: Arc<Queue<Writing>>,
    /// What exchanges read: short, and never behind what people read.
    loads: Arc<Queue<Reading>>,
    reads: Arc<Queue<Reading>>,
}

impl Sqlite {
    /// Opens the file, makes or migrates what is in it, and starts the threads.
    pub(crate) fn open(path: &Path, limits: &Limits) -> Stored<Self> {
        connection::migrate(path)?;
        let rows = limits.batch_rows.max(1);
        let gather = QueueLimits { waiting: limits.waiting, rows, window: limits.batch_window };
        let writes = Arc::new(Queue::new(gather));
        let at_once = QueueLimits { window: std::time::Duration::ZERO, ..gather };
        let loads = Arc::new(Queue::new(at_once));
        let reads = Arc::new(Queue::new(QueueLimits { rows: 1, ..at_once }));
        let store = Self { writes, loads, reads };
        let connection = open(path)?;
        let queue = Arc::clone(&store.writes);
        spawn("db-write", move || writer::run(&connection, &queue))?;
        for (name, queue) in std::iter::once(("db-load", &store.loads))
            .chain(std::iter::repeat_n(("db-read", &store.reads), READERS))
        {
            let connection = open(path)?;
            let queue = Arc::clone(queue);
            spawn(name, move || read_all(&connection, &queue))?;
        }
        Ok(store)
    }

    async fn ask<T: Send + 'static>(
        &self,
        queue: &Queue<Reading>,
        operation: impl FnOnce(&mut dyn Session) -> Stored<T> + Send + 'static,
    ) -> Stored<T> {
        let (sender, receiver) = oneshot::channel();
        let read = move |session: &mut dyn Session| {
            // Whoever asked may have gone.
            drop(sender.send(operation(session)));
        };
        queue.push(Box::new(read), Hurry::Now)?;
        receiver.await.unwrap_or(Err(StoreError::Closed))
    }
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sqlite").finish_non_exhaustive()
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.writes.close();
        self.loads.close();
        self.reads.close();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Stored<()> {
    let spawned = thread::Builder::new().name(name.into()).spawn(run);
    spawned.map(drop).map_err(|source| StoreError::Unavailable { source: Box::new(source) })
}

/// A reader: what it takes at once, it reads from one state of the database.
fn read_all(connection: &rusqlite::Connection, queue: &Queue<Reading>) {
    loop {
        let taken = queue.take();
        if taken.is_empty() {
            return;
        }
        // If this fails, so does what follows, and says so to whoever asked.
        let begun = connection.execute_batch("BEGIN").is_ok();
        for read in taken {
            read(&mut SqliteSession::new(connection));
        }
        if begun && let Err(error) = connection.execute_batch("COMMIT") {
            tracing::warn!(%error, "a reader of the database could not end its transaction");
        }
    }
}

#[async_trait]
impl Backend for Sqlite {
    async fn load(&self, agent: AgentUid, stream: StreamId) -> Stored<Option<Loaded>> {
        self.ask(&self.loads, move |session| exchange::load(session, agent, stream)).await
    }

    async fn last_reply(&self, agent: AgentUid, sequence: u64) -> Stored<Option<Vec<u8>>> {
        let read = move |session: &mut dyn Session| {
            let row = session.row(agents::LAST_REPLY, values![agent, sequence])?;
            row.map(|mut row| row.bytes()).transpose()
        };
        self.ask(&self.loads, read).await
    }

    async fn exchange(&self, exchange: Exchange) -> Stored<Exchanged> {
        let (sender, receiver) = oneshot::channel();
        self.writes.push(Writing::Exchange(Box::new(exchange), sender), Hurry::Gather)?;
        receiver.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn turn_days(&self, keep: u32) -> Stored<Vec<Day>> {
        self.write(move |session| events::turn(session, keep)).await
    }

    async fn read<T, F>(&self, operation: F) -> Stored<T>
    where
        T: Send + 'static,
        F: Fn(&mut dyn Session) -> Stored<T> + Send + 'static,
    {
        self.ask(&self.reads, operation).await
    }

    async fn write<T, F>(&self, operation: F) -> Stored<T>
    where
        T: Send + 'static,
        F: Fn(&mut dyn Session) -> Stored<T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let write = move |connection: &rusqlite::Connection| {
            let done =
                writer::transaction(connection, || operation(&mut SqliteSession::new(connection)));
            drop(sender.send(done));
        };
        self.writes.push(Writing::Operation(Box::new(write)), Hurry::Now)?;
        receiver.await.unwrap_or(Err(StoreError::Closed))
    }
}
