//! How workers come, what they say, and how their end is noticed.

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Context as _;
use mainstay_ledger::Observer;
use mainstay_message::{receive, send};
use mainstay_model::{Chain, Process, Slot, Timestamp};
use mainstay_os::{Channel, ChannelListener, Event as OsEvent, Pidfd, SharedFile, now};
use mainstay_pair::{Event, Lease, Limits};
use mainstay_wire::control::Running;
use mainstay_wire::event;
use mainstay_wire::frame::WIRE_VERSION;
use mainstay_wire::pair::{Adopted, Serving, ToMaster, ToWorker};
use tracing::{debug, info, warn};

use crate::api;
use crate::pulse::Pulse;
use crate::token::Token;
use crate::turn::{Doors, Master};
use crate::workers::{Announced, Room, Spoken, Workers, open_running};

/// How long a worker that said Hello may take to announce itself.
const READY_LIMIT: Duration = Duration::from_secs(10);

/// How long a worker whose channel ended may take to come back.
const RETURN_LIMIT: Duration = Duration::from_secs(2);

/// A worker's Hello, with the channel it came on.
struct Hello {
    channel: Channel,
    slot: Slot,
    pid: u32,
    keeper_pid: u32,
    serving: Serving,
    ledger: Observer,
    orphaned: OsEvent,
    lanes: Vec<Channel>,
}

/// What is in the slot that a process is to have.
enum Place {
    Free,
    /// The process itself.
    Own,
    /// Another, which lives.
    Taken {
        present: u32,
    },
}

impl Master {
    /// The supervisor gave the listeners: from here on workers and operators may come.
    pub(crate) fn open(&mut self) -> anyhow::Result<()> {
        let run = self.settings.host.run.clone();
        let (workers, living) = Workers::find(&run, &self.poller)?;
        self.workers = workers;
        let bind = |name: &str| {
            let path = run.join(name);
            ChannelListener::bind(&path)
                .with_context(|| format!("cannot listen at {}", path.display()))
        };
        let doors = Doors { workers: bind("master.sock")?, admin: bind("admin.sock")? };
        self.watch(&doors.workers, Token::WorkerDoor)?;
        self.watch(&doors.admin, Token::AdminDoor)?;
        self.doors = Some(doors);
        // It asks at the door like everybody else.
        self.api = Some(api::start(&self.settings)?);
        let pair = &self.settings.host.pair;
        let limits = Limits { hold: pair.hold_timeout, hang: pair.hang_timeout };
        let (lease, effects) = Lease::start(limits, living, now());
        self.lease = Some(lease);
        self.perform(effects)
    }

    /// Lets in whoever is at the workers' door.
    pub(crate) fn let_workers_in(&mut self) -> anyhow::Result<()> {
        loop {
            let Some(doors) = &self.doors else { return Ok(()) };
            let Some(channel) = doors.workers.accept().context("cannot accept a worker")? else {
                return Ok(());
            };
            match self.workers.let_in(channel, now()) {
                Some((number, channel)) => self
                    .poller
                    .add(channel, Token::Guest(number).number(), mainstay_os::Interest::ReadLevel)
                    .context("cannot watch a worker")?,
                None => warn!("too many connections at master.sock, one was closed"),
            }
        }
    }

    /// Reads the Hello of someone at the door.
    pub(crate) fn hear_guest(&mut self, number: u32) -> anyhow::Result<()> {
        let Some(channel) = self.workers.guest(number) else { return Ok(()) };
        let received = match receive::<ToMaster>(channel) {
            Ok(None) => return Ok(()),
            Ok(Some(received)) => Some(received),
            Err(error) => {
                info!(error = %Chain(&error), "connection at master.sock is closed");
                None
            }
        };
        let Some(channel) = self.workers.take_guest(number) else { return Ok(()) };
        self.poller.remove(&channel).context("cannot stop watching a worker")?;
        let Some((message, descriptors)) = received else { return Ok(()) };
        match read_hello(channel, &message, descriptors) {
            Ok(hello) => self.arrive(hello),
            Err(error) => {
                warn!(error = %Chain(error.as_ref()), "worker is not welcome");
                Ok(())
            }
        }
    }

    /// Expects the first word of a worker that the supervisor says it has started.
    pub(crate) fn expect(&mut self, processes: &[Running]) -> anyhow::Result<()> {
        for &Running { process, pid, .. } in processes {
            let Process::Worker(slot) = process else { continue };
            // Whose place is taken has come already, or is not what is to be there.
            let Place::Free = self.vacate(slot, pid)? else { continue };
            if let Some(pidfd) = open_running(&self.settings.host.run, process, pid) {
                self.workers.add(&self.poller, slot, pid, pidfd)?;
                self.step(Event::Started(slot))?;
            }
        }
        Ok(())
    }

    /// Buries a dead worker whose slot `pid` is to have.
    fn vacate(&mut self, slot: Slot, pid: u32) -> anyhow::Result<Place> {
        let Some(present) = self.workers.get(slot) else { return Ok(Place::Free) };
        if present.pid == pid {
            return Ok(Place::Own);
        }
        if !present.is_dead()? {
            return Ok(Place::Taken { present: present.pid });
        }
        self.bury(slot)?;
        Ok(Place::Free)
    }

    /// Gives a worker its place.
    fn arrive(&mut self, hello: Hello) -> anyhow::Result<()> {
        let (slot, pid) = (hello.slot, hello.pid);
        match self.vacate(slot, pid)? {
            Place::Own => {}
            Place::Free => {
                // Gone already: another comes.
                let Ok(pidfd) = Pidfd::open(pid) else { return Ok(()) };
                self.workers.add(&self.poller, slot, pid, pidfd)?;
            }
            Place::Taken { present } => {
                warn!(%slot, pid, present, "slot is taken, worker is not welcome");
                return Ok(());
            }
        }
        let listeners = self.listeners.for_worker();
        let welcome = ToWorker::Welcome { listeners, current: self.generation };
        if let Err(error) = send(&hello.channel, &welcome, &self.listeners.all().1) {
            warn!(%slot, pid, error = %Chain(&error), "cannot welcome a worker");
            return Ok(());
        }
        let now = now();
        let serving = hello.serving;
        let announced = match serving {
            Serving::Active => Announced::Ready,
            Serving::Standby => Announced::Awaited { until: now + READY_LIMIT },
        };
        let spoken = Spoken {
            channel: hello.channel,
            keeper_pid: hello.keeper_pid,
            orphaned: hello.orphaned,
            pulse: Pulse::new(hello.ledger.lanes(), now),
            ledger: hello.ledger,
            lanes: hello.lanes,
            next_lane: 0,
            announced,
            room: Room::Enough,
        };
        let Some(worker) = self.workers.get_mut(slot) else { return Ok(()) };
        worker.speak(&self.poller, spoken)?;
        info!(%slot, pid, ?serving, "worker arrived");
        if self.standing.slot() == Some(slot) {
            self.stop_own_worker(now)?;
        }
        self.step(Event::Arrived { slot, serving })
    }

    /// Reads all that a worker has said.
    pub(crate) fn hear_worker(&mut self, number: u32) -> anyhow::Result<()> {
        loop {
            // Each time anew: what it says may be its end.
            let Some(worker) = self.workers.numbered(number) else { return Ok(()) };
            let (slot, pid) = (worker.slot, worker.pid);
            let Some(spoken) = &worker.spoken else { return Ok(()) };
            match receive::<ToMaster>(&spoken.channel) {
                Ok(None) => return Ok(()),
                Ok(Some((message, _))) => self.on_message(slot, pid, &message)?,
                Err(error) => {
                    // It ends, or connects anew.
                    info!(%slot, pid, error = %Chain(&error), "channel of a worker ended");
                    let Some(worker) = self.workers.get_mut(slot) else { return Ok(()) };
                    worker.missing_until = Some(now() + RETURN_LIMIT);
                    return worker.unspeak(&self.poller);
                }
            }
        }
    }

    fn on_message(&mut self, slot: Slot, pid: u32, message: &ToMaster) -> anyhow::Result<()> {
        let Some(worker) = self.workers.get_mut(slot) else { return Ok(()) };
        match message {
            ToMaster::Ready => {
                worker.announce(Announced::Ready);
                info!(%slot, pid, "worker is ready");
                self.step(Event::Ready(slot))?;
                self.swap_if_ready()?;
                self.activate_awaited()
            }
            ToMaster::Told { unix_ms, event } => {
                self.pass_on(slot, *unix_ms, event);
                Ok(())
            }
            ToMaster::Outgrown => {
                if let Some(spoken) = &mut worker.spoken {
                    spoken.room = Room::Outgrown;
                }
                Ok(())
            }
            ToMaster::Revoked => {
                if worker.announced() == Some(Announced::Leaving) {
                    worker.announce(Announced::Nothing);
                }
                self.step(Event::Revoked(slot))
            }
            ToMaster::Leaving => {
                let serves = self.lease.as_ref().and_then(Lease::holder) == Some(slot);
                worker.announce(if serves { Announced::Leaving } else { Announced::Nothing });
                info!(%slot, pid, "worker asks to be replaced");
                self.step(Event::Leaving(slot))?;
                self.let_go_alone(slot)
            }
            ToMaster::Adopted(adopted) => {
                self.report_adoption(slot, *adopted);
                Ok(())
            }
            ToMaster::Hello { .. } => {
                warn!(%slot, pid, "worker said hello twice");
                Ok(())
            }
        }
    }

    fn report_adoption(&mut self, slot: Slot, adopted: Adopted) {
        let Adopted { from_pid, connections, fresh, closed, suspects, micros } = adopted;
        // The worker has said so at a higher level.
        debug!(
            %slot, from_pid, connections, fresh, closed, suspects, micros,
            "worker adopted"
        );
        if suspects > 0 {
            warn!(
                %slot, from_pid, suspects,
                "connections were being worked on when their process died by its own fault"
            );
        }
        if closed > 0 {
            self.link.note(event::Event::ConnectionsLost { slot, from_pid, connections: closed });
        }
        self.tally.add(adopted);
    }

    /// Looks whether the worker with this number is dead, and tells of it.
    pub(crate) fn bury_if_dead(&mut self, number: u32) -> anyhow::Result<()> {
        let Some(worker) = self.workers.numbered(number) else { return Ok(()) };
        let slot = worker.slot;
        if worker.is_dead()? { self.bury(slot) } else { Ok(()) }
    }

    fn bury(&mut self, slot: Slot) -> anyhow::Result<()> {
        if let Some(worker) = self.workers.get(slot) {
            info!(%slot, pid = worker.pid, "worker is dead");
        }
        self.workers.remove(&self.poller, slot)?;
        self.step(Event::Died(slot))
    }

    /// Finds workers that stand still, four times in each limit.
    pub(crate) fn look_at_workers(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let limit = self.settings.host.pair.hang_timeout;
        // In a gateway that ends, threads end too; the supervisor sees to the rest.
        if now.since(self.looked) < limit / 4 || self.phase.is_stopping() {
            return Ok(());
        }
        self.looked = now;
        self.note_answered();
        for slot in Slot::ALL {
            let Some(worker) = self.workers.get_mut(slot) else { continue };
            if let Some(reason) = worker.what_is_wrong(now, limit) {
                warn!(%slot, pid = worker.pid, reason, "worker is stuck");
                self.step(Event::Hung(slot))?;
            }
        }
        Ok(())
    }
}

/// Checks a Hello against what the kernel and the ledger say.
fn read_hello(
    channel: Channel,
    message: &ToMaster,
    descriptors: Vec<OwnedFd>,
) -> anyhow::Result<Hello> {
    let &ToMaster::Hello { wire, slot, pid, keeper_pid, serving, threads } = message else {
        anyhow::bail!("the first message is not Hello");
    };
    anyhow::ensure!(wire == WIRE_VERSION, "it speaks version {wire}, not {WIRE_VERSION}");
    let peer = channel.peer_pid().context("cannot tell who it is")?;
    anyhow::ensure!(peer == pid, "process {peer} says that it is {pid}");
    let mut descriptors = descriptors.into_iter();
    let (Some(ledger), Some(orphaned)) = (descriptors.next(), descriptors.next()) else {
        anyhow::bail!("its Hello lacks descriptors");
    };
    let ledger =
        Observer::open(&SharedFile::from_descriptor(ledger)).context("cannot read its ledger")?;
    let lanes = ledger.lanes();
    anyhow::ensure!(lanes == usize::from(threads), "it has {threads} threads and {lanes} lanes");
    let lanes = descriptors
        .map(Channel::from_descriptor)
        .collect::<Result<Vec<_>, _>>()
        .context("cannot use its lanes")?;
    let orphaned = OsEvent::from_descriptor(orphaned);
    Ok(Hello { channel, slot, pid, keeper_pid, serving, ledger, orphaned, lanes })
}
