//! One request that was let in: who asks, and for what.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use hyper::HeaderMap;
use hyper::body::Bytes;
use mainstay_database::{Audit, Range, WallTime};
use mainstay_trust::token;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::caller::Caller;
use super::instant;
use super::problem::Problem;

/// Most bytes of a name.
const NAME_BYTES_MAX: usize = 200;

/// Most bytes of a note.
const NOTE_BYTES_MAX: usize = 2_000;

/// Rows of a part if the caller does not say.
const ROWS: u32 = 100;

/// One request.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) caller: Option<Caller>,
    pub(super) peer: IpAddr,
    /// What stood in the places of the path.
    pub(super) names: Vec<String>,
    pub(super) query: BTreeMap<String, String>,
    pub(super) fields: HeaderMap,
    pub(super) body: Bytes,
}

impl Ask {
    /// Who asks.
    pub(super) fn caller(&self) -> Result<&Caller, Problem> {
        self.caller.as_ref().ok_or_else(Problem::unauthorized)
    }

    /// What stands in the path.
    pub(super) fn id<T: FromStr>(&self) -> Result<T, Problem> {
        let name = self.names.first().map_or("", |name| name);
        name.parse().map_err(|_refused| Problem::not_found(format!("there is no {name:?}")))
    }

    /// The body, which has every field that it needs and no other.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|error| Problem::bad_request(error.to_string()))
    }

    /// A parameter of the query.
    pub(super) fn parameter<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.query.get(name) else { return Ok(None) };
        let wrong = || Problem::bad_request(format!("{name:?} cannot be {text:?}"));
        text.parse().map(Some).map_err(|_refused| wrong())
    }

    /// A parameter that has one of a few values.
    pub(super) fn choice<T: Copy>(
        &self,
        name: &str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, Problem> {
        self.query.get(name).map(|text| choose(name, text, choices)).transpose()
    }

    /// A parameter that is an instant.
    pub(super) fn instant(&self, name: &str) -> Result<Option<WallTime>, Problem> {
        let Some(text) = self.query.get(name) else { return Ok(None) };
        let wrong = || Problem::bad_request(format!("{name:?} is no instant: {text:?}"));
        instant::parse(text).map(Some).ok_or_else(wrong)
    }

    /// Which part of a list.
    pub(super) fn range(&self) -> Result<Range, Problem> {
        let limit = self.parameter("limit")?.unwrap_or(ROWS);
        if limit == 0 || limit > Range::MAX {
            let sentence = format!("\"limit\" is from 1 to {}", Range::MAX);
            return Err(Problem::bad_request(sentence));
        }
        let read = |text: &String| {
            let bytes = token::from_text(text)?;
            String::from_utf8(bytes).ok()
        };
        let after = match self.query.get("after") {
            None => None,
            Some(text) => Some(read(text).ok_or_else(|| {
                Problem::bad_request("\"after\" is the \"next\" of the part before")
            })?),
        };
        Ok(Range { after, limit })
    }

    /// What the audit log says of a change.
    pub(super) fn audit(
        &self,
        action: &str,
        subject: impl Into<String>,
        detail: &Value,
    ) -> Result<Audit, Problem> {
        let caller = self.caller()?;
        Ok(Audit {
            actor: caller.name.clone(),
            address: self.peer.to_string(),
            action: action.to_owned(),
            subject: subject.into(),
            detail: detail.to_string().into_bytes(),
        })
    }
}

/// One of a few values by its name.
pub(super) fn choose<T: Copy>(name: &str, text: &str, choices: &[(&str, T)]) -> Result<T, Problem> {
    let found = choices.iter().find(|(known, _)| *known == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<&str> = choices.iter().map(|(known, _)| *known).collect();
        Problem::bad_request(format!("{name:?} is {}, not {text:?}", known.join(", ")))
    })
}

/// A name that people read: not empty, not long, one line.
pub(super) fn name(what: &str, text: &str) -> Result<(), Problem> {
    let is_plain = !text.chars().any(char::is_control) && text.trim() == text;
    if text.is_empty() || text.len() > NAME_BYTES_MAX || !is_plain {
        let sentence = format!("{what} has 1 to {NAME_BYTES_MAX} bytes on one line");
        return Err(Problem::invalid(sentence));
    }
    Ok(())
}

/// A note: may be empty, and is not long.
pub(super) fn note(text: &str) -> Result<(), Problem> {
    if text.len() > NOTE_BYTES_MAX {
        return Err(Problem::invalid(format!("a note has at most {NOTE_BYTES_MAX} bytes")));
    }
    Ok(())
}
