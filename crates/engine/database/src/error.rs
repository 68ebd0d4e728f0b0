//! Why the database did not do what it was asked.

use std::error::Error;

/// The failure of one operation. Refusals that a caller is expected to handle (a sequence that
/// moved on, a gap in events) are answers, not errors.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, or was lost on the way. It is unknown whether the
    /// operation took place.
    #[error("the database is not available")]
    Unavailable { source: Box<dyn Error + Send + Sync> },

    /// What the server's certificate is compared with is not there.
    #[error("cannot tell the database's server from another")]
    Certificates { source: Box<dyn Error + Send + Sync> },

    /// The database refused a statement.
    #[error("the database failed in {during}")]
    Failed { during: &'static str, source: Box<dyn Error + Send + Sync> },

    /// What a row holds makes no sense.
    #[error("the database holds a {what} that cannot be read")]
    Corrupt { what: &'static str },

    /// The store was closed, or its thread has ended.
    #[error("the database was closed")]
    Closed,

    /// More is waiting than the store may queue. Try again later.
    #[error("too much is waiting for the database")]
    Busy,

    /// There is no such row.
    #[error("there is no such {what}")]
    Missing { what: &'static str },

    /// The name is taken.
    #[error("there is already such a {what}")]
    Exists { what: &'static str },

    /// Something still needs the row.
    #[error("the {what} is in use")]
    InUse { what: &'static str },

    /// Nobody would be left who may give rights.
    #[error("this is the last administrator")]
    LastAdministrator,

    /// The row is another than when the caller read it.
    #[error("the {what} has changed meanwhile")]
    Changed { what: &'static str },

    /// The database was made by a program that this one does not understand.
    #[error(
        "the database has schema {found} for programs that know {needed}; this one knows {newest}"
    )]
    Schema { found: i64, needed: i64, newest: i64 },
}
