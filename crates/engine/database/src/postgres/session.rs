//! A connection in a transaction, as operations see it. It waits for each answer, so it belongs
//! to a thread that may wait.

use std::error::Error;
use std::time::Duration;

use bytes::BytesMut;
use tokio::runtime::Handle;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::error::failed;
use super::events;
use super::target::{Link, Target};
use crate::error::StoreError;
use crate::event::NewEvent;
use crate::id::ManagerId;
use crate::session::{Dialect, Row, Session, Value};
use crate::store::Stored;
use crate::time::{Day, WallTime};

/// The clock of the server, in microseconds since 1970.
pub(crate) const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

#[derive(Debug)]
pub(crate) struct PostgresSession {
    pub(crate) link: Link,
    pub(crate) handle: Handle,
    pub(crate) target: Target,
    /// How long any answer may take.
    pub(crate) limit: Duration,
    pub(crate) state: State,
}

/// What is known of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing is open.
    Clean,
    /// In a transaction, or a statement of one was not answered.
    Open,
}

impl PostgresSession {
    /// The connection, if it can be used again.
    pub(crate) fn into_clean(self) -> Option<Link> {
        (self.state == State::Clean && !self.link.is_closed()).then_some(self.link)
    }

    /// Goes on over a new connection.
    pub(crate) fn connect(&mut self) -> Stored<()> {
        self.link = self.handle.block_on(self.target.connect())?;
        self.state = State::Clean;
        Ok(())
    }

    pub(crate) fn make_days(&self) -> Stored<()> {
        self.handle.block_on(events::make(&self.target))
    }

    fn wait<T>(
        &self,
        during: &'static str,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Stored<T> {
        let answer = async { answer.await.map_err(failed(during)) };
        self.handle.block_on(self.target.within(self.limit, self.link.host(), answer))
    }

    pub(crate) fn begin(&mut self, begin: &str) -> Stored<()> {
        self.state = State::Open;
        self.execute(begin)
    }

    /// Runs `operation` in the transaction that was begun, and ends it.
    pub(crate) fn transaction<T>(
        &mut self,
        operation: &impl Fn(&mut dyn Session) -> Stored<T>,
    ) -> Stored<T> {
        let done = operation(self);
        if let Err(StoreError::Unavailable { .. }) = done {
            // Nobody answers here.
            return done;
        }
        let ended = self.execute(if done.is_ok() { "COMMIT" } else { "ROLLBACK" });
        if !matches!(ended, Err(StoreError::Unavailable { .. })) {
            // Whatever came of a commit that was refused: the transaction is over.
            self.state = State::Clean;
        }
        let done = done?;
        ended?;
        Ok(done)
    }

    fn execute(&self, sql: &str) -> Stored<()> {
        self.wait("a transaction", self.link.batch_execute(sql))
    }
}

impl ToSql for Value {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) if *ty == Type::INT4 => i32::try_from(*number)?.to_sql(ty, out),
            Self::Int(number) => number.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
            Self::Bytes(bytes) => bytes.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        [Type::INT4, Type::INT8, Type::TEXT, Type::VARCHAR, Type::BYTEA].contains(ty)
    }

    to_sql_checked!();
}

/// Parameters as the client wants them.
pub(crate) fn parameters(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

/// A row as operations want it.
pub(crate) fn row(row: &tokio_postgres::Row) -> Stored<Row> {
    let failed = failed("reading a row");
    let mut values = Vec::with_capacity(row.len());
    for (place, column) in row.columns().iter().enumerate() {
        let value = match *column.type_() {
            Type::INT4 => {
                let number: Option<i32> = row.try_get(place).map_err(&failed)?;
                number.map(i64::from).into()
            }
            Type::INT8 => row.try_get::<_, Option<i64>>(place).map_err(&failed)?.into(),
            Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(place).map_err(&failed)?.into(),
            _ => row.try_get::<_, Option<String>>(place).map_err(&failed)?.into(),
        };
        values.push(value);
    }
    Ok(Row::new(values))
}

impl Session for PostgresSession {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn rows(&mut self, sql: &str, values: &[Value]) -> Stored<Vec<Row>> {
        let rows = self.wait("a query", self.link.query(sql, &parameters(values)))?;
        rows.iter().map(row).collect()
    }

    fn run(&mut self, sql: &str, values: &[Value]) -> Stored<u64> {
        self.wait("a statement", self.link.execute(sql, &parameters(values)))
    }

    fn now(&mut self) -> Stored<WallTime> {
        let rows = self.rows(&format!("SELECT {NOW}"), &[])?;
        let row = rows.into_iter().next();
        row.ok_or(StoreError::Corrupt { what: "clock" })?.time()
    }

    fn tell(&mut self, manager: Option<ManagerId>, told: &[NewEvent]) -> Stored<()> {
        if told.is_empty() {
            return Ok(());
        }
        let now = self.now()?;
        let mut columns = events::Columns::default();
        for event in told {
            columns.tell(manager, now, event);
        }
        let day = now.day();
        let parameters = columns.parameters(&now.0, &day.0);
        self.wait("storing events", self.link.execute(events::INSERT, &parameters)).map(drop)
    }

    fn days(&mut self) -> Stored<Vec<Day>> {
        self.rows(events::DAYS, &[])?.into_iter().map(|mut row| row.int().map(Day)).collect()
    }
}
