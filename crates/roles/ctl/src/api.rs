//! The admin API of a gateway, as this program uses it.
//!
//! At the socket, the kernel says which process listens. A master that died takes its answers with
//! it, and its keeper may hold the connection open for a moment; so its end is watched too. At an
//! address there is only the end of the connection to go by.

mod connect;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Method, Request, Response, StatusCode};
use mainstay_model::Timestamp;
use mainstay_os::{Pidfd, now};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use self::connect::NotReached;
use crate::place::Place;

/// How often the life of a master is looked at while it says nothing.
const TICK: Duration = Duration::from_millis(50);

/// How long a master may be away before an apply is given up that nobody has heard of.
const REACH_LIMIT: Duration = Duration::from_secs(5);

/// Longest answer, and longest line of one that comes in lines: twice the longest configuration.
const ANSWER_BYTES_MAX: usize = 2 * mainstay_config::TEXT_BYTES_MAX;

/// Where the API is.
#[derive(Clone, Debug, clap::Args)]
pub struct Admin {
    #[command(flatten)]
    place: Place,

    /// The API of a gateway elsewhere: https://HOST:PORT
    #[arg(long, value_name = "URL", conflicts_with_all = ["host", "run"],
          requires_all = ["token_file", "certificate"])]
    url: Option<String>,

    /// A file with the token for --url
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<PathBuf>,

    /// The certificate of the gateway, or of who signed it, for --url
    #[arg(long, value_name = "FILE", requires = "url")]
    certificate: Option<PathBuf>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) method: Method,
    /// With what stands behind it.
    pub(crate) path: String,
    pub(crate) body: Bytes,
}

/// What was answered at once.
#[derive(Debug)]
pub(crate) enum Answer {
    Done(String),
    /// Why it was not done.
    Problem(String),
}

/// How an answer in lines ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// All was said.
    Whole,
    Problem(String),
    /// Whoever answered died.
    CutOff,
}

/// A client of one gateway.
#[derive(Debug)]
pub(crate) struct Api {
    runtime: Runtime,
    gateway: connect::Gateway,
}

/// A request that was sent.
struct Asked {
    response: Response<Incoming>,
    /// Who answers; nobody knows at an address.
    master: Option<Pidfd>,
}

impl Question {
    pub(crate) fn get(path: &str) -> Self {
        Self { method: Method::GET, path: path.to_owned(), body: Bytes::new() }
    }

    pub(crate) fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, path: path.into(), body: body.into() }
    }
}

impl Api {
    pub(crate) fn of(admin: &Admin) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot make a runtime")?;
        Ok(Self { runtime, gateway: connect::Gateway::of(admin)? })
    }

    /// Asks, and waits for a master that is away. What only looks is asked again if the answer
    /// was lost; what changes something is not.
    pub(crate) fn ask(&self, question: &Question, limit: Duration) -> anyhow::Result<Answer> {
        let until = now() + limit;
        self.runtime.block_on(async {
            loop {
                let asked = timeout(until.since(now()), self.try_ask(question)).await;
                let error = match asked {
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(error)) => error,
                    Err(_elapsed) => anyhow::anyhow!("{} does not answer", self.gateway),
                };
                let may_ask_again = match error.downcast_ref::<NotReached>() {
                    Some(error) => error.may_pass(),
                    None => question.method == Method::GET,
                };
                if until.since(now()).is_zero() || !may_ask_again {
                    return Err(error);
                }
                connect::pause(until.since(now())).await;
            }
        })
    }

    async fn try_ask(&self, question: &Question) -> anyhow::Result<Answer> {
        let Asked { response, master } = self.send(question).await?;
        let status = response.status();
        let mut text = Vec::new();
        let mut body = response.into_body();
        while let Some(piece) = next(&mut body, master.as_ref(), None).await? {
            text.extend_from_slice(&piece);
            anyhow::ensure!(text.len() <= ANSWER_BYTES_MAX, "the answer has no end");
        }
        let text = String::from_utf8(text).context("the answer is no text")?;
        if status.is_success() {
            return Ok(Answer::Done(text));
        }
        Ok(Answer::Problem(sentence_of(status, &text)))
    }

    /// Asks once for what is answered in lines, each of which goes to `each` as it comes; for
    /// `silence` nothing may be said.
    pub(crate) fn follow(
        &self,
        question: &Question,
        silence: Duration,
        mut each: impl FnMut(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<Ended> {
        self.runtime.block_on(async {
            let asked = timeout(silence, self.send_when_reached(question)).await;
            let Asked { response, master } = match asked {
                Ok(Ok(asked)) => asked,
                Ok(Err(error)) if error.downcast_ref::<NotReached>().is_some() => {
                    return Err(error);
                }
                // It was asked, and whoever was asked is gone.
                Ok(Err(_)) => return Ok(Ended::CutOff),
                Err(_elapsed) => return Err(Silent.into()),
            };
            let status = response.status();
            let mut body = response.into_body();
            let mut text = Vec::new();
            loop {
                let deadline = now() + silence;
                match next(&mut body, master.as_ref(), Some(deadline)).await {
                    Ok(Some(piece)) => text.extend_from_slice(&piece),
                    Ok(None) => break,
                    Err(error) if error.downcast_ref::<Silent>().is_some() => return Err(error),
                    Err(_) => return Ok(Ended::CutOff),
                }
                anyhow::ensure!(text.len() <= ANSWER_BYTES_MAX, "the answer has no end");
                while status.is_success()
                    && let Some(end) = text.iter().position(|&byte| byte == b'\n')
                {
                    let line: Vec<u8> = text.drain(..=end).collect();
                    each(str::from_utf8(&line).context("the answer is no text")?)?;
                }
            }
            if status.is_success() {
                return Ok(Ended::Whole);
            }
            Ok(Ended::Problem(sentence_of(status, &String::from_utf8_lossy(&text))))
        })
    }

    /// Sends once; a master that is away for a moment is waited for.
    async fn send_when_reached(&self, question: &Question) -> anyhow::Result<Asked> {
        let until = now() + REACH_LIMIT;
        loop {
            match self.send(question).await {
                Err(error)
                    if error.downcast_ref::<NotReached>().is_some_and(NotReached::may_pass)
                        && !until.since(now()).is_zero() =>
                {
                    connect::pause(until.since(now())).await;
                }
                sent => return sent,
            }
        }
    }

    async fn send(&self, question: &Question) -> anyhow::Result<Asked> {
        let connect::Connected { mut sender, master } = self.gateway.connect().await?;
        let mut request = Request::builder()
            .method(question.method.clone())
            .uri(&question.path)
            .header(HOST, self.gateway.authority());
        if let Some(token) = self.gateway.token() {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = Full::new(question.body.clone());
        let request = request.body(body).context("the request cannot be written")?;
        let mut answering = Box::pin(sender.send_request(request));
        loop {
            let was_alive = ensure_alive(master.as_ref());
            match timeout(TICK, &mut answering).await {
                Ok(response) => {
                    let response = response.context("the master ended before it answered")?;
                    return Ok(Asked { response, master });
                }
                Err(_elapsed) => was_alive?,
            }
        }
    }
}

/// Nothing was heard for too long.
#[derive(Debug, thiserror::Error)]
#[error("nothing was heard for too long; `mainstay status` tells the generation")]
struct Silent;

/// The next piece of an answer; none at its end. What a master said before it died counts.
async fn next(
    body: &mut Incoming,
    master: Option<&Pidfd>,
    deadline: Option<Timestamp>,
) -> anyhow::Result<Option<Bytes>> {
    loop {
        let was_alive = ensure_alive(master);
        match timeout(TICK, body.frame()).await {
            Ok(None) => return Ok(None),
            Ok(Some(frame)) => {
                let frame = frame.context("the answer was cut off")?;
                if let Ok(piece) = frame.into_data() {
                    return Ok(Some(piece));
                }
            }
            Err(_elapsed) => was_alive?,
        }
        if deadline.is_some_and(|deadline| deadline.since(now()).is_zero()) {
            return Err(Silent.into());
        }
    }
}

fn ensure_alive(master: Option<&Pidfd>) -> anyhow::Result<()> {
    let Some(master) = master else { return Ok(()) };
    let has_ended = master.has_exited().context("cannot look at the master")?;
    anyhow::ensure!(!has_ended, "the master ended before it answered");
    Ok(())
}

/// What a problem says (RFC 9457), or at least its status.
fn sentence_of(status: StatusCode, text: &str) -> String {
    let problem: Value = serde_json::from_str(text).unwrap_or_default();
    let said = ["detail", "title"].into_iter().find_map(|key| problem.get(key)?.as_str());
    said.map_or_else(|| format!("the answer is {status}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_told_in_a_sentence() {
        let rows = [
            (r#"{"type":"x","title":"No","status":409,"detail":"busy"}"#, "busy"),
            (r#"{"type":"x","title":"No","status":409}"#, "No"),
            ("<html>", "the answer is 409 Conflict"),
        ];
        for (text, said) in rows {
            assert_eq!(sentence_of(StatusCode::CONFLICT, text), said);
        }
    }
}
