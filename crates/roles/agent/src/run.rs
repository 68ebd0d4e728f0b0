//! The process that runs: one thing that happens, one step, and what follows from it.

mod answer;
mod leave;
mod settings;
mod watch;

use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use mainstay_config::agent::Agent;
use mainstay_fleet::backoff::Luck;
use mainstay_fleet::endpoint::{Effect, Endpoints, Event, Policy, Purpose, Switch};
use mainstay_model::{Chain, Timestamp};
use mainstay_opamp::events::{Event as FleetEvent, Severity};
use mainstay_opamp::message::AgentDescription;
use mainstay_os::{Signals, now, unix_millis, unix_seconds};
use mainstay_trust::certificate;
use mainstay_trust::pin::Seen;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::contact::{Answered, Contact, ContactError};
use crate::control::{self, Caller, Question};
use crate::directory::Directory;
use crate::enroll;
use crate::exchange::{Exchanges, View};
use crate::figures::Figures;
use crate::gateway::{Applied, Gateway, Look};
use crate::report;
use crate::state::{Outcome, SwitchNote};
use crate::status::{self, Status};

/// How often files are looked at: the gateway's log, and the settings.
const TICK: Duration = Duration::from_secs(1);

/// Between two attempts to hand a configuration to a gateway that is away, in ticks.
const APPLY_TICKS: u64 = 5;

/// The longest pause before a registration that a manager has asked for.
const PAUSE: Duration = Duration::from_millis(250);

/// Most things that happened and were not seen to yet.
const HAPPENINGS_MAX: usize = 64;

/// Something that happened.
enum Happening {
    Tick,
    Attempted { number: u64, outcome: Box<Result<Option<Answered>, ContactError>> },
    Looked(Result<Look, String>),
    Applied(Result<Applied, String>),
    Tried(settings::Trial),
    Asked(Caller),
    End,
}

/// What is under way.
struct Attempt {
    number: u64,
    purpose: Purpose,
    begun: Timestamp,
    task: JoinHandle<()>,
}

/// Whether it is to be registered anew before anything else.
#[derive(Debug, PartialEq, Eq)]
enum Registration {
    Settled,
    Wanted,
}

struct Running {
    directory: Directory,
    settings: Agent,
    settings_changed: Option<SystemTime>,
    endpoints: Endpoints,
    exchanges: Exchanges,
    contact: Contact,
    gateway: Option<Gateway>,
    look: Option<Result<Look, String>>,
    is_looking: bool,
    sampled_at: Option<Timestamp>,
    figures: Figures,
    applying: Option<JoinHandle<()>>,
    drift: Option<[u8; 32]>,
    /// Of other pins.
    trial: Option<JoinHandle<()>>,
    attempt: Option<Attempt>,
    attempts: u64,
    ticks: u64,
    registration: Registration,
    waiting: Vec<Caller>,
    seen: Option<Seen>,
    last_exchange_unix: Option<u64>,
    last_error: Option<String>,
    happened: mpsc::Sender<Happening>,
}

/// Runs until it is asked to end.
pub(crate) fn run(directory: &Directory) -> anyhow::Result<()> {
    let _lock = directory.lock()?;
    let settings = directory.settings()?;
    // Before any thread, so that all inherit the mask.
    let signals = Signals::take_over().context("cannot take over signals")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot make a runtime")?;
    runtime.block_on(work(directory, settings, signals))
}

async fn work(directory: &Directory, settings: Agent, signals: Signals) -> anyhow::Result<()> {
    let (happened, mut happenings) = mpsc::channel(HAPPENINGS_MAX);
    let listener = control::listen(&directory.socket())?;
    let (callers, mut asked) = mpsc::channel(1);
    tokio::spawn(control::serve(listener, callers));
    let forward = happened.clone();
    tokio::spawn(async move {
        while let Some(caller) = asked.recv().await {
            if forward.send(Happening::Asked(caller)).await.is_err() {
                return;
            }
        }
    });
    let ticker = happened.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            if ticker.send(Happening::Tick).await.is_err() {
                return;
            }
        }
    });
    end_when_asked(signals, happened.clone())?;
    let mut running = Running::new(directory, settings, happened)?;
    info!(
        agent = running.exchanges.state.uid,
        managers = running.settings.managers.len(),
        "the agent runs"
    );
    running.note("agent.started", Severity::Info, &json!({}))?;
    loop {
        let next = match running.endpoints.wake_at() {
            None => happenings.recv().await,
            Some(at) => {
                let wait = at.since(now());
                let next = pin!(happenings.recv());
                match tokio::time::timeout(wait, next).await {
                    Ok(next) => next,
                    Err(_elapsed) => {
                        running.step(Event::Due)?;
                        continue;
                    }
                }
            }
        };
        match next {
            None | Some(Happening::End) => break,
            Some(happening) => running.take(happening)?,
        }
    }
    // Nobody is answered any more.
    mainstay_os::remove_if_there(&directory.socket()).context("cannot remove agent.sock")?;
    running.leave().await;
    info!("stopped");
    Ok(())
}

/// Waits for SIGTERM or SIGINT, in a thread of its own: a descriptor that the runtime did not
/// make is not the runtime's to watch.
fn end_when_asked(signals: Signals, happened: mpsc::Sender<Happening>) -> anyhow::Result<()> {
    let wait = move || match signals.wait() {
        // If nobody listens any more, the process ends anyway.
        Ok(_) => drop(happened.blocking_send(Happening::End)),
        Err(error) => {
            warn!(%error, "signals cannot be waited for, only SIGKILL ends this process");
            std::thread::park();
        }
    };
    let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(wait);
    thread.map(drop).context("cannot start a thread")
}

fn policy(settings: &Agent) -> Policy {
    Policy::new(
        settings.attempts_before_failover,
        settings.failover_after,
        settings.failback_interval,
        settings.retry_max,
    )
}

fn luck() -> anyhow::Result<Luck> {
    Ok(Luck(mainstay_os::random_u64().context("the kernel gives no random number")?))
}

fn changed_at(directory: &Directory) -> Option<SystemTime> {
    std::fs::metadata(directory.settings_path()).and_then(|found| found.modified()).ok()
}

/// The gateway of the settings. One whose `host.toml` is broken is none, until that changes.
fn find_gateway(settings: &Agent) -> Option<Gateway> {
    let path: &PathBuf = settings.host.as_ref()?;
    match Gateway::of(path) {
        Ok(gateway) => Some(gateway),
        Err(error) => {
            error!(error = %Chain(error.as_ref()), "the gateway of this host is not known");
            None
        }
    }
}

impl Running {
    fn new(
        directory: &Directory,
        settings: Agent,
        happened: mpsc::Sender<Happening>,
    ) -> anyhow::Result<Self> {
        let endpoints = Endpoints::new(policy(&settings), settings.managers.len(), now());
        let exchanges = Exchanges::open(directory, settings.queue_bytes)?;
        // It ended while it replaced its key.
        let registration = match exchanges.keys().next {
            Some(_) => Registration::Wanted,
            None => Registration::Settled,
        };
        let mut running = Self {
            directory: directory.clone(),
            settings_changed: changed_at(directory),
            endpoints,
            exchanges,
            contact: Contact::new(directory.pins()?)?,
            gateway: find_gateway(&settings),
            settings,
            look: None,
            is_looking: false,
            sampled_at: None,
            figures: Figures::new(unix_seconds()),
            applying: None,
            drift: None,
            trial: None,
            attempt: None,
            attempts: 0,
            ticks: 0,
            registration,
            waiting: Vec::new(),
            seen: None,
            last_exchange_unix: None,
            last_error: None,
            happened,
        };
        running.endpoints.set_poll(running.poll());
        Ok(running)
    }

    fn take(&mut self, happening: Happening) -> anyhow::Result<()> {
        match happening {
            Happening::Tick => self.tick(),
            Happening::Attempted { number, outcome } => {
                // One that was abandoned is of no interest.
                match self.attempt.take_if(|attempt| attempt.number == number) {
                    Some(attempt) => self.attempted(&attempt, *outcome),
                    None => Ok(()),
                }
            }
            Happening::Looked(look) => self.looked(look),
            Happening::Applied(outcome) => self.applied(outcome),
            Happening::Tried(trial) => self.tried(trial),
            Happening::Asked(caller) => self.asked(caller),
            Happening::End => Ok(()),
        }
    }

    fn step(&mut self, event: Event) -> anyhow::Result<()> {
        for effect in self.endpoints.step(now(), luck()?, event) {
            match effect {
                Effect::Switched(switch) => self.switched(&switch)?,
                Effect::Abandon => self.abandon(),
                Effect::Try { place, purpose, until } => self.attempt(place, purpose, until),
            }
        }
        Ok(())
    }

    /// Gives up what is under way.
    fn abandon(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            attempt.task.abort();
        }
    }

    fn manager(&self, place: usize) -> String {
        self.settings.managers.get(place).map(ToString::to_string).unwrap_or_default()
    }

    fn switched(&mut self, switch: &Switch) -> anyhow::Result<()> {
        let note = SwitchNote {
            unix_ms: unix_millis(),
            from: switch.from.map(|place| self.manager(place)),
            to: self.manager(switch.to),
            reason: switch.reason.to_string(),
            after_ms: u64::try_from(switch.after.as_millis()).unwrap_or(u64::MAX),
        };
        warn!(from = note.from, to = note.to, reason = note.reason, "another manager is spoken to");
        let body = json!({
            "from": note.from,
            "to": note.to,
            "reason": note.reason,
            "after_ms": note.after_ms,
        });
        self.exchanges.state.last_switch = Some(note);
        self.figures.switches += 1;
        self.note("agent.manager-switched", Severity::Warning, &body)
    }

    fn note(&mut self, kind: &str, severity: Severity, body: &Value) -> anyhow::Result<()> {
        self.exchanges.note(FleetEvent {
            unix_us: unix_millis().saturating_mul(1_000),
            severity: severity.into(),
            kind: kind.to_owned(),
            body: body.to_string(),
        })
    }

    fn attempt(&mut self, place: usize, purpose: Purpose, until: Timestamp) {
        let Some(manager) = self.settings.managers.get(place).cloned() else { return };
        self.attempts += 1;
        let (number, contact) = (self.attempts, self.contact.clone());
        let (happened, limit) = (self.happened.clone(), until.since(now()));
        let keys = self.exchanges.keys();
        let state = self.exchanges.state.clone();
        let is_registration = !self.is_registered();
        let asked = match purpose {
            Purpose::Test => None,
            Purpose::Exchange if is_registration => None,
            Purpose::Exchange => Some(self.next()),
        };
        let task = tokio::spawn(async move {
            let outcome = match (purpose, asked) {
                (Purpose::Test, _) => contact.test(&manager, limit).await.map(|_seen| None),
                (Purpose::Exchange, Some(asked)) => {
                    contact.ask(&manager, &keys.current, &asked, limit).await.map(Some)
                }
                (Purpose::Exchange, None) => {
                    enroll::ask(&contact, &manager, &keys, &state, limit).await.map(Some)
                }
            };
            // If nobody listens any more, the process ends.
            drop(happened.send(Happening::Attempted { number, outcome: Box::new(outcome) }).await);
        });
        self.attempt = Some(Attempt { number, purpose, begun: now(), task });
    }

    fn next(&mut self) -> crate::contact::Asked {
        let view = View { look: shown(self.look.as_ref()), description: self.description() };
        self.exchanges.next(&view)
    }

    fn description(&self) -> AgentDescription {
        let pin = self.seen.as_ref().map(|seen| hex(&seen.sha256));
        report::description(pin.as_deref(), Some(&self.contact_note()))
    }

    /// Where its managers are and what it knows them by, as its managers are told.
    fn contact_note(&self) -> Value {
        let managers: Vec<String> =
            self.settings.managers.iter().map(ToString::to_string).collect();
        json!({
            "managers": managers,
            "connected_to": self.manager(self.endpoints.current()),
            "last_switch": self.exchanges.state.last_switch,
            "pins": self.contact.pins().iter().map(|pin| hex(pin)).collect::<Vec<_>>(),
        })
    }

    fn tick(&mut self) -> anyhow::Result<()> {
        self.ticks += 1;
        self.look();
        let changed = changed_at(&self.directory);
        if changed != self.settings_changed {
            self.settings_changed = changed;
            self.read_settings()?;
        }
        if self.read_log()? {
            self.step(Event::Wanted)?;
        }
        let is_applying = self.exchanges.state.offer.as_ref();
        let is_applying = is_applying.is_some_and(|offer| offer.outcome == Outcome::Applying);
        if is_applying && self.ticks.is_multiple_of(APPLY_TICKS) {
            self.apply();
        }
        Ok(())
    }

    fn read_settings(&mut self) -> anyhow::Result<()> {
        let settings = match self.directory.settings() {
            Ok(settings) => settings,
            Err(error) => {
                error!(error = %Chain(error.as_ref()), "agent.toml is not used, the former is");
                return Ok(());
            }
        };
        let listed = settings.managers != self.settings.managers;
        let is_other = policy(&settings) != policy(&self.settings);
        self.gateway = find_gateway(&settings);
        self.settings = settings;
        info!("agent.toml has changed");
        if is_other {
            // A machine has one policy for life.
            self.abandon();
            let count = self.settings.managers.len();
            self.endpoints = Endpoints::new(policy(&self.settings), count, now());
        }
        self.endpoints.set_poll(self.poll());
        if listed {
            let count = self.settings.managers.len();
            return self.step(Event::Listed { count });
        }
        Ok(())
    }

    fn asked(&mut self, caller: Caller) -> anyhow::Result<()> {
        match caller.question {
            Question::Status => {
                let said = status::json(&self.status());
                // Whoever went away needs no answer.
                drop(caller.answer.send(said));
                Ok(())
            }
            Question::Reregister | Question::Renew => {
                info!("an operator wants this agent to be registered anew");
                if caller.question == Question::Renew {
                    self.exchanges.make_next_key()?;
                }
                self.waiting.push(caller);
                self.register_anew();
                self.step(Event::Forced)
            }
        }
    }

    /// Whether it may say anything but that it wants to be registered.
    fn is_registered(&self) -> bool {
        self.exchanges.state.joining.is_none() && self.registration == Registration::Settled
    }

    /// Nothing else is said before it is registered anew.
    fn register_anew(&mut self) {
        self.registration = Registration::Wanted;
        self.exchanges.begin_anew();
    }

    fn figures(&self) -> Figures {
        let queue = &self.exchanges.queue;
        let (queue_bytes, queue_bytes_max) = queue.bytes();
        let events_dropped = queue.dropped_here();
        Figures { events_dropped, queue_bytes, queue_bytes_max, ..self.figures.clone() }
    }

    fn status(&self) -> Status {
        let generation = match &self.look {
            Some(Ok(look)) => Some(look.generation),
            Some(Err(_)) | None => None,
        };
        Status {
            current: Some(self.manager(self.endpoints.current())),
            pin: self.seen.as_ref().map(|seen| certificate::fingerprint(&seen.sha256)),
            pins: fingerprints(&self.contact),
            next_failback_s: self.endpoints.failback_at().map(|at| at.since(now()).as_secs()),
            generation,
            drifted: self.drift.is_some(),
            queued: self.exchanges.queue.len(),
            dropped: self.exchanges.queue.dropped(),
            last_exchange_unix: self.last_exchange_unix,
            last_error: self.last_error.clone(),
            figures: Some(self.figures()),
            ..Status::of(&self.settings, &self.exchanges.state)
        }
    }
}

/// How the gateway was found, as managers are told.
fn shown(look: Option<&Result<Look, String>>) -> Option<Result<&Look, &str>> {
    look.map(|look| look.as_ref().map_err(String::as_str))
}

fn fingerprints(contact: &Contact) -> Vec<String> {
    contact.pins().iter().map(|pin| certificate::fingerprint(pin)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the process would say if it ran; who asks has the right to the directory.
pub(crate) fn idle_status(directory: &Directory) -> anyhow::Result<Value> {
    let settings = directory.settings()?;
    let state = directory.state()?.context("there is no agent here")?;
    let pins = fingerprints(&Contact::new(directory.pins()?)?);
    Ok(status::json(&Status { running: false, pins, ..Status::of(&settings, &state) }))
}
