//! Other processes: watching them, ending them, and what `/proc` says of them.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use rustix::time::Timespec;

/// A process that cannot be mistaken for another that got its number later.
#[derive(Debug)]
pub struct Pidfd(OwnedFd);

impl Pidfd {
    /// The process that has this number now.
    pub fn open(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(Self(pidfd_open(pid, PidfdFlags::empty())?))
    }

    pub(crate) const fn from_descriptor(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    /// Another handle of the same process.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Whether it is gone.
    pub fn has_exited(&self) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        Ok(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? > 0)
    }

    /// Ends it at once. Having ended already is fine.
    pub fn kill(&self) -> io::Result<()> {
        self.send(Signal::KILL)
    }

    /// Asks it to end. Having ended already is fine.
    pub fn terminate(&self) -> io::Result<()> {
        self.send(Signal::TERM)
    }

    fn send(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.0, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Lets go of a child that is gone, so that it is no zombie. Not being our child is
    /// fine: its parent does it.
    pub fn reap(&self) -> io::Result<()> {
        match waitid(WaitId::PidFd(self.0.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(_) | Err(rustix::io::Errno::CHILD) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether a process is writing a core dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dumping {
    /// It runs, or is gone without one.
    No,
    /// It began, but another of its threads may still do something.
    Begun,
    /// It writes the dump; nothing else of it runs any more.
    Alone,
}

impl Dumping {
    /// What the process is doing, given the thread that met the fatal signal.
    ///
    /// A thread that waits for the dump to be written is idle (`I`) in the kernel; so when
    /// every other thread is that, or a corpse, none of them will touch a socket again.
    pub fn of(pid: u32, dumper: u32) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        if !status.lines().any(|line| line == "CoreDumping:\t1") {
            return Ok(Self::No);
        }
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            let thread = thread?;
            if thread.file_name().to_str() == Some(&dumper.to_string()) {
                continue;
            }
            let stat = fs::read_to_string(thread.path().join("stat"))?;
            let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
            if !matches!(state, Some('I' | 'X' | 'Z')) {
                return Ok(Self::Begun);
            }
        }
        Ok(Self::Alone)
    }
}

/// When a process started, in clock ticks since the machine did.
pub fn start_ticks(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    field(&stat, 19).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// A process by its number and its start: a name that no other ever has, and that can be written
/// down for whoever comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation {
    pub pid: u32,
    ticks: u64,
}

impl Incarnation {
    /// The process that has this number now.
    pub fn of(pid: u32) -> io::Result<Self> {
        Ok(Self { pid, ticks: start_ticks(pid)? })
    }

    /// Reads what [`Incarnation`] displays; none, if it is something else.
    pub fn read(text: &str) -> Option<Self> {
        let (pid, ticks) = text.trim_ascii().split_once(' ')?;
        Some(Self { pid: pid.parse().ok()?, ticks: ticks.parse().ok()? })
    }

    /// Whether it is there, and no zombie.
    pub fn still_runs(self) -> bool {
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", self.pid)) else {
            return false;
        };
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        !matches!(state, Some('Z' | 'X')) && field(&stat, 19) == Some(self.ticks)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pid, self.ticks)
    }
}

/// What a process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessUse {
    pub resident_bytes: u64,
    pub cpu_ms: u64,
}

/// What this machine is called.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What the process with this number uses now.
pub fn process_use(pid: u32) -> io::Result<ProcessUse> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let user = field(&stat, 11).ok_or_else(invalid)?;
    let system = field(&stat, 12).ok_or_else(invalid)?;
    let pages = field(&stat, 21).ok_or_else(invalid)?;
    let tick_ms = 1_000 / rustix::param::clock_ticks_per_second().max(1);
    Ok(ProcessUse {
        resident_bytes: pages.saturating_mul(rustix::param::page_size() as u64),
        cpu_ms: user.saturating_add(system).saturating_mul(tick_ms),
    })
}

/// A field of `/proc/<pid>/stat`, counted from the state as 0: what is before it may
/// contain spaces.
fn field(stat: &str, index: usize) -> Option<u64> {
    stat.rsplit_once(") ")?.1.split_ascii_whitespace().nth(index)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_number_and_its_start() {
        let pid = std::process::id();
        let own = Incarnation::of(pid).unwrap();
        assert!(own.still_runs());
        assert!(!Incarnation { ticks: own.ticks + 1, ..own }.still_runs());
        assert_eq!(Incarnation::read(&format!("{own}\n")), Some(own));
        assert_eq!(Incarnation::read("4711"), None);
        assert!(process_use(pid).unwrap().resident_bytes > 0);
    }

    #[test]
    fn an_ended_child_is_seen_and_reaped() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pidfd = Pidfd::open(child.id()).unwrap();
        child.wait().unwrap();
        assert!(pidfd.has_exited().unwrap());
        pidfd.kill().unwrap();
        pidfd.reap().unwrap();
    }
}
