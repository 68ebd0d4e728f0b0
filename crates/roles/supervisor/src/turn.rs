//! The supervisor's loop: wait, hear, bury, start, tell.
//!
//! ```text
//!              all listeners bound          asked to end           all ended
//!  Gathering ──────────────────────▶ Running ───────────▶ Stopping ─────────▶ Closing ──▶ end
//!     │ an orphan has the socket and                         │ limit,           │ keepers are
//!     └ does not answer: it is killed                        └ or asked twice:  └ gone, or killed
//!                                                              all are killed
//! ```

use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::Context as _;
use mainstay_model::{Generation, Process, Timestamp};
use mainstay_os::{ChannelListener, Interest, Poller, Signals, now};
use mainstay_wire::control::Running;

use crate::arrangement::{self, Change};
use crate::children::{Child, State};
use crate::directory::Directory;
use crate::listeners::Listeners;
use crate::orphans::{Gathering, Guest};
use crate::settings::{Current, Settings};
use crate::telling::Telling;
use crate::token::Token;
use crate::upgrade::{PairWord, Upgrade};
use mainstay_supervise::{Arrangement, Zero};

/// How often it looks around when nothing happens: for what ended and is nobody's.
const TICK: Duration = Duration::from_millis(500);

/// How often it looks while something is about to end.
const SHORT_TICK: Duration = Duration::from_millis(20);

/// Less than this is not waited for: what is due now is done in the next turn.
const MOMENT: Duration = Duration::from_millis(1);

/// Events taken from the kernel at once.
const EVENTS: usize = 64;

/// A gateway's supervisor.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) settings: Settings,
    pub(crate) directory: Directory,
    pub(crate) signals: Signals,
    /// Where orphans come in.
    pub(crate) door: ChannelListener,
    pub(crate) poller: Poller,
    /// What every process is to serve.
    pub(crate) generation: Generation,
    pub(crate) listeners: Listeners,
    pub(crate) children: [Child; 4],
    /// Who came in and has not said Hello.
    pub(crate) guests: Vec<Guest>,
    pub(crate) guests_seen: u32,
    pub(crate) phase: Phase,
    /// What the master was told last.
    pub(crate) told: Vec<Running>,
    /// What the master said of the workers last.
    pub(crate) pair: PairWord,
    pub(crate) upgrade: Option<Upgrade>,
    pub(crate) telling: Telling,
    /// What the gateway is to be.
    pub(crate) target: Arrangement,
    /// What the process at index 0 is, or is started as.
    pub(crate) zero: Zero,
    pub(crate) change: Option<Change>,
    since_unix: u64,
}

/// What the supervisor is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Listening sockets are awaited from orphans.
    Gathering(Gathering),
    Running,
    /// Everyone was asked to end.
    Stopping {
        until: Timestamp,
        haste: Haste,
    },
    /// Everyone ended; keepers may still be there.
    Closing {
        keepers_until: Timestamp,
        until: Timestamp,
        haste: Haste,
    },
}

/// How the gateway is brought to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Haste {
    /// What is open may be finished within the limit.
    Drain,
    /// Asked twice.
    AtOnce,
}

impl Supervisor {
    /// Finds what an earlier supervisor left.
    pub(crate) fn new(
        settings: Settings,
        current: &Current,
        directory: Directory,
        signals: Signals,
        door: ChannelListener,
    ) -> anyhow::Result<Self> {
        let now = now();
        let poller = Poller::new(EVENTS).context("cannot make a poller")?;
        let policy = settings.host.restart;
        let mut supervisor = Self {
            listeners: Listeners::new(&current.listeners),
            generation: current.generation,
            children: Process::SUPERVISED.map(|process| Child::new(process, policy, now)),
            guests: Vec::new(),
            guests_seen: 0,
            phase: Phase::Running,
            told: Vec::new(),
            pair: PairWord::default(),
            upgrade: None,
            telling: Telling::start(&settings.host)?,
            target: arrangement::wanted(settings.host.ha),
            zero: Zero::Master,
            change: None,
            since_unix: mainstay_os::unix_seconds(),
            settings,
            directory,
            signals,
            door,
            poller,
        };
        supervisor.watch(&supervisor.signals, Token::Signals)?;
        supervisor.watch(&supervisor.door, Token::Door)?;
        supervisor.phase = Phase::Gathering(supervisor.find_orphans(now)?);
        Ok(supervisor)
    }

    /// Turns until the gateway has ended.
    pub(crate) fn run(&mut self) -> anyhow::Result<()> {
        loop {
            let left = self.bury()?;
            let now = now();
            self.gather(now)?;
            self.arrange(now);
            self.start_due(now)?;
            self.expire(now)?;
            self.go_on_with_upgrade(now);
            self.welcome_introduced();
            self.tell_master();
            self.see_to_alerts(now);
            if let Some(haste) = self.close(now, left) {
                return self.end(haste);
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

    /// Everyone who runs, as the master is told.
    pub(crate) fn running(&self) -> Vec<Running> {
        let own = Running {
            process: Process::Supervisor,
            pid: std::process::id(),
            since_unix: self.since_unix,
            restarts: 0,
        };
        [own].into_iter().chain(self.children.iter().filter_map(Child::running)).collect()
    }

    pub(crate) fn child_mut(&mut self, place: u32) -> Option<&mut Child> {
        self.children.get_mut(usize::try_from(place).ok()?)
    }

    pub(crate) fn watch(&self, descriptor: impl AsFd, token: Token) -> anyhow::Result<()> {
        self.poller
            .add(descriptor, token.number(), Interest::ReadLevel)
            .context("cannot watch a descriptor")
    }

    fn handle(&mut self, token: Token) -> anyhow::Result<()> {
        match token {
            Token::Signals => {
                while self.signals.next().context("cannot read a signal")?.is_some() {
                    self.asked_to_end(now());
                }
                Ok(())
            }
            Token::Door => self.let_in(now()),
            Token::Guest(number) => self.hear_guest(number),
            Token::Channel(place) => {
                self.hear_child(place);
                Ok(())
            }
            // What ended is found by looking, for all of them at once.
            Token::End(_) | Token::Check => Ok(()),
        }
    }

    /// How long nothing will be due.
    fn wait_limit(&self, now: Timestamp) -> Duration {
        let tick = match self.phase {
            Phase::Running | Phase::Stopping { .. } => TICK,
            Phase::Gathering { .. } | Phase::Closing { .. } => SHORT_TICK,
        };
        let children = self.children.iter().filter_map(|child| match &child.state {
            State::Due(at) if self.phase == Phase::Running => Some(*at),
            State::Due(_) | State::Ended => None,
            State::Alive(life) => self.patience(child.process, life),
        });
        let phase = match self.phase {
            Phase::Stopping { until, .. } if until > now => Some(until),
            Phase::Stopping { .. }
            | Phase::Gathering(_)
            | Phase::Running
            | Phase::Closing { .. } => None,
        };
        let guests = self.guests.iter().map(|guest| guest.until);
        let upgrade = self.upgrade.as_ref().map(Upgrade::until);
        let change = self.change.as_ref().map(Change::until);
        let next = children.chain(phase).chain(guests).chain(upgrade).chain(change).min();
        next.map_or(tick, |next| next.since(now).clamp(MOMENT, tick))
    }
}
