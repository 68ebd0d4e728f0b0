//! The shape of the files: a header, then batches.
//!
//! ```text
//! header   magic 8, by kind │ version 4 │ epoch 8 │ number 8 │ crc 4
//! batch    magic 4 │ bytes 4 │ crc 4 │ number of the first record 8 │ records
//! record   bytes 4 │ update
//! ```
//!
//! Numbers are little endian. A snapshot ends with a batch of no records. A batch's checksum covers its place in the file, so one that is
//! found elsewhere (an old block of the disk) is none.

use mainstay_session::{decode, encode};
use mainstay_wire::session::{Place, Update};

/// Other files are not read.
const VERSION: u32 = 1;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Snapshot,
    Tail,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Snapshot, Self::Tail];

    const fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Snapshot => b"mainstSS",
            Self::Tail => b"mainstST",
        }
    }
}

const BATCH_MAGIC: &[u8; 4] = b"\xb5SJ1";

pub(crate) const HEADER_BYTES: usize = 32;

const BATCH_HEAD_BYTES: usize = 20;

/// What a batch may have: a whole record is always let in.
pub(crate) const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Longest record: far more than an update has.
const RECORD_BYTES_MAX: usize = 64 * 1024;

/// Writes the header of a file that begins after `place`.
pub(crate) fn header(kind: Kind, place: Place) -> Vec<u8> {
    let mut bytes = kind.magic().to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&place.epoch.to_le_bytes());
    bytes.extend_from_slice(&place.number.to_le_bytes());
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// What a file is and where it begins; none, if these bytes are no header.
pub(crate) fn read_header(bytes: &[u8]) -> Option<(Kind, Place)> {
    let (head, crc) = bytes.get(..HEADER_BYTES)?.split_at_checked(HEADER_BYTES - 4)?;
    let kind = Kind::ALL.into_iter().find(|kind| head.starts_with(kind.magic()))?;
    let is_ours = number_at(head, 8) == Some(VERSION) && crc == crc32fast::hash(head).to_le_bytes();
    let place = Place { epoch: long_at(head, 12)?, number: long_at(head, 20)? };
    is_ours.then_some((kind, place))
}

/// Records that become a batch.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    records: Vec<u8>,
}

impl Batch {
    pub(crate) fn push(&mut self, update: &Update) {
        let at = self.records.len();
        self.records.extend_from_slice(&[0; 4]);
        encode(update, &mut self.records);
        let bytes = self.records.len() - at - 4;
        let length = u32::try_from(bytes).expect("a record is within its limits");
        if let Some(place) = self.records.get_mut(at..at + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.records.len()
    }

    /// Writes the batch as it is at this place of a file, and begins another.
    pub(crate) fn finish(&mut self, first: u64, offset: u64, into: &mut Vec<u8>) {
        let length = u32::try_from(self.records.len()).expect("a batch is within its limits");
        into.extend_from_slice(BATCH_MAGIC);
        into.extend_from_slice(&length.to_le_bytes());
        into.extend_from_slice(&checksum(offset, first, &self.records).to_le_bytes());
        into.extend_from_slice(&first.to_le_bytes());
        into.append(&mut self.records);
    }
}

fn checksum(offset: u64, first: u64, records: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&offset.to_le_bytes());
    hasher.update(&first.to_le_bytes());
    hasher.update(records);
    hasher.finalize()
}

/// The batches of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batches<'a> {
    file: &'a [u8],
    offset: usize,
}

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Whole,
    /// What follows here was being written when something died.
    Torn(usize),
    /// Something that was on the disk is not there.
    Damaged(usize),
}

impl<'a> Batches<'a> {
    /// Those after the header.
    pub(crate) const fn of(file: &'a [u8]) -> Self {
        Self { file, offset: HEADER_BYTES }
    }

    /// The next batch: the number of its first record, and its records.
    pub(crate) fn next(&mut self) -> Option<(u64, Records<'a>)> {
        let (first, records) = batch_at(self.file, self.offset)?;
        self.offset += BATCH_HEAD_BYTES + records.len();
        Some((first, Records(records)))
    }

    /// Where the next one would be.
    pub(crate) const fn at(&self) -> usize {
        self.offset
    }

    /// How the file ends after the last batch.
    pub(crate) fn end(&self) -> End {
        let offset = self.offset;
        let Some(rest) = self.file.get(offset..).filter(|rest| !rest.is_empty()) else {
            return End::Whole;
        };
        // A later batch was written when this one was on the disk.
        let mut later = rest.windows(BATCH_MAGIC.len()).enumerate();
        let is_proof = later
            .any(|(at, bytes)| bytes == BATCH_MAGIC && batch_at(self.file, offset + at).is_some());
        if is_proof { End::Damaged(offset) } else { End::Torn(offset) }
    }
}

fn batch_at(file: &[u8], offset: usize) -> Option<(u64, &[u8])> {
    let (head, rest) = file.get(offset..)?.split_at_checked(BATCH_HEAD_BYTES)?;
    if !head.starts_with(BATCH_MAGIC) {
        return None;
    }
    let length = usize::try_from(number_at(head, 4)?).ok()?;
    if length > BATCH_BYTES_MAX + RECORD_BYTES_MAX {
        return None;
    }
    let records = rest.get(..length)?;
    let first = long_at(head, 12)?;
    (number_at(head, 8)? == checksum(offset as u64, first, records)).then_some((first, records))
}

/// The updates of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Records<'a>(&'a [u8]);

impl Records<'_> {
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Iterator for Records<'_> {
    /// None: a valid batch has a record that is none.
    type Item = Option<Update>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let read = || {
            let length = usize::try_from(number_at(self.0, 0)?).ok()?;
            let (record, rest) = self.0.get(4..)?.split_at_checked(length)?;
            Some((decode(record).ok()?, rest))
        };
        let Some((update, rest)) = read() else {
            self.0 = &[];
            return Some(None);
        };
        self.0 = rest;
        Some(Some(update))
    }
}

fn number_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn long_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use mainstay_model::SessionKey;
    use mainstay_wire::session::Cause;

    use super::*;

    fn update(number: u8) -> Update {
        let keys = vec![SessionKey::from_bytes([number; 32]); 3];
        Update::Ended { keys, cause: Cause::LoggedOut }
    }

    /// Three batches of two, and where they begin.
    fn file() -> (Vec<u8>, Vec<usize>) {
        let mut file = header(Kind::Tail, Place { epoch: 9, number: 5 });
        let mut starts = Vec::new();
        for first in [6_u8, 8, 10] {
            let mut batch = Batch::default();
            batch.push(&update(first));
            batch.push(&update(first + 1));
            starts.push(file.len());
            batch.finish(first.into(), file.len() as u64, &mut file);
        }
        (file, starts)
    }

    fn numbers(file: &[u8]) -> (Vec<u64>, End) {
        let mut batches = Batches::of(file);
        let mut numbers = Vec::new();
        while let Some((first, records)) = batches.next() {
            for (record, number) in records.zip(first..) {
                assert_eq!(record.unwrap(), update(u8::try_from(number).unwrap()));
                numbers.push(number);
            }
        }
        (numbers, batches.end())
    }

    #[test]
    fn what_is_written_reads_back() {
        let (file, _) = file();
        assert_eq!(read_header(&file), Some((Kind::Tail, Place { epoch: 9, number: 5 })));
        assert_eq!(numbers(&file), ((6..=11).collect(), End::Whole));
        for at in 0..HEADER_BYTES {
            let mut other = file.clone();
            other[at] ^= 1;
            assert_eq!(read_header(&other), None, "{at}");
        }
    }

    #[test]
    fn an_end_that_was_not_on_the_disk_is_torn_wherever_it_is_cut_or_wrong() {
        let (file, starts) = file();
        let last = starts[2];
        for cut in last + 1..file.len() {
            assert_eq!(numbers(&file[..cut]), ((6..=9).collect(), End::Torn(last)), "{cut}");
            let mut wrong = file.clone();
            wrong[cut] ^= 0x10;
            assert_eq!(numbers(&wrong), ((6..=9).collect(), End::Torn(last)), "{cut}");
        }
        let zeroes = [&file[..last], &[0; 300]].concat();
        assert_eq!(numbers(&zeroes), ((6..=9).collect(), End::Torn(last)));
    }

    #[test]
    fn what_is_wrong_before_a_later_batch_is_damage() {
        let (file, starts) = file();
        for at in starts[1]..starts[2] {
            let mut wrong = file.clone();
            wrong[at] ^= 0x10;
            assert_eq!(numbers(&wrong), ((6..=7).collect(), End::Damaged(starts[1])), "{at}");
        }
    }

    #[test]
    fn a_batch_in_another_place_is_none() {
        let (file, starts) = file();
        let mut moved = file[..starts[1]].to_vec();
        moved.extend_from_slice(&file[starts[2]..]);
        assert_eq!(numbers(&moved), ((6..=7).collect(), End::Torn(starts[1])));
    }
}
