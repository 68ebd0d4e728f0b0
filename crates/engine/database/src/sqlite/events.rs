//! Events: a table for each day, so that to forget a day is to drop a table.

use rusqlite::{Connection, params};

use super::failed;
use crate::event::{NewEvent, Severity};
use crate::exchange::AgentEvent;
use crate::id::{AgentUid, ManagerId, StreamId};
use crate::operation::events::table;
use crate::session::{Code as _, Session, values};
use crate::store::Stored;
use crate::time::{Day, WallTime};

const DURING: &str = "storing events";

/// Where the events of one transaction go.
pub(crate) struct Sink<'c> {
    connection: &'c Connection,
    now: WallTime,
    insert: Option<String>,
    /// Number of the last event of all, once it is known.
    last: i64,
}

/// An event, whoever has it to tell.
struct Line<'e> {
    manager: Option<ManagerId>,
    agent: Option<AgentUid>,
    /// Stream and number, if an agent sent it.
    origin: Option<(StreamId, u64)>,
    at: i64,
    kind: &'e str,
    severity: Severity,
    body: &'e [u8],
}

impl<'c> Sink<'c> {
    /// At the instant `now`, which says to which day they belong.
    pub(crate) const fn open(connection: &'c Connection, now: WallTime) -> Self {
        Self { connection, now, insert: None, last: 0 }
    }

    /// The statement that stores one; makes the day's table if there is none.
    fn insert(&mut self) -> Stored<String> {
        if let Some(insert) = &self.insert {
            return Ok(insert.clone());
        }
        let day = self.now.day();
        make(self.connection, day)?;
        self.last = self
            .connection
            .prepare_cached("SELECT last FROM event_number")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(failed(DURING))?;
        let insert = format!(
            "INSERT INTO {} (number, received_at, manager, agent, stream, sequence, at, kind,
                             severity, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            table(day)
        );
        self.insert = Some(insert.clone());
        Ok(insert)
    }

    /// Stores an agent's event.
    pub(crate) fn store(
        &mut self,
        manager: ManagerId,
        (agent, stream, sequence): (AgentUid, StreamId, u64),
        event: &AgentEvent,
    ) -> Stored<()> {
        self.put(&Line {
            manager: Some(manager),
            agent: Some(agent),
            origin: Some((stream, sequence)),
            at: event.at,
            kind: &event.kind,
            severity: event.severity,
            body: &event.body,
        })
    }

    /// Stores what a manager tells.
    pub(crate) fn tell(&mut self, manager: Option<ManagerId>, event: &NewEvent) -> Stored<()> {
        self.put(&Line {
            manager,
            agent: event.agent,
            origin: None,
            at: self.now.0,
            kind: &event.kind,
            severity: event.severity,
            body: &event.body,
        })
    }

    fn put(&mut self, line: &Line<'_>) -> Stored<()> {
        let insert = self.insert()?;
        self.last += 1;
        let stored = self.connection.prepare_cached(&insert).and_then(|mut statement| {
            statement.execute(params![
                self.last,
                self.now.0,
                line.manager.map(|manager| manager.0),
                line.agent.map(|agent| agent.0),
                line.origin.map(|(stream, _)| stream.0),
                line.origin.map(|(_, sequence)| sequence.cast_signed()),
                line.at,
                line.kind,
                line.severity.code(),
                line.body,
            ])
        });
        stored.map(drop).map_err(failed(DURING))
    }

    /// When all of it is received.
    pub(crate) const fn now(&self) -> WallTime {
        self.now
    }

    /// Notes how many there were. Must come before the commit.
    pub(crate) fn close(self) -> Stored<()> {
        if self.insert.is_none() {
            return Ok(());
        }
        let noted = self
            .connection
            .prepare_cached("UPDATE event_number SET last = ?1")
            .and_then(|mut statement| statement.execute(params![self.last]));
        noted.map(drop).map_err(failed(DURING))
    }
}

pub(crate) fn days(connection: &Connection) -> Stored<Vec<Day>> {
    let failed = failed("reading the days of events");
    let mut statement =
        connection.prepare_cached("SELECT day FROM event_day ORDER BY day").map_err(&failed)?;
    let days = statement.query_map([], |row| row.get(0).map(Day)).map_err(&failed)?;
    days.collect::<Result<_, _>>().map_err(&failed)
}

/// Makes a day's table if there is none.
fn make(connection: &Connection, day: Day) -> Stored<()> {
    let failed = failed("making a day of events");
    let there = connection
        .prepare_cached("SELECT 1 FROM event_day WHERE day = ?1")
        .and_then(|mut statement| statement.exists(params![day.0]))
        .map_err(&failed)?;
    if there {
        return Ok(());
    }
    let table = table(day);
    let make = format!(
        "CREATE TABLE {table} (
             number INTEGER PRIMARY KEY NOT NULL,
             received_at BIGINT NOT NULL,
             manager BLOB,
             agent BLOB,
             stream BLOB,
             sequence BIGINT,
             at BIGINT NOT NULL,
             kind TEXT NOT NULL,
             severity BIGINT NOT NULL,
             body BLOB NOT NULL
         );
         CREATE INDEX {table}_by_agent ON {table} (agent, number);
         INSERT INTO event_day (day) VALUES ({day});",
        day = day.0,
    );
    connection.execute_batch(&make).map_err(&failed)
}

/// Drops the days before the last `keep`.
pub(crate) fn turn(session: &mut dyn Session, keep: u32) -> Stored<Vec<Day>> {
    let today = session.now()?.day();
    let first = Day(today.0 - i64::from(keep.max(1)) + 1);
    let gone: Vec<Day> = session.days()?.into_iter().filter(|&day| day < first).collect();
    for &day in &gone {
        session.run(&format!("DROP TABLE {}", table(day)), &[])?;
        session.run("DELETE FROM event_day WHERE day = $1", values![day])?;
    }
    Ok(gone)
}
