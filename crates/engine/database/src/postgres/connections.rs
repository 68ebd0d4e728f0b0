//! Connections: to whichever host takes writes, made again when they are lost.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::{Client, Config, NoTls};

use super::error::{Cure, cure, failed};
use super::events;
use super::session::PostgresSession;
use crate::error::StoreError;
use crate::limits::Limits;
use crate::schema;
use crate::session::Session;
use crate::store::Stored;

/// How long data may be unacknowledged before a host counts as lost.
const SILENCE: Duration = Duration::from_secs(5);

/// How often an operation is tried that others are in the way of.
const ATTEMPTS: u32 = 50;

/// Whom migrations, and those who make and drop days, exclude while they are at it.
pub(crate) const LOCK: &str = "SELECT pg_advisory_lock(7809632219746624370)";
pub(crate) const UNLOCK: &str = "SELECT pg_advisory_unlock(7809632219746624370)";

/// Where to connect to.
#[derive(Clone, Debug)]
pub(crate) struct Target(Arc<Config>);

impl Target {
    pub(crate) async fn connect(&self) -> Stored<Client> {
        let connected = self.0.connect(NoTls).await;
        let (client, connection) =
            connected.map_err(|source| StoreError::Unavailable { source: Box::new(source) })?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(%error, "a connection to the database was lost");
            }
        });
        Ok(client)
    }
}

/// A few connections for what is not urgent.
#[derive(Debug)]
pub(crate) struct Connections {
    target: Target,
    idle: Arc<Mutex<Vec<Client>>>,
    free: Arc<Semaphore>,
}

impl Connections {
    pub(crate) fn new(config: &Config, limits: &Limits) -> Self {
        let mut config = config.clone();
        config.application_name("mainstay");
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(limits.connect_timeout);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE);
        }
        // Of several hosts, standbys are of no use.
        if config.get_hosts().len() > 1
            && config.get_target_session_attrs() == TargetSessionAttrs::Any
        {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        Self {
            target: Target(Arc::new(config)),
            idle: Arc::default(),
            free: Arc::new(Semaphore::new(limits.connections.max(1))),
        }
    }

    pub(crate) const fn target(&self) -> &Target {
        &self.target
    }

    /// Brings the schema to what this program knows, one program at a time.
    pub(crate) async fn migrate(&self) -> Stored<()> {
        let mut client = self.target.connect().await?;
        let failed = failed("reading the schema");
        client.batch_execute(LOCK).await.map_err(&failed)?;
        let runner = schema::runner(schema::POSTGRES)?;
        runner.run_async(&mut client).await.map_err(schema::failed)?;
        let sql = "SELECT (SELECT max(version)::bigint FROM refinery_schema_history),
                          (SELECT max(oldest) FROM compatibility)";
        let row = client.query_one(sql, &[]).await.map_err(&failed)?;
        let read = |column| row.try_get::<_, i64>(column).map_err(&failed);
        client.batch_execute(UNLOCK).await.map_err(&failed)?;
        schema::check(read(0)?, read(1)?)
    }

    /// Runs an operation as a transaction that `begin` begins, on a thread that may wait.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        begin: &'static str,
        operation: impl Fn(&mut dyn Session) -> Stored<T> + Send + 'static,
    ) -> Stored<T> {
        let free = Arc::clone(&self.free).acquire_owned().await;
        let free = free.map_err(|_closed| StoreError::Closed)?;
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let client = match kept.filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => self.target.connect().await?,
        };
        let (target, idle, handle) =
            (self.target.clone(), Arc::clone(&self.idle), Handle::current());
        let work = move || {
            let mut session = PostgresSession::new(client, handle, target);
            let done = attempts(&mut session, begin, &operation);
            // After a failure that is not understood, the next one gets a fresh connection.
            if let Some(client) = session.into_clean() {
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
            }
            drop(free);
            done
        };
        tokio::task::spawn_blocking(work).await.unwrap_or(Err(StoreError::Closed))
    }
}

fn attempts<T>(
    session: &mut PostgresSession,
    begin: &str,
    operation: &impl Fn(&mut dyn Session) -> Stored<T>,
) -> Stored<T> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let error = match session.transaction(begin, operation) {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        match cure(&error) {
            Cure::Again if attempt < ATTEMPTS => {}
            Cure::MakeDays if attempt < ATTEMPTS => session.wait(events::make(session.target()))?,
            Cure::Again | Cure::MakeDays | Cure::None => return Err(error),
        }
    }
}
