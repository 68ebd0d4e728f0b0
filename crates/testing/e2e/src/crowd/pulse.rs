//! How many exchanges a manager carries out in each second, as it counts them itself.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::administrator::Administrator;
use crate::wait::Stop;

const FIGURE: &str = "mainstay_manager_exchanges_total";

/// Between two looks; a second is several of them.
const LOOK: Duration = Duration::from_millis(100);

/// Somebody who looks again and again.
#[derive(Debug)]
pub(super) struct Pulse {
    stop: Arc<Stop>,
    thread: JoinHandle<anyhow::Result<Vec<(Instant, u64)>>>,
}

/// What was seen: when, and how many by then.
#[derive(Debug)]
pub(super) struct Looks(Vec<(Instant, u64)>);

impl Pulse {
    pub(super) fn of(manager: Administrator) -> Self {
        let stop = Arc::new(Stop::default());
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut looks = Vec::new();
            while !told.pause(LOOK) {
                let count = manager.figure(FIGURE)?;
                looks.push((Instant::now(), count));
            }
            Ok(looks)
        });
        Self { stop, thread }
    }

    pub(super) fn stop(self) -> anyhow::Result<Looks> {
        self.stop.stop();
        Ok(Looks(self.thread.join().unwrap().context("the manager's figures cannot be read")?))
    }
}

impl Looks {
    /// In a second, from the first look to the last.
    pub(super) fn usual(&self) -> f64 {
        match (self.0.first(), self.0.last()) {
            (Some(first), Some(last)) => rate(first, last),
            _ => 0.0,
        }
    }

    /// The most in any second, or a little more.
    pub(super) fn most(&self) -> f64 {
        let second = Duration::from_secs(1);
        let ends = self.0.iter().enumerate().filter_map(|(place, first)| {
            let later = self.0.get(place..)?;
            let last = later.iter().find(|last| last.0.duration_since(first.0) >= second)?;
            Some(rate(first, last))
        });
        ends.fold(0.0, f64::max)
    }
}

fn rate(first: &(Instant, u64), last: &(Instant, u64)) -> f64 {
    let count = last.1.saturating_sub(first.1);
    let seconds = last.0.duration_since(first.0).as_secs_f64();
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_in_a_second_is_found_between_any_two_looks() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let looks = Looks(vec![(at(0), 0), (at(500), 100), (at(1500), 400), (at(2000), 410)]);
        assert!((looks.most() - 300.0).abs() < 0.1, "{}", looks.most());
        assert!((looks.usual() - 205.0).abs() < 0.1, "{}", looks.usual());
    }
}
