//! Waiting with a name and a deadline, and pausing in a way that can be ended.
//!
//! # Invariants
//!
//! A wait that fails says what was waited for and for how long. Nothing here waits "long
//! enough": the condition decides, the deadline only bounds it.

use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What was waited for did not happen in time.
#[derive(Debug, thiserror::Error)]
#[error("waited {waited:?} in vain for {name}")]
pub struct TooLate {
    pub name: String,
    pub waited: Duration,
}

/// Asks again and again until there is an answer, and returns it.
///
/// Asks every millisecond at first, because most things that are waited for are fast, then
/// less often.
pub fn until<T>(
    name: &str,
    deadline: Duration,
    mut ask: impl FnMut() -> Option<T>,
) -> Result<T, TooLate> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        let waited = start.elapsed();
        if waited >= deadline {
            return Err(TooLate { name: name.to_owned(), waited });
        }
        thread::sleep(pause);
        pause = (pause * 5 / 4).min(Duration::from_millis(20));
    }
}

/// Tells many threads that it is over, and lets them pause until then.
#[derive(Debug, Default)]
pub struct Stop {
    over: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// It is over: every pause ends now.
    pub fn stop(&self) {
        *self.over.lock().unwrap() = true;
        self.changed.notify_all();
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        *self.over.lock().unwrap()
    }

    /// Pauses for `length`, or until it is over, which it returns.
    pub fn pause(&self, length: Duration) -> bool {
        let over = self.over.lock().unwrap();
        let (over, _) = self.changed.wait_timeout_while(over, length, |over| !*over).unwrap();
        *over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_in_vain_says_for_what() {
        let error = until("the moon", Duration::from_millis(5), || None::<()>).unwrap_err();
        assert!(error.to_string().ends_with("in vain for the moon"), "{error}");
        let mut asked = 0;
        let answer = until("the third time", Duration::from_secs(5), || {
            asked += 1;
            (asked == 3).then_some(asked)
        });
        assert_eq!(answer.unwrap(), 3);
    }

    #[test]
    fn a_pause_ends_when_it_is_over() {
        let stop = Stop::default();
        assert!(!stop.pause(Duration::from_millis(1)));
        thread::scope(|scope| {
            scope.spawn(|| assert!(stop.pause(Duration::from_secs(60))));
            stop.stop();
        });
        assert!(stop.is_over());
    }
}
