//! Processes: starting them, killing exactly the one that is meant, and leaving none behind.
//!
//! A process is held by its pidfd, so a signal never reaches a stranger that was given the
//! same number. This process makes itself the reaper of orphans, as systemd is for a service:
//! when a supervisor is killed, its children become ours.
//!
//! # Invariants
//!
//! Only two kinds of children are ever waited for: those that [`spawn`] started, and orphans of
//! the gateway, known by name. Children that other code of this process started are its own.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, pidfd_open,
    pidfd_send_signal, set_child_subreaper, waitid, waitpid,
};

/// Children that [`spawn`] started and nobody has waited for yet.
static STARTED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// One process, and no other that may get its number later.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Process {
    /// The process that has this number now.
    pub fn open(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { pid, pidfd: pidfd_open(pid, PidfdFlags::empty())? })
    }

    /// The process that a line `<pid> <start time>` of a pid file speaks of.
    pub fn from_pid_file(path: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(path)?;
        let mut words = text.split_whitespace();
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let (Some(pid), Some(start)) = (number(), number()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let process = Self::open(u32::try_from(pid).unwrap_or(0))?;
        // Opened first, compared then: the number cannot change its owner in between unseen.
        if Stat::read(process.pid()).and_then(|stat| stat.start) != Some(start) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(process)
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends a signal; a process that is gone cannot be hurt any more.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether it ends within `limit`.
    pub fn ends_within(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).unwrap();
            match poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&left)) {
                Ok(ready) => return ready > 0,
                Err(Errno::INTR) => {}
                Err(errno) => panic!("cannot wait for process {}: {errno}", self.pid()),
            }
        }
    }

    /// Whether the kernel is writing its core dump, or it is gone.
    pub fn is_dumping_or_gone(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()));
        status.map_or(true, |text| text.contains("CoreDumping:\t1") || text.contains("\tZ ("))
    }
}

/// What `/proc/<pid>/stat` says.
struct Stat {
    name: String,
    state: char,
    parent: Option<u32>,
    start: Option<u64>,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold anything, so the last bracket ends it.
        let (before, after) = text.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        let mut fields = after.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next().and_then(|field| field.parse().ok());
        // Field 22 of the line; the parent is field 4.
        let start = fields.nth(17).and_then(|field| field.parse().ok());
        Some(Self { name: name.to_owned(), state, parent, start })
    }
}

/// Starts a child that [`Child::wait`] or the end of this process will account for.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let mut started = STARTED.lock().unwrap();
    let pid = command.spawn()?.id();
    started.insert(pid);
    drop(started);
    Ok(Child { process: Process::open(pid)? })
}

/// A child that [`spawn`] started.
#[derive(Debug)]
pub struct Child {
    process: Process,
}

impl Child {
    /// The process.
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// How it ended, if it does within `limit`.
    pub fn wait(&self, limit: Duration) -> Option<WaitStatus> {
        if !self.process.ends_within(limit) {
            return None;
        }
        let mut started = STARTED.lock().unwrap();
        let ended = waitpid(Some(self.process.pid), WaitOptions::empty());
        started.remove(&self.process.pid());
        ended.ok().flatten().map(|(_, status)| status)
    }
}

/// From now on orphans of our children become our children, not those of process 1.
pub fn become_reaper() -> io::Result<()> {
    // Any number switches it on; the kernel takes it as a truth value.
    Ok(set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Waits for those orphans of a gateway that have ended.
pub fn reap_orphans() {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if !matches!(waitid(WaitId::All, look), Ok(Some(_))) {
        return;
    }
    let started = STARTED.lock().unwrap();
    for pid in all_pids().filter(|pid| !started.contains(pid)) {
        let orphan = Stat::read(pid).is_some_and(|stat| {
            // "exe" is what the kernel calls a child started as /proc/self/exe.
            let ours = stat.name == "exe" || stat.name.starts_with("mainstay");
            stat.state == 'Z' && stat.parent == Some(std::process::id()) && ours
        });
        if orphan && let Ok(process) = Process::open(pid) {
            // Another thread may have been faster; then there is nothing left to do.
            waitpid(Some(process.pid), WaitOptions::NOHANG).ok();
        }
    }
}

fn all_pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The living children of a process.
pub fn children_of(parent: u32) -> Vec<Process> {
    let is_child = |pid: &u32| {
        Stat::read(*pid).is_some_and(|stat| stat.parent == Some(parent) && stat.state != 'Z')
    };
    all_pids().filter(is_child).filter_map(|pid| Process::open(pid).ok()).collect()
}

/// Every living process whose environment holds `mark`.
pub fn marked(mark: &str) -> Vec<Process> {
    let is_marked = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|pair| pair == mark.as_bytes())
    };
    all_pids().filter(is_marked).filter_map(|pid| Process::open(pid).ok()).collect()
}

/// Ends every process whose environment holds `mark`, and waits until they are gone.
pub fn kill_marked(mark: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = marked(mark);
        if left.is_empty() || Instant::now() > deadline {
            reap_orphans();
            return;
        }
        for process in left {
            process.signal(Signal::KILL).ok();
            process.ends_within(Duration::from_secs(1));
        }
        reap_orphans();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_waited_for_and_an_orphan_found_by_its_mark() {
        become_reaper().unwrap();
        let mark = format!("MAINSTAY_E2E_TEST={}", std::process::id());
        let (name, value) = mark.split_once('=').unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 1000 & exit 3"]).env(name, value);
        let child = spawn(&mut shell).unwrap();
        let status = child.wait(Duration::from_secs(5)).unwrap();
        assert_eq!(status.exit_status(), Some(3));

        let orphans = marked(&mark);
        assert_eq!(orphans.len(), 1);
        // While it becomes another program, its environment is not shown for an instant.
        let end = || {
            kill_marked(&mark);
            orphans[0].ends_within(Duration::ZERO).then_some(())
        };
        crate::wait::until("the orphan to be killed", Duration::from_secs(5), end).unwrap();
    }

    #[test]
    fn a_pid_file_names_one_process_and_no_later_one() {
        let dir = tempfile::tempdir().unwrap();
        let (path, pid) = (dir.path().join("own.pid"), std::process::id());
        let start = Stat::read(pid).unwrap().start.unwrap();
        fs::write(&path, format!("{pid} {start}\n")).unwrap();
        assert_eq!(Process::from_pid_file(&path).unwrap().pid(), pid);
        fs::write(&path, format!("{pid} {}\n", start - 1)).unwrap();
        Process::from_pid_file(&path).unwrap_err();
    }
}
