//! Alerts: one row for each condition that is not over, however often it is raised.

use super::{audit, before, page};
use crate::access::Audit;
use crate::alert::{AlertFilter, AlertRow, AlertState, NewAlert};
use crate::id::AlertId;
use crate::page::{Page, Range};
use crate::session::{Conditions, Row, Session, values};
use crate::store::Stored;

pub(crate) fn raise(s: &mut dyn Session, alert: &NewAlert) -> Stored<AlertId> {
    let now = s.now()?;
    let id = s.number(
        "INSERT INTO alert (key, kind, severity, agent, text, detail, state, count,
                            first_at, last_at)
         VALUES ($1, $2, $3, $4, $5, $6, 0, 1, $7, $7)
         ON CONFLICT (key) WHERE state <> 2 DO UPDATE SET
             severity = excluded.severity, text = excluded.text, detail = excluded.detail,
             count = alert.count + 1, last_at = excluded.last_at
         RETURNING id",
        values![
            &*alert.key,
            &*alert.kind,
            alert.severity,
            alert.agent,
            &*alert.text,
            &*alert.detail,
            now,
        ],
    )?;
    Ok(AlertId(id))
}

pub(crate) fn settle(s: &mut dyn Session, key: &str) -> Stored<bool> {
    let closed = s.run(
        "UPDATE alert SET state = 2, changed_by = NULL WHERE key = $1 AND state <> 2",
        values![key],
    )?;
    Ok(closed > 0)
}

pub(crate) fn list(
    s: &mut dyn Session,
    filter: &AlertFilter,
    range: &Range,
) -> Stored<Page<AlertRow>> {
    let mut conditions = Conditions::default();
    conditions.and("id < ?", before(range));
    conditions.and_maybe("state = ?", filter.state);
    conditions.and_maybe("kind = ?", filter.kind.as_deref());
    conditions.and_maybe("agent = ?", filter.agent);
    let limit = conditions.bind(range.rows() + 1);
    let sql = format!(
        "SELECT id, key, kind, severity, agent, text, detail, state, count, first_at, last_at,
                changed_by
         FROM alert{} ORDER BY id DESC LIMIT {limit}",
        conditions.sql(),
    );
    page(s.rows(&sql, &conditions.values)?, range, read, |row| row.id.to_string())
}

pub(crate) fn set(
    s: &mut dyn Session,
    alert: AlertId,
    state: AlertState,
    asked: &Audit,
) -> Stored<()> {
    // What is closed stays closed; if the condition comes back, that is a new alert.
    s.change(
        "open alert",
        "UPDATE alert SET state = $1, changed_by = $2 WHERE id = $3 AND state <> 2",
        values![state, &*asked.actor, alert],
    )?;
    audit::write(s, asked)
}

fn read(row: &mut Row) -> Stored<AlertRow> {
    Ok(AlertRow {
        id: AlertId(row.int()?),
        alert: NewAlert {
            key: row.text()?,
            kind: row.text()?,
            severity: row.code()?,
            agent: row.maybe_id()?,
            text: row.text()?,
            detail: row.bytes()?,
        },
        state: row.code()?,
        count: row.count()?,
        first_at: row.time()?,
        last_at: row.time()?,
        by: row.maybe_text()?,
    })
}
