//! What waits for one way out: bounded, in order, with the oldest dropped at the limit.
//!
//! One thread tells and one delivers. A record stays in the queue until it is done with, so
//! that what is being tried counts as waiting.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mainstay_wire::event::{OutletTally, Record};

use crate::Flushed;

#[derive(Debug)]
pub(crate) struct Queue {
    limit: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Record>,
    delivered: u64,
    failed: u64,
    dropped: u64,
    /// The number of the last record that is done with.
    done: u64,
    pace: Pace,
}

/// How the thread that delivers goes about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pace {
    #[default]
    Patient,
    /// Somebody waits for it: the next pause is over at once.
    Hurried,
    /// Nobody will tell anything more.
    Over,
}

impl Queue {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Puts a record at the end.
    pub(crate) fn push(&self, record: &Record) {
        let mut state = self.state();
        if state.waiting.len() >= self.limit {
            let oldest = state.waiting.pop_front();
            state.done = oldest.map_or(state.done, |record| record.number);
            state.dropped = state.dropped.saturating_add(1);
        }
        state.waiting.push_back(record.clone());
        self.changed.notify_all();
    }

    /// Waits for records, and copies up to `most` of the oldest; none when it is over.
    pub(crate) fn next(&self, most: usize) -> Option<Vec<Record>> {
        let idle = |state: &mut State| state.waiting.is_empty() && state.pace != Pace::Over;
        let waited = self.changed.wait_while(self.state(), idle);
        let state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.pace == Pace::Over {
            return None;
        }
        Some(state.waiting.iter().take(most).cloned().collect())
    }

    /// These were delivered.
    pub(crate) fn delivered(&self, records: &[Record]) {
        let mut state = self.state();
        state.delivered = state.delivered.saturating_add(count(records));
        state.remove(records);
        self.changed.notify_all();
    }

    /// These were refused for good.
    pub(crate) fn refused(&self, records: &[Record]) {
        let mut state = self.state();
        state.failed = state.failed.saturating_add(1);
        state.dropped = state.dropped.saturating_add(count(records));
        state.remove(records);
        self.changed.notify_all();
    }

    /// An attempt failed: waits before the next, unless somebody is in a hurry.
    pub(crate) fn failed(&self, pause: Duration) {
        let mut state = self.state();
        state.failed = state.failed.saturating_add(1);
        let patient = |state: &mut State| state.pace == Pace::Patient;
        let waited = self.changed.wait_timeout_while(state, pause, patient);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.pace == Pace::Hurried {
            state.pace = Pace::Patient;
        }
    }

    /// Whoever pauses tries again now.
    pub(crate) fn hurry(&self) {
        let mut state = self.state();
        if state.pace == Pace::Patient && !state.waiting.is_empty() {
            state.pace = Pace::Hurried;
        }
        self.changed.notify_all();
    }

    /// Waits until nothing is left, or `until`.
    pub(crate) fn flush(&self, until: Instant) -> Flushed {
        let left = until.saturating_duration_since(Instant::now());
        let busy = |state: &mut State| !state.waiting.is_empty();
        let waited = self.changed.wait_timeout_while(self.state(), left, busy);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.waiting.is_empty() { Flushed::All } else { Flushed::Not }
    }

    /// Nothing more comes, and nothing more is delivered.
    pub(crate) fn close(&self) {
        self.state().pace = Pace::Over;
        self.changed.notify_all();
    }

    pub(crate) fn tally(&self, outlet: &str) -> OutletTally {
        let State { delivered, failed, dropped, .. } = *self.state();
        OutletTally { outlet: outlet.to_owned(), delivered, failed, dropped }
    }

    /// Everything up to this number was done with by an earlier process.
    pub(crate) fn begin_after(&self, number: u64) {
        self.state().done = number;
    }

    /// The number of the last record that is done with: those after it were not delivered.
    pub(crate) fn done(&self) -> u64 {
        self.state().done
    }

    /// Nobody panics while holding it; and if, the numbers are still true.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes out what is done with. It may have been dropped in the meantime.
    fn remove(&mut self, records: &[Record]) {
        let Some(last) = records.last() else { return };
        self.done = self.done.max(last.number);
        while self.waiting.front().is_some_and(|record| record.number <= last.number) {
            self.waiting.pop_front();
        }
    }
}

fn count(records: &[Record]) -> u64 {
    u64::try_from(records.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::tests::record;

    #[test]
    fn a_full_queue_drops_its_oldest_and_counts_it() {
        let queue = Queue::new(2);
        for number in 1..=5 {
            queue.push(&record(number));
        }
        let numbers = |records: &[Record]| -> Vec<u64> {
            records.iter().map(|record| record.number).collect()
        };
        let waiting = queue.next(9).unwrap();
        assert_eq!(numbers(&waiting), [4, 5]);
        // Two more come while these are on their way, and push them out.
        queue.push(&record(6));
        queue.push(&record(7));
        queue.delivered(&waiting);
        assert_eq!(numbers(&queue.next(1).unwrap()), [6]);
        let tally = queue.tally("log");
        assert_eq!((tally.delivered, tally.dropped, tally.failed), (2, 5, 0));
        assert_eq!(queue.done(), 5);
    }

    #[test]
    fn a_pause_is_over_when_somebody_is_in_a_hurry() {
        let queue = Queue::new(2);
        queue.push(&record(1));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                queue.failed(Duration::from_secs(60));
                let records = queue.next(1).unwrap();
                queue.delivered(&records);
            });
            // Before or after the pause began: the hurry is remembered.
            queue.hurry();
            assert_eq!(queue.flush(Instant::now() + Duration::from_secs(30)), Flushed::All);
        });
        assert_eq!(queue.flush(Instant::now()), Flushed::All);
    }

    #[test]
    fn a_queue_that_is_over_gives_nothing() {
        let queue = Queue::new(2);
        queue.push(&record(1));
        queue.close();
        assert_eq!(queue.next(1), None);
        assert_eq!(queue.flush(Instant::now()), Flushed::Not);
    }
}
