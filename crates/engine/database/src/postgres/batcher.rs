//! The task that commits exchanges, many at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::batch::{self, Done, Prepared};
use super::error::{Cure, cure};
use super::events;
use super::loads::Loads;
use super::target::Target;
use crate::error::StoreError;
use crate::exchange::{Exchange, Exchanged};
use crate::limits::Limits;
use crate::store::Stored;

/// How often a batch is tried that something is in the way of.
const ATTEMPTS: u32 = 5;

/// An exchange, and who waits for what comes of it.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) exchange: Exchange,
    pub(crate) answer: oneshot::Sender<Stored<Exchanged>>,
}

struct Batcher {
    target: Target,
    limit: Duration,
    loads: Arc<Loads>,
    prepared: Option<Prepared>,
}

/// Commits what comes until nobody can send any more.
pub(crate) async fn run(
    target: Target,
    loads: Arc<Loads>,
    mut receiver: mpsc::Receiver<Waiting>,
    limits: Limits,
) {
    let rows = limits.batch_rows.max(1);
    let mut batcher = Batcher { target, limit: limits.answer_timeout, loads, prepared: None };
    let mut taken = Vec::with_capacity(rows);
    while receiver.recv_many(&mut taken, rows).await > 0 {
        let until = Instant::now() + limits.batch_window;
        while taken.len() < rows {
            let left = rows - taken.len();
            match timeout_at(until, receiver.recv_many(&mut taken, left)).await {
                Ok(0) | Err(_) => break,
                Ok(_more) => {}
            }
        }
        batcher.commit(taken.drain(..)).await;
    }
}

impl Batcher {
    /// Commits exchanges together, and answers. If that fails for a reason that lies in one of
    /// them, each is tried alone, so that it fails alone.
    async fn commit(&mut self, taken: impl Iterator<Item = Waiting>) {
        let (mut exchanges, mut answers) = (Vec::new(), Vec::new());
        for waiting in taken {
            exchanges.push(waiting.exchange);
            answers.push(waiting.answer);
        }
        let all: Vec<&Exchange> = exchanges.iter().collect();
        match self.attempts(&all).await {
            Ok(done) => {
                for ((exchange, answer), done) in exchanges.iter().zip(answers).zip(done) {
                    self.answer(exchange, answer, done).await;
                }
            }
            Err(StoreError::Unavailable { source }) => {
                let said = source.to_string();
                for answer in answers {
                    let source = said.clone().into();
                    // The agent may have gone.
                    drop(answer.send(Err(StoreError::Unavailable { source })));
                }
            }
            Err(error) => {
                tracing::warn!(%error, exchanges = exchanges.len(), "a commit of exchanges failed");
                for (exchange, answer) in exchanges.iter().zip(answers) {
                    match self.attempts(&[exchange]).await.map(|mut done| done.pop()) {
                        Ok(Some(done)) => self.answer(exchange, answer, done).await,
                        Ok(None) => drop(answer.send(Err(StoreError::Closed))),
                        Err(error) => drop(answer.send(Err(error))),
                    }
                }
            }
        }
    }

    async fn answer(
        &self,
        exchange: &Exchange,
        answer: oneshot::Sender<Stored<Exchanged>>,
        done: Done,
    ) {
        let said = match done {
            Done::Committed { events, at } => Ok(Exchanged::Committed { events, at }),
            Done::Unknown => Ok(Exchanged::Unknown),
            Done::Moved => match self.loads.load(exchange.agent, exchange.stream()).await {
                Ok(Some(loaded)) => Ok(Exchanged::Moved(Box::new(loaded))),
                Ok(None) => Ok(Exchanged::Unknown),
                Err(error) => Err(error),
            },
        };
        drop(answer.send(said));
    }

    async fn attempts(&mut self, exchanges: &[&Exchange]) -> Stored<Vec<Done>> {
        let mut attempt = 0;
        let mut lost = 0;
        loop {
            attempt += 1;
            let error = match self.attempt(exchanges).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            match (&error, cure(&error)) {
                // Whether it was committed is unknown. Then each is recognised.
                (StoreError::Unavailable { .. }, _) if lost == 0 => lost = 1,
                (_, Cure::Again) if attempt < ATTEMPTS => {}
                (_, Cure::MakeDays) if attempt < ATTEMPTS => events::make(&self.target).await?,
                _ => return Err(error),
            }
        }
    }

    async fn attempt(&mut self, exchanges: &[&Exchange]) -> Stored<Vec<Done>> {
        let prepared = match self.prepared.take().filter(|prepared| !prepared.is_closed()) {
            Some(prepared) => prepared,
            None => {
                let link = self.target.connect().await?;
                let host = link.host();
                self.target.within(self.limit, host, Prepared::new(link)).await?
            }
        };
        let done = batch::perform(&prepared, exchanges);
        let done = self.target.within(self.limit, prepared.host(), done).await?;
        // It is kept only if nothing is left open on it.
        self.prepared = Some(prepared);
        Ok(done)
    }
}
