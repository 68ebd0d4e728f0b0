//! What every process does, by way of broadcast, as any caller wants it.

use std::path::Path;
use std::time::Duration;

use hyper::Response;
use mainstay_model::Chain;
use mainstay_wire::broadcast::Outcome;
use mainstay_wire::caller::{LINE_BYTES_MAX, Refused, Reply, Request};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::Api;
use super::answer::{Body, json};
use super::problem::Problem;

/// How long an order may take: three processes, each with a limit of its own.
const LIMIT: Duration = Duration::from_secs(30);

impl Api {
    /// Has every process do it, and tells what each said.
    pub(super) async fn order(&self, request: Request) -> Result<Response<Body>, Problem> {
        let asked = timeout(LIMIT, ask(&self.run, request)).await;
        let answered = asked.map_err(|_elapsed| {
            Problem::unavailable(format!("broadcast did not answer within {LIMIT:?}"))
        })?;
        let reply = answered.map_err(|error| {
            Problem::unavailable(format!("broadcast does not answer: {}", Chain(&error)))
        })?;
        match reply {
            Reply::Outcome(outcome @ Outcome::Done { .. }) => json(&outcome),
            Reply::Outcome(outcome) => Err(Problem::of_order(outcome)),
            Reply::Refused(Refused { reason }) => Err(Problem::refused(reason)),
        }
    }
}

/// Dropped while it waits, it leaves the order to be carried out.
async fn ask(run: &Path, request: Request) -> std::io::Result<Reply> {
    let mut stream = UnixStream::connect(run.join("command.sock")).await?;
    let line = serde_json::to_string(&request)? + "\n";
    stream.write_all(line.as_bytes()).await?;
    let mut answer = String::new();
    BufReader::new(stream.take(LINE_BYTES_MAX as u64)).read_line(&mut answer).await?;
    Ok(serde_json::from_str(&answer)?)
}
