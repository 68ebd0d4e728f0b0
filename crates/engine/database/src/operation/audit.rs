//! The audit log.

use super::{before, page};
use crate::access::{Audit, AuditFilter, AuditRow};
use crate::id::AuditId;
use crate::page::{Page, Range};
use crate::session::{Conditions, Row, Session, values};
use crate::store::Stored;

/// Writes down who asked for what, in the transaction that does it.
pub(crate) fn write(s: &mut dyn Session, audit: &Audit) -> Stored<()> {
    let now = s.now()?;
    let Audit { actor, address, action, subject, detail } = audit;
    s.run(
        "INSERT INTO audit (at, actor, address, action, subject, detail)
         VALUES ($1, $2, $3, $4, $5, $6)",
        values![now, &**actor, &**address, &**action, &**subject, &**detail],
    )?;
    Ok(())
}

/// Does the same, if somebody asked.
pub(crate) fn write_maybe(s: &mut dyn Session, audit: Option<&Audit>) -> Stored<()> {
    audit.map_or(Ok(()), |audit| write(s, audit))
}

pub(crate) fn list(
    s: &mut dyn Session,
    filter: &AuditFilter,
    range: &Range,
) -> Stored<Page<AuditRow>> {
    let mut conditions = Conditions::default();
    conditions.and("id < ?", before(range));
    conditions.and_maybe("actor = ?", filter.actor.as_deref());
    conditions.and_like("action", filter.action.as_deref());
    conditions.and_maybe("subject = ?", filter.subject.as_deref());
    let limit = conditions.bind(range.rows() + 1);
    let sql = format!(
        "SELECT id, at, actor, address, action, subject, detail FROM audit{}
         ORDER BY id DESC LIMIT {limit}",
        conditions.sql(),
    );
    page(s.rows(&sql, &conditions.values)?, range, read, |row| row.id.to_string())
}

fn read(row: &mut Row) -> Stored<AuditRow> {
    Ok(AuditRow {
        id: AuditId(row.int()?),
        at: row.time()?,
        audit: Audit {
            actor: row.text()?,
            address: row.text()?,
            action: row.text()?,
            subject: row.text()?,
            detail: row.bytes()?,
        },
    })
}
