//! The driver, the managers and the clock.

use std::collections::VecDeque;
use std::time::Duration;

use mainstay_fleet::backoff::{self, Backoff};
use mainstay_fleet::endpoint::{
    Effect, Endpoints, Event, Failure, Policy, Purpose, Reason, Switch,
};
use mainstay_model::Timestamp;

use super::{Action, Finding, Flaw, Health, Invariant};
use crate::luck::Luck;

/// Managers in the first list.
const MANAGERS: usize = 3;
/// What an answer takes.
const ANSWER: Duration = Duration::from_millis(20);
/// What a refusal takes.
const REFUSAL: Duration = Duration::from_millis(1);
/// How long the driver waits for a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// Between two exchanges.
const POLL: Duration = Duration::from_secs(30);
/// How long it takes until a manager that cannot be reached is left.
const LEAVE_UNREACHABLE: Duration = Duration::from_secs(1);

pub(super) const POLICY: Policy = Policy {
    attempts: 2,
    patience: Duration::from_secs(5),
    pause: Duration::from_millis(250),
    backoff: Backoff { base: Duration::from_secs(1), max: Duration::from_secs(300) },
    failback: Duration::from_secs(3_600),
    hold_max: Duration::from_secs(600),
};

/// One agent, its managers, and what was seen so far.
#[derive(Clone, Debug)]
pub(super) struct World {
    flaw: Option<Flaw>,
    /// Only #1 comes and goes.
    flaps: bool,
    luck: Luck,
    pub(super) now: Timestamp,
    pub(super) agent: Endpoints,
    pub(super) managers: Vec<Health>,
    pub(super) attempt: Option<Attempt>,
    /// The next try has to be an exchange with #1.
    first_is_next: bool,
    /// What is due was forgotten.
    has_forgotten: bool,
    failing: Option<Failing>,
    /// Until then somebody may have to be left alone, and there may be nobody to go to.
    spared_until: Timestamp,
    /// In the last failback interval.
    switches: VecDeque<Timestamp>,
    pub(super) exchanges: u64,
    pub(super) finding: Option<Finding>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    place: usize,
    purpose: Purpose,
    until: Timestamp,
    ends_at: Timestamp,
    end: Event,
}

/// What became of exchanges with the current manager since it answered last.
#[derive(Clone, Copy, Debug)]
struct Failing {
    since: Timestamp,
    /// How long it may go on.
    limit: Duration,
}

impl World {
    pub(super) fn new(seed: u64, flaw: Option<Flaw>) -> Self {
        let now = Timestamp::from_micros(1_000_000);
        let hasty = Policy { failback: POLICY.failback / 8, ..POLICY };
        let policy = if flaw == Some(Flaw::FailbackIsHasty) { hasty } else { POLICY };
        Self {
            flaw,
            flaps: seed % 2 == 1,
            luck: Luck::new(!seed),
            now,
            agent: Endpoints::new(policy, MANAGERS, now),
            managers: vec![Health::Up; MANAGERS],
            attempt: None,
            first_is_next: true,
            has_forgotten: false,
            failing: None,
            spared_until: now,
            switches: VecDeque::new(),
            exchanges: 0,
            finding: None,
        }
    }

    pub(super) fn perform(&mut self, action: Action) -> Option<()> {
        match action {
            Action::Turn(place, health) => self.turn(usize::from(place), health)?,
            Action::Pass(millis) => self.pass(Duration::from_millis(u64::from(millis))),
            Action::Want => self.tell(Event::Wanted),
            Action::List(count) if !self.flaps => {
                let count = usize::from(count);
                self.managers.resize(count, Health::Up);
                self.first_is_next = true;
                self.tell(Event::Listed { count });
            }
            Action::Force if !self.flaps => {
                self.first_is_next = true;
                self.tell(Event::Forced);
            }
            Action::List(_) | Action::Force => return None,
        }
        Some(())
    }

    /// A manager is like this from now on.
    pub(super) fn turn(&mut self, place: usize, health: Health) -> Option<()> {
        if self.flaps && place != 0 {
            return None;
        }
        let manager = self.managers.get_mut(place).filter(|manager| **manager != health)?;
        *manager = health;
        if let Some(Attempt { place: at, purpose, until, .. }) = self.attempt
            && at == place
        {
            // It may have been silent until now.
            if let Some(failing) = &mut self.failing {
                failing.limit = POLICY.patience;
            }
            // It was connected, so only the answer is waited for.
            let ends_at = if health == Health::Silent { Some(until) } else { None };
            self.begin(place, purpose, until, ends_at);
        }
        Some(())
    }

    /// Time passes, and what is due in it happens.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((at, event)) = self.next_event().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            if event == Event::Due
                && self.flaw == Some(Flaw::ForgetsWhatIsDue)
                && self.luck.below(50) == 0
            {
                self.has_forgotten = true;
            } else {
                self.tell(event);
            }
            if self.finding.is_some() {
                return;
            }
        }
        self.now = end;
    }

    fn next_event(&self) -> Option<(Timestamp, Event)> {
        match &self.attempt {
            Some(attempt) => Some((attempt.ends_at, attempt.end)),
            None if self.has_forgotten => None,
            None => Some((self.agent.wake_at()?, Event::Due)),
        }
    }

    fn tell(&mut self, event: Event) {
        let ended = match event {
            Event::Done { .. } | Event::Failed(_) => self.attempt.take(),
            Event::Due | Event::Wanted => None,
            Event::Listed { .. } | Event::Forced => {
                // It begins anew.
                self.failing = None;
                None
            }
        };
        self.note_end(ended, event);
        let is_first_round = self.agent.rounds() == 0;
        let luck = backoff::Luck(self.luck.next());
        for effect in self.agent.step(self.now, luck, event) {
            match effect {
                Effect::Switched(switch) => self.note_switch(switch, is_first_round),
                Effect::Abandon => self.attempt = None,
                Effect::Try { place, purpose, until } => {
                    self.note_try(place, purpose);
                    self.begin(place, purpose, until, None);
                }
            }
        }
    }

    fn begin(
        &mut self,
        place: usize,
        purpose: Purpose,
        until: Timestamp,
        ends_at: Option<Timestamp>,
    ) {
        let health = self.managers.get(place).copied().unwrap_or(Health::Dead);
        let lie = self.flaw == Some(Flaw::EveryTestSucceeds) && purpose == Purpose::Test;
        let health = if lie { Health::Up } else { health };
        let (takes, end) = match health {
            Health::Up => (ANSWER, Event::Done { next: POLL }),
            Health::Dead => (REFUSAL, Event::Failed(Failure::Unreachable)),
            Health::Silent if self.flaw == Some(Flaw::WaitsForEver) => {
                (CONNECT * 10, Event::Failed(Failure::Silent))
            }
            Health::Silent => {
                let longest = until.since(self.now);
                (CONNECT.min(longest), Event::Failed(Failure::Silent))
            }
            Health::Busy(seconds) => {
                let hold = Some(Duration::from_secs(u64::from(seconds)));
                (ANSWER, Event::Failed(Failure::Busy { hold }))
            }
        };
        let ends_at = ends_at.unwrap_or(self.now + takes);
        self.attempt = Some(Attempt { place, purpose, until, ends_at, end });
        if purpose == Purpose::Exchange && self.failing.is_none() {
            self.failing = Some(Failing { since: self.now, limit: LEAVE_UNREACHABLE });
        }
    }

    fn note_end(&mut self, ended: Option<Attempt>, event: Event) {
        if ended.is_none_or(|attempt| attempt.purpose != Purpose::Exchange) {
            return;
        }
        match event {
            Event::Done { .. } => {
                self.exchanges += 1;
                self.failing = None;
            }
            Event::Failed(Failure::Busy { .. }) => {
                self.spared_until = self.now + POLICY.hold_max.mul_f64(1.5);
            }
            Event::Failed(failure) if failure != Failure::Unreachable => {
                if let Some(failing) = &mut self.failing {
                    failing.limit = POLICY.patience;
                }
            }
            Event::Failed(_)
            | Event::Due
            | Event::Wanted
            | Event::Listed { .. }
            | Event::Forced => {}
        }
    }

    fn note_switch(&mut self, switch: Switch, is_first_round: bool) {
        if let (Reason::Failed(_), Some(Failing { since, limit }), true) =
            (switch.reason, self.failing, is_first_round)
        {
            let took = self.now.since(since);
            if took > limit && self.now > self.spared_until {
                self.find(Invariant::LeavesInTime, format!("{switch:?} took {took:?}"));
            }
        }
        self.failing = None;
        let is_there = self.managers.first() == Some(&Health::Up);
        if switch.reason == Reason::Failback && !is_there {
            self.find(Invariant::FailbackLosesNothing, format!("{switch:?}: it is not there"));
        }
        self.switches.push_back(self.now);
        while self.switches.front().is_some_and(|at| self.now.since(*at) >= POLICY.failback) {
            self.switches.pop_front();
        }
        if self.flaps && self.switches.len() > 2 {
            self.find(Invariant::AtMostTwoSwitches, format!("{:?}", self.switches));
        }
    }

    fn note_try(&mut self, place: usize, purpose: Purpose) {
        let is_first = place == 0;
        if (purpose == Purpose::Test || self.first_is_next) && !is_first {
            self.find(Invariant::TheFirstIsFirst, format!("{purpose:?} with {place}"));
        }
        if self.first_is_next && purpose == Purpose::Test {
            self.find(Invariant::TheFirstIsFirst, "only a test".to_owned());
        }
        self.first_is_next = false;
    }

    fn find(&mut self, invariant: Invariant, what: String) {
        self.finding.get_or_insert((invariant, what));
    }

    /// From now on every manager may be anything.
    pub(super) fn calm(&mut self) {
        self.flaps = false;
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        usize::try_from(self.luck.below(limit)).unwrap_or(0)
    }
}
