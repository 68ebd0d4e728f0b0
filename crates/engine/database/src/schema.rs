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

pub(crate) const SQLITE: Migrations = &[
    ("V1__fleet", include_str!("../migrations/sqlite/V1__fleet.sql")),
    ("V2__retired_key", include_str!("../migrations/sqlite/V2__retired_key.sql")),
];

pub(crate) const POSTGRES: Migrations = &[
    ("V1__fleet", include_str!("../migrations/postgres/V1__fleet.sql")),
    ("V2__retired_key", include_str!("../migrations/postgres/V2__retired_key.sql")),
];

/// The last migration that this program knows.
pub(crate) const NEWEST: i64 = 2;

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

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    const NEXT: &str = "ALTER TABLE setting ADD COLUMN note TEXT NOT NULL DEFAULT '';";

    fn migrate(database: &mut Connection, migrations: Migrations) -> Stored<usize> {
        let report = runner(migrations)?.run(database).map_err(failed)?;
        Ok(report.applied_migrations().len())
    }

    #[test]
    fn migrations_go_forward_and_former_programs_leave_them() {
        const FORMER: Migrations = &[SQLITE[0]];
        const NEWER: Migrations = &[SQLITE[0], SQLITE[1], ("V3__note", NEXT)];
        let mut database = Connection::open_in_memory().unwrap();
        assert_eq!(migrate(&mut database, FORMER).unwrap(), 1);
        assert_eq!(migrate(&mut database, SQLITE).unwrap(), 1);
        assert_eq!(migrate(&mut database, NEWER).unwrap(), 1);
        assert_eq!(migrate(&mut database, FORMER).unwrap(), 0, "the former program starts");
        assert_eq!(migrate(&mut database, NEWER).unwrap(), 0);
    }

    #[test]
    fn a_migration_that_was_changed_is_refused() {
        const OTHER: Migrations = &[("V1__fleet", "SELECT 1")];
        let mut database = Connection::open_in_memory().unwrap();
        migrate(&mut database, SQLITE).unwrap();
        migrate(&mut database, OTHER).unwrap_err();
    }

    #[test]
    fn both_databases_have_the_same_migrations() {
        let names = |migrations: Migrations| migrations.iter().map(|m| m.0).collect::<Vec<_>>();
        assert_eq!(names(SQLITE), names(POSTGRES));
        assert_eq!(SQLITE.len(), usize::try_from(NEWEST).unwrap());
    }

    #[test]
    fn a_schema_that_needs_a_newer_program_is_refused() {
        check(NEWEST, 1).unwrap();
        check(NEWEST + 1, NEWEST).unwrap();
        check(NEWEST + 1, NEWEST + 1).unwrap_err();
    }
}
