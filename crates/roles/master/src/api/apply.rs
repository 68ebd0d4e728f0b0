//! What puts a configuration into service, told line by line as it happens.
//!
//! The status says whether it begins: what is refused before that is a problem. What follows are
//! the master's replies, a JSON object a line; the last one is the outcome. A response that ends
//! without one was cut off by the death of the master; `/v1/status` of the next one says what is
//! in service.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Response, StatusCode};
use mainstay_config::apply::CONFIRMS;
use mainstay_config::read_duration;
use mainstay_model::{Chain, Generation};
use mainstay_wire::command::{Command, Reply};
use tracing::warn;

use super::Api;
use super::answer::{Body, respond};
use super::ask::Conversation;
use super::pieces::Pieces;
use super::problem::Problem;

const LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// How long a check may take until it is answered: the master's own limit, and a moment.
const CHECK_LIMIT: Duration = Duration::from_secs(10);

/// How long nothing may be said: the longest watch, or the slowest hooks.
const REPLY_LIMIT: Duration = Duration::from_mins(90);

/// Lines that wait for a client that does not read.
const LINES_MAX: usize = 64;

impl Api {
    /// Puts the configuration in the body into service, or tells what it would change.
    pub(super) async fn apply(
        &self,
        query: &str,
        body: Incoming,
    ) -> Result<Response<Body>, Problem> {
        let command = read_apply(query)?;
        let file = {
            let (text, _room) = self.read(body).await?;
            written(&text).map_err(|error| {
                warn!(error = %Chain(&error), "cannot hand over a configuration");
                Problem::unavailable("the configuration cannot be handed over".to_owned())
            })?
        };
        tell(Conversation::begin(&self.run, &command, &[file.as_fd()])?).await
    }

    /// Puts a generation that is kept into service.
    pub(super) async fn roll_back(&self, query: &str) -> Result<Response<Body>, Problem> {
        let mut values = read_query(query)?;
        let generation = values.remove("generation").map(str::parse::<Generation>);
        let generation =
            generation.transpose().map_err(|error| Problem::bad_request(error.to_string()))?;
        nothing_else(&values)?;
        let command = Command::Rollback { generation };
        tell(Conversation::begin(&self.run, &command, &[])?).await
    }
}

/// The first reply decides the status; the others follow as they come.
async fn tell(mut conversation: Conversation) -> Result<Response<Body>, Problem> {
    let mut reply = conversation.next(CHECK_LIMIT).await?;
    if let Reply::Refused { reason } = reply {
        return Err(Problem::refused(reason));
    }
    let (sender, lines) = Pieces::channel(LINES_MAX);
    drop(tokio::spawn(async move {
        loop {
            let is_last = is_outcome(&reply);
            let line = serde_json::to_string(&reply).unwrap_or_default() + "\n";
            // A client that is gone, or does not read, changes nothing of what was begun.
            if sender.send(line.into()).await.is_err() || is_last {
                return;
            }
            reply = match conversation.next(REPLY_LIMIT).await {
                Ok(reply) => reply,
                Err(error) => {
                    warn!(error = %Chain(&error), "an apply's outcome was not heard");
                    return;
                }
            };
        }
    }));
    Ok(respond(StatusCode::OK, LINES, lines.boxed_unsync()))
}

const fn is_outcome(reply: &Reply) -> bool {
    match reply {
        Reply::Applied { .. }
        | Reply::Compared
        | Reply::WentBack { .. }
        | Reply::Refused { .. } => true,
        Reply::Status(_)
        | Reply::Generations(_)
        | Reply::Difference(_)
        | Reply::Progress(_)
        | Reply::Hook(_)
        | Reply::HandedOver => false,
    }
}

fn read_apply(query: &str) -> Result<Command, Problem> {
    let mut values = read_query(query)?;
    let confirm = values.remove("confirm").map(|text| {
        let confirm = read_duration(text).filter(|confirm| CONFIRMS.contains(confirm));
        confirm.ok_or_else(|| Problem::bad_request("confirm is a duration from 0s to 1h"))
    });
    let confirm = confirm.transpose()?;
    let dry_run = values.remove("dry_run");
    nothing_else(&values)?;
    match dry_run {
        Some("true") => Ok(Command::Compare),
        Some("false") | None => {
            let millis = |confirm: Duration| u64::try_from(confirm.as_millis()).unwrap_or(u64::MAX);
            Ok(Command::Apply { confirm_ms: confirm.map(millis) })
        }
        Some(_) => Err(Problem::bad_request("dry_run is true or false")),
    }
}

/// What stands behind the path. No value that is right here needs to be encoded.
fn read_query(query: &str) -> Result<BTreeMap<&str, &str>, Problem> {
    let mut values = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if values.insert(key, value).is_some() {
            return Err(Problem::bad_request(format!("{key:?} is there twice")));
        }
    }
    Ok(values)
}

fn nothing_else(values: &BTreeMap<&str, &str>) -> Result<(), Problem> {
    match values.keys().next() {
        Some(key) => Err(Problem::bad_request(format!("{key:?} is no parameter of this"))),
        None => Ok(()),
    }
}

/// A file without a name that holds these bytes.
fn written(text: &[u8]) -> io::Result<File> {
    let memory = rustix::fs::memfd_create(c"gateway.toml", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = File::from(memory);
    file.write_all(text)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_and_no_others() {
        let rows = [
            ("", Some(Command::Apply { confirm_ms: None })),
            ("confirm=500ms", Some(Command::Apply { confirm_ms: Some(500) })),
            ("dry_run=true", Some(Command::Compare)),
            ("dry_run=false&confirm=0s", Some(Command::Apply { confirm_ms: Some(0) })),
            ("confirm=2h", None),
            ("confirm", None),
            ("dry_run=yes", None),
            ("dry_run=true&dry_run=false", None),
            ("dryrun=true", None),
        ];
        for (query, expected) in rows {
            assert_eq!(read_apply(query).ok(), expected, "{query}");
        }
    }
}
