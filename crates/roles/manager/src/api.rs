//! The admin API: what people and programs ask a manager, as JSON over HTTP.
//!
//! ```text
//!   request ─▶ route: is it there? ─▶ caller: who asks, and may they? ─▶ one file per resource
//!                                          │                                     │
//!                                     session, token ◀── the database ──▶ change + audit line
//! ```
//!
//! Every manager answers the same: sessions, tokens, users and the audit log are rows. What is in
//! memory is a count of failed logins and the limits below.
//!
//! # Invariants
//!
//! 1. `openapi.json` describes every operation with the role that it needs, and the reverse; a
//!    test asks for each of them as each role.
//! 2. A change and its line in the audit log are one transaction.
//! 3. A cookie alone changes nothing: a request that changes something and was made by a browser
//!    has to come from the same origin and bring a field that forms cannot send.
//! 4. Secrets leave once, in the answer that made them; the database has hashes.
//! 5. What anybody can make a manager do has a limit: bodies, lists, streams, hashes of passwords,
//!    failed logins.
//!
//! # Not here
//!
//! Connections and TLS: `admin`. What a rollout does next: `mainstay-fleet`.
//!
//! Source: docs/fleet/admin-api.md.

mod agents;
mod alerts;
mod answer;
mod ask;
mod audit;
mod caller;
mod configurations;
mod dispatch;
mod enrolment;
mod events;
mod fleet;
mod groups;
mod instant;
mod login;
mod managers;
mod pieces;
mod pins;
mod problem;
mod rollouts;
mod route;
mod stream;
mod throttle;
mod tokens;
mod users;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use hyper::body::Incoming;
use hyper::{Request, Response};
use mainstay_config::manager::Manager;
use mainstay_database::Store;
use mainstay_fleet::online::Silence;
use tokio::sync::Semaphore;

use answer::Body;
use throttle::Throttle;

/// Most bodies in memory at a time.
const BODIES_MAX: usize = 8;

/// Most passwords that are hashed at a time: each takes 20 MiB and a processor.
const HASHES_MAX: usize = 2;

/// Most live streams of events at a time.
const STREAMS_MAX: usize = 64;

/// Everything that is answered here, for machines.
const DESCRIPTION: &str = include_str!("api/openapi.json");

/// What every request needs.
#[derive(Debug)]
pub(crate) struct Api {
    store: Arc<dyn Store>,
    settings: Manager,
    silence: Silence,
    throttle: Mutex<Throttle>,
    bodies: Semaphore,
    hashes: Semaphore,
    streams: Arc<Semaphore>,
}

impl Api {
    pub(crate) fn new(store: Arc<dyn Store>, settings: Manager) -> Arc<Self> {
        let silence =
            Silence { poll: settings.agents.poll, offline_after: settings.agents.offline_after };
        let throttle = Throttle::new(settings.admin.login_failures);
        Arc::new(Self {
            store,
            settings,
            silence,
            throttle: Mutex::new(throttle),
            bodies: Semaphore::new(BODIES_MAX),
            hashes: Semaphore::new(HASHES_MAX),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        })
    }

    /// Whether a path is one of this API's.
    pub(crate) fn has(path: &str) -> bool {
        path.starts_with("/v1/")
    }

    /// Answers one request.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        peer: IpAddr,
        request: Request<Incoming>,
    ) -> Response<Body> {
        dispatch::answer(self, peer, request).await
    }
}
