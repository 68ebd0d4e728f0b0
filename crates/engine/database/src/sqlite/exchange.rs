//! Exchanges on the writer's connection.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::events::Sink;
use super::session::SqliteSession;
use super::{clock, failed};
use crate::agent::StatusReport;
use crate::exchange::{ChainRow, EventBatch, EventCursor, Exchange, Exchanged, Judgement, Loaded};
use crate::id::{AgentUid, Hash, StreamId};
use crate::operation::agents;
use crate::session::{Code as _, Session, values};
use crate::sql;
use crate::store::Stored;

const DURING: &str = "an exchange";

/// Reads an agent's row.
pub(crate) fn load(
    session: &mut dyn Session,
    agent: AgentUid,
    stream: StreamId,
) -> Stored<Option<Loaded>> {
    let row = session.row(agents::LOAD, values![agent, stream])?;
    let now = session.now()?;
    row.map(|mut row| agents::read_loaded(&mut row, stream, now)).transpose()
}

/// Performs exchanges in a transaction that the caller has begun, in the order of their agents.
pub(crate) fn perform(connection: &Connection, exchanges: &[&Exchange]) -> Stored<Vec<Exchanged>> {
    let now = clock();
    let mut sink = Sink::open(connection, now);
    let mut order: Vec<(usize, &Exchange)> = exchanges.iter().copied().enumerate().collect();
    order.sort_by_key(|(_place, exchange)| exchange.agent);
    let mut done = Vec::with_capacity(order.len());
    for (place, exchange) in order {
        done.push((place, one(connection, &mut sink, exchange)?));
    }
    sink.close()?;
    done.sort_unstable_by_key(|&(place, _)| place);
    let outcome = |(_, events)| match events {
        Done::Committed(events) => Exchanged::Committed { events, at: now },
        Done::Moved(loaded) => Exchanged::Moved(loaded),
        Done::Unknown => Exchanged::Unknown,
    };
    Ok(done.into_iter().map(outcome).collect())
}

enum Done {
    Committed(Option<Judgement>),
    Moved(Box<Loaded>),
    Unknown,
}

fn one(connection: &Connection, sink: &mut Sink<'_>, exchange: &Exchange) -> Stored<Done> {
    let Some(stored) = chain(connection, exchange.agent)? else { return Ok(Done::Unknown) };
    if exchange.is_done(&stored) {
        // Its answer got lost on the way to the caller, which asked again.
        let events = exchange.events.as_ref();
        let judged =
            events.map(|batch| Ok(cursor(connection, exchange.agent, batch.stream)?.judge(batch)));
        return Ok(Done::Committed(judged.transpose()?));
    }
    if (stored.sequence, stored.current) != exchange.expected {
        let stream = exchange.stream();
        let loaded = load(&mut SqliteSession::new(connection), exchange.agent, stream)?;
        return Ok(loaded.map_or(Done::Unknown, |loaded| Done::Moved(Box::new(loaded))));
    }
    advance(connection, exchange, sink)?;
    if let Some(status) = &exchange.status {
        report(connection, exchange.agent, status)?;
    }
    let events = match &exchange.events {
        Some(batch) => Some(append(connection, sink, exchange, batch)?),
        None => None,
    };
    for remark in &exchange.remarks {
        sink.tell(Some(exchange.manager), remark)?;
    }
    Ok(Done::Committed(events))
}

fn chain(connection: &Connection, agent: AgentUid) -> Stored<Option<ChainRow>> {
    let read = || {
        connection
            .prepare_cached("SELECT sequence, current, previous FROM agent_seen WHERE agent = ?1")?
            .query_row(params![agent.0], |row| {
                let sequence: i64 = row.get(0)?;
                let (current, previous) = (Hash(row.get(1)?), Hash(row.get(2)?));
                Ok(ChainRow { sequence: sequence.cast_unsigned(), current, previous })
            })
            .optional()
    };
    read().map_err(failed(DURING))
}

fn advance(connection: &Connection, exchange: &Exchange, sink: &Sink<'_>) -> Stored<()> {
    let next = &exchange.next;
    let write = || {
        connection
            .prepare_cached(
                "UPDATE agent_seen SET sequence = ?2, current = ?3, previous = ?4, presence = ?5,
                                       seen_at = ?6, manager = ?7, address = ?8, reply = ?9
                 WHERE agent = ?1",
            )?
            .execute(params![
                exchange.agent.0,
                next.sequence.cast_signed(),
                next.current.0,
                next.previous.0,
                exchange.presence.code(),
                sink.now().0,
                exchange.manager.0,
                exchange.address,
                exchange.reply,
            ])
    };
    write().map(drop).map_err(failed(DURING))
}

fn report(connection: &Connection, agent: AgentUid, status: &StatusReport) -> Stored<()> {
    let mut session = SqliteSession::new(connection);
    session.run(sql::STATUS, &sql::status_values(agent, status))?;
    if let Some(text) = &status.effective_text {
        session.run(sql::EFFECTIVE_TEXT, values![agent, &**text])?;
    }
    Ok(())
}

fn cursor(connection: &Connection, agent: AgentUid, stream: StreamId) -> Stored<EventCursor> {
    let read = || {
        connection
            .prepare_cached(
                "SELECT through, hash FROM event_stream WHERE agent = ?1 AND stream = ?2",
            )?
            .query_row(params![agent.0, stream.0], |row| {
                let through: i64 = row.get(0)?;
                Ok(EventCursor {
                    stream,
                    through: through.cast_unsigned(),
                    hash: Hash(row.get(1)?),
                })
            })
            .optional()
    };
    Ok(read().map_err(failed(DURING))?.unwrap_or_else(|| EventCursor::start(stream)))
}

fn append(
    connection: &Connection,
    sink: &mut Sink<'_>,
    exchange: &Exchange,
    batch: &EventBatch,
) -> Stored<Judgement> {
    let judged = cursor(connection, exchange.agent, batch.stream)?.judge(batch);
    let Some((new, last)) = batch.new_events(judged) else { return Ok(judged) };
    for (number, event) in new {
        let origin = (exchange.agent, batch.stream, number);
        sink.store(exchange.manager, origin, &event.event)?;
    }
    let write = || {
        connection
            .prepare_cached(
                "INSERT INTO event_stream (agent, stream, through, hash, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (agent, stream) DO UPDATE SET
                     through = excluded.through, hash = excluded.hash,
                     updated_at = excluded.updated_at",
            )?
            .execute(params![
                exchange.agent.0,
                batch.stream.0,
                judged.through().cast_signed(),
                last.0,
                sink.now().0,
            ])
    };
    write().map(drop).map_err(failed(DURING))?;
    Ok(judged)
}
