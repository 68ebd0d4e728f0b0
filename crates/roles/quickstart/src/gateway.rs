//! The gateway as a child process, and what it says of itself.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command as Program, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use mainstay_message::{receive, send};
use mainstay_os::{Channel, Pidfd};
use mainstay_wire::command::{Command, Reply, Status};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

/// How long the master may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// A gateway that runs.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
    pidfd: Pidfd,
}

impl Gateway {
    /// Starts it, in a process group of its own: an interrupt from the terminal reaches us,
    /// and we end it.
    pub(crate) fn start(host_file: &Path) -> anyhow::Result<Self> {
        let child = Program::new("/proc/self/exe")
            .arg0("mainstay")
            .arg("run")
            .arg("--host")
            .arg(host_file)
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start the gateway")?;
        let pidfd = Pidfd::open(child.id()).context("cannot watch the gateway")?;
        Ok(Self { child, pidfd })
    }

    pub(crate) fn has_ended(&self) -> anyhow::Result<bool> {
        self.pidfd.has_exited().context("cannot look at the gateway")
    }

    /// Asks it to end; the second time, at once.
    pub(crate) fn terminate(&self) -> anyhow::Result<()> {
        self.pidfd.terminate().context("cannot end the gateway")
    }

    /// Lets go of it, once it has ended.
    pub(crate) fn reap(&mut self) -> anyhow::Result<()> {
        self.child.wait().context("cannot wait for the gateway").map(drop)
    }
}

impl AsFd for Gateway {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// What the gateway's master says; `None` if there is none now.
pub(crate) fn status(run: &Path) -> Option<Status> {
    let channel = Channel::connect(&run.join("admin.sock")).ok()?;
    send(&channel, &Command::Status, &[]).ok()?;
    let limit = Timespec {
        tv_sec: i64::try_from(ANSWER_LIMIT.as_secs()).ok()?,
        tv_nsec: ANSWER_LIMIT.subsec_nanos().into(),
    };
    poll(&mut [PollFd::new(&channel, PollFlags::IN)], Some(&limit)).ok()?;
    receive::<Reply>(&channel).ok()??.0.into_status()
}
