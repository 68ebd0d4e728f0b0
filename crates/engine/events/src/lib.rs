//! Events on their way out: to a file, to a syslog server, to a webhook.
//!
//! ```text
//!                 ┌─▶ queue ─▶ thread ─▶ events.log, a JSON object a line
//!   tell(record) ─┼─▶ queue ─▶ thread ─▶ syslog: RFC 5424 over UDP, TCP or a Unix socket
//!                 └─▶ queue ─▶ thread ─▶ POST, as an Alertmanager takes alerts
//! ```
//!
//! Each way has a thread of its own, so one that is slow or away delays neither the others nor
//! whoever tells. What could not be delivered is tried again, later and later.
//!
//! # Invariants
//!
//! 1. Telling never waits: a queue that is full drops its oldest record, and counts it.
//! 2. What one way delivers, it delivers in order.
//! 3. A record leaves its queue when it was delivered, refused for good, or dropped. What the
//!    death of the process left in it, the next one delivers ([`Outlets::catch_up`]); what was
//!    delivered a moment before that may come twice, with the same number.
//!
//! # Not here
//!
//! What is told, and what is suppressed: `mainstay-alert`.

#![forbid(unsafe_code)]

mod date;
mod failure;
mod form;
mod log;
mod outlet;
mod queue;
mod reach;
mod syslog;
mod webhook;

use std::io;
use std::time::{Duration, Instant};

use mainstay_config::alerts::Alerts;
use mainstay_wire::event::{Change, OutletTally, Record};
use serde::{Deserialize, Serialize};

use crate::log::LogFile;
use crate::outlet::Outlet;
use crate::syslog::SyslogSender;
use crate::webhook::WebhookCaller;

/// In whose name events are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// What the gateway is called.
    pub gateway: String,
    /// What the machine is called.
    pub host: String,
    /// The process that tells.
    pub pid: u32,
}

/// Every way out that is configured.
#[derive(Debug)]
pub struct Outlets {
    log: Option<Outlet>,
    /// Those that call somebody.
    callers: Vec<Outlet>,
}

impl Outlets {
    /// Starts a thread for each way out. Whether anybody is there is found out by telling.
    pub fn start(config: &Alerts, origin: &Origin) -> io::Result<Self> {
        let delivery = &config.delivery;
        let log = match &config.log {
            Some(log) => {
                let file = LogFile::new(log, origin);
                Some(Outlet::start("log", delivery, file)?)
            }
            None => None,
        };
        let mut callers = Vec::new();
        if let Some(syslog) = &config.syslog {
            let sender = SyslogSender::new(syslog, origin, delivery.timeout);
            callers.push(Outlet::start("syslog", delivery, sender)?);
        }
        if let Some(webhook) = &config.webhook {
            let caller =
                WebhookCaller::new(webhook, origin, config.policy.repeat, delivery.timeout);
            callers.push(Outlet::start("webhook", delivery, caller)?);
        }
        Ok(Self { log, callers })
    }

    /// Has a record delivered: to the file in any case, to the others if it is for them.
    pub fn tell(&self, record: &Record) {
        for outlet in self.all() {
            if self.is_for(outlet, record) {
                outlet.push(record);
            }
        }
    }

    /// Has delivered what an earlier process left undelivered, as far as it is among these
    /// records. A way out that was not there then begins with what comes.
    pub fn catch_up(&self, progress: &[Progress], records: &[Record]) {
        let last = records.last().map_or(0, |record| record.number);
        for outlet in self.all() {
            let before = progress.iter().find(|one| one.outlet == outlet.name());
            let done = before.map_or(last, |before| before.number);
            outlet.begin_after(done);
            let missed = records.iter().filter(|record| record.number > done);
            for record in missed.filter(|record| self.is_for(outlet, record)) {
                outlet.push(record);
            }
        }
    }

    /// How far each way out is.
    pub fn progress(&self) -> Vec<Progress> {
        let one =
            |outlet: &Outlet| Progress { outlet: outlet.name().to_owned(), number: outlet.done() };
        self.all().map(one).collect()
    }

    fn is_for(&self, outlet: &Outlet, record: &Record) -> bool {
        let is_log = self.log.as_ref().is_some_and(|log| log.name() == outlet.name());
        is_log || record.change != Change::Suppressed
    }

    /// What became of what was told.
    pub fn tally(&self) -> Vec<OutletTally> {
        self.all().map(Outlet::tally).collect()
    }

    /// Waits until everything is delivered, but no longer than `limit`; whoever waits to try
    /// again tries at once. Says whether everything was.
    pub fn flush(&self, limit: Duration) -> Flushed {
        let until = Instant::now() + limit;
        for outlet in self.all() {
            outlet.hurry();
        }
        let all = self.all().map(|outlet| outlet.flush(until));
        // Each is waited for, also after one that was not done in time.
        if all.filter(|flushed| *flushed == Flushed::Not).count() == 0 {
            Flushed::All
        } else {
            Flushed::Not
        }
    }

    fn all(&self) -> impl Iterator<Item = &Outlet> {
        self.log.iter().chain(&self.callers)
    }
}

/// How far a way out is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub outlet: String,
    /// Of the last record that is done with.
    pub number: u64,
}

/// Whether everything was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    All,
    Not,
}

#[cfg(test)]
mod tests {
    use mainstay_config::alerts::{Delivery, Log};

    use super::*;
    use crate::form::tests::{origin, record};

    fn numbers(path: &std::path::Path) -> Vec<u64> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = |line: &str| {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            object["number"].as_u64().unwrap()
        };
        text.lines().map(line).collect()
    }

    #[test]
    fn what_a_dead_process_left_undelivered_the_next_one_delivers() {
        let directory = tempfile::tempdir().unwrap();
        let log = |name: &str| Log { path: directory.path().join(name), bytes_max: 1 << 20 };
        let mut config = mainstay_config::host::parse(
            "state = \"/s\"\nrun = \"/r\"\ngateway = \"/g\"\nalerts = { log = \"off\" }",
        )
        .unwrap()
        .alerts;
        config.delivery = Delivery { retry_min: Duration::from_millis(1), ..config.delivery };
        let limit = Duration::from_secs(30);
        let records: Vec<Record> = (1..=5).map(record).collect();

        config.log = Some(log("first"));
        let first = Outlets::start(&config, &origin()).unwrap();
        first.catch_up(&[], &records[..2]);
        first.tell(&records[2]);
        assert_eq!(first.flush(limit), Flushed::All);
        assert_eq!(numbers(&log("first").path), [3], "what was before it is not its own");

        // It dies with two of them undelivered.
        let progress = first.progress();
        drop(first);
        config.log = Some(log("second"));
        let second = Outlets::start(&config, &origin()).unwrap();
        second.catch_up(&progress, &records);
        assert_eq!(second.flush(limit), Flushed::All);
        assert_eq!(numbers(&log("second").path), [4, 5]);
        assert_eq!(second.progress()[0].number, 5);
    }
}
