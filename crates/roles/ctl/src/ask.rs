//! One question to the master of a running gateway, and its answer, within a time limit.
//!
//! A master may be away for a moment: it was killed and the next one is not there yet. So
//! whoever asks waits for the next one to listen, which the run directory tells (inotify),
//! until the time is up.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mainstay_message::{MessageError, receive, send_within};
use mainstay_model::Timestamp;
use mainstay_os::{Channel, ChannelError, now};
use mainstay_wire::command::{Command, Reply};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;
use rustix::time::Timespec;

/// Longest time between two attempts, for what the run directory does not tell: room in the
/// master's queue.
pub(crate) const ATTEMPT_INTERVAL: Duration = Duration::from_millis(100);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("no gateway runs in {}", run.display())]
    NotRunning { run: PathBuf, source: io::Error },

    #[error("the run directory {} may be entered by the gateway's own user only", run.display())]
    NotAllowed { run: PathBuf, source: io::Error },

    #[error("the master in {} does not answer", run.display())]
    Silent { run: PathBuf },

    #[error("cannot watch the run directory {}", run.display())]
    Watch { run: PathBuf, source: io::Error },

    #[error("cannot talk to the master")]
    Message { source: MessageError },

    #[error("cannot wait for the master's answer")]
    Wait { source: io::Error },
}

/// How an attempt to get an answer ended.
enum Attempt {
    Answered(Reply),
    /// Nobody listens, for this reason.
    Absent(io::Error),
    /// Whoever listened went away without an answer.
    Left,
}

/// Asks the master of the gateway whose run directory this is.
pub(crate) fn ask(run: &Path, command: &Command, limit: Duration) -> Result<Reply, AskError> {
    let deadline = now() + limit;
    let watch = watch(run)?;
    loop {
        let absent = match attempt(run, command, deadline)? {
            Attempt::Answered(reply) => return Ok(reply),
            Attempt::Absent(source) => Some(source),
            Attempt::Left => None,
        };
        let left = deadline.since(now());
        if left.is_zero() {
            let run = run.to_path_buf();
            return Err(match absent {
                Some(source) => AskError::NotRunning { run, source },
                None => AskError::Silent { run },
            });
        }
        wait(&watch, PollFlags::IN, left.min(ATTEMPT_INTERVAL))
            .and_then(|_| forget_events(&watch))
            .map_err(|source| AskError::Watch { run: run.to_path_buf(), source })?;
    }
}

/// The way to whoever listens at a socket of the run directory. One that is away is waited for.
pub(crate) fn find(run: &Path, socket: &str, limit: Duration) -> Result<Channel, AskError> {
    let deadline = now() + limit;
    let watch = watch(run)?;
    loop {
        let run = run.to_path_buf();
        let source = match Channel::connect(&run.join(socket)) {
            Ok(channel) => return Ok(channel),
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                return Err(AskError::NotAllowed { run, source });
            }
            Err(source) => source,
        };
        let left = deadline.since(now());
        if left.is_zero() {
            return Err(AskError::NotRunning { run, source });
        }
        wait(&watch, PollFlags::IN, left.min(ATTEMPT_INTERVAL))
            .and_then(|_| forget_events(&watch))
            .map_err(|source| AskError::Watch { run, source })?;
    }
}

fn attempt(run: &Path, command: &Command, deadline: Timestamp) -> Result<Attempt, AskError> {
    let channel = match Channel::connect(&run.join("admin.sock")) {
        Ok(channel) => channel,
        Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
            return Err(AskError::NotAllowed { run: run.to_path_buf(), source });
        }
        Err(source) => return Ok(Attempt::Absent(source)),
    };
    match send_within(&channel, command, &[], deadline.since(now())) {
        Ok(()) => {}
        Err(MessageError::Channel { source: ChannelError::Closed }) => return Ok(Attempt::Left),
        Err(source) => return Err(AskError::Message { source }),
    }
    loop {
        match receive(&channel) {
            Ok(Some((reply, _))) => return Ok(Attempt::Answered(reply)),
            Ok(None) => {}
            Err(MessageError::Channel { source: ChannelError::Closed }) => {
                return Ok(Attempt::Left);
            }
            Err(source) => return Err(AskError::Message { source }),
        }
        let left = deadline.since(now());
        if left.is_zero() {
            return Ok(Attempt::Left);
        }
        wait(&channel, PollFlags::IN, left).map_err(|source| AskError::Wait { source })?;
    }
}

/// A descriptor that can be read when something appears in the run directory.
pub(crate) fn watch(run: &Path) -> Result<std::os::fd::OwnedFd, AskError> {
    let attempt = || {
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let changes = inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(&watch, run, changes)?;
        Ok(watch)
    };
    attempt().map_err(|source: io::Error| {
        let run = run.to_path_buf();
        match source.kind() {
            io::ErrorKind::NotFound => AskError::NotRunning { run, source },
            io::ErrorKind::PermissionDenied => AskError::NotAllowed { run, source },
            _ => AskError::Watch { run, source },
        }
    })
}

/// What appeared does not matter: there is one more attempt.
pub(crate) fn forget_events(watch: &std::os::fd::OwnedFd) -> io::Result<()> {
    let mut events = [0; 4096];
    match rustix::io::read(watch, &mut events) {
        Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Waits until a descriptor has something to tell, or the time is up.
pub(crate) fn wait(
    descriptor: &impl std::os::fd::AsFd,
    flags: PollFlags,
    limit: Duration,
) -> io::Result<Waited> {
    let limit = Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    };
    match poll(&mut [PollFd::new(descriptor, flags)], Some(&limit)) {
        Ok(0) | Err(rustix::io::Errno::INTR) => Ok(Waited::TimeIsUp),
        Ok(_) => Ok(Waited::Told),
        Err(errno) => Err(errno.into()),
    }
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Told,
    TimeIsUp,
}
