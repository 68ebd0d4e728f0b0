//! Work that waits for a thread or a task to take it, many at a time.
//!
//! The taker is woken for the first, then waits until enough has come together or a short time
//! has passed, and takes all: one commit for many. It is not woken for each.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::StoreError;
use crate::store::Stored;

/// See the module.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    limits: QueueLimits,
}

/// How much comes together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueLimits {
    /// Most that may wait; more is refused.
    pub(crate) waiting: usize,
    /// So many are taken at once.
    pub(crate) rows: usize,
    /// How long the first waits for others.
    pub(crate) window: Duration,
}

/// Whether work may wait for other work to be taken together with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hurry {
    Gather,
    Now,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    hurry: Hurry,
    closed: bool,
}

impl<T> Queue<T> {
    pub(crate) const fn new(limits: QueueLimits) -> Self {
        let state = State { items: VecDeque::new(), hurry: Hurry::Gather, closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), limits }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing that could panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds work.
    pub(crate) fn push(&self, item: T, hurry: Hurry) -> Stored<()> {
        let mut state = self.lock();
        if state.closed {
            return Err(StoreError::Closed);
        }
        if state.items.len() >= self.limits.waiting {
            return Err(StoreError::Busy);
        }
        state.items.push_back(item);
        if hurry == Hurry::Now {
            state.hurry = Hurry::Now;
        }
        // The first wakes the taker, and whoever fills the measure; those between need not.
        let wake =
            state.items.len() == 1 || state.items.len() == self.limits.rows || hurry == Hurry::Now;
        drop(state);
        if wake {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Waits for work, and takes what has come together, at most the measure. Nothing: the queue
    /// was closed, and is empty.
    pub(crate) fn take(&self) -> Vec<T> {
        let mut state = self.lock();
        while state.items.is_empty() {
            if state.closed {
                return Vec::new();
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let until = Instant::now() + self.limits.window;
        while state.items.len() < self.limits.rows && state.hurry == Hurry::Gather && !state.closed
        {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let rows = state.items.len().min(self.limits.rows);
        let taken = state.items.drain(..rows).collect();
        if state.items.is_empty() {
            state.hurry = Hurry::Gather;
        }
        taken
    }

    /// Refuses more. What waits is still taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(rows: usize, window: Duration) -> Queue<u32> {
        Queue::new(QueueLimits { waiting: 4, rows, window })
    }

    #[test]
    fn what_came_together_is_taken_together() {
        let queue = queue(3, Duration::from_secs(3600));
        for item in 0..4 {
            queue.push(item, Hurry::Gather).unwrap();
        }
        assert!(matches!(queue.push(4, Hurry::Gather), Err(StoreError::Busy)));
        assert_eq!(queue.take(), [0, 1, 2]);
        queue.push(5, Hurry::Now).unwrap();
        assert_eq!(queue.take(), [3, 5], "what cannot wait takes along what can");
    }

    #[test]
    fn nobody_waits_longer_than_the_window() {
        let queue = queue(3, Duration::from_millis(1));
        queue.push(7, Hurry::Gather).unwrap();
        assert_eq!(queue.take(), [7]);
    }

    #[test]
    fn a_closed_queue_is_emptied_and_takes_no_more() {
        let queue = queue(3, Duration::from_secs(3600));
        queue.push(7, Hurry::Gather).unwrap();
        queue.close();
        assert!(matches!(queue.push(8, Hurry::Gather), Err(StoreError::Closed)));
        assert_eq!(queue.take(), [7]);
        assert_eq!(queue.take(), [0_u32; 0]);
    }
}
