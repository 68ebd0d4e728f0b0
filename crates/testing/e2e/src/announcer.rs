//! Somebody who logs users in and out: a caller of the session channel.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyhow::bail;
use mainstay_model::SessionId;
use mainstay_wire::session::{Login, Reply, Request, Status, Whose};

use crate::caller::Caller;
use crate::gateway::{DEADLINE, Gateway};
use crate::wait;

/// A caller who comes back whenever broadcast does.
#[derive(Debug)]
pub struct Announcer {
    path: PathBuf,
    caller: Option<Caller<UnixStream>>,
}

/// An id that a number determines: random enough for a test.
pub fn id(number: u64) -> SessionId {
    use sha2::Digest as _;
    SessionId::from_bytes(sha2::Sha256::digest(number.to_le_bytes()).into())
}

/// What logs a subject in under [`id`]`(number)`.
pub fn login(number: u64, subject: &str) -> Request {
    Request::Set(Box::new(Login {
        id: id(number),
        subject: subject.to_owned(),
        claims: [("number".to_owned(), number.into())].into_iter().collect(),
        authenticated_at_ms: None,
        idle_limit_ms: None,
        absolute_limit_ms: None,
        provider_session: Some(format!("provider-{subject}")),
    }))
}

/// What ends the session of [`id`]`(number)`.
pub fn logout(number: u64) -> Request {
    Request::Logout(Whose { id: Some(id(number)), ..Whose::default() })
}

impl Announcer {
    pub fn new(gateway: &Gateway) -> Self {
        Self { path: gateway.path().join("run/session.sock"), caller: None }
    }

    /// Says one line and hears the answer; none, if broadcast ended meanwhile.
    pub fn try_ask(&mut self, line: &str) -> Option<Reply> {
        if self.caller.is_none() {
            self.caller = Caller::connect_at(&self.path).ok();
        }
        let answer = self.caller.as_mut()?.ask(line).ok();
        let reply = answer.and_then(|line| serde_json::from_str(&line).ok());
        if reply.is_none() {
            self.caller = None;
        }
        reply
    }

    /// Says one thing once; none, if broadcast ended meanwhile.
    pub fn try_say(&mut self, request: &Request) -> Option<Reply> {
        self.try_ask(&serde_json::to_string(request).ok()?)
    }

    /// The same, for a broadcast that is not killed meanwhile, or for a question.
    pub fn ask(&mut self, request: &Request) -> anyhow::Result<Reply> {
        let line = serde_json::to_string(request)?;
        Ok(wait::until("an answer at the session channel", DEADLINE, || self.try_ask(&line))?)
    }

    /// The same, until it is done: what whoever logs users in does when it hears nothing.
    pub fn insist(&mut self, request: &Request) -> anyhow::Result<u64> {
        let line = serde_json::to_string(request)?;
        let is_done = || match self.try_ask(&line) {
            Some(Reply::Done { sessions }) => Some(Ok(sessions)),
            Some(Reply::Unconfirmed { .. }) | None => None,
            Some(other) => Some(Err(other)),
        };
        match wait::until("a change of sessions to be done", DEADLINE, is_done)? {
            Ok(sessions) => Ok(sessions),
            Err(other) => bail!("{request:?} was answered {other:?}"),
        }
    }

    pub fn status(&mut self) -> anyhow::Result<Status> {
        match self.ask(&Request::Status {})? {
            Reply::Status(status) => Ok(status),
            other => bail!("no status: {other:?}"),
        }
    }

    /// How many sessions a subject has.
    pub fn count(&mut self, subject: &str) -> anyhow::Result<u64> {
        match self.ask(&Request::List { subject: Some(subject.to_owned()) })? {
            Reply::List { all, .. } => Ok(all),
            other => bail!("no list: {other:?}"),
        }
    }
}
