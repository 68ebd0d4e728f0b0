//! Events: what the supervisor sees itself and what others tell it, on the way to whoever is told.
//!
//! What stands and what was told last is written down in the run directory, so that the next
//! supervisor ends what this one raised, and does not raise it again.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use mainstay_alert::{Alerts, Moment};
use mainstay_config::Host;
use mainstay_events::{Flushed, Origin, Outlets, Progress};
use mainstay_message::{MessageError, send};
use mainstay_model::{Chain, Process, Timestamp};
use mainstay_os::{Channel, host_name, now, remove_if_there, unix_millis};
use mainstay_wire::control::ToProcess;
use mainstay_wire::event::{Event, Kind, Report, Tally};
use serde::{Deserialize, Serialize};
use tracing::{debug, info, warn};

use crate::children::{Child, Life, Origin as Parentage, Word};
use crate::token::place;
use crate::turn::Supervisor;

/// What is written down, in the run directory.
const MEMORY: &str = "alerts.json";

/// The alerts of the gateway, and the ways out.
#[derive(Debug)]
pub(crate) struct Telling {
    memory: Memory,
    outlets: Outlets,
    config: mainstay_config::alerts::Alerts,
    path: PathBuf,
    /// Something happened that was not written down yet.
    unsaved: Unsaved,
    /// Who is to be told that it is, and up to which number.
    owed: Vec<(Process, u64)>,
    /// As the master was told last.
    told: Tally,
}

/// What the next supervisor has to know.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Memory {
    alerts: Alerts,
    /// Who told of events, and the number of the last: it may be told again.
    heard: Vec<Teller>,
    /// What of it was delivered.
    delivered: Vec<Progress>,
}

/// One process that told of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Teller {
    process: Process,
    pid: u32,
    number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unsaved {
    Nothing,
    Something,
}

impl Telling {
    /// Goes on with what an earlier supervisor wrote down.
    pub(crate) fn start(host: &Host) -> anyhow::Result<Self> {
        let path = host.run.join(MEMORY);
        let mut memory: Memory = match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).unwrap_or_else(|error| {
                warn!(error = %Chain(&error), "cannot read which alerts stand, none do");
                Memory::default()
            }),
            // A gateway that starts anew.
            Err(_) => Memory::default(),
        };
        memory.alerts.wake_up(now());
        let origin = Origin {
            gateway: host.id.clone().unwrap_or_else(host_name),
            host: host_name(),
            pid: std::process::id(),
        };
        let outlets = Outlets::start(&host.alerts, &origin)
            .context("cannot start a thread that tells of events")?;
        outlets.catch_up(&memory.delivered, &memory.alerts.report().latest);
        let config = host.alerts.clone();
        let (unsaved, told, owed) = (Unsaved::Nothing, Tally::default(), Vec::new());
        Ok(Self { memory, outlets, config, path, unsaved, owed, told })
    }

    /// Something happened now.
    pub(crate) fn note(&mut self, event: &Event) {
        self.note_at(unix_millis(), event);
    }

    /// Something happened, at this time by the clock of people.
    fn note_at(&mut self, unix_ms: u64, event: &Event) {
        let moment = Moment { now: now(), unix_ms };
        for record in self.memory.alerts.on(self.config.policy, moment, event) {
            self.outlets.tell(&record);
            self.unsaved = Unsaved::Something;
        }
    }

    /// Tells what is to be told again.
    fn tick(&mut self, now: Timestamp) {
        let moment = Moment { now, unix_ms: unix_millis() };
        for record in self.memory.alerts.on_tick(self.config.policy, moment) {
            self.outlets.tell(&record);
            self.unsaved = Unsaved::Something;
        }
    }

    /// Writes down what has changed.
    fn save(&mut self) {
        let delivered = self.outlets.progress();
        if self.memory.delivered != delivered {
            self.memory.delivered = delivered;
            self.unsaved = Unsaved::Something;
        }
        if std::mem::replace(&mut self.unsaved, Unsaved::Nothing) == Unsaved::Nothing {
            return;
        }
        let attempt = || -> anyhow::Result<()> {
            let text = serde_json::to_vec(&self.memory).context("cannot write JSON")?;
            let making = self.path.with_extension("json.new");
            fs::write(&making, text).context("cannot write a file")?;
            fs::rename(&making, &self.path).context("cannot rename a file")
        };
        if let Err(error) = attempt() {
            warn!(error = %Chain(error.as_ref()), "cannot write down which alerts stand");
        }
    }

    /// Before this process becomes another program, or ends: what waits may be lost with it.
    pub(crate) fn settle(&mut self) {
        self.save();
        if self.outlets.flush(self.config.delivery.flush_timeout) == Flushed::Not {
            warn!("not every event was delivered in time");
        }
    }

    /// The gateway ends, and its alerts with it.
    pub(crate) fn end(&mut self) {
        self.settle();
        if let Err(error) = remove_if_there(&self.path) {
            warn!(error = %Chain(&error), "cannot remove which alerts stand");
        }
    }

    /// Whether this death was told of, by a supervisor that did not see what came after it.
    fn knows_death(&self, process: Process, pid: u32) -> bool {
        let pid = pid.to_string();
        self.memory.alerts.report().standing.iter().any(|record| {
            record.process == Some(process) && record.details.get("pid") == Some(&pid)
        })
    }

    /// Whether this is the first time that a process tells of the event of this number.
    fn is_new(&mut self, process: Process, pid: u32, number: u64) -> bool {
        self.owed.push((process, number));
        let heard = &mut self.memory.heard;
        match heard.iter_mut().find(|teller| teller.process == process) {
            Some(teller) if teller.pid == pid && number <= teller.number => false,
            Some(teller) => {
                *teller = Teller { process, pid, number };
                true
            }
            None => {
                heard.push(Teller { process, pid, number });
                true
            }
        }
    }

    fn tally(&self) -> Tally {
        Tally {
            events: self.memory.alerts.counts().clone(),
            standing: u64::try_from(self.memory.alerts.standing()).unwrap_or(u64::MAX),
            outlets: self.outlets.tally(),
        }
    }

    /// The master is another one, which was told nothing.
    pub(crate) fn forget_master(&mut self) {
        self.told = Tally::default();
    }
}

impl Supervisor {
    /// A process tells of something.
    pub(crate) fn take_event(
        &mut self,
        teller: Process,
        number: u64,
        (unix_ms, event): (u64, &Event),
    ) {
        let life = self.child_mut(place(teller)).and_then(|child| child.life());
        let Some(pid) = life.map(|life| life.pid) else { return };
        if !self.telling.is_new(teller, pid, number) {
            return;
        }
        if event.may_come_from(teller) {
            self.telling.note_at(unix_ms.min(unix_millis()), event);
        } else {
            warn!(%teller, ?event, "process tells of what is not its to tell");
        }
    }

    /// A process ended while nobody looked.
    pub(crate) fn found_dead(&mut self, process: Process, pid: u32) {
        if self.telling.knows_death(process, pid) {
            return;
        }
        info!(%process, pid, "process died while no supervisor ran");
        let ending = "unknown, no supervisor ran".to_owned();
        self.telling.note(&Event::died(process, pid, ending));
    }

    /// A process has all that we give.
    pub(crate) fn note_up(&mut self, process: Process, pid: u32, parentage: Parentage) {
        // An orphan does what it did before, unless it was missed.
        let was_missed = self.telling.memory.alerts.stands(Kind::SystemDown, Some(process))
            || self.telling.memory.alerts.stands(Kind::ProcessDied, Some(process));
        if parentage == Parentage::Ours || was_missed {
            self.telling.note(&Event::up(process, pid));
        }
    }

    /// What is due of the alerts, once a turn.
    pub(crate) fn see_to_alerts(&mut self, now: Timestamp) {
        let stable_after = self.settings.host.restart.stable_after;
        let stable: Vec<Event> = self
            .children
            .iter()
            .filter(|child| {
                self.telling.memory.alerts.stands(Kind::CrashLooped, Some(child.process))
            })
            .filter_map(|child| {
                let life = child.life().filter(|life| life.age(now) >= stable_after)?;
                Some(Event::CrashLoopEnded { process: child.process, pid: life.pid })
            })
            .collect();
        for event in &stable {
            self.telling.note(event);
        }
        self.telling.tick(now);
        self.telling.save();
        self.acknowledge();
        self.tell_tally();
    }

    /// Tells who told of something that it is written down.
    fn acknowledge(&mut self) {
        for (process, number) in std::mem::take(&mut self.telling.owed) {
            let life = self.child_mut(place(process)).and_then(|child| child.life());
            if let Some(Life { channel: Some(channel), .. }) = life
                && let Err(error) = send(channel, &ToProcess::Noted { number }, &[])
            {
                // It tells it again to the next supervisor, which knows the number.
                debug!(%process, error = %Chain(&error), "cannot acknowledge an event");
            }
        }
    }

    /// Tells the master how much happened, for its metrics.
    fn tell_tally(&mut self) {
        let tally = self.telling.tally();
        if tally == self.telling.told {
            return;
        }
        let Some(Life { word: Word::Welcomed { .. }, channel: Some(channel), .. }) =
            self.child_mut(place(Process::Master)).and_then(|child: &mut Child| child.life_mut())
        else {
            return;
        };
        match send(channel, &ToProcess::Tally { tally: tally.clone() }, &[]) {
            Ok(()) => self.telling.told = tally,
            // It hears it the next time.
            Err(error) => debug!(error = %Chain(&error), "cannot tell the master what happened"),
        }
    }

    /// Answers an operator.
    pub(crate) fn answer_alerts(&self, operator: &Channel) {
        let Report { standing, mut latest } = self.telling.memory.alerts.report();
        loop {
            let report = Report { standing: standing.clone(), latest: latest.clone() };
            match send(operator, &report, &[]) {
                Ok(()) => return,
                // As many of the latest as a message can carry.
                Err(MessageError::Frame { .. }) if !latest.is_empty() => {
                    latest.drain(..latest.len().div_ceil(4));
                }
                Err(error) => {
                    debug!(error = %Chain(&error), "cannot answer an operator");
                    return;
                }
            }
        }
    }
}
