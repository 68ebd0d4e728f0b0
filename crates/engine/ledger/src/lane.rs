//! The owner's side of a ledger: making it, and committing to it.

use std::sync::atomic::{AtomicU64, Ordering};

use mainstay_os::{FatalNote, Memory, MemoryError, SharedFile};

use crate::areas::{Areas, Pool};
use crate::counter::Counter;
use crate::layout::{
    AREA_BYTES, Layout, MAGIC, RECORD_WORDS, SLOT_WORDS, SMALL_BYTES, VERSION, header, lane,
};
use crate::record::Record;

/// A ledger and its file, in the process that owns it.
#[derive(Debug)]
pub struct Ledger {
    memory: Memory,
    layout: Layout,
    header: Header,
}

/// Whether what a ledger says still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum LedgerState {
    /// Its process works with it.
    Alive = 1,
    /// Its process is past doing anything; what it holds is to be adopted.
    Orphaned = 2,
    /// Its process ended with nothing left to adopt.
    Closed = 3,
}

/// The words that say what a ledger as a whole is.
#[derive(Clone, Copy, Debug)]
pub struct Header(&'static [AtomicU64]);

impl Header {
    fn word(&self, index: usize) -> &'static AtomicU64 {
        self.0.get(index).expect("a header is a page of words")
    }

    /// Says that what the ledger holds counts, or no longer does.
    pub fn set_state(&self, state: LedgerState) {
        self.word(header::STATE).store(state as u64, Ordering::Release);
    }

    /// Says by which configuration its records are to be read from here on.
    pub fn set_configuration(&self, configuration: u64) {
        self.word(header::CONFIGURATION).store(configuration, Ordering::Release);
    }

    /// Where a fatal signal is noted.
    pub fn fatal_note(&self) -> FatalNote {
        FatalNote {
            thread: self.word(header::FATAL_THREAD),
            signal: self.word(header::FATAL_SIGNAL),
        }
    }

    /// The state and the fatal thread's number, for the keeper.
    pub(crate) fn read(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::Acquire)
    }
}

impl Ledger {
    /// Maps a new file and writes its header. Records speak of listeners, routes and servers by
    /// their place in the configuration of this number.
    pub fn create(
        file: &SharedFile,
        layout: Layout,
        pid: u32,
        configuration: u64,
    ) -> Result<Self, MemoryError> {
        let mut memory = file.own()?;
        let header = Header(memory.words(layout.header()));
        let set = |index: usize, value: u64| header.word(index).store(value, Ordering::Relaxed);
        set(header::VERSION, VERSION);
        set(header::PID, pid.into());
        set(header::LANES, layout.lanes as u64);
        set(header::SLOTS, layout.slots as u64);
        set(header::CONFIGURATION, configuration);
        header.set_state(LedgerState::Alive);
        header.word(header::MAGIC).store(MAGIC, Ordering::Release);
        Ok(Self { memory, layout, header })
    }

    /// A ledger's header, mapped again: for the keeper, which shares the file.
    pub(crate) fn open_header(file: &SharedFile) -> Result<Header, MemoryError> {
        let mut memory = file.own()?;
        Ok(Header(memory.words(Layout::HEADER_ONLY.header())))
    }

    /// Notes the connections that were left without a record, so that whoever holds this
    /// ledger knows that they are this estate's. More than there is room for are not noted;
    /// returns how many are.
    pub(crate) fn note_fresh(
        file: &SharedFile,
        ids: impl Iterator<Item = u64>,
    ) -> Result<usize, MemoryError> {
        let mut memory = file.own()?;
        let words = memory.words(Layout::FRESH);
        let mut noted = 0;
        for (word, id) in words.iter().zip(ids) {
            word.store(id, Ordering::Release);
            noted += 1;
        }
        Ok(noted)
    }

    /// The words of the ledger as a whole.
    pub const fn header(&self) -> Header {
        self.header
    }

    /// Gives out one lane, to the thread that will work with it.
    ///
    /// # Panics
    ///
    /// If there is no such lane, or it was given out before.
    pub fn lane(&mut self, index: usize) -> LaneLedger {
        assert!(index < self.layout.lanes, "lanes are counted from 0");
        let layout = self.layout;
        let memory = &mut self.memory;
        LaneLedger {
            words: memory.words(layout.lane_words(index)),
            slots: memory.words(layout.slots_range(index)),
            log: memory.bytes(layout.log(index)),
            areas: Areas {
                scratch_request: memory.bytes(layout.scratch(index, 0)),
                scratch_response: memory.bytes(layout.scratch(index, 1)),
                out: memory.bytes(layout.out(index)),
                small: Pool::new(memory.bytes(layout.small(index)), SMALL_BYTES),
                large: Pool::new(memory.bytes(layout.large(index)), AREA_BYTES),
            },
            capacity: layout.slots,
            limit: layout.slots,
            freed: Vec::new(),
            untouched: 0,
        }
    }
}

/// One lane of a ledger, in the thread that works with it.
#[derive(Debug)]
pub struct LaneLedger {
    words: &'static [AtomicU64],
    slots: &'static [AtomicU64],
    log: &'static mut [u8],
    pub areas: Areas,
    capacity: usize,
    /// New connections are taken up to here.
    limit: usize,
    freed: Vec<u32>,
    untouched: u32,
}

impl LaneLedger {
    fn word(&self, index: usize) -> &'static AtomicU64 {
        self.words.get(index).expect("a lane has a page of words")
    }

    /// Notes which thread works with this lane: the calling one.
    pub fn set_thread(&self, thread: u32) {
        self.word(lane::THREAD).store(thread.into(), Ordering::Release);
    }

    /// Shows that the thread is not stuck.
    pub fn beat(&self) {
        let beats = self.word(lane::HEARTBEAT);
        beats.store(beats.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Notes that `slot` is being worked on from here.
    pub fn enter(&self, slot: u32) {
        self.beat();
        self.word(lane::IN_STEP).store(u64::from(slot) + 1, Ordering::Release);
    }

    /// Notes that the ledger says the truth about every connection from here.
    pub fn leave(&self) {
        self.word(lane::IN_STEP).store(0, Ordering::Release);
    }

    /// A free slot, or `None` when the limit is reached.
    pub fn allocate(&mut self) -> Option<u32> {
        if let Some(slot) = self.freed.pop() {
            return Some(slot);
        }
        if self.untouched as usize >= self.capacity {
            return None;
        }
        self.untouched += 1;
        self.word(lane::SLOTS_TOUCHED).store(self.untouched.into(), Ordering::Release);
        Some(self.untouched - 1)
    }

    /// How many new connections may be taken. Those that are adopted have all of
    /// [`Self::capacity`].
    pub const fn room(&self) -> usize {
        let used = self.untouched as usize - self.freed.len();
        let limit = if self.limit < self.capacity { self.limit } else { self.capacity };
        limit.saturating_sub(used)
    }

    /// Has new connections taken up to a number, or up to the capacity if that is less.
    pub const fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// How many connections the lane can have open.
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Gives a slot back. Its buffers are to be given back after: until here the ledger speaks
    /// of them.
    pub fn free(&mut self, slot: u32) {
        self.commit(slot, &Record::FREE);
        self.freed.push(slot);
    }

    /// Makes `record` what the ledger says of `slot`, all at once.
    pub fn commit(&self, slot: u32, record: &Record) {
        let words: &[u64; RECORD_WORDS] = zerocopy::transmute_ref!(record);
        let start = slot as usize * SLOT_WORDS;
        let slot = self.slots.get(start..start + SLOT_WORDS).expect("slots come from allocate");
        let (version, copies) = slot.split_first().expect("a slot begins with its version");
        let next = version.load(Ordering::Relaxed).wrapping_add(1);
        let offset = if next.is_multiple_of(2) { 0 } else { RECORD_WORDS };
        let copy = copies.get(offset..offset + RECORD_WORDS).expect("a slot has two copies");
        for (to, from) in copy.iter().zip(words) {
            to.store(*from, Ordering::Relaxed);
        }
        // Everything above is there before the copy counts.
        version.store(next, Ordering::Release);
    }

    /// Adds to a counter.
    pub fn count(&self, counter: Counter, more: u64) {
        let word = self.word(lane::COUNTERS + counter.index());
        word.store(word.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// Sets a gauge.
    pub fn set_gauge(&self, counter: Counter, value: u64) {
        self.word(lane::COUNTERS + counter.index()).store(value, Ordering::Relaxed);
    }

    /// Takes from a gauge.
    pub fn uncount(&self, counter: Counter, less: u64) {
        let word = self.word(lane::COUNTERS + counter.index());
        word.store(word.load(Ordering::Relaxed).wrapping_sub(less), Ordering::Relaxed);
    }

    /// The access log's buffer.
    pub const fn log(&mut self) -> &mut [u8] {
        self.log
    }

    /// The areas to read from, and the access log's buffer to write to.
    pub const fn areas_and_log(&mut self) -> (&Areas, &mut [u8]) {
        (&self.areas, self.log)
    }

    /// Notes what of the log's buffer is still to be written, and where to.
    pub fn note_log(&self, descriptor: i32, start: usize, end: usize) {
        let number = u64::try_from(descriptor).map_or(0, |number| number + 1);
        self.word(lane::LOG_START).store(start as u64, Ordering::Relaxed);
        self.word(lane::LOG_FD).store(number, Ordering::Relaxed);
        self.word(lane::LOG_END).store(end as u64, Ordering::Release);
    }
}
