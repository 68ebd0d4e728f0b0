//! One transaction of many exchanges, in two round trips: lock and read what they rest on;
//! write and commit.

use std::collections::{BTreeMap, HashMap};

use futures_util::future::{join, join_all, join4};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Statement};

use super::error::failed;
use super::events::{self, Columns};
use super::session::{NOW, parameters};
use super::target::Link;
use crate::agent::StatusReport;
use crate::exchange::{ChainRow, EventCursor, Exchange, Judgement};
use crate::id::{AgentUid, StreamId};
use crate::session::{Code as _, Value, values};
use crate::sql;
use crate::store::Stored;
use crate::time::WallTime;

/// What became of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Committed { events: Option<Judgement>, at: WallTime },
    Moved,
    Unknown,
}

/// A connection with everything prepared.
pub(crate) struct Prepared {
    client: Link,
    clock: Statement,
    lock: Statement,
    cursors: Statement,
    advance: Statement,
    status: Statement,
    text: Statement,
    events: Statement,
    streams: Statement,
}

/// In the order of the uids: two managers lock in the same order. The clock comes with it.
const LOCK: &str = "
    SELECT agent, sequence, current, previous FROM agent_seen WHERE agent = ANY($1)
    ORDER BY agent FOR UPDATE";

const CURSORS: &str = "
    SELECT s.agent, s.stream, s.through, s.hash FROM unnest($1::bytea[], $2::bytea[]) AS q (a, s)
        JOIN event_stream s ON s.agent = q.a AND s.stream = q.s";

const ADVANCE: &str = "
    UPDATE agent_seen SET sequence = n.sequence, current = n.current, previous = n.previous,
                          presence = n.presence, seen_at = $1, manager = n.manager,
                          address = n.address, reply = n.reply
    FROM unnest($2::bytea[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bigint[], $7::bytea[],
                $8::text[], $9::bytea[])
         AS n (agent, sequence, current, previous, presence, manager, address, reply)
    WHERE agent_seen.agent = n.agent";

const STREAMS: &str = "
    INSERT INTO event_stream (agent, stream, through, hash, updated_at)
    SELECT n.agent, n.stream, n.through, n.hash, $1
    FROM unnest($2::bytea[], $3::bytea[], $4::bigint[], $5::bytea[])
         AS n (agent, stream, through, hash)
    ON CONFLICT (agent, stream) DO UPDATE SET
        through = excluded.through, hash = excluded.hash, updated_at = excluded.updated_at";

impl Prepared {
    pub(crate) async fn new(client: Link) -> Stored<Self> {
        let prepare = async |sql: &str| client.prepare(sql).await.map_err(failed("preparing"));
        Ok(Self {
            clock: prepare(&format!("SELECT {NOW}")).await?,
            lock: prepare(LOCK).await?,
            cursors: prepare(CURSORS).await?,
            advance: prepare(ADVANCE).await?,
            status: prepare(sql::STATUS).await?,
            text: prepare(sql::EFFECTIVE_TEXT).await?,
            events: prepare(events::INSERT).await?,
            streams: prepare(STREAMS).await?,
            client,
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(crate) const fn host(&self) -> usize {
        self.client.host()
    }
}

/// What the rows say, and what is to be written.
#[derive(Default)]
struct Plan<'e> {
    chains: HashMap<AgentUid, ChainRow>,
    cursors: HashMap<(AgentUid, StreamId), EventCursor>,
    advance: BTreeMap<AgentUid, &'e Exchange>,
    streams: BTreeMap<(AgentUid, StreamId), EventCursor>,
    status: Vec<(AgentUid, &'e StatusReport)>,
    events: Columns<'e>,
}

pub(crate) async fn perform(prepared: &Prepared, exchanges: &[&Exchange]) -> Stored<Vec<Done>> {
    let (mut plan, now) = read(prepared, exchanges).await?;
    let mut order: Vec<(usize, &Exchange)> = exchanges.iter().copied().enumerate().collect();
    order.sort_by_key(|(_place, exchange)| exchange.agent);
    let mut done = Vec::with_capacity(order.len());
    for (place, exchange) in order {
        done.push((place, plan.decide(exchange, now)));
    }
    write(prepared, &plan, now).await?;
    done.sort_unstable_by_key(|&(place, _done)| place);
    Ok(done.into_iter().map(|(_place, done)| done).collect())
}

async fn read<'e>(prepared: &Prepared, exchanges: &[&Exchange]) -> Stored<(Plan<'e>, WallTime)> {
    let client = &prepared.client;
    let agents: Vec<&[u8]> = exchanges.iter().map(|exchange| &exchange.agent.0[..]).collect();
    let of_streams = exchanges.iter().filter_map(|exchange| {
        exchange.events.as_ref().map(|batch| (&exchange.agent.0[..], &batch.stream.0[..]))
    });
    let (stream_agents, streams): (Vec<&[u8]>, Vec<&[u8]>) = of_streams.unzip();
    let lock_parameters: [&(dyn ToSql + Sync); 1] = [&agents];
    let cursor_parameters: [&(dyn ToSql + Sync); 2] = [&stream_agents, &streams];
    // Sent one after the other, and answered so: the cursors are read under the locks.
    let (begun, clock, locked, cursors) = join4(
        client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED"),
        client.query_one(&prepared.clock, &[]),
        client.query(&prepared.lock, &lock_parameters),
        client.query(&prepared.cursors, &cursor_parameters),
    )
    .await;
    let failed = failed("an exchange");
    begun.map_err(&failed)?;
    let now = WallTime(clock.map_err(&failed)?.try_get(0).map_err(&failed)?);
    let mut plan = Plan::default();
    for row in locked.map_err(&failed)? {
        let mut row = super::session::row(&row)?;
        let agent = row.id()?;
        let (sequence, current, previous) = (row.unsigned()?, row.id()?, row.id()?);
        plan.chains.insert(agent, ChainRow { sequence, current, previous });
    }
    for row in cursors.map_err(&failed)? {
        let mut row = super::session::row(&row)?;
        let (agent, stream) = (row.id()?, row.id()?);
        let (through, hash) = (row.unsigned()?, row.id()?);
        plan.cursors.insert((agent, stream), EventCursor { stream, through, hash });
    }
    Ok((plan, now))
}

impl<'e> Plan<'e> {
    fn decide(&mut self, exchange: &'e Exchange, now: WallTime) -> Done {
        let Some(stored) = self.chains.get(&exchange.agent).copied() else { return Done::Unknown };
        if exchange.is_done(&stored) {
            // Its answer got lost on the way to the caller, which asked again.
            let judge = |batch| self.cursor(exchange.agent, batch).judge(batch);
            return Done::Committed { events: exchange.events.as_ref().map(judge), at: now };
        }
        if (stored.sequence, stored.current) != exchange.expected {
            return Done::Moved;
        }
        self.chains.insert(exchange.agent, exchange.next);
        self.advance.insert(exchange.agent, exchange);
        if let Some(status) = &exchange.status {
            self.status.push((exchange.agent, status));
        }
        let events = exchange.events.as_ref().map(|batch| self.append(exchange, batch));
        for remark in &exchange.remarks {
            self.events.tell(Some(exchange.manager), now, remark);
        }
        Done::Committed { events, at: now }
    }

    fn cursor(&self, agent: AgentUid, batch: &crate::EventBatch) -> EventCursor {
        let stored = self.cursors.get(&(agent, batch.stream)).copied();
        stored.unwrap_or_else(|| EventCursor::start(batch.stream))
    }

    fn append(&mut self, exchange: &Exchange, batch: &'e crate::EventBatch) -> Judgement {
        let judged = self.cursor(exchange.agent, batch).judge(batch);
        if let Some((new, hash)) = batch.new_events(judged) {
            for (number, event) in new {
                let origin = (exchange.agent, batch.stream, number);
                self.events.store(exchange.manager, origin, &event.event);
            }
            let cursor = EventCursor { stream: batch.stream, through: judged.through(), hash };
            self.cursors.insert((exchange.agent, batch.stream), cursor);
            self.streams.insert((exchange.agent, batch.stream), cursor);
        }
        judged
    }
}

async fn write(prepared: &Prepared, plan: &Plan<'_>, now: WallTime) -> Stored<()> {
    let failed = failed("an exchange");
    // Few exchanges say anything new of themselves, so these have a round trip of their own.
    let status = plan.status.iter().map(|(agent, status)| report(prepared, *agent, status));
    for reported in join_all(status).await {
        reported.map_err(&failed)?;
    }
    // What is sent first is done first, so the commit comes after the others.
    let ((advanced, stored), (moved, committed)) = join(
        join(advance(prepared, plan, now), store(prepared, plan, now)),
        join(streams(prepared, plan, now), prepared.client.batch_execute("COMMIT")),
    )
    .await;
    // After an error, a commit undoes, and says so no louder than by its name; but then there
    // was the error.
    for written in [advanced, stored, moved] {
        written.map_err(&failed)?;
    }
    committed.map_err(&failed)
}

async fn store(prepared: &Prepared, plan: &Plan<'_>, now: WallTime) -> Result<u64, Error> {
    if plan.events.is_empty() {
        return Ok(0);
    }
    let (now, day) = (now.0, now.day().0);
    prepared.client.execute(&prepared.events, &plan.events.parameters(&now, &day)).await
}

async fn advance(prepared: &Prepared, plan: &Plan<'_>, now: WallTime) -> Result<u64, Error> {
    if plan.advance.is_empty() {
        return Ok(0);
    }
    let all = || plan.advance.values();
    let agents: Vec<&[u8]> = all().map(|e| &e.agent.0[..]).collect();
    let sequences: Vec<i64> = all().map(|e| e.next.sequence.cast_signed()).collect();
    let currents: Vec<&[u8]> = all().map(|e| &e.next.current.0[..]).collect();
    let previous: Vec<&[u8]> = all().map(|e| &e.next.previous.0[..]).collect();
    let managers: Vec<&[u8]> = all().map(|e| &e.manager.0[..]).collect();
    let addresses: Vec<&str> = all().map(|e| e.address.as_str()).collect();
    let replies: Vec<&[u8]> = all().map(|e| &e.reply[..]).collect();
    let presences: Vec<i64> = all().map(|e| e.presence.code()).collect();
    let parameters: [&(dyn ToSql + Sync); 9] = [
        &now.0, &agents, &sequences, &currents, &previous, &presences, &managers, &addresses,
        &replies,
    ];
    prepared.client.execute(&prepared.advance, &parameters).await
}

async fn streams(prepared: &Prepared, plan: &Plan<'_>, now: WallTime) -> Result<u64, Error> {
    if plan.streams.is_empty() {
        return Ok(0);
    }
    let agents: Vec<&[u8]> = plan.streams.keys().map(|(agent, _)| &agent.0[..]).collect();
    let streams: Vec<&[u8]> = plan.streams.keys().map(|(_, stream)| &stream.0[..]).collect();
    let through: Vec<i64> = plan.streams.values().map(|c| c.through.cast_signed()).collect();
    let hashes: Vec<&[u8]> = plan.streams.values().map(|c| &c.hash.0[..]).collect();
    let parameters: [&(dyn ToSql + Sync); 5] = [&now.0, &agents, &streams, &through, &hashes];
    prepared.client.execute(&prepared.streams, &parameters).await
}

async fn report(prepared: &Prepared, agent: AgentUid, status: &StatusReport) -> Result<u64, Error> {
    let values = sql::status_values(agent, status);
    let parameters_of_status = parameters(&values);
    let status_set = prepared.client.execute(&prepared.status, &parameters_of_status);
    let Some(text) = &status.effective_text else { return status_set.await };
    let values: &[Value] = values![agent, &**text];
    let parameters_of_text = parameters(values);
    let text_set = prepared.client.execute(&prepared.text, &parameters_of_text);
    let (status_set, text_set) = join(status_set, text_set).await;
    status_set?;
    text_set
}
