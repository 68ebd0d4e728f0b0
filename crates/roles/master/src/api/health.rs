//! Whether the gateway serves, found out as a client would.
//!
//! A connection is made, the master chooses a worker for it and hands it over a lane, as it does
//! with what it has accepted, and the worker's request path reads the request and answers. Whoever
//! chooses wrong, does not accept, or hangs is found out, which asking each process how it is would
//! not do. What stands behind the worker has no part in it: servers are not the gateway.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::{Duration, Instant};

use hyper::Response;
use mainstay_model::{Generation, Slot};
use mainstay_wire::command::{Command, Reply, Status};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::Api;
use super::answer::{Body, json, unexpected};
use super::ask::{ANSWER_LIMIT, Conversation};
use super::problem::Problem;

/// How long the answer may take.
const LIMIT: Duration = Duration::from_secs(2);

/// Longest answer of a worker to this.
const ANSWER_BYTES_MAX: u64 = 4 * 1024;

const REQUEST: &[u8] = b"GET /health HTTP/1.1\r\nHost: mainstay\r\n\
    User-Agent: mainstay-health\r\nConnection: close\r\n\r\n";

/// What a worker says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
struct Serving {
    pid: u32,
    generation: Generation,
}

/// What is answered.
#[derive(Debug, Serialize)]
struct Health {
    worker: Slot,
    pid: u32,
    generation: Generation,
    /// From the connection to the end of the answer.
    latency_us: u64,
}

impl Api {
    /// Asks the way of a client.
    pub(super) async fn health(&self) -> Result<Response<Body>, Problem> {
        let begun = Instant::now();
        let stream = self.connect().await?;
        let asked = timeout(LIMIT, ask(stream)).await;
        let answered = asked.map_err(|_elapsed| {
            Problem::unavailable(format!("the worker did not answer within {LIMIT:?}"))
        })?;
        let bytes = answered
            .map_err(|error| Problem::unavailable(format!("the connection broke: {error}")))?;
        let latency = begun.elapsed();
        let Serving { pid, generation } = read(&bytes).ok_or_else(|| {
            Problem::unavailable("the worker did not answer as one that serves".to_owned())
        })?;
        let worker = match self.ask(&Command::Status).await? {
            Reply::Status(status) => slot_of(&status, pid),
            reply => return Err(unexpected(reply)),
        };
        let worker = worker.ok_or_else(|| {
            Problem::unavailable(format!("process {pid} answered, and died since"))
        })?;
        let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        json(&Health { worker, pid, generation, latency_us })
    }

    /// A connection to the worker that the master chooses.
    async fn connect(&self) -> Result<UnixStream, Problem> {
        let broken = |error: io::Error| Problem::unavailable(format!("no connection: {error}"));
        let (ours, theirs) = StdUnixStream::pair().map_err(broken)?;
        for stream in [&ours, &theirs] {
            stream.set_nonblocking(true).map_err(broken)?;
        }
        let question = Conversation::begin(&self.run, &Command::Health, &[theirs.as_fd()]);
        match question?.next(ANSWER_LIMIT).await? {
            Reply::HandedOver => UnixStream::from_std(ours).map_err(broken),
            Reply::Refused { reason } => Err(Problem::unavailable(reason)),
            reply => Err(unexpected(reply)),
        }
    }
}

async fn ask(mut stream: UnixStream) -> io::Result<Vec<u8>> {
    stream.write_all(REQUEST).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// What the answer says, if it is one of a worker that serves.
fn read(answer: &[u8]) -> Option<Serving> {
    let text = str::from_utf8(answer).ok()?.strip_prefix("HTTP/1.1 200 ")?;
    let (_, body) = text.split_once("\r\n\r\n")?;
    serde_json::from_str(body).ok()
}

fn slot_of(status: &Status, pid: u32) -> Option<Slot> {
    let process = status.processes.iter().find(|process| process.pid == pid)?;
    Slot::ALL.into_iter().find(|&slot| process.process == mainstay_model::Process::Worker(slot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_serves_is_well() {
        let serving = Serving { pid: 7, generation: Generation::FIRST };
        let rows = [
            ("HTTP/1.1 200 OK\r\nA: b\r\n\r\n{\"pid\":7,\"generation\":1}", Some(serving)),
            ("HTTP/1.1 503 No\r\nA: b\r\n\r\n{\"pid\":7,\"generation\":1}", None),
            ("HTTP/1.1 200 OK\r\nA: b\r\n\r\n<html>", None),
            ("HTTP/1.1 200 OK\r\nA: b\r\n", None),
            ("", None),
        ];
        for (answer, expected) in rows {
            assert_eq!(read(answer.as_bytes()), expected, "{answer}");
        }
    }
}
