//! Opening the file, and its schema.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, ErrorCode};

use super::{StoreError, Stored};
use crate::schema;
use crate::time::WallTime;

/// How long a manager waits for another one on the same host that is writing.
const BUSY: Duration = Duration::from_secs(10);

/// Statements that are kept prepared.
const STATEMENTS: usize = 128;

/// Pages of the log (of 4 KiB) after which it is written back into the file. A commit that does
/// so takes longer; more pages make that rarer, and the log on the disk longer.
const CHECKPOINT: i64 = 4_000;

pub(crate) fn open(path: &Path) -> Stored<Connection> {
    let connection = Connection::open(path).map_err(failed("opening the file"))?;
    let set = || {
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT)
    };
    set().map_err(failed("opening the file"))?;
    Ok(connection)
}

/// Brings the schema to what this program knows, one program at a time.
pub(crate) fn migrate(path: &Path) -> Stored<()> {
    let _alone = lock(path)?;
    let mut connection = open(path)?;
    let runner = schema::runner(schema::SQLITE)?;
    let applied = runner.run(&mut connection).map_err(schema::failed)?;
    drop(applied);
    let oldest = connection
        .query_row("SELECT max(oldest) FROM compatibility", [], |row| row.get(0))
        .map_err(failed("reading the schema"))?;
    let found = connection
        .query_row("SELECT max(version) FROM refinery_schema_history", [], |row| row.get(0))
        .map_err(failed("reading the schema"))?;
    schema::check(found, oldest)
}

/// A file beside the database, locked while its schema changes; only its owner may read either.
fn lock(path: &Path) -> Stored<File> {
    let unavailable = |source| StoreError::Unavailable { source: Box::new(source) };
    let open = |path: &Path| {
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
    };
    // SQLite gives its further files the mode of the first.
    open(path).map_err(unavailable)?;
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = open(Path::new(&name)).map_err(unavailable)?;
    file.lock().map_err(unavailable)?;
    Ok(file)
}

/// The host's clock: the file is on this host.
pub(crate) fn clock() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// What SQLite's error means to a caller.
pub(crate) fn failed(during: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| {
        let source = Box::new(error);
        match source.sqlite_error_code() {
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen,
            ) => StoreError::Unavailable { source },
            _ => StoreError::Failed { during, source },
        }
    }
}
