//! The run directory: who may supervise this gateway, and who runs in it.
//!
//! # Invariants
//!
//! 1. Only its owner may enter: holding a socket in it is the authentication.
//! 2. One supervisor at a time, by a lock that the kernel lets go when its holder dies.
//! 3. A process that may still run has its file: "number, start time", so that a number that
//!    was given to another process later is not mistaken for it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use mainstay_message::{noted, pid_file, running};
use mainstay_model::Process;
use mainstay_os::{Incarnation, remove_if_there};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// The run directory of a gateway that is ours to supervise.
#[derive(Debug)]
pub(crate) struct Directory {
    run: PathBuf,
    /// Held for as long as this process lives.
    _lock: File,
}

impl Directory {
    /// Makes the directories where they are missing, and takes the lock.
    pub(crate) fn take(run: &Path, state: &Path) -> anyhow::Result<Self> {
        let make = |path: &Path, mode| {
            DirBuilder::new()
                .recursive(true)
                .mode(mode)
                .create(path)
                .with_context(|| format!("cannot make directory {}", path.display()))
        };
        make(state, 0o750)?;
        make(run, 0o700)?;
        let mode = fs::metadata(run)
            .with_context(|| format!("cannot examine {}", run.display()))?
            .permissions()
            .mode();
        // A directory of everyone's is none of ours: a slip in host.toml.
        if mode & 0o002 != 0 {
            bail!("{} cannot be the run directory: everyone may write to it", run.display());
        }
        fs::set_permissions(run, Permissions::from_mode(0o700))
            .with_context(|| format!("cannot close {} to others", run.display()))?;
        let lock = lock(run)?;
        make(&run.join("keepers"), 0o700)?;
        Ok(Self { run: run.to_owned(), _lock: lock })
    }

    /// Where orphans find a new supervisor.
    pub(crate) fn socket(&self) -> PathBuf {
        self.run.join("supervisor.sock")
    }

    /// Where the keepers of dead processes wait for an heir.
    pub(crate) fn keepers(&self) -> PathBuf {
        self.run.join("keepers")
    }

    /// Notes that `process` runs under this number.
    pub(crate) fn note(&self, process: Process, pid: u32) -> io::Result<()> {
        let own = Incarnation::of(pid)?;
        let path = pid_file(&self.run, process);
        let making = path.with_extension("pid.new");
        fs::write(&making, format!("{own}\n"))?;
        fs::rename(&making, &path)
    }

    /// `process` is no part of the gateway any more: its end is nobody's news.
    pub(crate) fn forget(&self, process: Process) -> io::Result<()> {
        remove_if_there(&pid_file(&self.run, process))
    }

    /// The number under which `process` still runs, if it does.
    pub(crate) fn running(&self, process: Process) -> Option<u32> {
        running(&self.run, process)
    }

    /// The number of the supervisor before this one, if that was not ended in order.
    pub(crate) fn former_supervisor(&self) -> Option<u32> {
        noted(&self.run, Process::Supervisor).map(|noted| noted.pid)
    }

    /// The number under which `process` ran, if it does no more and its end was not in order.
    pub(crate) fn dead(&self, process: Process) -> Option<u32> {
        noted(&self.run, process).filter(|noted| !noted.still_runs()).map(|noted| noted.pid)
    }

    /// Whether a gateway ran here that was not ended in order: then something of it may still
    /// be about to let go of what it held.
    pub(crate) fn was_abandoned(&self) -> bool {
        Process::SUPERVISED.into_iter().any(|process| pid_file(&self.run, process).exists())
    }

    /// Removes what no process of this gateway needs any more.
    pub(crate) fn clear(&self) -> io::Result<()> {
        let files = Process::SUPERVISED.into_iter().chain([Process::Supervisor]);
        let files = files.map(|process| pid_file(&self.run, process));
        let sockets = [
            "supervisor.sock",
            "master.sock",
            "broadcast.sock",
            "admin.sock",
            "api.sock",
            "session.sock",
            "command.sock",
        ];
        for path in files.chain(sockets.into_iter().map(|name| self.run.join(name))) {
            remove_if_there(&path)?;
        }
        for entry in fs::read_dir(self.keepers())? {
            remove_if_there(&entry?.path())?;
        }
        Ok(())
    }
}

fn lock(run: &Path) -> anyhow::Result<File> {
    let path = run.join("supervisor.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => match noted(run, Process::Supervisor) {
            Some(Incarnation { pid, .. }) => {
                bail!("process {pid} already supervises the gateway in {}", run.display())
            }
            None => {
                bail!("another process already supervises the gateway in {}", run.display())
            }
        },
        Err(errno) => Err(errno).with_context(|| format!("cannot lock {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_supervisor_is_told_of_the_first() {
        let place = tempfile::tempdir().unwrap();
        let (run, state) = (place.path().join("run"), place.path().join("state"));
        let first = Directory::take(&run, &state).unwrap();
        first.note(Process::Supervisor, std::process::id()).unwrap();
        let refused = Directory::take(&run, &state).unwrap_err().to_string();
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        drop(first);
        Directory::take(&run, &state).unwrap();
    }

    #[test]
    fn a_number_that_another_process_has_now_is_nobody() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::take(&place.path().join("run"), place.path()).unwrap();
        let pid = std::process::id();
        assert_eq!(directory.running(Process::Master), None);
        assert!(!directory.was_abandoned());
        directory.note(Process::Master, pid).unwrap();
        assert!(directory.was_abandoned());
        assert_eq!(directory.running(Process::Master), Some(pid));
        fs::write(pid_file(&directory.run, Process::Master), format!("{pid} 1\n")).unwrap();
        assert_eq!(directory.running(Process::Master), None);
        directory.clear().unwrap();
        assert!(!pid_file(&directory.run, Process::Master).exists());
    }
}
