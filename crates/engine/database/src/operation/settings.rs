//! Values that all managers share.

use super::audit;
use crate::access::Audit;
use crate::error::StoreError;
use crate::session::{Session, values};
use crate::store::Stored;

/// What an agent is registered with.
pub(crate) const DATABASE: &str = "database";

pub(crate) fn get(s: &mut dyn Session, key: &str) -> Stored<Option<Vec<u8>>> {
    let row = s.row("SELECT value FROM setting WHERE key = $1", values![key])?;
    row.map(|mut row| row.bytes()).transpose()
}

pub(crate) fn set(
    s: &mut dyn Session,
    key: &str,
    (expected, value): (Option<&[u8]>, Option<&[u8]>),
    asked: Option<&Audit>,
) -> Stored<bool> {
    if get(s, key)?.as_deref() != expected {
        return Ok(false);
    }
    match value {
        Some(value) => s.run(
            "INSERT INTO setting (key, value) VALUES ($1, $2)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            values![key, value],
        )?,
        None => s.run("DELETE FROM setting WHERE key = $1", values![key])?,
    };
    audit::write_maybe(s, asked)?;
    Ok(true)
}

/// What the database is called; drawn by whoever asks first.
pub(crate) fn database_id(s: &mut dyn Session) -> Stored<String> {
    if let Some(id) = get(s, DATABASE)? {
        return String::from_utf8(id).map_err(|_error| StoreError::Corrupt { what: "database id" });
    }
    let drawn = mainstay_os::random_u64()
        .map_err(|source| StoreError::Unavailable { source: Box::new(source) })?;
    let id = format!("{drawn:016x}");
    set(s, DATABASE, (None, Some(id.as_bytes())), None)?;
    Ok(id)
}
