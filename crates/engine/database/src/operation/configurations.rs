//! Configurations and their versions.

use super::{all, audit, before, page};
use crate::access::Audit;
use crate::configuration::{Configuration, NewVersion, Version};
use crate::error::StoreError;
use crate::id::{ConfigurationId, VersionId};
use crate::page::{Page, Range};
use crate::session::{Row, Session, values};
use crate::store::Stored;

const WHAT: &str = "configuration";
const VERSION: &str = "version";

const COLUMNS: &str = "id, configuration, number, hash, size, note, created_at, created_by";

pub(crate) fn create(
    s: &mut dyn Session,
    name: &str,
    note: &str,
    asked: &Audit,
) -> Stored<ConfigurationId> {
    let exists = StoreError::Exists { what: WHAT };
    s.refuse(exists, "SELECT 1 FROM configuration WHERE name = $1", values![name])?;
    let now = s.now()?;
    let id = s.number(
        "INSERT INTO configuration (name, note, created_at) VALUES ($1, $2, $3) RETURNING id",
        values![name, note, now],
    )?;
    audit::write(s, asked)?;
    Ok(ConfigurationId(id))
}

pub(crate) fn list(s: &mut dyn Session) -> Stored<Vec<Configuration>> {
    let rows = s.rows(
        "SELECT c.id, c.name, c.note,
                (SELECT COALESCE(max(number), 0) FROM version v WHERE v.configuration = c.id),
                c.created_at
         FROM configuration c ORDER BY c.name",
        &[],
    )?;
    all(rows, |row| {
        Ok(Configuration {
            id: ConfigurationId(row.int()?),
            name: row.text()?,
            note: row.text()?,
            last: row.count()?,
            created_at: row.time()?,
        })
    })
}

pub(crate) fn remove(s: &mut dyn Session, id: ConfigurationId, asked: &Audit) -> Stored<()> {
    let users = [
        ("agent_group", "version"),
        ("agent", "own_version"),
        ("rollout", "version"),
        ("rollout", "former"),
    ];
    for (table, column) in users {
        let sql = format!(
            "SELECT 1 FROM {table} u JOIN version v ON v.id = u.{column}
             WHERE v.configuration = $1 LIMIT 1"
        );
        s.refuse(StoreError::InUse { what: WHAT }, &sql, values![id])?;
    }
    s.run("DELETE FROM version WHERE configuration = $1", values![id])?;
    s.change(WHAT, "DELETE FROM configuration WHERE id = $1", values![id])?;
    audit::write(s, asked)
}

pub(crate) fn add(s: &mut dyn Session, new: &NewVersion, asked: &Audit) -> Stored<Version> {
    let found = s.row(
        "SELECT COALESCE((SELECT max(number) FROM version v WHERE v.configuration = c.id), 0)
         FROM configuration c WHERE c.id = $1",
        values![new.configuration],
    )?;
    let last: u32 = found.ok_or(StoreError::Missing { what: WHAT })?.count()?;
    if last != new.after {
        return Err(StoreError::Changed { what: WHAT });
    }
    let now = s.now()?;
    let size = u64::try_from(new.text.len()).unwrap_or(u64::MAX);
    let sql = format!(
        "INSERT INTO version (configuration, number, hash, size, note, created_at, created_by, text)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING {COLUMNS}"
    );
    let values = values![
        new.configuration,
        last + 1,
        new.hash,
        size,
        &*new.note,
        now,
        &*asked.actor,
        &*new.text,
    ];
    let mut row = s.row(&sql, values)?.ok_or(StoreError::Corrupt { what: VERSION })?;
    audit::write(s, asked)?;
    read(&mut row)
}

pub(crate) fn versions(
    s: &mut dyn Session,
    configuration: ConfigurationId,
    range: &Range,
) -> Stored<Page<Version>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM version WHERE configuration = $1 AND number < $2
         ORDER BY number DESC LIMIT $3"
    );
    let rows = s.rows(&sql, values![configuration, before(range), range.rows() + 1])?;
    page(rows, range, read, |version| version.number.to_string())
}

pub(crate) fn version(s: &mut dyn Session, version: VersionId) -> Stored<Option<Version>> {
    let sql = format!("SELECT {COLUMNS} FROM version WHERE id = $1");
    s.row(&sql, values![version])?.map(|mut row| read(&mut row)).transpose()
}

pub(crate) fn text(s: &mut dyn Session, version: VersionId) -> Stored<Option<Vec<u8>>> {
    let row = s.row("SELECT text FROM version WHERE id = $1", values![version])?;
    row.map(|mut row| row.bytes()).transpose()
}

pub(crate) fn must_exist(s: &mut dyn Session, version: Option<VersionId>) -> Stored<()> {
    let Some(version) = version else { return Ok(()) };
    let found = s.row("SELECT 1 FROM version WHERE id = $1", values![version])?;
    found.map(drop).ok_or(StoreError::Missing { what: VERSION })
}

fn read(row: &mut Row) -> Stored<Version> {
    Ok(Version {
        id: VersionId(row.int()?),
        configuration: ConfigurationId(row.int()?),
        number: row.count()?,
        hash: row.id()?,
        size: row.count()?,
        note: row.text()?,
        created_at: row.time()?,
        created_by: row.text()?,
    })
}
