//! The journal as broadcast's loop has it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{Builder, JoinHandle};

use mainstay_model::Chain;
use mainstay_os::{Event, now, random_u64};
use mainstay_session::Table;
use mainstay_wire::session::{Place, Update};
use tracing::{error, info, warn};

use crate::compact::compact;
use crate::directory::{Directory, Lock};
use crate::frame::{HEADER_BYTES, Kind, header};
use crate::load::{LoadError, Reading, is_begun, read};
use crate::writer::{Job, Report, Reporter, Writer};

/// How large files become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A snapshot is made when the tail is longer than this, and than the last snapshot.
    pub tail_bytes: u64,
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("cannot use the directory {}", path.display())]
    Directory { path: PathBuf, source: io::Error },

    #[error("another broadcast writes to {}", path.display())]
    Locked { path: PathBuf },

    #[error("cannot read {}", path.display())]
    Load { path: PathBuf, source: LoadError },

    #[error("cannot write to the journal of sessions")]
    Write { source: io::Error },
}

/// A journal that was opened, and what it says.
#[derive(Debug)]
pub struct Opened {
    pub journal: Journal,
    pub table: Table,
    pub place: Place,
}

/// What the journal has done, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Bytes of updates since the last snapshot.
    pub tail_bytes: u64,
    /// Waits for the disk.
    pub commits: u64,
    /// How long the oldest updates of all commits have waited, together.
    pub commit_micros: u64,
}

/// The writing end.
#[derive(Debug)]
pub struct Journal {
    directory: Directory,
    epoch: u64,
    limits: Limits,
    snapshot: Option<File>,
    snapshot_bytes: u64,
    /// By the number that they follow. The last one grows.
    tails: Vec<(u64, File)>,
    making: Making,
    figures: Figures,
    jobs: Sender<Job>,
    writer: Option<JoinHandle<()>>,
    reports: Receiver<Report>,
    reporter: Reporter,
    _lock: Lock,
}

/// Whether a snapshot is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Making {
    No,
    Yes,
}

impl Drop for Journal {
    /// What is on its way to the disk gets there, and then nothing writes any more.
    fn drop(&mut self) {
        self.jobs = mpsc::channel().0;
        if let Some(Err(_panic)) = self.writer.take().map(JoinHandle::join) {
            warn!("the thread that writes the journal ended badly");
        }
    }
}

impl Journal {
    /// Opens the journal in this directory, or begins one.
    pub fn open(path: &Path, limits: Limits) -> Result<Opened, JournalError> {
        let unusable = |source| JournalError::Directory { path: path.to_owned(), source };
        let directory = Directory::make(path).map_err(unusable)?;
        let lock = directory.lock().map_err(unusable)?;
        let lock = lock.ok_or_else(|| JournalError::Locked { path: path.to_owned() })?;
        let found = match Found::read(&directory) {
            Err(LoadError::Read { source }) => {
                let source = LoadError::Read { source };
                return Err(JournalError::Load { path: path.to_owned(), source });
            }
            Err(damage) => {
                let aside = directory.set_aside().map_err(unusable)?;
                error!(error = %Chain(&damage), aside = %aside.display(),
                    "the journal of sessions cannot be used, everybody is logged out");
                Found::default()
            }
            Ok(found) => found,
        };
        let place = match found.place {
            Some(place) => place,
            None => Place { epoch: random_u64().map_err(unusable)?, number: 0 },
        };
        Self::start(directory, lock, limits, found, place)
    }

    fn start(
        directory: Directory,
        lock: Lock,
        limits: Limits,
        mut found: Found,
        place: Place,
    ) -> Result<Opened, JournalError> {
        let unwritable = |source| JournalError::Write { source };
        if found.tails.is_empty() {
            let made = directory.create(Kind::Tail, place.number, |file| {
                file.write_all_at(&header(Kind::Tail, place), 0)
            });
            found.tails.push((place.number, made.map_err(unwritable)?));
            found.tail_bytes = HEADER_BYTES as u64;
        }
        let (reports_in, reports) = mpsc::channel();
        let raised = Arc::new(Event::new().map_err(unwritable)?);
        let reporter = Reporter { reports: reports_in, raised };
        let (jobs, jobs_out) = mpsc::channel();
        let Some((_, last)) = found.tails.last() else {
            return Err(unwritable(io::Error::from(io::ErrorKind::NotFound)));
        };
        let writer = Writer {
            directory: directory.clone(),
            file: last.try_clone().map_err(unwritable)?,
            offset: found.tail_bytes,
            place,
            reporter: reporter.clone(),
        };
        let thread = Builder::new().name("journal".to_owned());
        let thread = thread.spawn(move || writer.run(&jobs_out)).map_err(unwritable)?;
        let journal = Self {
            directory,
            epoch: place.epoch,
            limits,
            snapshot_bytes: found.snapshot.as_ref().map_or(0, length),
            snapshot: found.snapshot,
            tails: found.tails,
            making: Making::No,
            figures: Figures { tail_bytes: found.tail_bytes, ..Figures::default() },
            jobs,
            writer: Some(thread),
            reports,
            reporter,
            _lock: lock,
        };
        Ok(Opened { journal, table: found.table, place })
    }

    /// Writes an update, whose number is the next one.
    pub fn append(&self, number: u64, update: Arc<Update>) {
        // A writer that has ended has reported why.
        drop(self.jobs.send(Job::Append { number, update, since: now() }));
    }

    /// What has happened: up to where updates are on the disk, if that is news.
    pub fn look(&mut self) -> Result<Option<u64>, JournalError> {
        let failed = |source| JournalError::Write { source };
        self.reporter.raised.take().map_err(failed)?;
        let mut committed = None;
        while let Ok(report) = self.reports.try_recv() {
            match report {
                Report::Committed { number, bytes, micros } => {
                    committed = Some(number);
                    self.figures.tail_bytes = bytes;
                    self.figures.commits += 1;
                    self.figures.commit_micros += micros;
                }
                Report::Rotated { number, file } => self.rotated(number, file)?,
                Report::Compacted { number, result: Ok(file) } => {
                    info!(number, "snapshot of sessions was made");
                    self.snapshot_bytes = length(&file);
                    self.snapshot = Some(file);
                    self.tails.retain(|(start, _)| *start >= number);
                    self.making = Making::No;
                }
                // It is tried again when the tail has grown once more.
                Report::Compacted { result: Err(error), .. } => {
                    warn!(error = %Chain(&error), "there is no snapshot of sessions");
                    self.making = Making::No;
                }
                Report::Failed(error) => return Err(failed(error)),
            }
        }
        let enough = self.limits.tail_bytes.max(self.snapshot_bytes);
        if self.making == Making::No && self.figures.tail_bytes > enough {
            self.making = Making::Yes;
            drop(self.jobs.send(Job::Rotate));
        }
        Ok(committed)
    }

    /// Another tail has begun: what is before it becomes a snapshot.
    fn rotated(&mut self, number: u64, file: File) -> Result<(), JournalError> {
        let failed = |source| JournalError::Write { source };
        let before = self.files().map_err(failed)?;
        self.tails.push((number, file));
        self.figures.tail_bytes = HEADER_BYTES as u64;
        let (directory, reporter) = (self.directory.clone(), self.reporter.clone());
        let place = Place { epoch: self.epoch, number };
        let work = move || {
            let result = compact(&directory, &before, place);
            reporter.tell(Report::Compacted { number, result });
        };
        Builder::new().name("snapshot".to_owned()).spawn(work).map_err(failed)?;
        Ok(())
    }

    /// The files that have everything, for whoever is to read them: a snapshot, then tails.
    pub fn files(&self) -> io::Result<Vec<File>> {
        self.snapshot
            .iter()
            .chain(self.tails.iter().map(|(_, file)| file))
            .map(File::try_clone)
            .collect()
    }

    /// The same, to be sent.
    pub fn descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        Ok(self.files()?.into_iter().map(OwnedFd::from).collect())
    }

    pub const fn figures(&self) -> Figures {
        self.figures
    }
}

impl AsFd for Journal {
    /// Readable when there is something to [`Journal::look`] at.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reporter.raised.as_fd()
    }
}

/// What was in the directory.
#[derive(Debug, Default)]
struct Found {
    table: Table,
    place: Option<Place>,
    snapshot: Option<File>,
    tails: Vec<(u64, File)>,
    tail_bytes: u64,
}

impl Found {
    fn read(directory: &Directory) -> Result<Self, LoadError> {
        let unread = |source| LoadError::Read { source };
        let mut reading = Reading::default();
        let mut found = Self::default();
        let snapshots = directory.numbers(Kind::Snapshot).map_err(unread)?;
        if let Some(number) = snapshots.last() {
            let file = directory.open(Kind::Snapshot, *number).map_err(unread)?;
            reading.take(&read(&file)?, None)?;
            found.snapshot = Some(file);
        }
        let tails = directory.numbers(Kind::Tail).map_err(unread)?;
        for number in &tails {
            let file = directory.open(Kind::Tail, *number).map_err(unread)?;
            let content = read(&file)?;
            if !is_begun(&content) {
                return Err(LoadError::Header);
            }
            let torn = reading.take(&content, None)?;
            found.tail_bytes = content.len() as u64;
            if let Some(offset) = torn {
                warn!(
                    offset,
                    bytes = content.len() - offset,
                    "what was not written to its end is cut off"
                );
                found.tail_bytes = offset as u64;
                file.set_len(found.tail_bytes).map_err(unread)?;
            }
            // What a broadcast wrote that was killed may not be on the disk yet.
            file.sync_all().map_err(unread)?;
            found.tails.push((*number, file));
        }
        found.place = reading.place;
        found.table = reading.table;
        Ok(found)
    }
}

fn length(file: &File) -> u64 {
    file.metadata().map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests;
