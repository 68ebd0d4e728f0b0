//! Deadlines of many connections, at the cost of almost nothing each.
//!
//! A deadline that moves later, as nearly all do, is not moved here: the entry fires at its
//! old time, and the connection is asked for its deadline then. So each connection is looked
//! at once per timeout, not once per request.

use mainstay_model::Timestamp;

/// How exact a deadline is: never early, and at most this late.
const TICK_MICROS: u64 = 50_000;
/// Ticks that the wheel covers; what is due later comes round and is put in again.
const TICKS: usize = 1024;

/// An entry: whose deadline, and which connection at that place it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) slot: u32,
    pub(crate) age: u16,
}

/// The deadlines.
#[derive(Debug)]
pub(crate) struct Wheel {
    ticks: Vec<Vec<Entry>>,
    /// The next tick that was not looked at.
    next: u64,
}

impl Wheel {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { ticks: vec![Vec::new(); TICKS], next: now.micros() / TICK_MICROS }
    }

    /// Puts an entry in; returns the instant at which it will fire, which may be before
    /// `deadline` if that is far away.
    pub(crate) fn insert(&mut self, entry: Entry, deadline: Timestamp) -> Timestamp {
        let last = self.next + TICKS as u64 - 1;
        let tick = deadline.micros().div_ceil(TICK_MICROS).clamp(self.next, last);
        if let Some(entries) = self.ticks.get_mut(index(tick)) {
            entries.push(entry);
        }
        Timestamp::from_micros(tick * TICK_MICROS)
    }

    /// Takes out what is due, into `due`.
    pub(crate) fn advance(&mut self, now: Timestamp, due: &mut Vec<Entry>) {
        let current = now.micros() / TICK_MICROS;
        // After a stop of the process longer than the wheel, one turn sees everything.
        let until = current.min(self.next + TICKS as u64 - 1);
        while self.next <= until {
            if let Some(entries) = self.ticks.get_mut(index(self.next)) {
                due.append(entries);
            }
            self.next += 1;
        }
        self.next = self.next.max(current);
    }
}

fn index(tick: u64) -> usize {
    usize::try_from(tick % TICKS as u64).expect("a remainder of a small number")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000 + millis * 1_000)
    }

    fn due(wheel: &mut Wheel, now: Timestamp) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.advance(now, &mut due);
        due.into_iter().map(|entry| entry.slot).collect()
    }

    #[test]
    fn a_deadline_fires_once_and_never_early() {
        let mut wheel = Wheel::new(at(0));
        let fires = wheel.insert(Entry { slot: 1, age: 0 }, at(1_010));
        wheel.insert(Entry { slot: 2, age: 0 }, at(3_000));
        assert!(fires >= at(1_010) && fires <= at(1_060));
        assert!(due(&mut wheel, at(1_000)).is_empty());
        assert_eq!(due(&mut wheel, at(1_100)), [1]);
        assert!(due(&mut wheel, at(1_200)).is_empty());
        assert_eq!(due(&mut wheel, at(9_000)), [2]);
    }

    #[test]
    fn a_far_deadline_comes_round_early_to_be_put_in_again() {
        let mut wheel = Wheel::new(at(0));
        let fires = wheel.insert(Entry { slot: 1, age: 0 }, at(3_600_000));
        assert!(fires < at(3_600_000));
        assert_eq!(due(&mut wheel, fires + Duration::from_millis(1)), [1]);
    }

    #[test]
    fn a_long_stop_loses_nothing() {
        let mut wheel = Wheel::new(at(0));
        for slot in 0..100 {
            wheel.insert(Entry { slot, age: 0 }, at(u64::from(slot) * 700));
        }
        let mut seen = due(&mut wheel, at(10_000_000));
        seen.extend(due(&mut wheel, at(10_060_000)));
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }
}
