//! The alerts that stand, and what was told lately: from an event to a record, or to nothing.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use mainstay_model::{Process, Timestamp};
use mainstay_wire::event::{Change, Event, Kind, Record, Report};
use serde::{Deserialize, Serialize};

use crate::meaning::{Effect, alert_severity, details, effect, process, summary};

/// How many records are kept to be shown.
pub const LATEST_MAX: usize = 100;

/// Most sentences about one thing that follow each other within the repeat interval, however
/// much they differ.
const SENTENCES_MAX: u32 = 10;

/// What is suppressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long what was told is not told again.
    pub repeat: Duration,
}

/// An instant on both clocks: the one that never jumps, and the one that people read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub now: Timestamp,
    pub unix_ms: u64,
}

/// The alerts of a gateway. What is written down of it is read back by the next supervisor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alerts {
    standing: Vec<Told>,
    /// What merely happened, and is suppressed for a while.
    happened: Vec<Told>,
    latest: VecDeque<Record>,
    /// Of the last record.
    number: u64,
    /// How often each kind of event came, with this supervisor.
    #[serde(skip)]
    counts: BTreeMap<Kind, u64>,
}

/// What was told of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    key: Key,
    /// As it was told last, but for what has been suppressed since.
    record: Record,
    at: Timestamp,
    suppressed: u64,
    /// Told one after the other, none of them a repeat interval after the one before.
    sentences: u32,
}

/// What one thing is: events with the same key speak of the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    kind: Kind,
    process: Option<Process>,
}

impl Alerts {
    /// Takes an event, and returns what is told of it, in order.
    pub fn on(&mut self, policy: Policy, moment: Moment, event: &Event) -> Vec<Record> {
        let count = self.counts.entry(event.kind()).or_insert(0);
        *count = count.saturating_add(1);
        let key = Key { kind: event.kind(), process: process(event) };
        let record = Record {
            number: 0,
            unix_ms: moment.unix_ms,
            change: Change::Happened,
            kind: key.kind,
            alert: key.kind,
            severity: alert_severity(key.kind),
            process: key.process,
            since_unix_ms: moment.unix_ms,
            suppressed: 0,
            summary: summary(event),
            details: details(event),
        };
        let records = match effect(key.kind) {
            Effect::Raise => vec![self.raise(policy, moment, key, record)],
            Effect::Clear(kinds) => self.clear(kinds, &record),
            Effect::ClearOrHappen(kinds) => match self.clear(kinds, &record) {
                cleared if cleared.is_empty() => vec![self.happen(policy, moment, key, record)],
                cleared => cleared,
            },
            Effect::Happen => vec![self.happen(policy, moment, key, record)],
            Effect::End => {
                let mut ended: Vec<Record> =
                    self.standing.drain(..).map(|told| told.clear(&record)).collect();
                ended.push(self.happen(policy, moment, key, record));
                ended
            }
        };
        records.into_iter().map(|record| self.number(record)).collect()
    }

    /// What is told because time has passed; due at [`Alerts::wake_at`].
    pub fn on_tick(&mut self, policy: Policy, moment: Moment) -> Vec<Record> {
        let mut records = Vec::new();
        for told in &mut self.standing {
            if told.is_due(policy, moment.now) {
                records.push(told.repeat(moment));
            }
        }
        self.happened.retain_mut(|told| {
            if !told.is_due(policy, moment.now) {
                return true;
            }
            if told.suppressed == 0 {
                return false;
            }
            records.push(told.repeat(moment));
            true
        });
        records.into_iter().map(|record| self.number(record)).collect()
    }

    /// When [`Alerts::on_tick`] has something to tell.
    pub fn wake_at(&self, policy: Policy) -> Option<Timestamp> {
        let all = self.standing.iter().chain(&self.happened);
        all.map(|told| told.at + policy.repeat).min()
    }

    /// Makes a state that another supervisor wrote down fit for this clock: nothing was told in
    /// the future, which it seems after the machine was started anew.
    pub fn wake_up(&mut self, now: Timestamp) {
        for told in self.standing.iter_mut().chain(&mut self.happened) {
            told.at = told.at.min(now);
        }
    }

    /// Whether this alert stands.
    pub fn stands(&self, kind: Kind, process: Option<Process>) -> bool {
        self.standing.iter().any(|told| told.key == Key { kind, process })
    }

    /// How many stand.
    pub fn standing(&self) -> usize {
        self.standing.len()
    }

    /// What stands, with what has been suppressed since it was told, and what happened last.
    pub fn report(&self) -> Report {
        let current = |told: &Told| Record { suppressed: told.suppressed, ..told.record.clone() };
        Report {
            standing: self.standing.iter().map(current).collect(),
            latest: self.latest.iter().cloned().collect(),
        }
    }

    /// How often each kind of event came.
    pub const fn counts(&self) -> &BTreeMap<Kind, u64> {
        &self.counts
    }

    fn raise(&mut self, policy: Policy, moment: Moment, key: Key, record: Record) -> Record {
        // Who dies again and again has one alert for it.
        let looping = Key { kind: Kind::CrashLooped, process: key.process };
        let is_death = matches!(key.kind, Kind::ProcessDied | Kind::SystemDown);
        let of_loop = |told: &&mut Told| is_death && told.key == looping;
        let same = self.standing.iter_mut().find(|told| told.key == key || of_loop(told));
        match same {
            Some(told) => told.again(policy, moment, record),
            None => {
                let record = Record { change: Change::Raised, ..record };
                self.standing.push(Told::new(key, record.clone(), moment.now));
                record
            }
        }
    }

    fn clear(&mut self, kinds: &[Kind], record: &Record) -> Vec<Record> {
        let ends =
            |told: &mut Told| kinds.contains(&told.key.kind) && told.key.process == record.process;
        self.standing.extract_if(.., ends).map(|told| told.clear(record)).collect()
    }

    fn happen(&mut self, policy: Policy, moment: Moment, key: Key, record: Record) -> Record {
        match self.happened.iter_mut().find(|told| told.key == key) {
            None => {
                self.happened.push(Told::new(key, record.clone(), moment.now));
                record
            }
            Some(told) if told.record.summary == record.summary => {
                told.again(policy, moment, record)
            }
            Some(told) if told.is_due(policy, moment.now) => {
                let record = Record { suppressed: told.suppressed, ..record };
                *told = Told::new(key, record.clone(), moment.now);
                record
            }
            Some(told) if told.sentences < SENTENCES_MAX => {
                told.sentences += 1;
                told.at = moment.now;
                told.record = record.clone();
                record
            }
            Some(told) => told.suppress(record),
        }
    }

    /// Gives a record its number, and keeps it to be shown.
    fn number(&mut self, record: Record) -> Record {
        self.number = self.number.saturating_add(1);
        let record = Record { number: self.number, ..record };
        if self.latest.len() >= LATEST_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back(record.clone());
        record
    }
}

impl Told {
    const fn new(key: Key, record: Record, at: Timestamp) -> Self {
        Self { key, record, at, suppressed: 0, sentences: 1 }
    }

    /// It ends, because of what this record tells.
    fn clear(self, record: &Record) -> Record {
        Record {
            change: Change::Cleared,
            alert: self.key.kind,
            severity: self.record.severity,
            process: self.key.process,
            since_unix_ms: self.record.since_unix_ms,
            suppressed: self.suppressed,
            ..record.clone()
        }
    }

    fn is_due(&self, policy: Policy, now: Timestamp) -> bool {
        now >= self.at + policy.repeat
    }

    /// It came again: told if that is due, else counted.
    fn again(&mut self, policy: Policy, moment: Moment, record: Record) -> Record {
        let record = Record {
            alert: self.key.kind,
            severity: self.record.severity,
            since_unix_ms: self.record.since_unix_ms,
            ..record
        };
        if !self.is_due(policy, moment.now) {
            return self.suppress(record);
        }
        self.record = record;
        self.repeat(moment)
    }

    /// Counts what is not told; what is told next says how it was last.
    fn suppress(&mut self, record: Record) -> Record {
        self.suppressed = self.suppressed.saturating_add(1);
        self.record.summary.clone_from(&record.summary);
        self.record.details.clone_from(&record.details);
        Record { change: Change::Suppressed, suppressed: self.suppressed, ..record }
    }

    /// Tells it again, with what was suppressed.
    fn repeat(&mut self, moment: Moment) -> Record {
        self.at = moment.now;
        self.sentences = 1;
        let suppressed = std::mem::take(&mut self.suppressed);
        self.record.change = Change::Repeated;
        Record { unix_ms: moment.unix_ms, suppressed, ..self.record.clone() }
    }
}

#[cfg(test)]
mod tests;
