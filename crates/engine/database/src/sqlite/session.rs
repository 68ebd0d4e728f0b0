//! A connection in a transaction, as operations see it.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

use super::events::{self, Sink};
use super::{clock, failed};
use crate::error::StoreError;
use crate::event::NewEvent;
use crate::id::ManagerId;
use crate::session::{Dialect, Row, Session, Value};
use crate::store::Stored;
use crate::time::{Day, WallTime};

#[derive(Debug)]
pub(crate) struct SqliteSession<'c> {
    connection: &'c Connection,
}

impl<'c> SqliteSession<'c> {
    pub(crate) const fn new(connection: &'c Connection) -> Self {
        Self { connection }
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let value = match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        };
        Ok(ToSqlOutput::Borrowed(value))
    }
}

fn value(value: ValueRef<'_>) -> Stored<Value> {
    match value {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(number) => Ok(Value::Int(number)),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Ok(Value::Text(text.to_owned())),
            Err(_not_text) => Err(StoreError::Corrupt { what: "text" }),
        },
        ValueRef::Blob(bytes) => Ok(Value::Bytes(bytes.to_vec())),
        ValueRef::Real(_) => Err(StoreError::Corrupt { what: "number" }),
    }
}

/// SQLite numbers parameters that begin with a question mark.
fn numbered(sql: &str) -> String {
    sql.replace('$', "?")
}

impl Session for SqliteSession<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn rows(&mut self, sql: &str, parameters: &[Value]) -> Stored<Vec<Row>> {
        let failed = failed("a query");
        let mut statement = self.connection.prepare_cached(&numbered(sql)).map_err(&failed)?;
        let columns = statement.column_count();
        let mut rows = statement.query(params_from_iter(parameters)).map_err(&failed)?;
        let mut read = Vec::new();
        while let Some(row) = rows.next().map_err(&failed)? {
            let mut values = Vec::with_capacity(columns);
            for column in 0..columns {
                values.push(value(row.get_ref(column).map_err(&failed)?)?);
            }
            read.push(Row::new(values));
        }
        Ok(read)
    }

    fn run(&mut self, sql: &str, parameters: &[Value]) -> Stored<u64> {
        let failed = failed("a statement");
        let mut statement = self.connection.prepare_cached(&numbered(sql)).map_err(&failed)?;
        let touched = statement.execute(params_from_iter(parameters)).map_err(&failed)?;
        Ok(touched as u64)
    }

    fn now(&mut self) -> Stored<WallTime> {
        Ok(clock())
    }

    fn tell(&mut self, manager: Option<ManagerId>, told: &[NewEvent]) -> Stored<()> {
        let mut sink = Sink::open(self.connection, clock());
        for event in told {
            sink.tell(manager, event)?;
        }
        sink.close()
    }

    fn days(&mut self) -> Stored<Vec<Day>> {
        events::days(self.connection)
    }
}
