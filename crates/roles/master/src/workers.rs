//! The two workers, as the master knows them: process, channel, ledger, lanes.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use mainstay_ledger::Observer;
use mainstay_message::running;
use mainstay_model::{ListenerId, Process, Slot, Timestamp};
use mainstay_os::{Channel, ChannelError, Event, Interest, Pidfd, Poller};
use mainstay_pair::Living;
use mainstay_wire::lane;
use rustix::io::Errno;

use crate::pulse::{Condition, Pulse};
use crate::token::Token;

/// How long a connection at `master.sock` may take to say Hello.
const HELLO_LIMIT: Duration = Duration::from_secs(2);

/// Most connections at `master.sock` that have not said Hello.
const GUESTS_MAX: usize = 16;

/// Both workers, and who is at the door.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    places: [Option<Worker>; 2],
    guests: Vec<Guest>,
    seen: u32,
}

/// A worker that lives.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Of this life in this slot; see [`Token`].
    pub(crate) number: u32,
    pub(crate) slot: Slot,
    pub(crate) pid: u32,
    pub(crate) pidfd: Pidfd,
    /// None while it has not said Hello to this master.
    pub(crate) spoken: Option<Spoken>,
    /// Its channel ended; it has until then to come back.
    pub(crate) missing_until: Option<Timestamp>,
}

/// What came with a worker's Hello.
#[derive(Debug)]
pub(crate) struct Spoken {
    pub(crate) channel: Channel,
    pub(crate) keeper_pid: u32,
    /// Raised by its keeper when it is past doing anything.
    pub(crate) orphaned: Event,
    pub(crate) ledger: Observer,
    pub(crate) lanes: Vec<Channel>,
    pub(crate) next_lane: usize,
    pub(crate) pulse: Pulse,
    pub(crate) announced: Announced,
    pub(crate) room: Room,
}

/// Whether a worker can have as many connections as the current generation allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Enough,
    /// It was made for fewer.
    Outgrown,
}

/// What a worker said of itself, and so what may be expected of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announced {
    /// Nothing yet; it has until then.
    Awaited { until: Timestamp },
    /// It is ready: its threads turn.
    Ready,
    /// It asks to be replaced, and serves until it may go.
    Leaving,
    /// Nothing more: it goes, and its threads end one after the other; or it was reported as
    /// stuck.
    Nothing,
}

/// Someone at the door.
#[derive(Debug)]
struct Guest {
    number: u32,
    channel: Channel,
    until: Timestamp,
}

/// What came of handing connections over.
#[derive(Debug)]
pub(crate) enum Handoff {
    Taken,
    /// No lane takes anything now.
    Full,
    Failed(ChannelError),
}

impl Workers {
    /// Finds the workers that an earlier master left, by their files in the run directory.
    pub(crate) fn find(run: &Path, poller: &Poller) -> anyhow::Result<(Self, [Living; 2])> {
        let mut workers = Self::default();
        let mut living = [Living::No; 2];
        for (slot, living) in Slot::ALL.into_iter().zip(&mut living) {
            let process = Process::Worker(slot);
            let Some(pid) = running(run, process) else { continue };
            if let Some(pidfd) = open_running(run, process, pid) {
                workers.add(poller, slot, pid, pidfd)?;
                *living = Living::Yes;
            }
        }
        Ok((workers, living))
    }

    /// Puts a process into its place, and watches its end.
    pub(crate) fn add(
        &mut self,
        poller: &Poller,
        slot: Slot,
        pid: u32,
        pidfd: Pidfd,
    ) -> anyhow::Result<()> {
        let number = self.next_number();
        poller
            .add(&pidfd, Token::WorkerEnd(number).number(), Interest::ReadLevel)
            .context("cannot watch a worker")?;
        let worker = Worker { number, slot, pid, pidfd, spoken: None, missing_until: None };
        if let Some(place) = self.places.get_mut(slot.index()) {
            *place = Some(worker);
        }
        Ok(())
    }

    /// Takes a process out of its place.
    pub(crate) fn remove(&mut self, poller: &Poller, slot: Slot) -> anyhow::Result<()> {
        let Some(mut worker) = self.places.get_mut(slot.index()).and_then(Option::take) else {
            return Ok(());
        };
        worker.unspeak(poller)?;
        poller.remove(&worker.pidfd).context("cannot stop watching a worker")
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Worker> {
        self.places.get(slot.index())?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Worker> {
        self.places.get_mut(slot.index())?.as_mut()
    }

    /// The worker that an event is about.
    pub(crate) fn numbered(&self, number: u32) -> Option<&Worker> {
        self.places.iter().flatten().find(|worker| worker.number == number)
    }

    pub(crate) fn are_gone(&self) -> bool {
        self.places.iter().all(Option::is_none)
    }

    /// Lets someone in; `None` if too many are in already.
    pub(crate) fn let_in(&mut self, channel: Channel, now: Timestamp) -> Option<(u32, &Channel)> {
        if self.guests.len() >= GUESTS_MAX {
            return None;
        }
        let number = self.next_number();
        self.guests.push(Guest { number, channel, until: now + HELLO_LIMIT });
        self.guests.last().map(|guest| (number, &guest.channel))
    }

    /// Who is at the door under this number.
    pub(crate) fn guest(&self, number: u32) -> Option<&Channel> {
        self.guests.iter().find(|guest| guest.number == number).map(|guest| &guest.channel)
    }

    /// Takes someone from the door.
    pub(crate) fn take_guest(&mut self, number: u32) -> Option<Channel> {
        let index = self.guests.iter().position(|guest| guest.number == number)?;
        Some(self.guests.remove(index).channel)
    }

    pub(crate) fn expire_guests(&mut self, now: Timestamp) {
        self.guests.retain(|guest| guest.until > now);
    }

    const fn next_number(&mut self) -> u32 {
        self.seen = self.seen.wrapping_add(1);
        self.seen
    }
}

impl Worker {
    /// Whether it is past doing anything.
    pub(crate) fn is_dead(&self) -> anyhow::Result<bool> {
        if let Some(spoken) = &self.spoken
            && spoken.orphaned.take().context("cannot read a worker's event")?
        {
            return Ok(true);
        }
        self.pidfd.has_exited().context("cannot look at a worker")
    }

    /// Why it is as bad as dead, if it is; said once.
    pub(crate) fn what_is_wrong(
        &mut self,
        now: Timestamp,
        hang_timeout: Duration,
    ) -> Option<&'static str> {
        let Some(spoken) = &mut self.spoken else {
            self.missing_until.take_if(|until| *until <= now)?;
            return Some("it did not come back");
        };
        let reason = match spoken.announced {
            Announced::Nothing => return None,
            Announced::Awaited { until } if until > now => return None,
            Announced::Awaited { .. } => "it did not become ready",
            Announced::Ready | Announced::Leaving => {
                let ledger = &spoken.ledger;
                let counts = (0..ledger.lanes()).map(|lane| ledger.heartbeat(lane));
                match spoken.pulse.look(counts, now, hang_timeout) {
                    Condition::Turning => return None,
                    Condition::Standing => "a thread stands still",
                }
            }
        };
        spoken.announced = Announced::Nothing;
        Some(reason)
    }

    /// What it said of itself.
    pub(crate) fn announced(&self) -> Option<Announced> {
        self.spoken.as_ref().map(|spoken| spoken.announced)
    }

    /// Notes what it said of itself.
    pub(crate) const fn announce(&mut self, announced: Announced) {
        if let Some(spoken) = &mut self.spoken {
            spoken.announced = announced;
        }
    }

    /// Notes what came with its Hello, and watches its channel.
    pub(crate) fn speak(&mut self, poller: &Poller, spoken: Spoken) -> anyhow::Result<()> {
        self.unspeak(poller)?;
        let watched = || {
            poller.add(
                &spoken.channel,
                Token::Worker(self.number).number(),
                Interest::ReadLevel,
            )?;
            poller.add(
                &spoken.orphaned,
                Token::WorkerEnd(self.number).number(),
                Interest::ReadLevel,
            )
        };
        watched().context("cannot watch a worker")?;
        self.spoken = Some(spoken);
        self.missing_until = None;
        Ok(())
    }

    /// Forgets what came with its last Hello.
    pub(crate) fn unspeak(&mut self, poller: &Poller) -> anyhow::Result<()> {
        let Some(spoken) = self.spoken.take() else { return Ok(()) };
        poller.remove(&spoken.channel).context("cannot stop watching a worker")?;
        // Others hold this event too, so closing our copy would not do it.
        poller.remove(&spoken.orphaned).context("cannot stop watching a worker")
    }

    /// Sends a batch over the next lane that has room.
    pub(crate) fn hand_over(&mut self, batch: &[(ListenerId, OwnedFd)]) -> Handoff {
        let Some(spoken) = &mut self.spoken else { return Handoff::Full };
        let listeners: Vec<ListenerId> = batch.iter().map(|(id, _)| *id).collect();
        let sockets: Vec<BorrowedFd<'_>> = batch.iter().map(|(_, socket)| socket.as_fd()).collect();
        let bytes = lane::encode(&listeners);
        for _ in 0..spoken.lanes.len() {
            let index = spoken.next_lane % spoken.lanes.len();
            spoken.next_lane = index + 1;
            let Some(lane) = spoken.lanes.get(index) else { continue };
            match lane.send(&bytes, &sockets) {
                Ok(()) => return Handoff::Taken,
                Err(ChannelError::Full) => {}
                Err(ChannelError::Send { source }) if is_full(&source) => {}
                Err(error) => return Handoff::Failed(error),
            }
        }
        Handoff::Full
    }

    /// How many lanes it has.
    pub(crate) fn lanes(&self) -> usize {
        self.spoken.as_ref().map_or(1, |spoken| spoken.lanes.len().max(1))
    }
}

/// A process that is said to run as `pid`, if it does.
pub(crate) fn open_running(run: &Path, process: Process, pid: u32) -> Option<Pidfd> {
    let pidfd = Pidfd::open(pid).ok()?;
    // Asked when its number cannot go to another process unseen any more.
    (running(run, process) == Some(pid)).then_some(pidfd)
}

/// The kernel has too many descriptors on their way, or no memory for one more message.
fn is_full(error: &std::io::Error) -> bool {
    let full = [Errno::TOOMANYREFS, Errno::NOBUFS, Errno::NOMEM];
    full.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
