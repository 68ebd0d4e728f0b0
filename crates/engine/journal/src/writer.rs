//! The thread that writes: takes what has gathered, writes it as one batch, waits for the disk
//! once.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use mainstay_model::Timestamp;
use mainstay_os::{Event, now};
use mainstay_wire::session::{Place, Update};

use crate::compact::CompactError;
use crate::directory::Directory;
use crate::frame::{BATCH_BYTES_MAX, Batch, Kind, header};

/// What the writer is to do.
#[derive(Debug)]
pub(crate) enum Job {
    Append {
        number: u64,
        update: Arc<Update>,
        since: Timestamp,
    },
    /// Begin another file.
    Rotate,
}

/// What is told to the loop of broadcast.
#[derive(Debug)]
pub(crate) enum Report {
    Committed {
        number: u64,
        bytes: u64,
        /// How long the oldest record of the batch had waited.
        micros: u64,
    },
    /// What follows this number is in this file.
    Rotated {
        number: u64,
        file: File,
    },
    Compacted {
        number: u64,
        result: Result<File, CompactError>,
    },
    /// The disk takes nothing any more.
    Failed(io::Error),
}

/// Reports, and what wakes whoever waits for them.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    pub(crate) reports: Sender<Report>,
    pub(crate) raised: Arc<Event>,
}

impl Reporter {
    pub(crate) fn tell(&self, report: Report) {
        if self.reports.send(report).is_ok()
            && let Err(error) = self.raised.raise()
        {
            tracing::warn!(%error, "cannot raise an event");
        }
    }
}

/// The file that grows.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) directory: Directory,
    pub(crate) file: File,
    pub(crate) offset: u64,
    pub(crate) place: Place,
    pub(crate) reporter: Reporter,
}

impl Writer {
    /// Writes until nobody is there who has anything to write, or the disk fails.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            let mut next = Some(job);
            while let Some(job) = next {
                match self.work(job, jobs) {
                    Ok(left) => next = left,
                    Err(error) => return self.reporter.tell(Report::Failed(error)),
                }
            }
        }
    }

    /// Does a job, and those after it that go into the same batch. Returns one that does not.
    fn work(&mut self, job: Job, jobs: &Receiver<Job>) -> io::Result<Option<Job>> {
        match job {
            Job::Rotate => {
                let place = self.place;
                self.file = self.directory.create(Kind::Tail, place.number, |file| {
                    file.write_all_at(&header(Kind::Tail, place), 0)
                })?;
                self.offset = header(Kind::Tail, place).len() as u64;
                let file = self.file.try_clone()?;
                self.reporter.tell(Report::Rotated { number: place.number, file });
                Ok(None)
            }
            Job::Append { number, update, since } => {
                let mut batch = Batch::default();
                batch.push(&update);
                let (mut last, mut left) = (number, None);
                while batch.bytes() < BATCH_BYTES_MAX {
                    match jobs.try_recv() {
                        Ok(Job::Append { number, update, .. }) => {
                            batch.push(&update);
                            last = number;
                        }
                        Ok(Job::Rotate) => {
                            left = Some(Job::Rotate);
                            break;
                        }
                        Err(_none) => break,
                    }
                }
                self.write(&mut batch, number)?;
                self.place.number = last;
                let micros = u64::try_from(now().since(since).as_micros()).unwrap_or(u64::MAX);
                self.reporter.tell(Report::Committed { number: last, bytes: self.offset, micros });
                Ok(left)
            }
        }
    }

    fn write(&mut self, batch: &mut Batch, first: u64) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(batch.bytes() + 64);
        batch.finish(first, self.offset, &mut bytes);
        self.file.write_all_at(&bytes, self.offset)?;
        self.file.sync_data()?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}
