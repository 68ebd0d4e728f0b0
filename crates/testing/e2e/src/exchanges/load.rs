//! Many agents, a few at a time.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::Options;
use crate::fleet::{Agent, Event};
use crate::wait::Stop;

/// Agents that are registered.
#[derive(Debug)]
pub(super) struct Load {
    /// A part for each connection at a time.
    parts: Vec<Vec<Agent>>,
}

/// When exchanges begin.
#[derive(Clone, Copy, Debug)]
pub(super) enum Schedule {
    /// The next when one has ended.
    AsFastAsPossible,
    /// So many in a second, whether those before have ended or not. A time is counted from when the
    /// exchange was due.
    Rate(f64),
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Done {
    /// Of those that succeeded.
    pub(super) times: Vec<Duration>,
    pub(super) failed: u64,
    pub(super) took: Duration,
}

impl Load {
    /// Registers all of them.
    pub(super) fn enrol(
        manager: SocketAddr,
        token: &str,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let left = AtomicU32::new(options.agents);
        let enrol_some = || -> anyhow::Result<Vec<Agent>> {
            let mut part = Vec::new();
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                .is_ok()
            {
                part.push(Agent::enroll_at(token, manager).context("cannot enrol")?);
            }
            Ok(part)
        };
        let parts = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..options.connections).map(|_| scope.spawn(enrol_some)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Result<_, _>>()
        })?;
        Ok(Self { parts })
    }

    /// Has them exchange for as long as the options say, in turns.
    pub(super) fn perform(
        &mut self,
        manager: SocketAddr,
        options: &Options,
        schedule: Schedule,
    ) -> anyhow::Result<Done> {
        let start = Instant::now();
        let end = start + Duration::from_secs(options.seconds);
        let number = AtomicU64::new(0);
        let due = || match schedule {
            Schedule::AsFastAsPossible => Instant::now(),
            Schedule::Rate(rate) => {
                let number = number.fetch_add(1, Ordering::Relaxed);
                start + Duration::from_secs_f64(number as f64 / rate)
            }
        };
        let first_error = Mutex::new(None);
        // The schedule is what is waited for; nobody ends it.
        let pause = Stop::default();
        let take_turns = |part: &mut Vec<Agent>| {
            let (mut times, mut failed) = (Vec::new(), 0);
            for turn in 0.. {
                let due = due();
                if due >= end || part.is_empty() {
                    break;
                }
                pause.pause(due.saturating_duration_since(Instant::now()));
                let count = part.len();
                let Some(agent) = part.get_mut(turn % count) else { break };
                let message = agent.batch((0..options.events).map(event).collect());
                match agent.carry_out(manager, &message) {
                    Ok(_) => times.push(due.elapsed()),
                    Err(error) => {
                        failed += 1;
                        first_error.lock().unwrap().get_or_insert(error);
                    }
                }
            }
            (times, failed)
        };
        let parts: Vec<(Vec<Duration>, u64)> = thread::scope(|scope| {
            let threads: Vec<_> =
                self.parts.iter_mut().map(|part| scope.spawn(|| take_turns(part))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let took = start.elapsed();
        if let Some(error) = first_error.into_inner().unwrap_or(None) {
            return Err(error.context("an exchange failed"));
        }
        let failed = parts.iter().map(|(_, failed)| failed).sum();
        Ok(Done { times: parts.into_iter().flat_map(|(times, _)| times).collect(), failed, took })
    }
}

fn event(number: u64) -> Event {
    let body = format!("{{\"number\":{number},\"text\":\"{}\"}}", "x".repeat(160));
    Event { unix_us: number, kind: "load".to_owned(), body, ..Event::default() }
}
