//! Managers, and who does which job.

use std::time::Duration;

use super::{all, audit};
use crate::access::Audit;
use crate::error::StoreError;
use crate::id::ManagerId;
use crate::manager::{Drain, Lease, ManagerBeat, ManagerRow};
use crate::session::{Row, Session, values};
use crate::store::Stored;

const WHAT: &str = "manager";

pub(crate) fn beat(s: &mut dyn Session, beat: &ManagerBeat) -> Stored<Drain> {
    let now = s.now()?;
    let latency = i64::try_from(beat.commit_latency.as_micros()).unwrap_or(i64::MAX);
    let row = s.row(
        "INSERT INTO manager (id, name, version, address, started_at, exchange_rate, connections,
                              commit_latency, detail, seen_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (id) DO UPDATE SET
             name = excluded.name, version = excluded.version, address = excluded.address,
             started_at = excluded.started_at, exchange_rate = excluded.exchange_rate,
             connections = excluded.connections, commit_latency = excluded.commit_latency,
             detail = excluded.detail, seen_at = excluded.seen_at
         RETURNING drain",
        values![
            beat.manager,
            &*beat.name,
            &*beat.version,
            &*beat.address,
            beat.started_at,
            beat.exchange_rate,
            beat.connections,
            latency,
            &*beat.detail,
            now,
        ],
    )?;
    row.ok_or(StoreError::Corrupt { what: WHAT })?.code()
}

pub(crate) fn list(s: &mut dyn Session) -> Stored<Vec<ManagerRow>> {
    let rows = s.rows(
        "SELECT id, name, version, address, started_at, exchange_rate, connections,
                commit_latency, detail, seen_at, drain
         FROM manager ORDER BY name, id",
        &[],
    )?;
    all(rows, read)
}

fn read(row: &mut Row) -> Stored<ManagerRow> {
    let beat = ManagerBeat {
        manager: row.id()?,
        name: row.text()?,
        version: row.text()?,
        address: row.text()?,
        started_at: row.time()?,
        exchange_rate: row.unsigned()?,
        connections: row.unsigned()?,
        commit_latency: Duration::from_micros(row.count()?),
        detail: row.bytes()?,
    };
    Ok(ManagerRow { beat, seen_at: row.time()?, drain: row.code()? })
}

pub(crate) fn set_drain(
    s: &mut dyn Session,
    manager: ManagerId,
    drain: Drain,
    asked: &Audit,
) -> Stored<()> {
    s.change(WHAT, "UPDATE manager SET drain = $1 WHERE id = $2", values![drain, manager])?;
    audit::write(s, asked)
}

pub(crate) fn remove(s: &mut dyn Session, manager: ManagerId, asked: &Audit) -> Stored<()> {
    s.change(WHAT, "DELETE FROM manager WHERE id = $1", values![manager])?;
    audit::write(s, asked)
}

/// One statement decides: it takes the job if nobody has it, if its time is up, or if it is the
/// holder's already.
pub(crate) fn lease(
    s: &mut dyn Session,
    name: &str,
    holder: ManagerId,
    ttl: Duration,
) -> Stored<Lease> {
    let now = s.now()?;
    let until = now.plus(ttl);
    let taken = s.row(
        "INSERT INTO lease (name, holder, term, until) VALUES ($1, $2, 1, $3)
         ON CONFLICT (name) DO UPDATE SET
             term = CASE WHEN lease.holder = excluded.holder AND lease.until > $4
                         THEN lease.term ELSE lease.term + 1 END,
             holder = excluded.holder, until = excluded.until
         WHERE lease.holder = excluded.holder OR lease.until <= $4
         RETURNING term",
        values![name, holder, until, now],
    )?;
    if let Some(mut row) = taken {
        return Ok(Lease::Held { term: row.count()?, until });
    }
    let row = s.row("SELECT holder, until FROM lease WHERE name = $1", values![name])?;
    let mut row = row.ok_or(StoreError::Corrupt { what: "lease" })?;
    Ok(Lease::Taken { by: row.id()?, until: row.time()? })
}

pub(crate) fn release(s: &mut dyn Session, name: &str, holder: ManagerId) -> Stored<()> {
    // The row stays: the next holder's term is higher.
    s.run("UPDATE lease SET until = 0 WHERE name = $1 AND holder = $2", values![name, holder])?;
    Ok(())
}
