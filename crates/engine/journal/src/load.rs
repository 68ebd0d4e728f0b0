//! Reading the files of a journal: after a start by broadcast, and by every process that is
//! given them.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::Builder;

use mainstay_os::Event;
use mainstay_session::Table;
use mainstay_wire::session::Place;

use crate::frame::{Batches, End, HEADER_BYTES, Kind, read_header};

/// Why files are not the journal that they should be.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read the journal of sessions")]
    Read { source: io::Error },

    #[error("a file of the journal of sessions is none, or of another version")]
    Header,

    #[error("files of two journals of sessions are mixed")]
    Mixed,

    #[error("the journal of sessions is damaged at byte {offset} of the file after update {start}")]
    Damaged { start: u64, offset: u64 },

    #[error("the journal of sessions goes from update {from} to update {to}")]
    Gap { from: u64, to: u64 },

    #[error("the journal of sessions ends at update {found}, not at {expected}")]
    Short { found: u64, expected: u64 },
}

/// Reads a snapshot and what follows it, up to `place`.
pub fn load(files: &[File], place: Place) -> Result<Table, LoadError> {
    let mut reading = Reading::default();
    for file in files {
        reading.take(&read(file)?, Some(place.number))?;
    }
    let found = reading.place.unwrap_or(Place { epoch: place.epoch, number: 0 });
    if found.epoch != place.epoch {
        return Err(LoadError::Mixed);
    }
    if found.number != place.number {
        return Err(LoadError::Short { found: found.number, expected: place.number });
    }
    Ok(reading.table)
}

/// The whole of a file, wherever its cursor is: others read it too.
pub(crate) fn read(file: &File) -> Result<Vec<u8>, LoadError> {
    let read = || {
        let bytes = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let mut content = vec![0; bytes];
        let mut filled = 0;
        while let Some(rest) = content.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        content.truncate(filled);
        Ok(content)
    };
    read().map_err(|source| LoadError::Read { source })
}

/// How far the files have been read.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) table: Table,
    pub(crate) place: Option<Place>,
}

impl Reading {
    /// Reads a file that follows what was read. Says where it ends if its end is torn.
    pub(crate) fn take(
        &mut self,
        content: &[u8],
        through: Option<u64>,
    ) -> Result<Option<usize>, LoadError> {
        let (kind, start) = read_header(content).ok_or(LoadError::Header)?;
        let place = *self.place.get_or_insert(start);
        if place.epoch != start.epoch {
            return Err(LoadError::Mixed);
        }
        if start.number > place.number {
            return Err(LoadError::Gap { from: place.number, to: start.number });
        }
        let mut batches = Batches::of(content);
        let damaged =
            |offset: usize| LoadError::Damaged { start: start.number, offset: offset as u64 };
        match kind {
            Kind::Snapshot => self.take_snapshot(&mut batches).map_err(|()| damaged(batches.at())),
            Kind::Tail => {
                if self.take_tail(&mut batches, through)? == Reached::Through {
                    return Ok(None);
                }
                match batches.end() {
                    End::Whole => Ok(None),
                    End::Torn(offset) => Ok(Some(offset)),
                    End::Damaged(offset) => Err(damaged(offset)),
                }
            }
        }
    }

    fn take_snapshot(&mut self, batches: &mut Batches<'_>) -> Result<Option<usize>, ()> {
        while let Some((_, records)) = batches.next() {
            if records.is_empty() {
                return if batches.end() == End::Whole { Ok(None) } else { Err(()) };
            }
            for record in records {
                self.table.apply(&record.ok_or(())?);
            }
        }
        Err(())
    }

    fn take_tail(
        &mut self,
        batches: &mut Batches<'_>,
        through: Option<u64>,
    ) -> Result<Reached, LoadError> {
        let Some(place) = &mut self.place else { return Ok(Reached::End) };
        while let Some((first, records)) = batches.next() {
            for (record, number) in records.zip(first..) {
                let damaged = LoadError::Damaged { start: first, offset: batches.at() as u64 };
                let update = record.ok_or(damaged)?;
                // What is in the snapshot already.
                if number <= place.number {
                    continue;
                }
                if through.is_some_and(|through| number > through) {
                    return Ok(Reached::Through);
                }
                if number != place.number + 1 {
                    return Err(LoadError::Gap { from: place.number, to: number });
                }
                place.number = number;
                self.table.apply(&update);
            }
        }
        Ok(Reached::End)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    /// All that was asked for.
    Through,
    /// What the file has.
    End,
}

/// Whether a file has so much as a header: one that was being made when something died has not.
pub(crate) fn is_begun(content: &[u8]) -> bool {
    content.len() >= HEADER_BYTES
}

/// Reads tables from files in a thread of its own: that takes longer than a loop may stand still.
/// One at a time; what is begun takes the place of what is on its way.
#[derive(Debug)]
pub struct Loader {
    raised: Arc<Event>,
    under_way: Option<(Place, Receiver<Result<Table, LoadError>>)>,
}

impl Loader {
    /// One that reads nothing yet.
    pub fn new() -> io::Result<Self> {
        Ok(Self { raised: Arc::new(Event::new()?), under_way: None })
    }

    /// Begins to read what there is up to `place`.
    pub fn begin(&mut self, files: Vec<OwnedFd>, place: Place) -> io::Result<()> {
        let files: Vec<File> = files.into_iter().map(File::from).collect();
        let (sender, loaded) = mpsc::channel();
        let event = Arc::clone(&self.raised);
        Builder::new().name("sessions".to_owned()).spawn(move || {
            let result = load(&files, place);
            if sender.send(result).is_ok()
                && let Err(error) = event.raise()
            {
                tracing::warn!(%error, "cannot raise an event");
            }
        })?;
        self.under_way = Some((place, loaded));
        Ok(())
    }

    /// What was read, once, when it is there.
    pub fn take(&mut self) -> io::Result<Option<(Place, Result<Table, LoadError>)>> {
        self.raised.take()?;
        let Some((place, loaded)) = &self.under_way else { return Ok(None) };
        let Ok(result) = loaded.try_recv() else { return Ok(None) };
        let place = *place;
        self.under_way = None;
        Ok(Some((place, result)))
    }
}

impl AsFd for Loader {
    /// Readable when something was read.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.raised.as_fd()
    }
}
