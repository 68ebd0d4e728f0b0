//! Where everything lies in a ledger.
//!
//! ```text
//!  header │ fresh │ lane 0 │ lane 1 │ …
//!           └ words │ log │ scratch ×2 │ out │ slots │ small buffers │ large buffers
//! ```
//!
//! Pages that are never touched cost nothing, so there is a buffer for every use that a
//! connection can have of one, and running out of them cannot happen.

use std::ops::Range;

use crate::record::Record;

/// Marks a ledger: `mainstay` in ASCII.
pub(crate) const MAGIC: u64 = u64::from_be_bytes(*b"mainstay");
/// Tells apart ledgers that are laid out in another way: the sizes, and a number to be changed
/// with anything else in this file or in [`Record`].
pub const VERSION: u64 = (RECORD_WORDS as u64) << 40 | (AREA_BYTES as u64) << 8 | 3;

/// The header of the file, and of each lane: one page each.
const PAGE: usize = 4096;
pub(crate) const HEADER_WORDS: usize = PAGE / 8;

/// Connections without a record that a process can leave. More than a listener hands out and
/// a master holds at a time.
pub(crate) const FRESH_MAX: usize = 8192;

/// Size of a lane's shared areas and of a large buffer. What does not fit in one of these at
/// once does not fit at all, so it bounds the size of a head.
pub const AREA_BYTES: usize = 128 * 1024;
/// Size of a small buffer: most requests' heads.
pub const SMALL_BYTES: usize = 2 * 1024;
/// Most bytes in a connection's pipe.
pub const PIPE_BYTES: usize = 256 * 1024;
/// Size of the access log's buffer.
pub(crate) const LOG_BYTES: usize = 64 * 1024;

/// A connection's uses of a small buffer at a time: its head, one for each direction, and one
/// for what we make for the client.
const SMALL_PER_SLOT: usize = 4;
/// Its uses of a large one: the same.
const LARGE_PER_SLOT: usize = 4;

pub(crate) const RECORD_WORDS: usize = size_of::<Record>() / 8;
/// A version and two copies, rounded up to a cache line.
pub(crate) const SLOT_WORDS: usize = (1 + 2 * RECORD_WORDS).next_multiple_of(8);

/// The sizes that a ledger is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Threads that serve connections. None: a ledger with a header only.
    pub lanes: usize,
    /// Connections that each of them can have open.
    pub slots: usize,
}

impl Layout {
    /// A header and nothing else, for a process that carries no connections.
    pub const HEADER_ONLY: Self = Self { lanes: 0, slots: 0 };

    /// Size of the whole file.
    pub const fn bytes(&self) -> usize {
        Self::FRESH.end + self.lanes * self.lane_bytes()
    }

    /// The ids of the connections that a process left without a record, as its keeper found
    /// them.
    pub(crate) const FRESH: Range<usize> = PAGE..PAGE + FRESH_MAX * 8;

    pub(crate) const fn header(&self) -> Range<usize> {
        0..PAGE
    }

    pub(crate) const fn lane_words(&self, lane: usize) -> Range<usize> {
        self.part(lane, 0, PAGE)
    }

    pub(crate) const fn log(&self, lane: usize) -> Range<usize> {
        self.part(lane, PAGE, LOG_BYTES)
    }

    /// The two scratch areas: for what comes from clients, and from upstreams.
    pub(crate) const fn scratch(&self, lane: usize, direction: usize) -> Range<usize> {
        self.part(lane, PAGE + LOG_BYTES + direction * AREA_BYTES, AREA_BYTES)
    }

    pub(crate) const fn out(&self, lane: usize) -> Range<usize> {
        self.part(lane, PAGE + LOG_BYTES + 2 * AREA_BYTES, AREA_BYTES)
    }

    pub(crate) const fn slots_range(&self, lane: usize) -> Range<usize> {
        self.part(lane, PAGE + LOG_BYTES + 3 * AREA_BYTES, self.slots_bytes())
    }

    pub(crate) const fn small(&self, lane: usize) -> Range<usize> {
        self.part(lane, self.small_start(), self.small_count() * SMALL_BYTES)
    }

    pub(crate) const fn large(&self, lane: usize) -> Range<usize> {
        self.part(lane, self.large_start(), self.large_count() * AREA_BYTES)
    }

    /// One small buffer. Any index: whether it is in the file is checked where it is read.
    pub(crate) const fn small_buffer(&self, lane: usize, index: usize) -> Range<usize> {
        let start = self.small(lane).start + index * SMALL_BYTES;
        start..start + SMALL_BYTES
    }

    /// One large buffer, as above.
    pub(crate) const fn large_buffer(&self, lane: usize, index: usize) -> Range<usize> {
        let start = self.large(lane).start + index * AREA_BYTES;
        start..start + AREA_BYTES
    }

    pub(crate) const fn small_count(&self) -> usize {
        self.slots * SMALL_PER_SLOT
    }

    pub(crate) const fn large_count(&self) -> usize {
        self.slots * LARGE_PER_SLOT
    }

    const fn slots_bytes(&self) -> usize {
        (self.slots * SLOT_WORDS * 8).next_multiple_of(PAGE)
    }

    const fn small_start(&self) -> usize {
        PAGE + LOG_BYTES + 3 * AREA_BYTES + self.slots_bytes()
    }

    const fn large_start(&self) -> usize {
        self.small_start() + (self.small_count() * SMALL_BYTES).next_multiple_of(PAGE)
    }

    const fn lane_bytes(&self) -> usize {
        self.large_start() + self.large_count() * AREA_BYTES
    }

    const fn part(&self, lane: usize, offset: usize, bytes: usize) -> Range<usize> {
        let start = Self::FRESH.end + lane * self.lane_bytes() + offset;
        start..start + bytes
    }
}

/// Words of the header.
pub(crate) mod header {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const VERSION: usize = 1;
    pub(crate) const STATE: usize = 2;
    pub(crate) const FATAL_THREAD: usize = 3;
    pub(crate) const FATAL_SIGNAL: usize = 4;
    pub(crate) const PID: usize = 5;
    pub(crate) const LANES: usize = 6;
    pub(crate) const SLOTS: usize = 7;
    /// The generation that the process serves.
    pub(crate) const CONFIGURATION: usize = 8;
}

/// Words of a lane.
pub(crate) mod lane {
    /// Counts up while the lane's thread is alive and not stuck.
    pub(crate) const HEARTBEAT: usize = 0;
    /// The slot being worked on, plus one; 0 between steps.
    pub(crate) const IN_STEP: usize = 1;
    /// The number of the lane's thread.
    pub(crate) const THREAD: usize = 2;
    /// The access log's descriptor plus one, and what of its buffer is still to be written.
    pub(crate) const LOG_FD: usize = 3;
    pub(crate) const LOG_START: usize = 4;
    pub(crate) const LOG_END: usize = 5;
    /// Slots from here on have never been used.
    pub(crate) const SLOTS_TOUCHED: usize = 6;
    /// The first counter.
    pub(crate) const COUNTERS: usize = 64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_without_a_gap_or_an_overlap() {
        let layout = Layout { lanes: 3, slots: 100 };
        assert_eq!(layout.header().end, Layout::FRESH.start);
        let mut end = Layout::FRESH.end;
        for lane in 0..layout.lanes {
            let parts = [
                layout.lane_words(lane),
                layout.log(lane),
                layout.scratch(lane, 0),
                layout.scratch(lane, 1),
                layout.out(lane),
                layout.slots_range(lane),
                layout.small(lane),
                layout.large(lane),
            ];
            for part in parts {
                assert!(part.start >= end && part.start - end < PAGE, "{part:?} after {end}");
                assert!(part.start.is_multiple_of(8));
                end = part.end;
            }
        }
        assert_eq!(end, layout.bytes());
    }
}
