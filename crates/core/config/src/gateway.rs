//! `gateway.toml`: from text to a [`Gateway`] that is known to be good.
//!
//! Names are gone afterwards: a service holds indexes of listeners, a route the index of its
//! upstream. What a host or a path matches is not decided here: `mainstay-http` builds its
//! table from these lists.

use std::path::PathBuf;

use crate::apply::{self, Apply};
use crate::entry::Entry;
pub use crate::limits::{BodyLimit, Limits, Timeouts};
use crate::limits::{read_limits, read_timeouts};
pub use crate::listeners::{Accept, Address, Forwarded, LISTENERS_MAX, Listener};
use crate::problem::{Problem, Problems};
use crate::section::Section;
use crate::services::Reader;
pub use crate::services::{Access, Route, RoutePath, Service, Tcp};
pub use crate::session::{Login, Sessions};
pub use crate::upstreams::{SERVERS_MAX, Server, ServerAddress, UPSTREAMS_MAX, Upstream};
use crate::{host, listeners, session, upstreams};

/// Every key at the top of the file.
pub(crate) const KEYS: [&str; 9] = [
    "listener",
    "upstream",
    "service",
    "session",
    "tcp",
    "timeouts",
    "limits",
    "access_log",
    "apply",
];

/// What a gateway serves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gateway {
    /// At least one, at most [`LISTENERS_MAX`]; no two can collide.
    pub listeners: Vec<Listener>,
    pub upstreams: Vec<Upstream>,
    pub services: Vec<Service>,
    /// None if no route needs a session and there is no `[session]`.
    pub sessions: Option<Sessions>,
    pub tcp: Vec<Tcp>,
    pub timeouts: Timeouts,
    pub limits: Limits,
    pub access_log: AccessLog,
    pub apply: Apply,
}

/// Where a line for each exchange goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// Relative paths begin at the state directory.
    File(PathBuf),
    Off,
}

/// Reads the whole file and reports every problem in it, not just the first.
pub fn parse(text: &str) -> Result<Gateway, Vec<Problem>> {
    let problems = Problems::default();
    let mut file = Section::file(text, "gateway.toml", &problems)?;

    let (listener_names, listeners) = listeners::read(&mut file);
    let (upstream_names, upstreams) = upstreams::read(&mut file);
    let mut reader = Reader::new(listener_names, upstream_names);
    let (service_names, services) = reader.services(&mut file);
    let apply = apply::read(&mut file, &service_names, &services);
    let sessions = session::read(&mut file, &services);
    let gateway = Gateway {
        listeners,
        upstreams,
        services,
        sessions,
        tcp: reader.tcp(&mut file),
        timeouts: read_timeouts(&mut file),
        limits: read_limits(&mut file),
        access_log: read_access_log(&mut file),
        apply,
    };
    reader.check_every_listener_is_used(&file);
    file.finish_file("host.toml", &host::KEYS);
    problems.check(gateway)
}

fn read_access_log(file: &mut Section<'_>) -> AccessLog {
    let mut section = file.table("access_log", "[access_log]");
    let path = section.optional("path").and_then(Entry::text);
    if let Some(path) = &path
        && (path.get_ref().is_empty() || path.get_ref().contains('\0'))
    {
        let sentence = format!("path {:?} must be a file or \"off\"", path.get_ref());
        section.problems().add(path.span(), sentence);
    }
    section.finish();
    match path.as_ref().map(|path| path.get_ref().as_ref()) {
        Some("off") => AccessLog::Off,
        Some(path) => AccessLog::File(PathBuf::from(path)),
        None => AccessLog::File(PathBuf::from("access.log")),
    }
}

#[cfg(test)]
mod tests;
