//! Making a snapshot of what the files before it say.
//!
//! From the files and not from a table in memory: nobody has to stand still for it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use mainstay_os::remove_if_there;
use mainstay_wire::session::{Place, Update};

use crate::directory::Directory;
use crate::frame::{Batch, Kind, header};
use crate::load::load;

/// What is written between two waits for the disk: a whole snapshot at once would make those
/// wait who log in meanwhile.
const WRITE_BYTES: usize = 512 * 1024;

/// Why there is no new snapshot.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompactError {
    #[error("cannot read what a snapshot is to be made of")]
    Load { source: crate::load::LoadError },

    #[error("cannot write a snapshot")]
    Write { source: io::Error },
}

/// Makes the snapshot at `place` of these files, and removes them.
pub(crate) fn compact(
    directory: &Directory,
    files: &[File],
    place: Place,
) -> Result<File, CompactError> {
    let table = load(files, place).map_err(|source| CompactError::Load { source })?;
    let write = || -> io::Result<File> {
        let file = directory.create(Kind::Snapshot, place.number, |file| {
            let mut writing = Writing { file, offset: 0, buffer: header(Kind::Snapshot, place) };
            let mut batch = Batch::default();
            for (key, session, last_active) in table.iter() {
                let session = std::sync::Arc::clone(session);
                batch.push(&Update::Set { key: *key, session, last_active });
                if batch.bytes() >= WRITE_BYTES {
                    writing.put(&mut batch)?;
                }
            }
            if batch.bytes() > 0 {
                writing.put(&mut batch)?;
            }
            // The end.
            writing.put(&mut batch)
        })?;
        for (kind, numbers) in [
            (Kind::Snapshot, directory.numbers(Kind::Snapshot)?),
            (Kind::Tail, directory.numbers(Kind::Tail)?),
        ] {
            for number in numbers.into_iter().filter(|number| *number < place.number) {
                remove_if_there(&directory.file(kind, number))?;
            }
        }
        Ok(file)
    };
    write().map_err(|source| CompactError::Write { source })
}

#[derive(Debug)]
struct Writing<'a> {
    file: &'a File,
    offset: u64,
    buffer: Vec<u8>,
}

impl Writing<'_> {
    fn put(&mut self, batch: &mut Batch) -> io::Result<()> {
        batch.finish(0, self.offset + self.buffer.len() as u64, &mut self.buffer);
        self.file.write_all_at(&self.buffer, self.offset)?;
        self.file.sync_data()?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
