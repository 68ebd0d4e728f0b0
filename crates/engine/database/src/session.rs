//! A transaction, as the operations that are not urgent see it: statements that both databases
//! understand, and rows of values.
//!
//! An operation is a plain function over a [`Session`]. Each backend runs it as one transaction
//! that behaves as if it were alone, and runs it again if the database asks for that; so it may
//! do nothing but read and write rows.
//!
//! # Invariants
//!
//! 1. Columns hold 64-bit numbers, text or bytes. Whatever else is said in SQL here is said the
//!    same way in SQLite and PostgreSQL.
//! 2. Parameters are `$1`, `$2`, …

use crate::error::StoreError;
use crate::event::NewEvent;
use crate::id::{AgentUid, Hash, ManagerId, StreamId};
use crate::store::Stored;
use crate::time::{Day, WallTime};

/// Where the two databases differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// One transaction.
pub(crate) trait Session {
    fn dialect(&self) -> Dialect;
    /// Runs a query.
    fn rows(&mut self, sql: &str, parameters: &[Value]) -> Stored<Vec<Row>>;
    /// Runs a statement; how many rows it touched.
    fn run(&mut self, sql: &str, parameters: &[Value]) -> Stored<u64>;
    fn now(&mut self) -> Stored<WallTime>;
    /// Stores events of managers in this transaction.
    fn tell(&mut self, manager: Option<ManagerId>, events: &[NewEvent]) -> Stored<()>;
    /// The days that hold events, oldest first.
    fn days(&mut self) -> Stored<Vec<Day>>;
}

impl dyn Session + '_ {
    /// The only row of a query that gives at most one.
    pub(crate) fn row(&mut self, sql: &str, parameters: &[Value]) -> Stored<Option<Row>> {
        Ok(self.rows(sql, parameters)?.into_iter().next())
    }

    /// The number in the only row of a query, like the id of what was inserted.
    pub(crate) fn number(&mut self, sql: &str, parameters: &[Value]) -> Stored<i64> {
        let row = self.row(sql, parameters)?;
        row.ok_or(StoreError::Corrupt { what: "count" })?.int()
    }

    /// Runs a statement that must touch a row; else there is no such `what`.
    pub(crate) fn change(
        &mut self,
        what: &'static str,
        sql: &str,
        parameters: &[Value],
    ) -> Stored<()> {
        match self.run(sql, parameters)? {
            0 => Err(StoreError::Missing { what }),
            _ => Ok(()),
        }
    }

    /// Fails if a query gives a row.
    pub(crate) fn refuse(
        &mut self,
        error: StoreError,
        sql: &str,
        parameters: &[Value],
    ) -> Stored<()> {
        match self.row(sql, parameters)? {
            Some(_row) => Err(error),
            None => Ok(()),
        }
    }
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A row, read from its first column to its last.
#[derive(Debug)]
pub(crate) struct Row(std::vec::IntoIter<Value>);

const ROW: StoreError = StoreError::Corrupt { what: "row" };

impl Row {
    pub(crate) fn new(values: Vec<Value>) -> Self {
        Self(values.into_iter())
    }

    fn value(&mut self) -> Stored<Value> {
        self.0.next().ok_or(ROW)
    }

    pub(crate) fn maybe_int(&mut self) -> Stored<Option<i64>> {
        match self.value()? {
            Value::Null => Ok(None),
            Value::Int(number) => Ok(Some(number)),
            Value::Text(_) | Value::Bytes(_) => Err(ROW),
        }
    }

    pub(crate) fn int(&mut self) -> Stored<i64> {
        self.maybe_int()?.ok_or(ROW)
    }

    /// A number that fits another type, like a count.
    pub(crate) fn count<T: TryFrom<i64>>(&mut self) -> Stored<T> {
        T::try_from(self.int()?).map_err(|_error| ROW)
    }

    /// The same, or nothing.
    pub(crate) fn maybe_count<T: TryFrom<i64>>(&mut self) -> Stored<Option<T>> {
        self.maybe_int()?.map(|number| T::try_from(number).map_err(|_error| ROW)).transpose()
    }

    pub(crate) fn flag(&mut self) -> Stored<bool> {
        Ok(self.int()? != 0)
    }

    pub(crate) fn maybe_flag(&mut self) -> Stored<Option<bool>> {
        Ok(self.maybe_int()?.map(|number| number != 0))
    }

    pub(crate) fn maybe_text(&mut self) -> Stored<Option<String>> {
        match self.value()? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            Value::Int(_) | Value::Bytes(_) => Err(ROW),
        }
    }

    pub(crate) fn text(&mut self) -> Stored<String> {
        self.maybe_text()?.ok_or(ROW)
    }

    pub(crate) fn maybe_bytes(&mut self) -> Stored<Option<Vec<u8>>> {
        match self.value()? {
            Value::Null => Ok(None),
            Value::Bytes(bytes) => Ok(Some(bytes)),
            Value::Int(_) | Value::Text(_) => Err(ROW),
        }
    }

    pub(crate) fn bytes(&mut self) -> Stored<Vec<u8>> {
        self.maybe_bytes()?.ok_or(ROW)
    }

    pub(crate) fn maybe_id<T: Bytes>(&mut self) -> Stored<Option<T>> {
        self.maybe_bytes()?.map(|bytes| T::read(&bytes).ok_or(ROW)).transpose()
    }

    pub(crate) fn id<T: Bytes>(&mut self) -> Stored<T> {
        self.maybe_id()?.ok_or(ROW)
    }

    pub(crate) fn maybe_time(&mut self) -> Stored<Option<WallTime>> {
        Ok(self.maybe_int()?.map(WallTime))
    }

    pub(crate) fn time(&mut self) -> Stored<WallTime> {
        self.int().map(WallTime)
    }

    pub(crate) fn maybe_code<T: Code>(&mut self) -> Stored<Option<T>> {
        self.maybe_int()?.map(|code| T::decode(code).ok_or(ROW)).transpose()
    }

    pub(crate) fn code<T: Code>(&mut self) -> Stored<T> {
        self.maybe_code()?.ok_or(ROW)
    }

    /// A number that was written with all its 64 bits.
    pub(crate) fn unsigned(&mut self) -> Stored<u64> {
        Ok(self.int()?.cast_unsigned())
    }
}

/// A name of fixed length.
pub(crate) trait Bytes: Sized {
    fn read(bytes: &[u8]) -> Option<Self>;
}

/// A choice that is written as a number. A number is never given another meaning.
pub(crate) trait Code: Copy + Sized {
    fn code(self) -> i64;
    fn decode(code: i64) -> Option<Self>;
}

macro_rules! ids {
    ($($name:ident),*) => {$(
        impl Bytes for $name {
            fn read(bytes: &[u8]) -> Option<Self> {
                Self::from_slice(bytes)
            }
        }

        impl From<$name> for Value {
            fn from(id: $name) -> Self {
                Self::Bytes(id.0.to_vec())
            }
        }
    )*};
}

macro_rules! codes {
    ($($name:path { $($variant:ident = $code:literal),* })*) => {$(
        impl Code for $name {
            fn code(self) -> i64 {
                match self { $(Self::$variant => $code),* }
            }

            fn decode(code: i64) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }
        }

        impl From<$name> for Value {
            fn from(choice: $name) -> Self {
                Self::Int(choice.code())
            }
        }
    )*};
}

macro_rules! numbers {
    ($($name:path),*) => {$(
        impl From<$name> for Value {
            fn from(id: $name) -> Self {
                Self::Int(id.0)
            }
        }
    )*};
}

ids!(AgentUid, Hash, ManagerId, StreamId);

numbers!(
    crate::GroupId,
    crate::ConfigurationId,
    crate::VersionId,
    crate::RolloutId,
    crate::EnrolmentId,
    crate::UserId,
    crate::ApiTokenId,
    crate::AlertId,
    crate::AuditId,
    WallTime,
    Day
);

codes! {
    crate::Standing { Active = 0, Pending = 1, Blocked = 2 }
    crate::Presence { Never = 0, Online = 1, Offline = 2 }
    crate::AppliedState { Unset = 0, Applied = 1, Applying = 2, Failed = 3 }
    crate::Severity { Debug = 0, Information = 1, Warning = 2, Error = 3, Critical = 4 }
    crate::RolloutState {
        Draft = 0, Running = 1, Halted = 2, RollingBack = 3, RolledBack = 4, Done = 5
    }
    crate::MemberState { Waiting = 0, Offered = 1, Applied = 2, Failed = 3, RolledBack = 4 }
    crate::Role { Viewer = 0, Operator = 1, Administrator = 2 }
    crate::Drain { Serve = 0, Drain = 1 }
    crate::AlertState { Open = 0, Acknowledged = 1, Closed = 2 }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(i64::from(number))
    }
}

impl From<u64> for Value {
    /// With all its bits: it is compared, and never ordered.
    fn from(number: u64) -> Self {
        Self::Int(number.cast_signed())
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Int(i64::from(flag))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Parameters of a statement.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::session::Value::from($value)),*] };
}

pub(crate) use values;

/// Conditions that grow with what is asked for.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    sql: String,
    pub(crate) values: Vec<Value>,
}

impl Conditions {
    /// Adds one. In `sql`, `?` stands for the value each time.
    pub(crate) fn and(&mut self, sql: &str, value: impl Into<Value>) {
        let parameter = self.bind(value);
        self.and_plain(&sql.replace('?', &parameter));
    }

    /// Adds one, if there is a value.
    pub(crate) fn and_maybe(&mut self, sql: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.and(sql, value);
        }
    }

    /// Adds one without a value.
    pub(crate) fn and_plain(&mut self, sql: &str) {
        self.sql.push_str(if self.sql.is_empty() { " WHERE " } else { " AND " });
        self.sql.push('(');
        self.sql.push_str(sql);
        self.sql.push(')');
    }

    /// That `column` is `pattern`, or begins with what stands before a `*` at its end.
    pub(crate) fn and_like(&mut self, column: &str, pattern: Option<&str>) {
        let Some(pattern) = pattern else { return };
        match pattern.strip_suffix('*') {
            Some(start) => {
                let length = start.chars().count();
                self.and(&format!("substr({column}, 1, {length}) = ?"), start);
            }
            None => self.and(&format!("{column} = ?"), pattern),
        }
    }

    /// Its parameter's name.
    pub(crate) fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// `WHERE …`, or nothing.
    pub(crate) fn sql(&self) -> &str {
        &self.sql
    }
}
