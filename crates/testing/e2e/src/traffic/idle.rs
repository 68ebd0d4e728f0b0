//! Connections that do nothing for long, and must still be there when they are needed.
//!
//! One thread watches all of them: a close is noticed when it happens, so the report names the
//! kill that caused it, not the next request.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Job;
use super::exchange::check;
use crate::client::Client;
use crate::origin::{SMALL_BYTES, SMALL_SEED};
use crate::socket::Broken;

/// A connection and when it is used next.
struct Idle {
    client: Client,
    due: Instant,
}

/// Keeps the planned number of connections until it is over.
pub(super) fn run(job: &mut Job) {
    let mut connections: Vec<Idle> = Vec::new();
    while !job.stop.is_over() {
        while connections.len() < job.plan.idle {
            match open(job) {
                Ok(idle) => connections.push(idle),
                Err(broken) => job.note(&broken),
            }
            if job.stop.is_over() {
                return;
            }
        }
        let now = Instant::now();
        if let Some(place) = connections.iter().position(|idle| idle.due <= now) {
            let mut idle = connections.swap_remove(place);
            match ask(job, &mut idle) {
                Ok(()) => connections.push(idle),
                Err(broken) => job.note(&broken),
            }
            continue;
        }
        for place in closed(&connections, now) {
            connections.swap_remove(place);
            "idle".clone_into(&mut job.doing);
            job.note(&Broken::Closed);
        }
    }
    // None of them may have been lost at the very end either.
    for mut idle in connections {
        if let Err(broken) = ask(job, &mut idle) {
            job.note(&broken);
        }
    }
}

fn open(job: &mut Job) -> Result<Idle, Broken> {
    "connecting".clone_into(&mut job.doing);
    let client = Client::connect(job.target.http)?;
    let mut idle = Idle { client, due: Instant::now() };
    ask(job, &mut idle)?;
    Ok(idle)
}

fn ask(job: &mut Job, idle: &mut Idle) -> Result<(), Broken> {
    let start = Instant::now();
    "GET /small after a pause".clone_into(&mut job.doing);
    let response = idle.client.get("/small")?;
    check(&response, SMALL_SEED, SMALL_BYTES)?;
    job.done(SMALL_BYTES, start);
    idle.due = Instant::now() + job.luck.duration(Duration::ZERO..job.plan.idle_time);
    Ok(())
}

/// Waits a little, or until a connection has something to say, which can only be its end. The
/// last place first, so that each can be removed.
fn closed(connections: &[Idle], now: Instant) -> Vec<usize> {
    let next = connections.iter().map(|idle| idle.due).min().unwrap_or(now);
    let limit = next.saturating_duration_since(now).min(Duration::from_millis(100));
    let watch = |idle| PollFd::new(Client::stream(idle), PollFlags::IN);
    let mut watched: Vec<PollFd<'_>> = connections.iter().map(|i| watch(&i.client)).collect();
    // Interrupted or not: what poll did not say, the next turn says.
    poll(&mut watched, Some(&Timespec::try_from(limit).unwrap())).ok();
    let is_closed = |place: &usize| !watched[*place].revents().is_empty();
    (0..watched.len()).rev().filter(is_closed).collect()
}
