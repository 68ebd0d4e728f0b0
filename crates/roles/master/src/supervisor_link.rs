//! The channel to the supervisor, and the search for a new one when it is gone.
//!
//! The supervisor has no keeper, so the end of its channel is its end. Nothing else depends
//! on it: the master goes on with what it has.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use mainstay_message::{MessageError, News, receive, send, send_within};
use mainstay_model::{Chain, Process, Slot, Timestamp};
use mainstay_os::{Channel, Interest, Poller, unix_millis};
use mainstay_wire::control::{ToProcess, ToSupervisor};
use mainstay_wire::event::Event;
use mainstay_wire::frame::WIRE_VERSION;
use tracing::{debug, info, warn};

use crate::listeners::Listeners;
use crate::token::Token;

/// How often a new supervisor is looked for.
pub(crate) const SEARCH_INTERVAL: Duration = Duration::from_millis(50);

/// How long one that takes nothing is waited for, with what it must not miss.
const SEND_LIMIT: Duration = Duration::from_millis(100);

/// The way to the supervisor.
#[derive(Debug)]
pub(crate) struct SupervisorLink {
    /// Where a new supervisor is found.
    path: PathBuf,
    state: State,
    alive_interval: Duration,
    alive_at: Timestamp,
    /// What it was told of the workers.
    told: Option<(Option<Slot>, bool)>,
    /// What it has not written down yet.
    news: News,
    stand_in: StandIn,
}

/// A worker that stands in for the one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StandIn {
    Unneeded,
    Wanted,
    /// This supervisor knows.
    AskedFor,
}

#[derive(Debug)]
enum State {
    Connected(Channel),
    /// Looked for again at this instant.
    Searching(Timestamp),
}

impl SupervisorLink {
    /// The link of a process that a supervisor started.
    pub(crate) fn new(
        path: PathBuf,
        channel: Channel,
        alive_interval: Duration,
        now: Timestamp,
    ) -> Self {
        Self {
            path,
            state: State::Connected(channel),
            alive_interval,
            alive_at: now,
            told: None,
            news: News::default(),
            stand_in: StandIn::Unneeded,
        }
    }

    /// Has the supervisor hear of something; one that is away, as soon as it is back.
    pub(crate) fn note(&mut self, event: Event) {
        self.note_at(unix_millis(), event);
    }

    /// The same of something that happened at this time.
    pub(crate) fn note_at(&mut self, unix_ms: u64, event: Event) {
        self.news.note(unix_ms, event);
    }

    /// The supervisor has written down what it was told, up to this number.
    pub(crate) fn noted(&mut self, number: u64) {
        self.news.noted(number);
    }

    /// Tells what waits. What a supervisor that does not read cannot take now is told later.
    pub(crate) fn tell_news(&mut self) {
        if let State::Connected(channel) = &self.state
            && let Err(error) = self.news.tell(channel)
        {
            debug!(error = %Chain(&error), "cannot tell the supervisor what happened");
        }
    }

    /// Has the supervisor start a worker beside this process.
    pub(crate) const fn want_stand_in(&mut self) {
        self.stand_in = StandIn::Wanted;
    }

    /// Watches the channel and says Hello on it.
    pub(crate) fn introduce(
        &mut self,
        poller: &Poller,
        listeners: &Listeners,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        let State::Connected(channel) = &self.state else { return Ok(()) };
        poller
            .add(channel, Token::Supervisor.number(), Interest::ReadLevel)
            .context("cannot watch the supervisor's channel")?;
        let (names, sockets) = listeners.all();
        let hello = ToSupervisor::Hello {
            wire: WIRE_VERSION,
            process: Process::Master,
            pid: std::process::id(),
            listeners: names,
        };
        self.told = None;
        self.news.begin_again();
        if self.stand_in == StandIn::AskedFor {
            self.stand_in = StandIn::Wanted;
        }
        if let Err(error) = send(channel, &hello, &sockets) {
            debug!(error = %Chain(&error), "cannot say hello to the supervisor");
            self.lose(poller, now)?;
        }
        Ok(())
    }

    /// Says who serves, and whether the gateway is whole, if that has changed.
    pub(crate) fn tell_pair(&mut self, active: Option<Slot>, is_whole: bool) {
        let State::Connected(channel) = &self.state else { return };
        if self.stand_in == StandIn::Wanted {
            match send(channel, &ToSupervisor::StandIn, &[]) {
                Ok(()) => self.stand_in = StandIn::AskedFor,
                Err(error) => debug!(error = %Chain(&error), "cannot ask for a stand-in"),
            }
        }
        if self.told == Some((active, is_whole)) {
            return;
        }
        match send(channel, &ToSupervisor::Pair { active, is_whole }, &[]) {
            Ok(()) => self.told = Some((active, is_whole)),
            // It is told in the next turn, or its end is seen when its channel is read.
            Err(error) => debug!(error = %Chain(&error), "cannot tell the supervisor who serves"),
        }
    }

    /// Says something to a supervisor that is there. What it does not hear it is told again when
    /// it is back.
    pub(crate) fn tell(&self, message: &ToSupervisor, descriptors: &[BorrowedFd<'_>]) {
        let State::Connected(channel) = &self.state else { return };
        if let Err(error) = send_within(channel, message, descriptors, SEND_LIMIT) {
            debug!(error = %Chain(&error), "cannot tell the supervisor");
        }
    }

    /// The next message, if there is one.
    pub(crate) fn receive(
        &mut self,
        poller: &Poller,
        now: Timestamp,
    ) -> anyhow::Result<Option<(ToProcess, Vec<OwnedFd>)>> {
        let State::Connected(channel) = &self.state else { return Ok(None) };
        match receive(channel) {
            Ok(message) => Ok(message),
            Err(error) => {
                match &error {
                    MessageError::Channel { .. } => warn!("supervisor is gone"),
                    MessageError::Frame { .. } => {
                        warn!(error = %Chain(&error), "cannot understand the supervisor");
                    }
                }
                self.lose(poller, now)?;
                Ok(None)
            }
        }
    }

    /// Shows the supervisor that we turn, or looks for a new one.
    pub(crate) fn tick(
        &mut self,
        poller: &Poller,
        listeners: &Listeners,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        match &self.state {
            State::Connected(channel) => {
                if now < self.alive_at {
                    return Ok(());
                }
                self.alive_at = now + self.alive_interval;
                // One that takes nothing now is not waited for; one that ended is seen when
                // its channel is read.
                if let Err(error) = send(channel, &ToSupervisor::Alive, &[]) {
                    debug!(error = %Chain(&error), "cannot tell the supervisor that we turn");
                }
                Ok(())
            }
            State::Searching(at) if *at > now => Ok(()),
            State::Searching(_) => match Channel::connect(&self.path) {
                Ok(channel) => {
                    info!("supervisor found");
                    self.state = State::Connected(channel);
                    self.introduce(poller, listeners, now)
                }
                Err(_) => {
                    self.state = State::Searching(now + SEARCH_INTERVAL);
                    Ok(())
                }
            },
        }
    }

    /// When [`SupervisorLink::tick`] has something to do.
    pub(crate) const fn due(&self) -> Timestamp {
        match self.state {
            State::Connected(_) => self.alive_at,
            State::Searching(at) => at,
        }
    }

    fn lose(&mut self, poller: &Poller, now: Timestamp) -> anyhow::Result<()> {
        if let State::Connected(channel) = &self.state {
            poller.remove(channel).context("cannot stop watching the supervisor's channel")?;
        }
        self.state = State::Searching(now + SEARCH_INTERVAL);
        Ok(())
    }
}
