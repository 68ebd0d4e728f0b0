//! Who is there: agents by their last exchange, managers by their last beat.
//!
//! The product that this follows computes the same from missed polls (yellow after 2, red after
//! 9), but only when somebody looks, and records nothing. Here the same rule decides what is
//! shown and what is recorded.
//!
//! # Not here
//!
//! The clock (the database's, so that all managers agree), and the job that records it.

use std::time::Duration;

/// Polls that an agent may miss before it is late.
const POLLS_MISSED: u32 = 2;

/// Beats that a manager may miss before it is gone.
const BEATS_MISSED: u32 = 3;

/// Whether an agent is heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It has enrolled, and not been heard since.
    Never,
    Online,
    /// It has missed polls.
    Late,
    Offline,
}

/// Whether a manager is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    Serving,
    Gone,
}

/// How long agents may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// How often an agent should ask.
    pub poll: Duration,
    /// After how long it counts as offline.
    pub offline_after: Duration,
}

impl Silence {
    /// After how long an agent is late: two polls, or before it is offline.
    #[must_use]
    pub fn late_after(&self) -> Duration {
        self.poll.saturating_mul(POLLS_MISSED).min(self.offline_after)
    }

    /// What an agent is that was heard of this long ago.
    #[must_use]
    pub fn presence(&self, silent: Option<Duration>) -> Presence {
        match silent {
            None => Presence::Never,
            Some(silent) if silent >= self.offline_after => Presence::Offline,
            Some(silent) if silent >= self.late_after() => Presence::Late,
            Some(_) => Presence::Online,
        }
    }
}

/// What a manager is that beats every `beat` and did so last this long ago.
#[must_use]
pub fn manager(silent: Duration, beat: Duration) -> Manager {
    if silent > beat.saturating_mul(BEATS_MISSED) { Manager::Gone } else { Manager::Serving }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_makes_late_and_then_offline() {
        let silence =
            Silence { poll: Duration::from_secs(30), offline_after: Duration::from_secs(270) };
        for (silent, expected) in [
            (None, Presence::Never),
            (Some(0), Presence::Online),
            (Some(59), Presence::Online),
            (Some(60), Presence::Late),
            (Some(269), Presence::Late),
            (Some(270), Presence::Offline),
        ] {
            assert_eq!(silence.presence(silent.map(Duration::from_secs)), expected, "{silent:?}");
        }
        let short = Silence { offline_after: Duration::from_secs(40), ..silence };
        assert_eq!(short.presence(Some(Duration::from_secs(40))), Presence::Offline);
    }

    #[test]
    fn a_manager_may_miss_three_beats() {
        let beat = Duration::from_secs(5);
        assert_eq!(manager(Duration::from_secs(15), beat), Manager::Serving);
        assert_eq!(manager(Duration::from_secs(16), beat), Manager::Gone);
    }
}
