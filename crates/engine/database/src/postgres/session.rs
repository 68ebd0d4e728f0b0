//! A connection in a transaction, as operations see it. It waits for each answer, so it belongs
//! to a thread that may wait.

use std::error::Error;
use std::future::Future;

use bytes::BytesMut;
use tokio::runtime::Handle;
use tokio_postgres::Client;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::connections::Target;
use super::error::failed;
use super::events;
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
    client: Client,
    handle: Handle,
    target: Target,
    /// Whether the connection has nothing open.
    clean: bool,
}

impl PostgresSession {
    pub(crate) const fn new(client: Client, handle: Handle, target: Target) -> Self {
        Self { client, handle, target, clean: true }
    }

    pub(crate) const fn target(&self) -> &Target {
        &self.target
    }

    /// The connection, if it can be used again.
    pub(crate) fn into_clean(self) -> Option<Client> {
        (self.clean && !self.client.is_closed()).then_some(self.client)
    }

    pub(crate) fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        self.handle.block_on(answer)
    }

    /// Runs `operation` as one transaction.
    pub(crate) fn transaction<T>(
        &mut self,
        begin: &str,
        operation: &impl Fn(&mut dyn Session) -> Stored<T>,
    ) -> Stored<T> {
        self.clean = false;
        self.execute(begin)?;
        let done = operation(self);
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.execute(end);
        // Whatever came of a commit that failed: the transaction is over.
        self.clean = ended.is_ok() || !self.client.is_closed();
        let done = done?;
        ended?;
        Ok(done)
    }

    fn execute(&self, sql: &str) -> Stored<()> {
        self.wait(self.client.batch_execute(sql)).map_err(failed("a transaction"))
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
        let rows = self.wait(self.client.query(sql, &parameters(values)));
        rows.map_err(failed("a query"))?.iter().map(row).collect()
    }

    fn run(&mut self, sql: &str, values: &[Value]) -> Stored<u64> {
        self.wait(self.client.execute(sql, &parameters(values))).map_err(failed("a statement"))
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
        let stored = self
            .wait(self.client.execute(events::INSERT, &columns.parameters(&now.0, &now.day().0)));
        stored.map(drop).map_err(failed("storing events"))
    }

    fn days(&mut self) -> Stored<Vec<Day>> {
        self.rows(events::DAYS, &[])?.into_iter().map(|mut row| row.int().map(Day)).collect()
    }
}
