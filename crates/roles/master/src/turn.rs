//! The master's loop: wait, hear, step, hand over.
//!
//! ```text
//!             Welcome             asked to stop, by the supervisor
//!  (waits) ────────────▶ Serving ─────────────────────────────────▶ Stopping ──▶ end
//!                           │ SIGTERM, or its keeper ended                 workers gone, or limit
//!                           └──────────────────────────────────────▶ Leaving ──▶ end, and is
//!                                                                   all handed over   restarted
//! ```

use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::Context as _;
use mainstay_message::Link;
use mainstay_model::{Generation, Slot, Timestamp};
use mainstay_os::{Channel, ChannelListener, Interest, Poller, now};
use mainstay_pair::{Answers, ApplyEvent, Event, Health, Lease};
use mainstay_wire::control::{Running, ToProcess};
use mainstay_wire::event;
use tracing::{info, warn};

use crate::admin::Operators;
use crate::apply::Applying;
use crate::broadcast_link::{Swapping, Told};
use crate::dispatch::Dispatch;
use crate::hooks::RunningHook;
use crate::listeners::Listeners;
use crate::metrics::Metrics;
use crate::one_process::Standing;
use crate::proposal::Proposal;
use crate::refuse::Refusing;
use crate::server::Server;
use crate::sessions::Sessions;
use crate::settings::Settings;
use crate::status::Tally;
use crate::supervisor_link::{SEARCH_INTERVAL, SupervisorLink};
use crate::token::Token;
use crate::workers::{Room, Workers};

/// Events taken from the kernel at once.
const EVENTS: usize = 256;

/// Less than this is not waited for: what is due now is done in the next turn.
const MOMENT: Duration = Duration::from_millis(1);

/// A gateway's master.
#[derive(Debug)]
pub(crate) struct Master {
    pub(crate) settings: Settings,
    pub(crate) standing: Standing,
    pub(crate) poller: Poller,
    pub(crate) link: SupervisorLink,
    pub(crate) broadcast: Link,
    /// What broadcast was told last.
    pub(crate) told: Option<Told>,
    pub(crate) swapping: Option<Swapping>,
    pub(crate) sessions: Sessions,
    pub(crate) listeners: Listeners,
    /// None before the supervisor's first message.
    pub(crate) doors: Option<Doors>,
    /// None before the supervisor's first message.
    pub(crate) lease: Option<Lease>,
    pub(crate) workers: Workers,
    pub(crate) dispatch: Dispatch,
    pub(crate) refusing: Refusing,
    pub(crate) operators: Operators,
    pub(crate) metrics: Option<Metrics>,
    /// None before the supervisor's first message.
    pub(crate) api: Option<Server>,
    pub(crate) generation: Generation,
    /// What is being checked, on its way to become an apply.
    pub(crate) proposal: Option<Proposal>,
    pub(crate) applying: Option<Applying>,
    pub(crate) hook: Option<RunningHook>,
    /// What the active worker had answered when it was looked at last before an apply.
    pub(crate) answered_before: Answers,
    /// As the supervisor said last.
    pub(crate) processes: Vec<Running>,
    /// As the supervisor said last.
    pub(crate) events: event::Tally,
    pub(crate) tally: Tally,
    pub(crate) phase: Phase,
    pub(crate) looked: Timestamp,
}

/// Where others come in.
#[derive(Debug)]
pub(crate) struct Doors {
    pub(crate) workers: ChannelListener,
    pub(crate) admin: ChannelListener,
}

/// What the master is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    /// It hands over what it accepted, and ends.
    Leaving,
    /// The gateway ends.
    Stopping {
        until: Timestamp,
    },
}

impl Phase {
    pub(crate) const fn is_stopping(self) -> bool {
        matches!(self, Self::Stopping { .. })
    }
}

impl Master {
    /// A master that knows nothing yet.
    pub(crate) fn new(
        settings: Settings,
        standing: Standing,
        channel: Channel,
    ) -> anyhow::Result<Self> {
        let now = now();
        let poller = Poller::new(EVENTS).context("cannot make a poller")?;
        let metrics = match &settings.host.metrics {
            Some(metrics) => Some(Metrics::start(metrics.address)?),
            None => None,
        };
        let generation = settings.generation;
        let path = settings.host.run.join("supervisor.sock");
        let broadcast = Link::searching(&settings.host.run.join("broadcast.sock"), now);
        let link = SupervisorLink::new(path, channel, settings.host.pair.hang_timeout / 4, now);
        let mut master = Self {
            settings,
            standing,
            poller,
            link,
            broadcast,
            told: None,
            swapping: None,
            sessions: Sessions::new()?,
            listeners: Listeners::default(),
            doors: None,
            lease: None,
            workers: Workers::default(),
            dispatch: Dispatch::default(),
            refusing: Refusing::default(),
            operators: Operators::default(),
            metrics,
            api: None,
            generation,
            proposal: None,
            applying: None,
            hook: None,
            answered_before: Answers::default(),
            processes: Vec::new(),
            events: event::Tally::default(),
            tally: Tally::default(),
            phase: Phase::Serving,
            looked: now,
        };
        master.watch(&master.sessions, Token::Sessions)?;
        master.standing.watch(&master.poller)?;
        if let Some(metrics) = &master.metrics {
            master.watch(metrics, Token::Metrics)?;
        }
        master.link.introduce(&master.poller, &master.listeners, now)?;
        Ok(master)
    }

    /// Turns until the gateway ends or this process has to.
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        loop {
            let now = now();
            self.link.tick(&self.poller, &self.listeners, now)?;
            self.look_at_workers(now)?;
            if self.lease.as_ref().and_then(Lease::wake_at).is_some_and(|at| at <= now) {
                self.step(Event::Tick)?;
            }
            self.search_broadcast()?;
            self.look_at_watch()?;
            if self.applying.as_ref().is_some_and(|applying| applying.apply.wake_at() <= now) {
                self.step_apply(ApplyEvent::Tick)?;
            }
            self.end_swap()?;
            self.replace_outgrown()?;
            self.tell_decisions()?;
            self.link.tell_pair(self.active(), self.is_whole());
            self.link.tell_news();
            self.hand_over(now)?;
            self.refusing.expire(now);
            self.operators.expire(now);
            self.workers.expire_guests(now);
            let accepting = self.accepting(now);
            self.listeners.watch(&self.poller, accepting)?;
            if self.has_ended(now) {
                self.standing.close();
                info!("ended");
                return Ok(());
            }
            let limit = self.wait_limit(now);
            let count = self.poller.wait(Some(limit)).context("cannot wait for events")?;
            let tokens: Vec<Token> = (0..count)
                .filter_map(|index| Token::read(self.poller.event(index)?.token))
                .collect();
            for token in tokens {
                self.handle(token)?;
            }
        }
    }

    pub(crate) fn watch(&self, descriptor: impl AsFd, token: Token) -> anyhow::Result<()> {
        self.poller
            .add(descriptor, token.number(), Interest::ReadLevel)
            .context("cannot watch a descriptor")
    }

    fn handle(&mut self, token: Token) -> anyhow::Result<()> {
        match token {
            Token::Signals => {
                if self.standing.is_asked_to_end()? {
                    self.leave("asked to end");
                }
                Ok(())
            }
            Token::Keeper => {
                self.standing.forget_keeper(&self.poller)?;
                self.leave("keeper ended");
                Ok(())
            }
            Token::Supervisor => self.hear_supervisor(),
            Token::WorkerDoor => self.let_workers_in(),
            Token::Guest(number) => self.hear_guest(number),
            Token::Worker(number) => self.hear_worker(number),
            Token::WorkerEnd(number) => self.bury_if_dead(number),
            Token::AdminDoor => self.let_operators_in(),
            Token::Operator(number) => self.answer_operator(number),
            Token::Listener(index) => {
                self.accept_at(index);
                Ok(())
            }
            Token::Refused(number) => {
                self.refusing.discard(number);
                Ok(())
            }
            Token::Check => self.end_check(),
            Token::Hook => self.end_hook(),
            Token::Sessions => self.take_loaded_sessions(),
            Token::Broadcast(0) => self.hear_broadcast(),
            // What it said before it died counts.
            Token::Broadcast(_) => {
                self.hear_broadcast()?;
                self.lose_broadcast()
            }
            Token::Metrics => {
                self.answer_metrics();
                Ok(())
            }
        }
    }

    /// Reads what the supervisor said.
    fn hear_supervisor(&mut self) -> anyhow::Result<()> {
        while let Some((message, sockets)) = self.link.receive(&self.poller, now())? {
            match message {
                ToProcess::Welcome { listeners, .. } => {
                    if self.lease.is_none() {
                        let planned = &self.settings.listeners;
                        self.listeners = Listeners::new(listeners, sockets, planned);
                        // What an earlier master had begun and not brought into service came to
                        // nothing.
                        self.undo_what_was_left()?;
                        self.open()?;
                    } else {
                        // Another supervisor: it holds what it is told to.
                        self.tell_supervisor_listeners();
                    }
                }
                ToProcess::Listening { generation, .. } => self.have_opened(generation, sockets)?,
                ToProcess::NotListening { generation, reason } => {
                    self.have_not_opened(generation, reason)?;
                }
                ToProcess::Processes { processes } => {
                    self.expect(&processes)?;
                    self.processes = processes;
                }
                ToProcess::Noted { number } => self.link.noted(number),
                ToProcess::Tally { tally } => self.events = tally,
                ToProcess::Stop { limit_ms } => self.stop(Duration::from_millis(limit_ms))?,
            }
        }
        Ok(())
    }

    /// The gateway ends: nothing new is accepted, and what waits is answered.
    fn stop(&mut self, limit: Duration) -> anyhow::Result<()> {
        if self.phase.is_stopping() {
            return Ok(());
        }
        let now = now();
        info!(limit_ms = limit.as_millis(), "stopping");
        self.phase = Phase::Stopping { until: now + limit };
        self.step(Event::Stopping)?;
        self.stop_own_worker(now)?;
        self.listeners.close_own();
        self.refuse_held(now);
        Ok(())
    }

    /// This process ends when what it accepted is handed over; a new one comes.
    fn leave(&mut self, reason: &str) {
        if self.phase == Phase::Serving {
            warn!(reason, "making way for a new master");
            self.phase = Phase::Leaving;
        }
    }

    fn has_ended(&self, now: Timestamp) -> bool {
        let is_empty = self.dispatch.is_empty() && self.refusing.is_empty();
        match self.phase {
            Phase::Serving => false,
            Phase::Leaving => is_empty,
            Phase::Stopping { until } => (is_empty && self.workers.are_gone()) || now >= until,
        }
    }

    /// Has a worker exchanged that was made for fewer connections than may be by now, as soon as
    /// the other one is not; a new process then stands by in its place.
    fn replace_outgrown(&mut self) -> anyhow::Result<()> {
        let Some(active) = self.active() else { return Ok(()) };
        if self.standing.slot() == Some(active) {
            return self.replace_own_if_outgrown(active);
        }
        let spoken = |slot| self.workers.get(slot).and_then(|worker| worker.spoken.as_ref());
        let (Some(one), Some(other)) = (spoken(active), spoken(active.other())) else {
            return Ok(());
        };
        let serves = other.ledger.configuration() == self.generation.number();
        if one.room == Room::Enough || other.room == Room::Outgrown || !serves || !self.is_whole() {
            return Ok(());
        }
        info!(slot = %active, "worker was made for fewer connections, it is exchanged");
        if let Some(spoken) = self.workers.get_mut(active).and_then(|w| w.spoken.as_mut()) {
            spoken.room = Room::Enough;
        }
        self.step(Event::SwapRequested)
    }

    /// Whether every worker is ready, and nothing is being changed.
    pub(crate) fn is_whole(&self) -> bool {
        let is_changing =
            self.applying.is_some() || self.proposal.is_some() || self.swapping.is_some();
        let is_changing = is_changing || self.hook.is_some();
        !is_changing && self.are_workers_ready()
    }

    /// What is known of the worker in `slot`.
    pub(crate) fn health(&self, slot: Slot) -> Health {
        self.lease.as_ref().map_or(Health::Down, |lease| lease.health(slot))
    }

    /// How long nothing will be due.
    fn wait_limit(&self, now: Timestamp) -> Duration {
        let tick = self.settings.host.pair.hang_timeout / 4;
        let tick = if self.refusing.is_empty() { tick } else { tick.min(SEARCH_INTERVAL) };
        let stop = match self.phase {
            Phase::Stopping { until } => Some(until),
            Phase::Serving | Phase::Leaving => None,
        };
        let next = [
            Some(self.link.due()),
            self.lease.as_ref().and_then(Lease::wake_at),
            self.dispatch.resumes_at(now),
            self.applying.as_ref().map(|applying| applying.wake_at(now)),
            self.broadcast.search_at(),
            stop,
        ];
        let next = next.into_iter().flatten().min();
        next.map_or(tick, |next| next.since(now).clamp(MOMENT, tick))
    }
}
