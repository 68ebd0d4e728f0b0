//! The control thread: one loop over everything that is not a connection.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use anyhow::Context as _;
use mainstay_ledger::Kept;
use mainstay_message::{Link, News, receive, send_within};
use mainstay_model::{Chain, ConnectionId, Generation, Process, Timestamp};
use mainstay_os::{Channel, Interest, Poller, Signals, now, unix_millis};
use mainstay_proxy::{Command, Report};
use mainstay_wire::control::{ToProcess, ToSupervisor};
use mainstay_wire::event::Event;
use mainstay_wire::frame::WIRE_VERSION;
use mainstay_wire::pair::{Adopted, Serving, ToMaster, ToWorker};
use tracing::{debug, info, warn};

use crate::adoption::Adoptions;
use crate::broadcast::Loading;
use crate::lanes::Lanes;
use crate::listeners::{self, Held};
use crate::probes::Probing;
use crate::sessions::Sessions;
use crate::settings::{Leases, Settings};

/// How long a peer that takes nothing is waited for.
pub(crate) const SEND_LIMIT: Duration = Duration::from_millis(200);

/// What the poller tells of.
pub(crate) mod token {
    pub(crate) const SIGNALS: u64 = 0;
    pub(crate) const KEEPER: u64 = 1;
    pub(crate) const LANES: u64 = 2;
    pub(crate) const ESTATES: u64 = 3;
    /// And the next one for its process.
    pub(crate) const MASTER: u64 = 4;
    pub(crate) const MASTER_END: u64 = 5;
    pub(crate) const SUPERVISOR: u64 = 6;
    pub(crate) const SUPERVISOR_END: u64 = 7;
    pub(crate) const BROADCAST: u64 = 8;
    pub(crate) const BROADCAST_END: u64 = 9;
    pub(crate) const PROBES: u64 = 10;
    pub(crate) const SESSIONS: u64 = 11;
    /// And up: one for each claim.
    pub(crate) const CLAIM: u64 = 1_000;
}

/// How the worker's work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Everything was finished or closed.
    Drained,
    /// Everything that is open is for the keeper to offer.
    Left,
    /// The same, but the keeper is dead.
    LeftWithoutKeeper,
}

/// What the worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    Standby,
    Active,
    /// Lanes were told to stop accepting; so many have not answered.
    Revoking(usize),
    /// Lanes finish what they have; so many have not ended.
    Draining(usize),
}

/// The control thread's state: the kept process, and everything else it holds.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) kept: Kept,
    pub(crate) rest: Rest,
}

#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) settings: Settings,
    signals: Signals,
    pub(crate) poller: Poller,
    pub(crate) lanes: Lanes,
    adoptions: Adoptions,
    master: Link,
    supervisor: Link,
    pub(crate) broadcast: Link,
    /// What the supervisor has not written down yet.
    news: News,
    /// All listening sockets, those that the master accepts from too: a keeper knows by them
    /// which sockets are clients'.
    pub(crate) listeners: Vec<Held>,
    /// What the master said last.
    pub(crate) current: Option<Generation>,
    pub(crate) course: Course,
    /// It asked to be replaced.
    pub(crate) leaving: Leaving,
    pub(crate) loading: Option<Loading>,
    pub(crate) probing: Option<Probing>,
    pub(crate) sessions: Sessions,
}

/// Whether the process asked to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    No,
    /// As soon as the other worker serves.
    Asked,
}

impl Control {
    pub(crate) fn new(
        settings: Settings,
        signals: Signals,
        kept: Kept,
        lanes: Lanes,
        supervisor: Option<Channel>,
    ) -> anyhow::Result<Self> {
        let poller = Poller::new(64).context("cannot wait for events")?;
        poller
            .add(&signals, token::SIGNALS, Interest::ReadLevel)
            .context("cannot wait for signals")?;
        kept.watch(&poller, token::KEEPER).context("cannot watch the keeper")?;
        lanes.watch(&poller, token::LANES).context("cannot watch the lanes")?;
        let adoptions = Adoptions::new(settings.keepers(), &poller)?;
        let run = &settings.host.run;
        let master = Link::searching(&run.join("master.sock"), now());
        let supervisor = match supervisor {
            Some(channel) => Link::connected(&run.join("supervisor.sock"), channel),
            None => Link::absent(),
        };
        let broadcast = Link::searching(&run.join("broadcast.sock"), now());
        let announce_at = now() + settings.host.sessions.await_timeout;
        let sessions = Sessions::new(&poller, announce_at)?;
        let rest = Rest {
            settings,
            signals,
            poller,
            lanes,
            adoptions,
            master,
            supervisor,
            broadcast,
            news: News::default(),
            listeners: Vec::new(),
            current: None,
            course: Course::Standby,
            leaving: Leaving::No,
            loading: None,
            probing: None,
            sessions,
        };
        Ok(Self { kept, rest })
    }

    /// Works until the process is to end.
    pub(crate) fn run(&mut self) -> anyhow::Result<Ending> {
        self.introduce_to_supervisor()?;
        loop {
            self.search()?;
            self.announce();
            let limit = self.next_search();
            let count = self.rest.poller.wait(limit).context("cannot wait for events")?;
            let tokens: VecDeque<u64> = (0..count)
                .filter_map(|index| self.rest.poller.event(index))
                .map(|e| e.token)
                .collect();
            for token in tokens {
                if let Some(ending) = self.react(token)? {
                    return Ok(ending);
                }
            }
        }
    }

    fn next_search(&self) -> Option<Duration> {
        let rest = &self.rest;
        let searches = [&rest.master, &rest.supervisor, &rest.broadcast].map(Link::search_at);
        let due = searches.into_iter().chain([rest.sessions.due()]);
        due.flatten().min().map(|at| at.since(now()))
    }

    /// Looks for whoever is away.
    fn search(&mut self) -> anyhow::Result<()> {
        if self.rest.master.search(now()) {
            self.rest.master.watch(&self.rest.poller, token::MASTER)?;
            self.introduce_to_master();
        }
        if self.rest.supervisor.search(now()) {
            info!("a new supervisor is there");
            self.introduce_to_supervisor()?;
        }
        self.tell_news();
        self.search_broadcast()
    }

    fn react(&mut self, token: u64) -> anyhow::Result<Option<Ending>> {
        let rest = &mut self.rest;
        match token {
            token::SIGNALS => {
                if rest.signals.next().context("cannot read a signal")?.is_some() {
                    info!("asked to end, handing over");
                    return self.leave();
                }
            }
            token::KEEPER => {
                if self.kept.has_lost_keeper()? {
                    self.kept.unwatch(&rest.poller).context("cannot stop watching the keeper")?;
                    warn!("the keeper is dead, asking to be replaced");
                    return self.leave();
                }
            }
            token::LANES => return self.hear_lanes(),
            token::ESTATES => {
                rest.adoptions.clear_watch();
                self.claim_estates()?;
            }
            token::MASTER => return self.hear_master(),
            token::MASTER_END => {
                // What it said before it died counts.
                let ending = self.hear_master()?;
                self.lose_master();
                return Ok(ending);
            }
            token::SUPERVISOR => return self.hear_supervisor(),
            token::SUPERVISOR_END => rest.supervisor.lose(&rest.poller, now()),
            token::BROADCAST => return self.hear_broadcast(),
            token::BROADCAST_END => {
                let ending = self.hear_broadcast()?;
                self.rest.broadcast.lose(&self.rest.poller, now());
                return Ok(ending);
            }
            token::PROBES => self.end_probes()?,
            token::SESSIONS => self.take_loaded()?,
            claim => {
                let number = claim.saturating_sub(token::CLAIM);
                let adopted = rest.adoptions.receive(number, &mut rest.lanes, now())?;
                self.have_adopted(adopted)?;
            }
        }
        Ok(None)
    }

    /// Has an operator hear of a connection that a worker died of.
    fn tell_of_suspect(&mut self, connection: ConnectionId, client: String) {
        let slot = self.rest.settings.slot;
        let event = Event::ConnectionSuspected { slot, connection, client };
        match self.rest.settings.leases {
            Leases::AsConfigured => {
                self.rest.news.note(unix_millis(), event);
                self.tell_news();
            }
            Leases::All => self.tell_master(&ToMaster::Told { unix_ms: unix_millis(), event }),
        }
    }

    /// Tells the supervisor what it was not told; one that cannot take it now hears it later.
    fn tell_news(&mut self) {
        let Some(channel) = self.rest.supervisor.channel() else { return };
        if let Err(error) = self.rest.news.tell(channel) {
            debug!(error = %Chain(&error), "cannot tell the supervisor what happened");
        }
    }

    fn introduce_to_supervisor(&mut self) -> anyhow::Result<()> {
        let rest = &mut self.rest;
        rest.news.begin_again();
        rest.supervisor.watch(&rest.poller, token::SUPERVISOR)?;
        let Some(channel) = rest.supervisor.channel() else { return Ok(()) };
        let (listeners, sockets) = listeners::for_supervisor(&rest.listeners);
        let hello = ToSupervisor::Hello {
            wire: WIRE_VERSION,
            process: Process::Worker(rest.settings.slot),
            pid: std::process::id(),
            listeners,
        };
        if let Err(error) = send_within(channel, &hello, &sockets, SEND_LIMIT) {
            warn!(error = %Chain(&error), "cannot say hello to the supervisor");
            rest.supervisor.lose(&rest.poller, now());
        }
        Ok(())
    }

    fn introduce_to_master(&mut self) {
        let rest = &self.rest;
        let serving = match rest.course {
            Course::Active | Course::Revoking(_) => Serving::Active,
            Course::Standby | Course::Draining(_) => Serving::Standby,
        };
        let hello = ToMaster::Hello {
            wire: WIRE_VERSION,
            slot: rest.settings.slot,
            pid: std::process::id(),
            keeper_pid: self.kept.keeper_pid(),
            serving,
            threads: u16::try_from(rest.lanes.count()).unwrap_or(u16::MAX),
        };
        let mut descriptors: Vec<BorrowedFd<'_>> =
            vec![self.kept.file().as_fd(), self.kept.orphaned().as_fd()];
        descriptors.extend(rest.lanes.senders().iter().map(AsFd::as_fd));
        let sent = match rest.master.channel() {
            Some(channel) => send_within(channel, &hello, &descriptors, SEND_LIMIT),
            None => return,
        };
        if let Err(error) = sent {
            warn!(error = %Chain(&error), "cannot say hello to the master");
            self.lose_master();
        }
    }

    fn lose_master(&mut self) {
        let rest = &mut self.rest;
        rest.sessions.forget_master();
        rest.master.lose(&rest.poller, now());
    }

    /// A master that cannot be told is gone, and its successor asks anew.
    pub(crate) fn tell_master(&mut self, message: &ToMaster) {
        let Some(channel) = self.rest.master.channel() else { return };
        if let Err(error) = send_within(channel, message, &[], SEND_LIMIT) {
            warn!(error = %Chain(&error), "cannot tell the master");
            self.lose_master();
        }
    }

    fn hear_master(&mut self) -> anyhow::Result<Option<Ending>> {
        loop {
            let Some(channel) = self.rest.master.channel() else { return Ok(None) };
            let (message, descriptors) = match receive::<ToWorker>(channel) {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(None),
                Err(error) => {
                    info!(error = %Chain(&error), "the master's channel ended");
                    self.lose_master();
                    return Ok(None);
                }
            };
            match message {
                ToWorker::Welcome { listeners, current } => {
                    self.hold(listeners, descriptors, current)?;
                    self.be_welcome();
                    if let Some(ending) = self.make_way_if_outgrown()? {
                        return Ok(Some(ending));
                    }
                }
                ToWorker::Listeners { listeners, current } => {
                    self.hold(listeners, descriptors, current)?;
                    if let Some(ending) = self.make_way_if_outgrown()? {
                        return Ok(Some(ending));
                    }
                }
                ToWorker::Serve => self.serve()?,
                ToWorker::Revoke => self.revoke()?,
                ToWorker::HandOver => {
                    let is_alone = self.rest.settings.leases == Leases::All;
                    if is_alone || self.rest.course == Course::Standby {
                        info!("handing over what is open");
                        return self.leave();
                    }
                }
                ToWorker::Stop { limit_ms } => self.drain(limit_ms)?,
            }
        }
    }

    fn be_welcome(&mut self) {
        self.may_announce();
        if self.rest.leaving == Leaving::Asked {
            self.tell_master(&ToMaster::Leaving);
        }
    }

    fn serve(&mut self) -> anyhow::Result<()> {
        if self.rest.course == Course::Standby {
            self.rest.course = Course::Active;
            self.rest.lanes.tell_all(|| Command::Accept)?;
            info!(slot = %self.rest.settings.slot, "active");
        }
        self.claim_estates()
    }

    /// Tells of an estate that was taken over, and looks for the next.
    fn have_adopted(&mut self, adopted: Option<Adopted>) -> anyhow::Result<()> {
        let Some(adopted) = adopted else { return Ok(()) };
        if !adopted.is_empty() {
            let Adopted { from_pid, connections, fresh, closed, suspects, micros } = adopted;
            info!(from_pid, connections, fresh, closed, suspects, micros, "connections adopted");
            self.tell_master(&ToMaster::Adopted(adopted));
        }
        self.claim_estates()
    }

    fn claim_estates(&mut self) -> anyhow::Result<()> {
        if self.rest.course != Course::Active {
            return Ok(());
        }
        let rest = &mut self.rest;
        rest.adoptions.claim_all(&self.kept, &rest.lanes, &rest.poller, now())
    }

    fn revoke(&mut self) -> anyhow::Result<()> {
        match self.rest.course {
            Course::Active => {
                self.rest.course = Course::Revoking(self.rest.lanes.count());
                self.rest.lanes.tell_all(|| Command::StopAccepting)
            }
            Course::Revoking(_) => Ok(()),
            Course::Standby | Course::Draining(_) => {
                self.tell_master(&ToMaster::Revoked);
                Ok(())
            }
        }
    }

    fn hear_lanes(&mut self) -> anyhow::Result<Option<Ending>> {
        for (lane, report) in self.rest.lanes.reports()? {
            if matches!(report, Report::Ended) {
                self.lane_ended(lane)?;
            }
            match (report, self.rest.course) {
                (Report::Adopted { ticket, adopted }, _) => {
                    let whole = self.rest.adoptions.taken(ticket, adopted, now());
                    self.have_adopted(whole)?;
                }
                (Report::Suspected { connection, client }, _) => {
                    self.tell_of_suspect(connection, client);
                }
                (Report::Loaded, _) => {
                    if let Some(ending) = self.lane_loaded()? {
                        return Ok(Some(ending));
                    }
                }
                (Report::SessionsChanged, _) => self.lane_changed(lane)?,
                (Report::Used(uses), _) => self.tell_uses(uses),
                (Report::Received, _) => {
                    if self.rest.adoptions.lane_received() {
                        self.claim_estates()?;
                    }
                }
                (Report::Stopped, Course::Revoking(1)) => {
                    self.rest.course = Course::Standby;
                    info!(slot = %self.rest.settings.slot, "standby");
                    self.tell_master(&ToMaster::Revoked);
                    if self.rest.leaving == Leaving::Asked {
                        return self.retire().map(Some);
                    }
                    if let Some(ending) = self.make_way_if_outgrown()? {
                        return Ok(Some(ending));
                    }
                }
                (Report::Stopped, Course::Revoking(left)) => {
                    self.rest.course = Course::Revoking(left - 1);
                }
                (Report::Ended, Course::Draining(1)) => {
                    self.rest.lanes.join();
                    info!(slot = %self.rest.settings.slot, "worker ended");
                    return Ok(Some(Ending::Drained));
                }
                (Report::Ended, Course::Draining(left)) => {
                    self.rest.course = Course::Draining(left - 1);
                }
                (Report::Stopped | Report::Ended, _) => {}
            }
        }
        Ok(None)
    }

    fn hear_supervisor(&mut self) -> anyhow::Result<Option<Ending>> {
        loop {
            let rest = &mut self.rest;
            let Some(channel) = rest.supervisor.channel() else { return Ok(None) };
            match receive::<ToProcess>(channel) {
                Ok(Some((ToProcess::Stop { limit_ms }, _))) => self.drain(limit_ms)?,
                Ok(Some((ToProcess::Noted { number }, _))) => rest.news.noted(number),
                // The rest is the master's to hear.
                Ok(Some((
                    ToProcess::Welcome { .. }
                    | ToProcess::Listening { .. }
                    | ToProcess::NotListening { .. }
                    | ToProcess::Processes { .. }
                    | ToProcess::Tally { .. },
                    _,
                ))) => {}
                Ok(None) => return Ok(None),
                Err(error) => {
                    warn!(error = %Chain(&error), "the supervisor is gone, serving on");
                    rest.supervisor.lose(&rest.poller, now());
                    return Ok(None);
                }
            }
        }
    }

    /// Finishes what is open within a limit.
    fn drain(&mut self, limit_ms: u64) -> anyhow::Result<()> {
        if matches!(self.rest.course, Course::Draining(_)) {
            return Ok(());
        }
        info!(limit_ms, "draining");
        self.rest.course = Course::Draining(self.rest.lanes.count());
        let until: Timestamp = now() + Duration::from_millis(limit_ms);
        self.rest.lanes.tell_all(|| Command::Drain { until })
    }

    /// Asks to be replaced; a worker that does not serve just goes.
    pub(crate) fn leave(&mut self) -> anyhow::Result<Option<Ending>> {
        self.rest.leaving = Leaving::Asked;
        self.tell_master(&ToMaster::Leaving);
        match self.rest.course {
            Course::Standby => self.retire().map(Some),
            Course::Active | Course::Revoking(_) | Course::Draining(_) => Ok(None),
        }
    }

    /// Ends all lanes between two steps, so that the ledger says the truth.
    fn retire(&mut self) -> anyhow::Result<Ending> {
        self.rest.lanes.tell_all(|| Command::Retire)?;
        self.rest.lanes.join();
        info!(slot = %self.rest.settings.slot, "worker left");
        Ok(if self.kept.has_lost_keeper()? { Ending::LeftWithoutKeeper } else { Ending::Left })
    }
}
