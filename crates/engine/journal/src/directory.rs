//! The files of a journal by their names.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use mainstay_os::Incarnation;
use rustix::fs::{FlockOperation, flock};
use tracing::warn;

use crate::frame::Kind;

/// Where a journal is.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    path: PathBuf,
}

/// The right to write, until it is dropped or its process ends.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = self.0.set_len(0) {
            warn!(%error, "the journal stays locked until this process ends");
        }
    }
}

impl Directory {
    /// Makes it, if it is not there. What is in it is about people: it is its owner's.
    pub(crate) fn make(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Ok(Self { path: path.to_owned() })
    }

    /// Takes the lock; none, if another process has it.
    ///
    /// The file says who has it, and a process that is dead has nothing. The kernel's lock is only
    /// for the look itself: what a process has open its keeper has too, for longer than it lives.
    pub(crate) fn lock(&self) -> io::Result<Option<Lock>> {
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).read(true).write(true).mode(0o600);
        let mut file = options.open(self.path.join("lock"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
        let mut holder = String::new();
        file.read_to_string(&mut holder)?;
        let is_held = Incarnation::read(&holder).is_some_and(Incarnation::still_runs);
        if !is_held {
            let own = Incarnation::of(std::process::id())?;
            file.set_len(0)?;
            file.write_all_at(format!("{own}\n").as_bytes(), 0)?;
        }
        flock(&file, FlockOperation::Unlock)?;
        Ok((!is_held).then_some(Lock(file)))
    }

    /// The numbers of the files of a kind, in order.
    pub(crate) fn numbers(&self, kind: Kind) -> io::Result<Vec<u64>> {
        let prefix = format!("{}.", name(kind));
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let file = entry?.file_name();
            let number: Option<u64> =
                file.to_str().and_then(|file| file.strip_prefix(&prefix)?.parse().ok());
            numbers.extend(number);
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Where a file is.
    pub(crate) fn file(&self, kind: Kind, number: u64) -> PathBuf {
        self.path.join(format!("{}.{number}", name(kind)))
    }

    /// Opens a file that is there.
    pub(crate) fn open(&self, kind: Kind, number: u64) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.file(kind, number))
    }

    /// Makes a file whose name appears when what `fill` writes is on the disk.
    pub(crate) fn create(
        &self,
        kind: Kind,
        number: u64,
        fill: impl FnOnce(&File) -> io::Result<()>,
    ) -> io::Result<File> {
        let path = self.file(kind, number);
        let making = self.path.join(format!("{}.new", name(kind)));
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&making)?;
        fill(&file)?;
        file.sync_all()?;
        fs::rename(&making, &path)?;
        self.sync()?;
        Ok(file)
    }

    /// What was done to names is on the disk.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    /// Sets everything aside, in the place of what was set aside before.
    pub(crate) fn set_aside(&self) -> io::Result<PathBuf> {
        let aside = self.path.join("damaged");
        match fs::remove_dir_all(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        DirBuilder::new().mode(0o700).create(&aside)?;
        for kind in [Kind::Snapshot, Kind::Tail] {
            for number in self.numbers(kind)? {
                let from = self.file(kind, number);
                if let Some(file) = from.file_name() {
                    fs::rename(&from, aside.join(file))?;
                }
            }
        }
        self.sync()?;
        Ok(aside)
    }
}

const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Snapshot => "snapshot",
        Kind::Tail => "tail",
    }
}
