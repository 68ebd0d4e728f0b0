//! Which manager an agent speaks to.
//!
//! ```text
//!              done                      due                          failed, not often enough
//!  waiting ◀────────── exchanging ◀────────────── waiting        ◀───────────────── exchanging
//!     │                    │ failed too often, or for too long
//!     │                    ▼
//!     │              the next of the list ── a whole round failed ──▶ waiting, longer each round
//!     │ not at #1, and failback is due
//!     ▼               it answers
//!  testing #1 ───────────────────────▶ #1, on probation ── fails once ──▶ where it was
//!     │ it does not
//!     ▼
//!  waiting, where it is
//! ```
//!
//! # Invariants
//!
//! 1. It starts at #1; and it tries #1 at once when the list changes, or when a registration is
//!    forced.
//! 2. It never gives up: either something is under way, or [`Endpoints::wake_at`] says when it
//!    will be.
//! 3. Failback tests #1 and nobody else, and loses no exchange by it.
//! 4. As long as another manager answers, a #1 that comes and goes causes at most two switches
//!    in a failback interval: to it, and back.
//! 5. Every switch is told, with its reason.
//!
//! # Not here
//!
//! Names and addresses: places in the list are numbers, 0 for #1. What is said in an exchange.
//!
//! Source: DESIGN 10; the product that this follows documents 1, 3 and 5.

use std::fmt;
use std::time::Duration;

use mainstay_model::Timestamp;

use crate::backoff::{Backoff, Luck};

/// How patient an agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// So many failures in a row, and it is the next one's turn.
    pub attempts: u32,
    /// And so after this long, counted from the beginning of the first of them: by then the next
    /// one is asked.
    pub patience: Duration,
    /// The longest wait between two attempts at the same manager, or at the next one.
    pub pause: Duration,
    /// Between rounds in which nobody answered.
    pub backoff: Backoff,
    /// How long it stays elsewhere before it tests #1.
    pub failback: Duration,
    /// The longest wait that a manager may ask for.
    pub hold_max: Duration,
}

/// The longest pause before the same manager is tried again, or the next one.
const PAUSE: Duration = Duration::from_millis(250);

/// The longest first wait after a round in which nobody answered.
const BACKOFF_BASE: Duration = Duration::from_secs(1);

/// The longest wait that a manager may ask for.
const HOLD_MAX: Duration = Duration::from_mins(10);

impl Policy {
    /// What an operator chooses; nobody has a wish about the rest. `retry_max` is the longest wait
    /// while nobody answers.
    #[must_use]
    pub fn new(attempts: u32, patience: Duration, failback: Duration, retry_max: Duration) -> Self {
        Self {
            attempts,
            patience,
            pause: PAUSE.min(retry_max),
            backoff: Backoff { base: BACKOFF_BASE.min(retry_max), max: retry_max },
            failback,
            hold_max: HOLD_MAX,
        }
    }

    /// How long one manager may fail, all attempts together: what is left of the patience is for
    /// the pause before the next one, and for that one's answer.
    fn trial(&self) -> Duration {
        self.patience.saturating_sub(self.pause * 2).max(self.patience / 2)
    }
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody listens, or the network says that there is no way.
    Unreachable,
    /// No answer in time.
    Silent,
    /// It shows a certificate that is not one of the pins.
    Untrusted,
    /// What it answers is no answer.
    Garbled,
    /// It says that it cannot now, and for how long, if it says so.
    Busy { hold: Option<Duration> },
    /// It answers with an error.
    Refused,
}

/// Why it went from one manager to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The last one failed like this.
    Failed(Failure),
    /// #1 is back.
    Failback,
    /// There is another list.
    ListChanged,
    /// An operator wants to be registered anew.
    Forced,
}

/// A move from one manager to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    pub at: Timestamp,
    /// None: it is in no list any more.
    pub from: Option<usize>,
    pub to: usize,
    pub reason: Reason,
    /// How long the former one had failed by then.
    pub after: Duration,
}

/// What an attempt is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An exchange.
    Exchange,
    /// To find out whether #1 is back; nothing is said.
    Test,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time has passed; due at [`Endpoints::wake_at`].
    Due,
    /// What was under way came to its end; after an exchange, the next one is due so much later.
    Done { next: Duration },
    /// What was under way failed.
    Failed(Failure),
    /// There is something that should not wait for the next exchange.
    Wanted,
    /// Another list, of so many.
    Listed { count: usize },
    /// An operator wants to be registered anew.
    Forced,
}

/// What the agent must do, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Tell of it.
    Switched(Switch),
    /// Whatever is under way is of no interest any more. The next `Done` or `Failed` is of the
    /// next attempt.
    Abandon,
    Try {
        place: usize,
        purpose: Purpose,
        until: Timestamp,
    },
}

/// An agent's view of its managers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    policy: Policy,
    /// Between two exchanges while all is well; none before it is known.
    poll: Option<Duration>,
    /// Whether each asked not to be spoken to, and until when.
    held_until: Vec<Option<Timestamp>>,
    current: usize,
    state: State,
    /// Of the current one, in a row.
    failures: u32,
    /// When the first of those began.
    failing_since: Option<Timestamp>,
    /// Switches since anybody answered.
    passed: usize,
    /// Rounds since anybody answered.
    rounds: u32,
    /// Where it was before it went back to #1, until #1 has done something.
    former: Option<usize>,
    /// When #1 is to be tested; none while it is the current one.
    failback_at: Option<Timestamp>,
    last_switch: Option<Switch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting { exchange_at: Timestamp },
    Exchanging { since: Timestamp },
    Testing { exchange_at: Timestamp },
}

impl Endpoints {
    /// An agent that starts, with a list of so many: the first exchange, with #1, is due now.
    ///
    /// # Panics
    ///
    /// If the list is empty.
    pub fn new(policy: Policy, count: usize, now: Timestamp) -> Self {
        assert!(count > 0, "an agent has somebody to speak to");
        Self {
            policy,
            poll: None,
            held_until: vec![None; count],
            current: 0,
            state: State::Waiting { exchange_at: now },
            failures: 0,
            failing_since: None,
            passed: 0,
            rounds: 0,
            former: None,
            failback_at: None,
            last_switch: None,
        }
    }

    /// Exchanges are so far apart while all is well, and so are rounds at most while nobody
    /// answers: a fleet that asks no more often than usual is nothing to be spared, and is whole
    /// again within two polls.
    pub const fn set_poll(&mut self, poll: Duration) {
        self.poll = Some(poll);
    }

    /// The place of who is spoken to.
    pub const fn current(&self) -> usize {
        self.current
    }

    pub const fn last_switch(&self) -> Option<Switch> {
        self.last_switch
    }

    /// When #1 will be tested; none while it is the current one.
    pub const fn failback_at(&self) -> Option<Timestamp> {
        self.failback_at
    }

    /// Attempts since anybody answered have all failed, in so many whole rounds.
    pub const fn rounds(&self) -> u32 {
        self.rounds
    }

    /// When [`Event::Due`] is due; none while something is under way.
    pub fn wake_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Waiting { exchange_at } => {
                Some(self.test_at().map_or(exchange_at, |at| at.min(exchange_at)))
            }
            State::Exchanging { .. } | State::Testing { .. } => None,
        }
    }

    /// When #1 is to be tested: not while somebody is looked for, which may be #1 anyway.
    fn test_at(&self) -> Option<Timestamp> {
        self.failback_at.filter(|_| self.is_settled())
    }

    /// Whether the current one has answered, and nothing has failed since.
    const fn is_settled(&self) -> bool {
        self.failures == 0 && self.passed == 0 && self.rounds == 0
    }

    /// Takes what happened; returns what must be done.
    pub fn step(&mut self, now: Timestamp, luck: Luck, event: Event) -> Vec<Effect> {
        match (self.state, event) {
            (State::Waiting { exchange_at }, Event::Due) => self.due(now, exchange_at),
            (State::Waiting { exchange_at }, Event::Wanted) => {
                // Not while the wait is there to spare a manager.
                if self.is_settled() {
                    self.state = State::Waiting { exchange_at: exchange_at.min(now) };
                }
                Vec::new()
            }
            (State::Exchanging { .. }, Event::Done { next }) => {
                self.answered();
                self.state = State::Waiting { exchange_at: now + next };
                Vec::new()
            }
            (State::Exchanging { since }, Event::Failed(failure)) => {
                self.exchange_failed(now, luck, since, failure)
            }
            (State::Testing { .. }, Event::Done { .. }) => {
                self.former = Some(self.current);
                let mut effects = vec![self.switch(now, luck, 0, Reason::Failback)];
                effects.push(self.exchange(now));
                effects
            }
            (State::Testing { exchange_at }, Event::Failed(_)) => {
                self.failback_at = Some(self.next_failback(now, luck));
                self.state = State::Waiting { exchange_at };
                Vec::new()
            }
            (state, Event::Listed { count }) if count > 0 => {
                self.held_until = vec![None; count];
                self.begin_anew(now, luck, state, Reason::ListChanged)
            }
            (state, Event::Forced) => self.begin_anew(now, luck, state, Reason::Forced),
            // An agent without a list keeps the one that it has.
            (_, Event::Listed { .. })
            // Nothing was under way, or something is.
            | (State::Waiting { .. }, Event::Done { .. } | Event::Failed(_))
            | (State::Exchanging { .. } | State::Testing { .. }, Event::Due | Event::Wanted) => {
                Vec::new()
            }
        }
    }

    fn due(&mut self, now: Timestamp, exchange_at: Timestamp) -> Vec<Effect> {
        if self.test_at().is_some_and(|at| at <= now) {
            self.state = State::Testing { exchange_at };
            let until = now + self.policy.patience;
            return vec![Effect::Try { place: 0, purpose: Purpose::Test, until }];
        }
        if exchange_at <= now { vec![self.exchange(now)] } else { Vec::new() }
    }

    fn exchange(&mut self, now: Timestamp) -> Effect {
        self.state = State::Exchanging { since: now };
        let until = self.failing_since.unwrap_or(now) + self.policy.trial();
        Effect::Try { place: self.current, purpose: Purpose::Exchange, until }
    }

    fn answered(&mut self) {
        self.failures = 0;
        self.failing_since = None;
        self.passed = 0;
        self.rounds = 0;
        self.former = None;
    }

    fn exchange_failed(
        &mut self,
        now: Timestamp,
        luck: Luck,
        since: Timestamp,
        failure: Failure,
    ) -> Vec<Effect> {
        let failing_since = *self.failing_since.get_or_insert(since);
        self.failures = self.failures.saturating_add(1);
        if let Failure::Busy { hold: Some(hold) } = failure {
            // Longer, by luck: whoever was told the same does not come back with us.
            let hold = hold.min(self.policy.hold_max);
            self.hold_current(now + hold + luck.part_of(hold / 2));
        }
        if let Some(former) = self.former.take() {
            // #1 was back, and is not any more.
            let switched = self.switch(now, luck, former, Reason::Failed(failure));
            return vec![switched, self.exchange(now)];
        }
        // Once is enough in a round in which nobody has answered so far, or if trying again
        // would be of no use.
        let is_hopeless = match failure {
            Failure::Untrusted | Failure::Busy { .. } => true,
            Failure::Unreachable | Failure::Silent | Failure::Garbled | Failure::Refused => false,
        };
        let pause = luck.part_of(self.policy.pause);
        let is_over = is_hopeless
            || self.rounds > 0
            || self.failures >= self.policy.attempts
            || now.since(failing_since) + pause >= self.policy.trial();
        if is_over {
            self.go_on(now, luck, failure)
        } else {
            self.wait(now, pause);
            Vec::new()
        }
    }

    fn hold_current(&mut self, until: Timestamp) {
        if let Some(held) = self.held_until.get_mut(self.current) {
            *held = Some(until);
        }
    }

    /// It is the next one's turn.
    fn go_on(&mut self, now: Timestamp, luck: Luck, failure: Failure) -> Vec<Effect> {
        let count = self.held_until.len();
        self.passed += 1;
        let pause = if self.passed >= count {
            self.passed = 0;
            self.rounds = self.rounds.saturating_add(1);
            let Backoff { base, max } = self.policy.backoff;
            let max = self.poll.map_or(max, |poll| max.min(poll));
            Backoff { base, max }.wait(self.rounds - 1, luck)
        } else {
            luck.part_of(self.policy.pause)
        };
        let next = self.next_free(now);
        let mut effects = Vec::new();
        if next == self.current {
            self.failures = 0;
            self.failing_since = None;
        } else {
            effects.push(self.switch(now, luck, next, Reason::Failed(failure)));
        }
        self.wait(now, pause);
        effects
    }

    /// The next one that has not asked to be left alone; if all have, who is free first.
    fn next_free(&self, now: Timestamp) -> usize {
        let count = self.held_until.len();
        let held_until = |place: usize| self.held_until.get(place).copied().flatten();
        let others = (1..=count).map(|step| (self.current + step) % count);
        others
            .clone()
            .find(|&place| held_until(place).is_none_or(|until| until <= now))
            .or_else(|| others.min_by_key(|&place| held_until(place)))
            .unwrap_or(self.current)
    }

    fn wait(&mut self, now: Timestamp, pause: Duration) {
        let held_until = self.held_until.get(self.current).copied().flatten();
        let exchange_at = (now + pause).max(held_until.unwrap_or(now));
        self.state = State::Waiting { exchange_at };
    }

    fn switch(&mut self, now: Timestamp, luck: Luck, to: usize, reason: Reason) -> Effect {
        self.switch_from(Some(self.current), now, luck, to, reason)
    }

    fn switch_from(
        &mut self,
        from: Option<usize>,
        now: Timestamp,
        luck: Luck,
        to: usize,
        reason: Reason,
    ) -> Effect {
        self.current = to;
        self.failures = 0;
        let after = self.failing_since.take().map_or(Duration::ZERO, |since| now.since(since));
        if to == 0 {
            self.failback_at = None;
        } else if self.failback_at.is_none() {
            self.failback_at = Some(self.next_failback(now, luck));
        }
        let switch = Switch { at: now, from, to, reason, after };
        self.last_switch = Some(switch);
        Effect::Switched(switch)
    }

    /// Longer than the interval, by luck, and never shorter.
    fn next_failback(&self, now: Timestamp, luck: Luck) -> Timestamp {
        now + self.policy.failback + luck.part_of(self.policy.failback / 10)
    }

    /// With #1, at once, whatever is under way.
    fn begin_anew(
        &mut self,
        now: Timestamp,
        luck: Luck,
        state: State,
        reason: Reason,
    ) -> Vec<Effect> {
        let mut effects = match state {
            State::Waiting { .. } => Vec::new(),
            State::Exchanging { .. } | State::Testing { .. } => vec![Effect::Abandon],
        };
        self.answered();
        // Who asked to be left alone is asked all the same.
        self.held_until.fill(None);
        match reason {
            // Where it was is no place in this list.
            Reason::ListChanged => effects.push(self.switch_from(None, now, luck, 0, reason)),
            Reason::Failed(_) | Reason::Failback | Reason::Forced if self.current != 0 => {
                effects.push(self.switch(now, luck, 0, reason));
            }
            Reason::Failed(_) | Reason::Failback | Reason::Forced => {}
        }
        effects.push(self.exchange(now));
        effects
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "it cannot be reached",
            Self::Silent => "no answer in time",
            Self::Untrusted => "its certificate is not one of the pins",
            Self::Garbled => "its answer cannot be understood",
            Self::Busy { .. } => "it is busy",
            Self::Refused => "it answers with an error",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => failure.fmt(f),
            Self::Failback => f.write_str("the first of the list is back"),
            Self::ListChanged => f.write_str("the list changed"),
            Self::Forced => f.write_str("a registration was forced"),
        }
    }
}

#[cfg(test)]
mod tests;
