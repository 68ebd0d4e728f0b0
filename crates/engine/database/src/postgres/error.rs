//! What PostgreSQL's errors mean to a caller.

use tokio_postgres::error::SqlState;

use crate::error::StoreError;

/// The connection is lost, or the server cannot do anything now: another one may.
pub(crate) fn failed(during: &'static str) -> impl Fn(tokio_postgres::Error) -> StoreError {
    move |error| {
        let gone = match error.code() {
            // Not the server's word: the connection's.
            None => true,
            Some(code) => {
                let class = code.code().get(..2).unwrap_or_default();
                matches!(class, "08" | "53" | "57" | "58")
                    || *code == SqlState::READ_ONLY_SQL_TRANSACTION
            }
        };
        let source = Box::new(error);
        if gone {
            StoreError::Unavailable { source }
        } else {
            StoreError::Failed { during, source }
        }
    }
}

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cure {
    /// Two transactions were in each other's way: the same again.
    Again,
    /// There is no partition for today: make it, then again.
    MakeDays,
    None,
}

pub(crate) fn cure(error: &StoreError) -> Cure {
    let StoreError::Failed { source, .. } = error else { return Cure::None };
    let code = source.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::code);
    match code {
        // Of two that insert the same key at once, the second finds it there the next time.
        Some(code)
            if [
                SqlState::T_R_SERIALIZATION_FAILURE,
                SqlState::T_R_DEADLOCK_DETECTED,
                SqlState::UNIQUE_VIOLATION,
            ]
            .contains(code) =>
        {
            Cure::Again
        }
        Some(code) if *code == SqlState::CHECK_VIOLATION => Cure::MakeDays,
        _ => Cure::None,
    }
}
