//! The gateway of this host, through its admin API (`api.sock`) and its files.
//!
//! # Not here
//!
//! What a configuration means: the gateway checks, proves and watches it, and goes back by itself.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::HOST;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use mainstay_config::host;
use serde_json::Value;
use tokio::net::UnixStream;

/// How long a question may take.
const ASK_LIMIT: Duration = Duration::from_secs(10);

/// How long an apply may take: its watch is at most an hour.
const APPLY_LIMIT: Duration = Duration::from_hours(2);

/// Longest answer.
const ANSWER_BYTES_MAX: usize = 2 * mainstay_config::TEXT_BYTES_MAX;

/// Longest `host.toml`.
const HOST_BYTES_MAX: usize = mainstay_config::TEXT_BYTES_MAX;

/// Where the gateway's parts are.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    socket: PathBuf,
    /// None: it writes none.
    pub(crate) log: Option<PathBuf>,
}

/// What the gateway says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) generation: u64,
    /// The answer to `GET /v1/status`.
    pub(crate) status: Value,
    /// The text of the generation that is in service.
    pub(crate) text: Vec<u8>,
}

/// What became of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    InService {
        generation: u64,
    },
    /// The gateway does not want it, or went back from it.
    Refused {
        reason: String,
    },
}

impl Gateway {
    /// The one of this `host.toml`.
    pub(crate) fn of(path: &Path) -> anyhow::Result<Self> {
        let text = mainstay_trust::file::read_public(path, HOST_BYTES_MAX)?;
        let text = String::from_utf8(text).ok().context("host.toml is not UTF-8")?;
        let host = host::parse(&text).map_err(|problems| {
            let lines: Vec<String> =
                problems.iter().map(|problem| problem.locate(path, &text)).collect();
            anyhow::anyhow!("{}", lines.join("\n"))
        })?;
        Ok(Self { socket: host.run.join("api.sock"), log: host.alerts.log.map(|log| log.path) })
    }

    /// What it does now. The text is read only if its number is not `known`.
    pub(crate) async fn look(&self, known: Option<&Look>) -> anyhow::Result<Look> {
        let status = self.ask(Method::GET, "/v1/status", Vec::new(), ASK_LIMIT).await?;
        let status: Value = serde_json::from_slice(&status).context("the status is no JSON")?;
        let generation = status.get("generation").and_then(Value::as_u64);
        let generation = generation.context("the status has no generation")?;
        let text = match known.filter(|known| known.generation == generation) {
            Some(known) => known.text.clone(),
            None => {
                let path = format!("/v1/generations/{generation}");
                self.ask(Method::GET, &path, Vec::new(), ASK_LIMIT).await?
            }
        };
        Ok(Look { generation, status, text })
    }

    /// Puts a configuration into service.
    ///
    /// # Errors
    ///
    /// If it is not known what became of it: the gateway is away.
    pub(crate) async fn apply(&self, text: Vec<u8>) -> anyhow::Result<Applied> {
        let answer = self.send(Method::POST, "/v1/apply", text, APPLY_LIMIT).await?;
        let (status, body) = answer;
        // Another apply is under way, or the gateway cannot now: nothing is wrong with this one.
        if status >= 500 || matches!(status, 409 | 429) {
            bail!("the gateway answers {status}: {}", sentence(&body));
        }
        if status != 200 {
            return Ok(Applied::Refused { reason: sentence(&body) });
        }
        let last = body.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty());
        let last: Value = serde_json::from_slice(last.unwrap_or_default())
            .context("the outcome of the apply is not known")?;
        let word = |name: &str| last.get(name).and_then(Value::as_str).unwrap_or_default();
        let generation = last.get("generation").and_then(Value::as_u64).unwrap_or_default();
        match word("reply") {
            "applied" => Ok(Applied::InService { generation }),
            // It is what is in service already.
            "compared" => Ok(Applied::InService { generation }),
            "refused" | "went_back" => Ok(Applied::Refused { reason: word("reason").to_owned() }),
            other => bail!("the apply was cut off after {other:?}"),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        limit: Duration,
    ) -> anyhow::Result<Vec<u8>> {
        let (status, body) = self.send(method, path, body, limit).await?;
        ensure!(status == 200, "the gateway answers {status}: {}", sentence(&body));
        Ok(body)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        limit: Duration,
    ) -> anyhow::Result<(u16, Vec<u8>)> {
        let work = async {
            let stream =
                UnixStream::connect(&self.socket).await.map_err(|source| self.away(source))?;
            let (mut sender, connection) =
                handshake(TokioIo::new(stream)).await.context("the gateway's API is away")?;
            let driver = tokio::spawn(connection);
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header(HOST, "gateway")
                .header("content-type", "application/toml")
                .body(Full::new(Bytes::from(body)))
                .context("the request cannot be written")?;
            let response =
                sender.send_request(request).await.context("the gateway did not answer")?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|_cut| anyhow::anyhow!("the gateway's answer was cut off"))?;
            driver.abort();
            Ok((status, body.to_bytes().to_vec()))
        };
        tokio::time::timeout(limit, work).await.context("the gateway does not answer")?
    }

    fn away(&self, source: io::Error) -> anyhow::Error {
        anyhow::Error::new(source).context(format!("no gateway at {}", self.socket.display()))
    }
}

/// What a problem says (RFC 9457).
fn sentence(body: &[u8]) -> String {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let said = ["detail", "title"].into_iter().find_map(|key| problem.get(key)?.as_str());
    let mut said = said.unwrap_or("it says no more").to_owned();
    for problem in problem.get("problems").and_then(Value::as_array).into_iter().flatten().take(8) {
        let part = |key: &str| problem.get(key).cloned().unwrap_or_default();
        let sentence = part("sentence");
        let sentence = sentence.as_str().unwrap_or_default();
        said.push_str(&format!("\n{}:{}: {sentence}", part("line"), part("column")));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_told_with_its_places() {
        let body = br#"{"title":"x","detail":"two problems","problems":[{"file":"g","line":3,"column":4,"sentence":"no"}]}"#;
        assert_eq!(sentence(body), "two problems\n3:4: no");
        assert_eq!(sentence(b"<html>"), "it says no more");
    }
}
