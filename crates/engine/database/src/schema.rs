//! The schema, and which programs may use which.
//!
//! Migrations only go forward, and two versions of the program run on one schema while managers
//! are exchanged one by one. So a migration that adds (*expand*) must leave everything that the
//! former program does valid: new columns have a default, nothing is renamed or taken away. What
//! the former program still used is taken away (*contract*) by a migration of the version after,
//! which raises `compatibility.oldest` to the last migration whose program can live without it.

use refinery::{Migration, Runner};

use crate::error::StoreError;
use crate::store::Stored;

/// Name and text of every migration.
pub(crate) type Migrations = &'static [(&'static str, &'static str)];

pub(crate) const SQLITE: Migrations =
    &[("V1__fleet", include_str!("../migrations/sqlite/V1__fleet.sql"))];

pub(crate) const POSTGRES: Migrations =
    &[("V1__fleet", include_str!("../migrations/postgres/V1__fleet.sql"))];

/// The last migration that this program knows.
pub(crate) const NEWEST: i64 = 1;

pub(crate) fn runner(migrations: Migrations) -> Stored<Runner> {
    let migrations = migrations.iter().map(|(name, sql)| Migration::unapplied(name, sql));
    let migrations = migrations.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    // One that is missing here was applied by a newer program, which is as it should be.
    Ok(Runner::new(&migrations).set_abort_divergent(true).set_abort_missing(false))
}

pub(crate) fn failed(source: refinery::Error) -> StoreError {
    StoreError::Failed { during: "a migration", source: Box::new(source) }
}

/// Whether this program may use a database with the schema `found`, which needs programs that
/// know the migration `oldest`.
pub(crate) fn check(found: i64, oldest: i64) -> Stored<()> {
    if oldest > NEWEST {
        return Err(StoreError::Schema { found, needed: oldest, newest: NEWEST });
    }
    if found > NEWEST {
        tracing::warn!(found, known = NEWEST, "the schema is newer than this program, and fits");
    }
    Ok(())
}
