//! Connections for what is not urgent: kept, and made again when they are lost.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::error::{Cure, cure, failed};
use super::session::{PostgresSession, State};
use super::target::{Link, Target};
use crate::error::StoreError;
use crate::limits::Limits;
use crate::location::PostgresLocation;
use crate::schema;
use crate::session::Session;
use crate::store::Stored;

/// How often an operation is tried that others are in the way of.
const ATTEMPTS: u32 = 50;

/// Whom migrations, and those who make and drop days, exclude while they are at it.
pub(crate) const LOCK: &str = "SELECT pg_advisory_lock(7809632219746624370)";
pub(crate) const UNLOCK: &str = "SELECT pg_advisory_unlock(7809632219746624370)";

/// A few connections for what is not urgent.
#[derive(Debug)]
pub(crate) struct Connections {
    target: Target,
    idle: Arc<Mutex<Vec<Link>>>,
    free: Arc<Semaphore>,
    /// For those who wait, too.
    places: Arc<Semaphore>,
    answer_timeout: Duration,
}

impl Connections {
    pub(crate) fn new(location: &PostgresLocation, limits: &Limits) -> Stored<Self> {
        Ok(Self {
            target: Target::new(location, limits)?,
            idle: Arc::default(),
            free: Arc::new(Semaphore::new(limits.connections.max(1))),
            places: Arc::new(Semaphore::new(limits.waiting.max(1))),
            answer_timeout: limits.answer_timeout,
        })
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
        runner.run_async(&mut *client).await.map_err(schema::failed)?;
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
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_none_left| StoreError::Busy)?;
        let free = Arc::clone(&self.free).acquire_owned().await;
        let free = free.map_err(|_closed| StoreError::Closed)?;
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let link = match kept.filter(|link| !link.is_closed()) {
            Some(link) => link,
            None => self.target.connect().await?,
        };
        let mut session = PostgresSession {
            link,
            handle: Handle::current(),
            target: self.target.clone(),
            limit: self.answer_timeout,
            state: State::Clean,
        };
        let idle = Arc::clone(&self.idle);
        let work = move || {
            let done = attempts(&mut session, begin, &operation);
            // After a failure that is not understood, the next one gets a fresh connection.
            if let Some(link) = session.into_clean() {
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(link);
            }
            drop((place, free));
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
    // Lost while nobody used it: nothing was asked of it yet.
    match session.begin(begin) {
        Err(StoreError::Unavailable { .. }) => {
            session.connect()?;
            session.begin(begin)?;
        }
        begun => begun?,
    }
    let mut attempt = 0;
    loop {
        attempt += 1;
        let error = match session.transaction(operation) {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        match cure(&error) {
            Cure::Again if attempt < ATTEMPTS => {}
            Cure::MakeDays if attempt < ATTEMPTS => session.make_days()?,
            Cure::Again | Cure::MakeDays | Cure::None => return Err(error),
        }
        session.begin(begin)?;
    }
}
