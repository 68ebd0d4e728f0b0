//! Groups of gateways.

use super::{all, audit};
use crate::access::Audit;
use crate::configuration::Group;
use crate::error::StoreError;
use crate::id::{GroupId, VersionId};
use crate::session::{Row, Session, values};
use crate::store::Stored;

const WHAT: &str = "group";
const EXISTS: StoreError = StoreError::Exists { what: WHAT };

pub(crate) fn create(
    s: &mut dyn Session,
    name: &str,
    note: &str,
    asked: &Audit,
) -> Stored<GroupId> {
    s.refuse(EXISTS, "SELECT 1 FROM agent_group WHERE name = $1", values![name])?;
    let now = s.now()?;
    let id = s.number(
        "INSERT INTO agent_group (name, note, created_at) VALUES ($1, $2, $3) RETURNING id",
        values![name, note, now],
    )?;
    audit::write(s, asked)?;
    Ok(GroupId(id))
}

pub(crate) fn list(s: &mut dyn Session) -> Stored<Vec<Group>> {
    let rows = s.rows(
        "SELECT g.id, g.name, g.note, g.version,
                (SELECT count(*) FROM agent a WHERE a.agent_group = g.id), g.created_at
         FROM agent_group g ORDER BY g.name",
        &[],
    )?;
    all(rows, read)
}

fn read(row: &mut Row) -> Stored<Group> {
    Ok(Group {
        id: GroupId(row.int()?),
        name: row.text()?,
        note: row.text()?,
        version: row.maybe_int()?.map(VersionId),
        agents: row.count()?,
        created_at: row.time()?,
    })
}

pub(crate) fn rename(
    s: &mut dyn Session,
    group: GroupId,
    (name, note): (&str, &str),
    asked: &Audit,
) -> Stored<()> {
    let taken = "SELECT 1 FROM agent_group WHERE name = $1 AND id <> $2";
    s.refuse(EXISTS, taken, values![name, group])?;
    let update = "UPDATE agent_group SET name = $1, note = $2 WHERE id = $3";
    s.change(WHAT, update, values![name, note, group])?;
    audit::write(s, asked)
}

pub(crate) fn remove(s: &mut dyn Session, group: GroupId, asked: &Audit) -> Stored<()> {
    for user in ["agent", "enrolment_token", "rollout"] {
        let sql = format!("SELECT 1 FROM {user} WHERE agent_group = $1 LIMIT 1");
        // A token that was revoked and a rollout that is over hold nothing.
        let sql = match user {
            "enrolment_token" => sql.replace(" LIMIT", " AND revoked = 0 LIMIT"),
            "rollout" => sql.replace(" LIMIT", " AND state IN (0, 1, 2, 3) LIMIT"),
            _ => sql,
        };
        s.refuse(StoreError::InUse { what: WHAT }, &sql, values![group])?;
    }
    s.run("DELETE FROM enrolment_token WHERE agent_group = $1", values![group])?;
    s.run("DELETE FROM rollout WHERE agent_group = $1", values![group])?;
    s.change(WHAT, "DELETE FROM agent_group WHERE id = $1", values![group])?;
    audit::write(s, asked)
}

pub(crate) fn set_version(
    s: &mut dyn Session,
    group: GroupId,
    version: Option<VersionId>,
    asked: &Audit,
) -> Stored<()> {
    super::configurations::must_exist(s, version)?;
    let update = "UPDATE agent_group SET version = $1 WHERE id = $2";
    s.change(WHAT, update, values![version, group])?;
    audit::write(s, asked)
}

pub(crate) fn must_exist(s: &mut dyn Session, group: GroupId) -> Stored<()> {
    let found = s.row("SELECT 1 FROM agent_group WHERE id = $1", values![group])?;
    found.map(drop).ok_or(StoreError::Missing { what: WHAT })
}
