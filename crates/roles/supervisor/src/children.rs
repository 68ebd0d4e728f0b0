//! The processes that the supervisor starts: how each of them lives, ends and comes back.
//!
//! ```text
//!          spawned            Hello              Welcome sent
//!  Due ─────────────▶ Awaited ──────▶ Introduced ────────────▶ Welcomed
//!   ▲                    │ silent                                  │ the master is silent
//!   │                    └────────────▶ Condemned ◀────────────────┘
//!   └──── the delay of its back-off ─── ended, from anywhere ───▶ Ended, when we stop
//! ```

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Duration;

use mainstay_model::{Process, Slot, Timestamp};
use mainstay_os::{Channel, Pidfd, now, spawn, unix_seconds};
use mainstay_supervise::{Backoff, Course, Delay, Restart, Zero};
use mainstay_wire::control::Running;

/// How long a process that was just started may take to say Hello.
const HELLO_LIMIT: Duration = Duration::from_secs(10);

/// One of the processes, through all of its lives.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) process: Process,
    pub(crate) state: State,
    backoff: Backoff,
    restarts: u64,
}

#[derive(Debug)]
pub(crate) enum State {
    /// Not there; to be started at this instant.
    Due(Timestamp),
    Alive(Life),
    /// Not there, and not to be started again.
    Ended,
}

/// One life of a process.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) pid: u32,
    pub(crate) pidfd: Pidfd,
    pub(crate) origin: Origin,
    /// None while an orphan has not found us.
    pub(crate) channel: Option<Channel>,
    pub(crate) word: Word,
    pub(crate) asked: Asked,
    /// Of the one process: whether it waits for a worker that takes over.
    pub(crate) course: Course,
    since: Timestamp,
    since_unix: u64,
}

/// Whose child a process is to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// We started it, and the kernel tells us how it ends.
    Ours,
    /// An earlier supervisor started it.
    Orphan,
}

/// Whether a process was asked to end because its place is another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    No,
    Yes,
}

/// What a process has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Nothing; it has until then.
    Awaited { until: Timestamp },
    /// Hello.
    Introduced,
    /// It has all that we give, and spoke last at this instant.
    Welcomed { heard: Timestamp },
    /// It was killed; its end is awaited.
    Condemned,
}

impl Life {
    /// For how long it has lived.
    pub(crate) const fn age(&self, now: Timestamp) -> Duration {
        now.since(self.since)
    }
}

impl Child {
    /// A process that was never started.
    pub(crate) fn new(process: Process, policy: Restart, now: Timestamp) -> Self {
        Self { process, state: State::Due(now), backoff: Backoff::new(policy), restarts: 0 }
    }

    pub(crate) const fn life(&self) -> Option<&Life> {
        match &self.state {
            State::Alive(life) => Some(life),
            State::Due(_) | State::Ended => None,
        }
    }

    pub(crate) const fn life_mut(&mut self) -> Option<&mut Life> {
        match &mut self.state {
            State::Alive(life) => Some(life),
            State::Due(_) | State::Ended => None,
        }
    }

    /// Starts it; returns its number. At index 0 it is started as `zero`.
    pub(crate) fn start(
        &mut self,
        zero: Zero,
        host_file: &Path,
        directory: &Path,
    ) -> io::Result<u32> {
        let (pid, pidfd, channel) = spawn(&arguments(self.process, zero, host_file), directory)?;
        let since = now();
        self.state = State::Alive(Life {
            pid,
            pidfd,
            origin: Origin::Ours,
            channel: Some(channel),
            word: Word::Awaited { until: since + HELLO_LIMIT },
            asked: Asked::No,
            course: Course::Stays,
            since,
            since_unix: unix_seconds(),
        });
        Ok(pid)
    }

    /// Takes over a process that an earlier supervisor started.
    pub(crate) fn adopt(&mut self, pid: u32, pidfd: Pidfd, word: Word) {
        let age = age(pid).unwrap_or_default();
        let now = now();
        self.state = State::Alive(Life {
            pid,
            pidfd,
            origin: Origin::Orphan,
            channel: None,
            word,
            asked: Asked::No,
            course: Course::Stays,
            since: Timestamp::from_micros(
                now.micros().saturating_sub(u64::try_from(age.as_micros()).unwrap_or(u64::MAX)),
            ),
            since_unix: unix_seconds().saturating_sub(age.as_secs()),
        });
    }

    /// It ended in order, to make way for another of its kind: when that is started.
    pub(crate) fn left(&mut self, now: Timestamp) -> Delay {
        let delay = self.backoff.left();
        self.state = State::Due(now + delay.wait);
        delay
    }

    /// It died, or could not be started: when it is tried again.
    pub(crate) fn ended(&mut self, now: Timestamp) -> Delay {
        let lived = self.life().map_or(Duration::ZERO, |life| now.since(life.since));
        let delay = self.backoff.died(now, lived);
        self.restarts = self.restarts.saturating_add(1);
        self.state = State::Due(now + delay.wait);
        delay
    }

    /// As the master is told of it; none while it is down.
    pub(crate) fn running(&self) -> Option<Running> {
        let life = self.life()?;
        Some(Running {
            process: self.process,
            pid: life.pid,
            since_unix: life.since_unix,
            restarts: self.restarts,
        })
    }
}

fn arguments(process: Process, zero: Zero, host_file: &Path) -> Vec<OsString> {
    let slot_of =
        |role: &str, slot: Slot| vec![role.into(), "--slot".into(), slot.to_string().into()];
    let mut arguments: Vec<OsString> = match process {
        Process::Supervisor => vec!["run".into()],
        Process::Master => match zero {
            Zero::Master => vec!["master".into()],
            Zero::Gateway(slot) => slot_of("gateway", slot),
        },
        Process::Broadcast => vec!["broadcast".into()],
        Process::Worker(slot) => slot_of("worker", slot),
    };
    arguments.extend(["--host".into(), host_file.into()]);
    arguments
}

/// For how long a process has run.
fn age(pid: u32) -> Option<Duration> {
    let ticks = mainstay_os::start_ticks(pid).ok()?;
    let started = ticks.checked_mul(1_000)? / rustix::param::clock_ticks_per_second().max(1);
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split_ascii_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(uptime).ok()?.checked_sub(Duration::from_millis(started))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_process_is_started_with_the_same_file() {
        let line = |process, zero| {
            arguments(process, zero, Path::new("/etc/host.toml"))
                .join(" ".as_ref())
                .into_string()
                .unwrap()
        };
        assert_eq!(line(Process::Master, Zero::Master), "master --host /etc/host.toml");
        let (two, gateway) = (Process::Worker(Slot::Two), Zero::Gateway(Slot::One));
        assert_eq!(line(two, Zero::Master), "worker --slot two --host /etc/host.toml");
        assert_eq!(line(Process::Master, gateway), "gateway --slot one --host /etc/host.toml");
    }

    #[test]
    fn this_process_is_not_old() {
        assert!(age(std::process::id()).unwrap() < Duration::from_secs(3600));
    }
}
