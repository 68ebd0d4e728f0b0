//! The one thread that writes.

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::exchange;
use super::failed;
use crate::error::StoreError;
use crate::exchange::{Exchange, Exchanged};
use crate::queue::Queue;
use crate::store::Stored;

type Answer = oneshot::Sender<Stored<Exchanged>>;

/// Something to write.
pub(crate) enum Writing {
    /// Shares its commit with others.
    Exchange(Box<Exchange>, Answer),
    /// Has a commit of its own, and answers by itself.
    Operation(Box<dyn FnOnce(&Connection) + Send>),
}

/// Writes until the queue is closed and empty.
pub(crate) fn run(connection: &Connection, queue: &Queue<Writing>) {
    loop {
        let taken = queue.take();
        if taken.is_empty() {
            return;
        }
        let (mut exchanges, mut operations) = (Vec::new(), Vec::new());
        for writing in taken {
            match writing {
                Writing::Exchange(exchange, answer) => exchanges.push((*exchange, answer)),
                Writing::Operation(operation) => operations.push(operation),
            }
        }
        commit(connection, exchanges);
        for operation in operations {
            operation(connection);
        }
    }
}

/// Commits exchanges together, and answers. If that fails for a reason that lies in one of
/// them, each is tried alone, so that it fails alone.
fn commit(connection: &Connection, exchanges: Vec<(Exchange, Answer)>) {
    if exchanges.is_empty() {
        return;
    }
    let all: Vec<&Exchange> = exchanges.iter().map(|(exchange, _answer)| exchange).collect();
    match transaction(connection, || exchange::perform(connection, &all)) {
        Ok(done) => {
            for ((_exchange, answer), done) in exchanges.into_iter().zip(done) {
                // The agent may have gone.
                drop(answer.send(Ok(done)));
            }
        }
        Err(error) => {
            tracing::warn!(%error, exchanges = exchanges.len(), "a commit of exchanges failed");
            for (exchange, answer) in exchanges {
                drop(answer.send(alone(connection, &exchange)));
            }
        }
    }
}

fn alone(connection: &Connection, exchange: &Exchange) -> Stored<Exchanged> {
    let done = transaction(connection, || exchange::perform(connection, &[exchange]))?;
    done.into_iter().next().ok_or(StoreError::Corrupt { what: "exchange" })
}

/// Runs `work` as one transaction.
pub(crate) fn transaction<T>(
    connection: &Connection,
    work: impl FnOnce() -> Stored<T>,
) -> Stored<T> {
    connection.execute_batch("BEGIN IMMEDIATE").map_err(failed("beginning a transaction"))?;
    let done = work().and_then(|done| {
        connection.execute_batch("COMMIT").map_err(failed("a commit"))?;
        Ok(done)
    });
    // A failed commit may have left it open, or not.
    if done.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK").map_err(failed("undoing a transaction"))?;
    }
    done
}
