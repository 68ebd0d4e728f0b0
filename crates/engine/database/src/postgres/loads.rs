//! What exchanges read before they are decided: over one connection, one after the other
//! without waiting for answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_postgres::Statement;

use super::error::failed;
use super::session::{NOW, parameters, row};
use super::target::{Link, Target};
use crate::error::StoreError;
use crate::exchange::Loaded;
use crate::id::{AgentUid, StreamId};
use crate::operation::agents;
use crate::session::{Row, Value, values};
use crate::store::Stored;

#[derive(Debug)]
pub(crate) struct Loads {
    target: Target,
    limit: Duration,
    connection: Mutex<Option<Arc<Connection>>>,
}

struct Connection {
    client: Link,
    load: Statement,
    last_reply: Statement,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
enum Question {
    Load,
    LastReply,
}

impl Loads {
    pub(crate) fn new(target: Target, limit: Duration) -> Self {
        Self { target, limit, connection: Mutex::default() }
    }

    pub(crate) async fn load(&self, agent: AgentUid, stream: StreamId) -> Stored<Option<Loaded>> {
        let answer = self.ask(Question::Load, values![agent, stream]).await?;
        answer.map(|mut row| read(&mut row, stream)).transpose()
    }

    pub(crate) async fn last_reply(
        &self,
        agent: AgentUid,
        sequence: u64,
    ) -> Stored<Option<Vec<u8>>> {
        let answer = self.ask(Question::LastReply, values![agent, sequence]).await?;
        answer.map(|mut row| row.bytes()).transpose()
    }

    /// Asks, and once more over a new connection if the first was lost.
    async fn ask(&self, question: Question, values: &[Value]) -> Stored<Option<Row>> {
        let connection = self.connection(None).await?;
        match self.ask_over(&connection, question, values).await {
            Err(StoreError::Unavailable { .. }) => {
                let connection = self.connection(Some(&connection)).await?;
                self.ask_over(&connection, question, values).await
            }
            answered => answered,
        }
    }

    async fn ask_over(
        &self,
        connection: &Connection,
        question: Question,
        values: &[Value],
    ) -> Stored<Option<Row>> {
        let answer = connection.ask(question, values);
        self.target.within(self.limit, connection.client.host(), answer).await
    }

    /// The connection, but not the one that was `lost`.
    async fn connection(&self, lost: Option<&Arc<Connection>>) -> Stored<Arc<Connection>> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = &*kept
            && !connection.client.is_closed()
            && lost.is_none_or(|lost| !Arc::ptr_eq(lost, connection))
        {
            return Ok(Arc::clone(connection));
        }
        let failed = failed("preparing");
        let client = self.target.connect().await?;
        let load = agents::LOAD.replace("e.hash\n", &format!("e.hash, {NOW}\n"));
        let prepare = async {
            let load = client.prepare(&load).await.map_err(&failed)?;
            Ok((load, client.prepare(agents::LAST_REPLY).await.map_err(&failed)?))
        };
        let (load, last_reply) = self.target.within(self.limit, client.host(), prepare).await?;
        let connection = Arc::new(Connection { client, load, last_reply });
        *kept = Some(Arc::clone(&connection));
        Ok(connection)
    }
}

impl Connection {
    async fn ask(&self, question: Question, values: &[Value]) -> Stored<Option<Row>> {
        let statement = match question {
            Question::Load => &self.load,
            Question::LastReply => &self.last_reply,
        };
        let answer = self.client.query_opt(statement, &parameters(values)).await;
        answer.map_err(failed("reading an agent"))?.as_ref().map(row).transpose()
    }
}

/// The clock is the last column.
fn read(row: &mut Row, stream: StreamId) -> Stored<Loaded> {
    let mut loaded = agents::read_loaded(row, stream, crate::time::WallTime::default())?;
    loaded.now = row.time()?;
    Ok(loaded)
}
