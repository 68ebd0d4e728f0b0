//! Reading a ledger from another process.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use mainstay_os::{FatalNote, MemoryError, Observed, SharedFile};
use zerocopy::{FromZeros, IntoBytes, TryFromBytes};

use crate::counter::Counter;
use crate::lane::LedgerState;
use crate::layout::{
    HEADER_WORDS, LOG_BYTES, Layout, MAGIC, RECORD_WORDS, SLOT_WORDS, VERSION, header, lane,
};
use crate::record::Record;

/// Far more lanes than a worker can have: what says more is not a ledger.
const LANES_MAX: usize = 1024;

/// Far more slots than a lane can have: no size that is computed from it overflows.
const SLOTS_MAX: usize = 1 << 24;

/// A ledger of another process, mapped for reading.
#[derive(Debug)]
pub struct Observer {
    observed: Observed,
    layout: Layout,
    pid: u32,
}

/// Why a file could not be read as a ledger.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    #[error("cannot map a ledger")]
    Map { source: MemoryError },

    #[error("the file is not a ledger")]
    NotALedger,

    #[error("the ledger has version {found}, not {VERSION}")]
    Version { found: u64 },

    #[error("the ledger is shorter than its header says")]
    TooShort,
}

/// What a worker counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub connections: u64,
    pub requests: u64,
    pub adopted: u64,
}

impl Observer {
    /// Maps `file`, which must be a ledger of this version.
    pub fn open(file: &SharedFile) -> Result<Self, ObserveError> {
        let observed = file.observe().map_err(|source| ObserveError::Map { source })?;
        let word = |index: usize| {
            let words = observed.words(0..HEADER_WORDS * 8).ok_or(ObserveError::NotALedger)?;
            words
                .get(index)
                .map(|word| word.load(Ordering::Acquire))
                .ok_or(ObserveError::NotALedger)
        };
        if word(header::MAGIC)? != MAGIC {
            return Err(ObserveError::NotALedger);
        }
        if word(header::VERSION)? != VERSION {
            return Err(ObserveError::Version { found: word(header::VERSION)? });
        }
        let count = |index: usize| Ok(usize::try_from(word(index)?).unwrap_or(usize::MAX));
        let layout = Layout { lanes: count(header::LANES)?, slots: count(header::SLOTS)? };
        let pid = u32::try_from(word(header::PID)?).unwrap_or(0);
        if layout.lanes > LANES_MAX || layout.slots > SLOTS_MAX || layout.bytes() > observed.size()
        {
            return Err(ObserveError::TooShort);
        }
        Ok(Self { observed, layout, pid })
    }

    /// The process whose ledger it is.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// The number of the configuration that its records speak of.
    pub fn configuration(&self) -> u64 {
        self.header_word(header::CONFIGURATION)
    }

    /// The number of its lanes.
    pub const fn lanes(&self) -> usize {
        self.layout.lanes
    }

    /// How many slots of a lane may hold a record: those from here on were never used.
    pub fn slots_touched(&self, lane: usize) -> usize {
        let touched = self.lane_word(lane, lane::SLOTS_TOUCHED);
        usize::try_from(touched).unwrap_or(usize::MAX).min(self.layout.slots)
    }

    /// Whether what it says still counts.
    pub fn state(&self) -> LedgerState {
        match self.header_word(header::STATE) {
            2 => LedgerState::Orphaned,
            3 => LedgerState::Closed,
            _ => LedgerState::Alive,
        }
    }

    /// Counts up while the lane's thread is alive and not stuck.
    pub fn heartbeat(&self, lane: usize) -> u64 {
        self.lane_word(lane, lane::HEARTBEAT)
    }

    /// The slot that was being worked on when the process died.
    pub fn in_step(&self, lane: usize) -> Option<u32> {
        let noted = self.lane_word(lane, lane::IN_STEP).checked_sub(1)?;
        u32::try_from(noted).ok()
    }

    /// Whether the process died because of what this lane did.
    pub fn died_in(&self, lane: usize) -> bool {
        self.header_word(header::FATAL_SIGNAL) & FatalNote::OWN_FAULT != 0
            && self.header_word(header::FATAL_THREAD) == self.lane_word(lane, lane::THREAD)
    }

    /// One counter, over all lanes.
    pub fn counter(&self, counter: Counter) -> u64 {
        let word = lane::COUNTERS + counter.index();
        (0..self.lanes()).map(|lane| self.lane_word(lane, word)).fold(0, u64::wrapping_add)
    }

    /// The few numbers that `status` shows.
    pub fn totals(&self) -> Totals {
        let requests = [
            Counter::Responses1xx,
            Counter::Responses2xx,
            Counter::Responses3xx,
            Counter::Responses4xx,
            Counter::Responses5xx,
            Counter::Aborted,
        ];
        Totals {
            connections: self.counter(Counter::Connections),
            requests: requests
                .iter()
                .map(|&counter| self.counter(counter))
                .fold(0, u64::wrapping_add),
            adopted: self.counter(Counter::Adopted),
        }
    }

    /// What the ledger says of a slot: `None` if it is free, or not a record.
    pub fn record(&self, lane: usize, slot: usize) -> Option<Record> {
        let start = self.layout.slots_range(lane).start + slot * SLOT_WORDS * 8;
        let words = self.observed.words(start..start + SLOT_WORDS * 8)?;
        let (version, copies) = words.split_first()?;
        let version = version.load(Ordering::Acquire);
        if version == 0 {
            return None;
        }
        let offset = if version.is_multiple_of(2) { 0 } else { RECORD_WORDS };
        let copy = copies.get(offset..offset + RECORD_WORDS)?;
        let mut plain = <[u64; RECORD_WORDS]>::new_zeroed();
        for (to, from) in plain.iter_mut().zip(copy) {
            *to = from.load(Ordering::Relaxed);
        }
        let record = Record::try_read_from_bytes(plain.as_bytes()).ok()?;
        (record.id != 0).then_some(record)
    }

    /// The ids of the connections with a record.
    pub fn records(&self) -> BTreeSet<u64> {
        let slots = (0..self.lanes())
            .flat_map(|lane| (0..self.slots_touched(lane)).map(move |slot| (lane, slot)));
        slots.filter_map(|(lane, slot)| Some(self.record(lane, slot)?.id)).collect()
    }

    /// The ids of everything that this ledger knows of: connections with a record, and those
    /// that its keeper found without one.
    pub(crate) fn ids(&self) -> BTreeSet<u64> {
        let mut ids = self.records();
        let fresh = self.observed.words(Layout::FRESH).unwrap_or_default();
        let noted = fresh.iter().map(|word| word.load(Ordering::Acquire));
        ids.extend(noted.take_while(|&id| id != 0));
        ids
    }

    /// Copies bytes of a lane's part of the file; false if there are none such.
    pub(crate) fn copy(&self, from: usize, to: &mut [u8]) -> bool {
        self.observed.copy(from, to)
    }

    pub(crate) const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The access log's lines that were not written yet, and the descriptor they go to.
    pub(crate) fn unwritten_log(&self, lane: usize) -> Option<(i32, Vec<u8>)> {
        let descriptor = self.lane_word(lane, lane::LOG_FD).checked_sub(1)?;
        let limit = LOG_BYTES as u64;
        let start = usize::try_from(self.lane_word(lane, lane::LOG_START).min(limit)).ok()?;
        let end = usize::try_from(self.lane_word(lane, lane::LOG_END).min(limit)).ok()?;
        let mut lines = vec![0; end.checked_sub(start).filter(|&length| length > 0)?];
        let from = self.layout.log(lane).start + start;
        let copied = self.copy(from, &mut lines);
        copied.then_some((i32::try_from(descriptor).ok()?, lines))
    }

    fn header_word(&self, index: usize) -> u64 {
        self.word(self.layout.header().start + index * 8)
    }

    fn lane_word(&self, lane: usize, index: usize) -> u64 {
        self.word(self.layout.lane_words(lane).start + index * 8)
    }

    fn word(&self, offset: usize) -> u64 {
        let words = self.observed.words(offset..offset + 8);
        words.and_then(|words| words.first()).map_or(0, |word| word.load(Ordering::Acquire))
    }
}
