//! Events: a partition for each day. To forget a day is to detach its partition, which waits
//! for nobody and makes nobody wait, and then to drop it.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::connections::{LOCK, UNLOCK};
use super::error::failed;
use super::session::NOW;
use super::target::{Link, Target};
use crate::event::NewEvent;
use crate::exchange::AgentEvent;
use crate::id::{AgentUid, ManagerId, StreamId};
use crate::operation::events::table;
use crate::session::Code as _;
use crate::store::Stored;
use crate::time::{Day, WallTime};

/// Days that have a partition before they begin, today included.
const AHEAD: i64 = 3;

/// How long making a day's partition may take: exchanges wait for it.
const MAKING: Duration = Duration::from_secs(10);

/// How long dropping days may take. What is broken off is finished the next time.
const TURNING: Duration = Duration::from_secs(120);

/// The days that hold events, oldest first.
pub(crate) const DAYS: &str = "
    SELECT substr(c.relname::text, 7)::bigint FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'event'::regclass AND NOT i.inhdetachpending ORDER BY 1";

/// Tables of days, and whether they are partitions: 0 no, 1 yes, 2 half detached.
const TABLES: &str = "
    SELECT substr(c.relname::text, 7)::bigint,
           CASE WHEN i.inhrelid IS NULL THEN 0 WHEN i.inhdetachpending THEN 2 ELSE 1 END
    FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
    WHERE c.relkind = 'r' AND c.relname ~ '^event_[0-9]+$'
      AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'event'::regclass)
    ORDER BY 1";

/// Stores events in the order of the arrays that [`Columns::parameters`] gives.
pub(crate) const INSERT: &str = "
    INSERT INTO event (day, received_at, manager, agent, stream, sequence, at, kind, severity, body)
    SELECT $1, $2, e.manager, e.agent, e.stream, e.sequence, e.at, e.kind, e.severity, e.body
    FROM unnest($3::bytea[], $4::bytea[], $5::bytea[], $6::bigint[], $7::bigint[], $8::text[],
                $9::bigint[], $10::bytea[]) WITH ORDINALITY
         AS e (manager, agent, stream, sequence, at, kind, severity, body, place)
    ORDER BY e.place";

/// Events, a column each.
#[derive(Debug, Default)]
pub(crate) struct Columns<'e> {
    managers: Vec<Option<Vec<u8>>>,
    agents: Vec<Option<Vec<u8>>>,
    streams: Vec<Option<Vec<u8>>>,
    sequences: Vec<Option<i64>>,
    ats: Vec<i64>,
    kinds: Vec<&'e str>,
    severities: Vec<i64>,
    bodies: Vec<&'e [u8]>,
}

impl<'e> Columns<'e> {
    pub(crate) const fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    pub(crate) fn store(
        &mut self,
        manager: ManagerId,
        (agent, stream, sequence): (AgentUid, StreamId, u64),
        event: &'e AgentEvent,
    ) {
        self.managers.push(Some(manager.0.to_vec()));
        self.agents.push(Some(agent.0.to_vec()));
        self.streams.push(Some(stream.0.to_vec()));
        self.sequences.push(Some(sequence.cast_signed()));
        self.ats.push(event.at);
        self.kinds.push(&event.kind);
        self.severities.push(event.severity.code());
        self.bodies.push(&event.body);
    }

    pub(crate) fn tell(&mut self, manager: Option<ManagerId>, now: WallTime, event: &'e NewEvent) {
        self.managers.push(manager.map(|manager| manager.0.to_vec()));
        self.agents.push(event.agent.map(|agent| agent.0.to_vec()));
        self.streams.push(None);
        self.sequences.push(None);
        self.ats.push(now.0);
        self.kinds.push(&event.kind);
        self.severities.push(event.severity.code());
        self.bodies.push(&event.body);
    }

    pub(crate) fn parameters<'p>(
        &'p self,
        now: &'p i64,
        day: &'p i64,
    ) -> [&'p (dyn ToSql + Sync); 10] {
        [
            day,
            now,
            &self.managers,
            &self.agents,
            &self.streams,
            &self.sequences,
            &self.ats,
            &self.kinds,
            &self.severities,
            &self.bodies,
        ]
    }
}

/// Makes partitions for today and the days that follow.
pub(crate) async fn make(target: &Target) -> Stored<()> {
    let client = target.connect().await?;
    let work = async {
        lock(&client).await?;
        make_days(&client).await?;
        unlock(&client).await
    };
    target.within(MAKING, client.host(), work).await
}

/// The same, and drops the days before the last `keep`.
pub(crate) async fn turn(target: &Target, keep: u32) -> Stored<Vec<Day>> {
    let client = target.connect().await?;
    target.within(TURNING, client.host(), drop_days(&client, keep)).await
}

async fn drop_days(client: &Link, keep: u32) -> Stored<Vec<Day>> {
    lock(client).await?;
    let today = make_days(client).await?;
    let first = Day(today.0 - i64::from(keep.max(1)) + 1);
    let mut gone = Vec::new();
    for (day, state) in tables(client).await?.into_iter().filter(|&(day, _state)| day < first) {
        let table = table(day);
        // Of these, the second finishes what was broken off.
        let detach = match state {
            1 => format!("ALTER TABLE event DETACH PARTITION {table} CONCURRENTLY"),
            2 => format!("ALTER TABLE event DETACH PARTITION {table} FINALIZE"),
            _ => String::new(),
        };
        for statement in [detach, format!("DROP TABLE {table}")] {
            client.batch_execute(&statement).await.map_err(failed("dropping a day of events"))?;
        }
        gone.push(day);
    }
    unlock(client).await?;
    Ok(gone)
}

async fn lock(client: &Client) -> Stored<()> {
    client.batch_execute(LOCK).await.map_err(failed("turning the days"))
}

async fn unlock(client: &Client) -> Stored<()> {
    client.batch_execute(UNLOCK).await.map_err(failed("turning the days"))
}

/// Makes what is missing; which day is today. An empty table is attached without anybody
/// waiting for it, which making it as a partition would not do.
async fn make_days(client: &Client) -> Stored<Day> {
    let failed = failed("making a day of events");
    let row = client.query_one(&format!("SELECT {NOW}"), &[]).await.map_err(&failed)?;
    let today = WallTime(row.try_get(0).map_err(&failed)?).day();
    let there = tables(client).await?;
    for day in (0..AHEAD).map(|ahead| Day(today.0 + ahead)) {
        let name = table(day);
        let state = there.iter().find(|&&(other, _state)| other == day).map(|&(_, state)| state);
        if state.is_none() {
            let make = format!("CREATE TABLE {name} (LIKE event INCLUDING DEFAULTS)");
            client.batch_execute(&make).await.map_err(&failed)?;
        }
        if state != Some(1) {
            let attach =
                format!("ALTER TABLE event ATTACH PARTITION {name} FOR VALUES IN ({})", day.0);
            client.batch_execute(&attach).await.map_err(&failed)?;
        }
    }
    Ok(today)
}

async fn tables(client: &Client) -> Stored<Vec<(Day, i32)>> {
    let failed = failed("reading the days of events");
    let rows = client.query(TABLES, &[]).await.map_err(&failed)?;
    let read = |row: &tokio_postgres::Row| {
        Ok((Day(row.try_get(0).map_err(&failed)?), row.try_get(1).map_err(&failed)?))
    };
    rows.iter().map(read).collect()
}
