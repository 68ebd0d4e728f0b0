//! A command with limits, for a process that never waits: a hook, or a check that may crash.
//!
//! A thread of its own waits for the command; whoever started it is told by an event when it is
//! over. At its deadline the command is killed with everything that it started, for it has a
//! process group of its own.
//!
//! # Invariants
//!
//! 1. A command inherits its input, its output and what is in `environment`, and nothing else.
//! 2. No more of its output is kept than was asked for; the rest is read and forgotten, so that
//!    it does not wait for us.
//! 3. It is over when its process has ended, even if something that it started holds its output
//!    open.
//!
//! # Not here
//!
//! What is run, and what its end means: the roles.

#![forbid(unsafe_code)]

mod left;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::Builder;
use std::time::{Duration, Instant};

use mainstay_os::{Event, Pidfd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::time::Timespec;
use tracing::warn;

pub use left::end_left_behind;

/// What is read of a command's output at once.
const READ_BYTES: usize = 4096;

/// What is run, and how much it may take.
#[derive(Debug)]
pub struct Order {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    pub environment: Vec<(String, OsString)>,
    /// What it reads; nothing, if there is none.
    pub input: Option<File>,
    pub timeout: Duration,
    /// How much of its output is kept: standard output and standard error in one.
    pub output_bytes: usize,
}

/// A command that was started.
#[derive(Debug)]
pub struct Running {
    over: Event,
    outcome: Receiver<Outcome>,
}

/// What came of a command.
#[derive(Debug)]
pub struct Outcome {
    pub end: End,
    /// As much of what it said as was asked for.
    pub output: String,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Exited(i32),
    Killed {
        signal: i32,
    },
    /// Its time was up, and it was killed.
    TimedOut,
    /// Nobody can tell.
    Lost,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "it ended with exit code {code}"),
            Self::Killed { signal } => write!(f, "signal {signal} ended it"),
            Self::TimedOut => f.write_str("its time was up and it was killed"),
            Self::Lost => f.write_str("nobody can tell how it ended"),
        }
    }
}

/// Why a command was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot make an event")]
    Event { source: io::Error },

    #[error("cannot make a pipe")]
    Pipe { source: io::Error },

    #[error("cannot start {}", program.display())]
    Spawn { program: PathBuf, source: io::Error },

    #[error("cannot start a thread")]
    Thread { source: io::Error },
}

impl Running {
    /// Starts a command. Its descriptor ([`AsFd`]) can be read when it is over.
    pub fn start(order: Order) -> Result<Self, StartError> {
        let over = Event::new().map_err(|source| StartError::Event { source })?;
        let raised = over.try_clone().map_err(|source| StartError::Event { source })?;
        let (output, child) = spawn(order.input, &order.program, |command| {
            command.args(&order.arguments).env_clear().envs(order.environment.iter().cloned());
        })?;
        let (sender, outcome) = mpsc::channel();
        let (timeout, limit) = (order.timeout, order.output_bytes);
        Builder::new()
            .name("child".to_owned())
            .spawn(move || {
                watch(child, &output, timeout, limit, &sender);
                if let Err(error) = raised.raise() {
                    warn!(%error, "cannot raise an event");
                }
            })
            .map_err(|source| StartError::Thread { source })?;
        Ok(Self { over, outcome })
    }

    /// What came of it, if it is over.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome.try_recv().ok()
    }
}

impl AsFd for Running {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.over.as_fd()
    }
}

/// Starts it with one pipe for all that it says.
fn spawn(
    input: Option<File>,
    program: &Path,
    prepare: impl FnOnce(&mut Command),
) -> Result<(File, Child), StartError> {
    let pipe = |errno: rustix::io::Errno| StartError::Pipe { source: errno.into() };
    let flags = rustix::pipe::PipeFlags::CLOEXEC;
    let (output, theirs) = rustix::pipe::pipe_with(flags).map_err(pipe)?;
    rustix::io::ioctl_fionbio(&output, true).map_err(pipe)?;
    let also: OwnedFd = theirs.try_clone().map_err(|source| StartError::Pipe { source })?;
    let mut command = Command::new(program);
    prepare(&mut command);
    command
        .current_dir("/")
        .process_group(0)
        .stdin(input.map_or_else(Stdio::null, Stdio::from))
        .stdout(Stdio::from(theirs))
        .stderr(Stdio::from(also));
    let child = command
        .spawn()
        .map_err(|source| StartError::Spawn { program: program.to_owned(), source })?;
    Ok((File::from(output), child))
}

/// Waits for the end of a command or of its time, and keeps what it says.
fn watch(
    mut child: Child,
    output: &File,
    timeout: Duration,
    limit: usize,
    sender: &Sender<Outcome>,
) {
    let deadline = Instant::now() + timeout;
    let mut said = Vec::new();
    let end = match Pidfd::open(child.id()) {
        Ok(pidfd) => loop {
            keep(output, limit, &mut said);
            match pidfd.has_exited() {
                Ok(false) => {}
                Ok(true) => break end_of(child.wait()),
                Err(error) => {
                    warn!(%error, "cannot look at a command");
                    break End::Lost;
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                kill(&child);
                // Nothing is left of it to wait for: the signal cannot be held off.
                drop(child.wait());
                break End::TimedOut;
            }
            wait(output, &pidfd, left);
        },
        // It has ended already.
        Err(_gone) => end_of(child.wait()),
    };
    keep(output, limit, &mut said);
    let output = String::from_utf8_lossy(&said).into_owned();
    // Whoever started it may be gone.
    drop(sender.send(Outcome { end, output }));
}

/// Waits until the command says something or ends, or for as long.
fn wait(output: &File, pidfd: &Pidfd, left: Duration) {
    let limit = Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    };
    let mut descriptors = [PollFd::new(pidfd, PollFlags::IN), PollFd::new(output, PollFlags::IN)];
    // A pipe whose other end is closed is told of all the time: then only the end is awaited.
    let descriptors = match descriptors.last() {
        Some(_) if is_closed(output) => descriptors.get_mut(..1).unwrap_or_default(),
        Some(_) | None => &mut descriptors[..],
    };
    if let Err(errno) = poll(descriptors, Some(&limit))
        && errno != rustix::io::Errno::INTR
    {
        warn!(error = %io::Error::from(errno), "cannot wait for a command");
    }
}

fn is_closed(output: &File) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut descriptors = [PollFd::new(output, PollFlags::IN)];
    matches!(poll(&mut descriptors, Some(&now)), Ok(1))
        && descriptors.iter().all(|fd| {
            fd.revents().contains(PollFlags::HUP) && !fd.revents().contains(PollFlags::IN)
        })
}

/// Reads what is there, and keeps up to `limit` bytes of all.
fn keep(mut output: &File, limit: usize, said: &mut Vec<u8>) {
    let mut buffer = [0; READ_BYTES];
    while let Ok(count) = output.read(&mut buffer) {
        if count == 0 {
            return;
        }
        let room = limit.saturating_sub(said.len());
        said.extend(buffer.iter().take(count.min(room)));
    }
}

fn end_of(status: io::Result<ExitStatus>) -> End {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => End::Exited(code),
            (None, Some(signal)) => End::Killed { signal },
            (None, None) => End::Lost,
        },
        Err(error) => {
            warn!(%error, "cannot tell how a command ended");
            End::Lost
        }
    }
}

/// Kills a command and everything that it started in its group.
fn kill(child: &Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = group
        && let Err(errno) = kill_process_group(group, Signal::KILL)
    {
        warn!(error = %io::Error::from(errno), "cannot kill a command");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, timeout: Duration, output_bytes: usize) -> (Outcome, Duration) {
        let begun = Instant::now();
        let running = Running::start(Order {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: vec![("GREETING".to_owned(), "hello".into())],
            input: None,
            timeout,
            output_bytes,
        })
        .unwrap();
        let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
        poll(&mut [PollFd::new(&running, PollFlags::IN)], Some(&limit)).unwrap();
        (running.outcome().expect("it is over"), begun.elapsed())
    }

    const LONG: Duration = Duration::from_secs(10);
    const SHORT: Duration = Duration::from_millis(100);

    #[test]
    fn a_command_says_something_and_ends() {
        for (script, end, output) in [
            ("echo $GREETING; echo again >&2", End::Exited(0), "hello\nagain\n"),
            ("exit 3", End::Exited(3), ""),
            ("kill -9 $$", End::Killed { signal: 9 }, ""),
            ("echo ${HOME-none}; cat; pwd", End::Exited(0), "none\n/\n"),
        ] {
            let (outcome, _) = run(script, LONG, 1000);
            assert_eq!((outcome.end, &*outcome.output), (end, output), "{script}");
        }
    }

    #[test]
    fn who_says_much_is_cut_off_and_not_held_up() {
        let script = "i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done; exit 4";
        let (outcome, _) = run(script, LONG, 100);
        assert_eq!((outcome.end, outcome.output.len()), (End::Exited(4), 100));
    }

    #[test]
    fn at_its_deadline_a_command_is_killed_with_what_it_started() {
        let (outcome, took) = run("echo begun; sleep 60 & sleep 60", SHORT, 1000);
        assert_eq!((outcome.end, &*outcome.output), (End::TimedOut, "begun\n"));
        assert!(took < LONG, "{took:?}");
    }

    #[test]
    fn what_a_command_leaves_behind_does_not_hold_it_up() {
        let (outcome, took) = run("sleep 3 & echo done", LONG, 1000);
        assert_eq!((outcome.end, &*outcome.output), (End::Exited(0), "done\n"));
        assert!(took < Duration::from_secs(3), "{took:?}");
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_that_names_it() {
        let order = Order {
            program: "/does/not/exist".into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            input: None,
            timeout: SHORT,
            output_bytes: 0,
        };
        assert_eq!(Running::start(order).unwrap_err().to_string(), "cannot start /does/not/exist");
    }
}
