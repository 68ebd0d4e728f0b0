//! The admin API: what operators ask, over HTTP, with a description that machines read.
//!
//! A thread of the master serves it, beside the loop and after the keeper. For the loop it is one
//! more operator: what it is asked it asks at `admin.sock`, and what is every process's matter at
//! `command.sock`. So whatever holds for operators there (one answer to each command, progress as
//! it happens, limits) holds here, there is no second way into the loop, and a thread that hangs or
//! is flooded takes nothing from the loop but one place in its queue.
//!
//! ```text
//!  curl, mainstay ──▶ api.sock ─────────┐
//!                                       ├▶ thread api ──▶ admin.sock ──▶ the master's loop
//!  agent, console ──▶ [admin] address ──┘            └──▶ command.sock ─▶ broadcast
//!         (TLS, a token)
//! ```
//!
//! # Invariants
//!
//! 1. Nobody is served who is not the gateway's own user, root, or the owner of a token.
//! 2. Every connection carries one request, and everything that it may take has a limit.
//! 3. What is answered is described in `openapi.json`, and the reverse; a test compares them.
//!
//! # Not here
//!
//! What an apply does: `apply.rs`. What a configuration may say: `mainstay-config`.

mod access;
mod answer;
mod apply;
mod ask;
mod health;
mod listen;
mod operation;
mod orders;
mod pieces;
mod problem;

use std::path::PathBuf;
use std::sync::Arc;

use mainstay_config::admin::Admin;
use tokio::sync::Semaphore;

use crate::server::Server;
use crate::settings::Settings;

/// Most bodies in memory at a time: the master has little of it.
const BODIES_MAX: usize = 2;

/// The socket in the run directory.
const SOCKET: &str = "api.sock";

/// What every connection needs to know.
#[derive(Debug)]
struct Api {
    run: PathBuf,
    state: PathBuf,
    admin: Admin,
    connections: Arc<Semaphore>,
    bodies: Semaphore,
}

/// Starts the thread.
pub(crate) fn start(settings: &Settings) -> anyhow::Result<Server> {
    let admin = settings.host.admin.clone();
    let api = Arc::new(Api {
        run: settings.host.run.clone(),
        state: settings.host.state.clone(),
        connections: Arc::new(Semaphore::new(admin.connections)),
        bodies: Semaphore::new(BODIES_MAX),
        admin,
    });
    Server::start("api", listen::serve(api))
}
