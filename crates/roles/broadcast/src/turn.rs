//! Broadcast's loop: wait, hear, step, tell.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::Context as _;
use mainstay_command::{Effect, Event, Fanout, LOAD_MAX};
use mainstay_config::Host;
use mainstay_config::apply::PROBING_MAX;
use mainstay_message::{Link, receive, send};
use mainstay_model::{Chain, Process, Timestamp};
use mainstay_os::{ChannelListener, Event as StopEvent, Interest, Poller, Signals, now};
use mainstay_wire::broadcast::{Order, ToPeer};
use mainstay_wire::control::{ToProcess, ToSupervisor};
use mainstay_wire::frame::WIRE_VERSION;
use tracing::{debug, info, warn};

use crate::callers::Callers;
use crate::commands::{Ticket, Wanting};
use crate::peers::Peers;
use crate::sessions::Sessions;
use crate::token::Token;

/// Events taken from the kernel at once.
const EVENTS: usize = 64;

/// Less than this is not waited for: what is due now is done in the next turn.
const MOMENT: Duration = Duration::from_millis(1);

/// Loading a generation has its own time beside what the configuration gives its probes.
const _: () = assert!(LOAD_MAX.as_secs() > PROBING_MAX.as_secs());

/// A gateway's broadcast.
#[derive(Debug)]
pub(crate) struct Broadcast {
    pub(crate) host: Host,
    pub(crate) standing: Standing,
    pub(crate) poller: Poller,
    pub(crate) supervisor: Link,
    /// Where processes of the gateway come in.
    pub(crate) door: ChannelListener,
    pub(crate) peers: Peers,
    pub(crate) callers: Callers,
    pub(crate) fanout: Fanout,
    pub(crate) sessions: Sessions,
    /// Who wants the order that is under way.
    pub(crate) wanting: Option<Wanting>,
    /// What the master wants as soon as that is over.
    pub(crate) next: Option<Order>,
    /// What callers want of the master.
    pub(crate) tickets: BTreeMap<u64, Ticket>,
    pub(crate) tickets_seen: u64,
    alive_at: Timestamp,
    course: Course,
}

/// What broadcast is in its process.
#[derive(Debug)]
pub(crate) enum Standing {
    /// All that there is.
    Own { signals: Signals },
    /// A part: the process is master and worker too, and has no standby.
    Beside { stop: StopEvent },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    On,
    /// It was asked to end.
    End,
}

impl Broadcast {
    /// A broadcast that knows nobody yet.
    pub(crate) fn new(host: Host, standing: Standing, supervisor: Link) -> anyhow::Result<Self> {
        // Before anybody can come in.
        let sessions = Sessions::open(&host)?;
        let path = host.run.join("broadcast.sock");
        let door = ChannelListener::bind(&path)
            .with_context(|| format!("cannot listen at {}", path.display()))?;
        let callers = Callers::open(&host)?;
        let fanout = match standing {
            Standing::Own { .. } => Fanout::default(),
            Standing::Beside { .. } => Fanout::without_standby(),
        };
        let mut broadcast = Self {
            host,
            standing,
            poller: Poller::new(EVENTS).context("cannot make a poller")?,
            supervisor,
            door,
            peers: Peers::default(),
            callers,
            fanout,
            sessions,
            wanting: None,
            next: None,
            tickets: BTreeMap::new(),
            tickets_seen: 0,
            alive_at: now(),
            course: Course::On,
        };
        match &broadcast.standing {
            Standing::Own { signals } => broadcast.watch(signals, Token::Signals)?,
            Standing::Beside { stop } => broadcast.watch(stop, Token::Signals)?,
        }
        broadcast.watch(&broadcast.door, Token::PeerDoor)?;
        broadcast.watch_doors()?;
        broadcast.watch_sessions()?;
        broadcast.introduce()?;
        Ok(broadcast)
    }

    /// Turns until the gateway ends.
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        while self.course == Course::On {
            let now = now();
            self.see_to_supervisor(now)?;
            if self.fanout.wake_at().is_some_and(|at| at <= now) {
                self.step(Event::Tick)?;
            }
            self.tick_sessions(now)?;
            self.expire_peers(now)?;
            self.expire_callers(now);
            self.open_missing_door(now)?;
            self.work_for_all()?;
            let limit = self.wait_limit(now);
            let count = self.poller.wait(Some(limit)).context("cannot wait for events")?;
            let tokens: Vec<Token> = (0..count)
                .filter_map(|index| Token::read(self.poller.event(index)?.token))
                .collect();
            for token in tokens {
                self.handle(token)?;
            }
        }
        info!("ended");
        Ok(())
    }

    pub(crate) fn watch(&self, descriptor: impl AsFd, token: Token) -> anyhow::Result<()> {
        self.poller
            .add(descriptor, token.number(), Interest::ReadLevel)
            .context("cannot watch a descriptor")
    }

    fn handle(&mut self, token: Token) -> anyhow::Result<()> {
        match token {
            Token::Signals => {
                let is_asked = match &self.standing {
                    Standing::Own { signals } => {
                        signals.next().context("cannot read a signal")?.is_some()
                    }
                    Standing::Beside { stop } => stop.take().context("cannot read an event")?,
                };
                if is_asked {
                    self.course = Course::End;
                }
                Ok(())
            }
            Token::Supervisor => {
                self.hear_supervisor();
                Ok(())
            }
            Token::PeerDoor => self.let_peers_in(),
            Token::Peer(number) => self.hear_peer(number),
            Token::PeerEnd(number) => self.bury_if_dead(number),
            Token::Door(door) => self.let_callers_in(door),
            Token::Caller(number) => self.hear_caller(number),
            Token::Journal => self.look_at_journal(),
            Token::HolderEnd(pid) => self.bury_holder(pid),
        }
    }

    /// Tells the machine what happened, and does what it asks for.
    pub(crate) fn step(&mut self, event: Event) -> anyhow::Result<()> {
        self.note(&event);
        for effect in self.fanout.step(now(), event) {
            match effect {
                Effect::Do { process, number, order } => {
                    debug!(%process, number, ?order, "process is told");
                    self.tell(process, &ToPeer::Do { number, order })?;
                }
                Effect::End(outcome) => self.end_order(outcome)?,
            }
        }
        Ok(())
    }

    fn introduce(&mut self) -> anyhow::Result<()> {
        self.supervisor
            .watch(&self.poller, Token::Supervisor.number())
            .context("cannot watch the supervisor")?;
        let Some(channel) = self.supervisor.channel() else { return Ok(()) };
        let hello = ToSupervisor::Hello {
            wire: WIRE_VERSION,
            process: Process::Broadcast,
            pid: std::process::id(),
            listeners: Vec::new(),
        };
        if let Err(error) = send(channel, &hello, &[]) {
            debug!(error = %Chain(&error), "cannot say hello to the supervisor");
            self.supervisor.lose(&self.poller, now());
        }
        Ok(())
    }

    /// Shows the supervisor that we turn, or looks for a new one.
    fn see_to_supervisor(&mut self, now: Timestamp) -> anyhow::Result<()> {
        if self.supervisor.search(now) {
            info!("supervisor found");
            self.introduce()?;
        }
        if now < self.alive_at {
            return Ok(());
        }
        self.alive_at = now + self.host.pair.hang_timeout / 4;
        if let Some(channel) = self.supervisor.channel()
            && let Err(error) = send(channel, &ToSupervisor::Alive, &[])
        {
            debug!(error = %Chain(&error), "cannot tell the supervisor that we turn");
        }
        Ok(())
    }

    fn hear_supervisor(&mut self) {
        while let Some(channel) = self.supervisor.channel() {
            match receive::<ToProcess>(channel) {
                Ok(Some((ToProcess::Stop { .. }, _))) => self.course = Course::End,
                Ok(Some((
                    ToProcess::Welcome { .. }
                    | ToProcess::Listening { .. }
                    | ToProcess::NotListening { .. }
                    | ToProcess::Processes { .. }
                    | ToProcess::Noted { .. }
                    | ToProcess::Tally { .. },
                    _,
                ))) => {}
                Ok(None) => return,
                Err(error) => {
                    warn!(error = %Chain(&error), "supervisor is gone");
                    self.supervisor.lose(&self.poller, now());
                }
            }
        }
    }

    /// How long nothing will be due.
    fn wait_limit(&self, now: Timestamp) -> Duration {
        let due = [
            Some(self.alive_at),
            self.supervisor.search_at(),
            self.fanout.wake_at(),
            self.sessions_due(now),
            self.callers.opens_at(),
        ];
        let tick = self.host.pair.hang_timeout;
        let next = due.into_iter().flatten().min();
        next.map_or(tick, |next| next.since(now).clamp(MOMENT, tick))
    }
}
