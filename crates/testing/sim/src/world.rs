//! The made-up world: clients, queues, processes, their descriptor tables, and a clock.
//!
//! # Invariants
//!
//! 1. A connection is where a descriptor for it is: in a listener's queue, in a lane, or in
//!    the table of a process. Nothing else remembers it.
//! 2. What a dead process had is not changed any more: its keeper makes a list of it.

use std::collections::VecDeque;
use std::time::Duration;

use mainstay_model::{Process as Role, Slot, Timestamp};
use mainstay_pair::{Lease, Limits};
use mainstay_supervise::{Backoff, Restart};
use mainstay_wire::pair::{Serving, ToMaster, ToWorker};

use crate::action::pick;
use crate::keeper::Keeper;

pub(crate) const LIMITS: Limits =
    Limits { hold: Duration::from_secs(5), hang: Duration::from_secs(1) };

const RESTART: Restart = Restart {
    delay_min: Duration::from_millis(10),
    delay_max: Duration::from_secs(5),
    stable_after: Duration::from_secs(10),
};

/// Connections that may be open at once: few, so that bad luck meets them.
const OPEN_MAX: usize = 12;

/// A rule that this world leaves out, to show that an invariant notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flaw {
    /// The lease moves when `Revoke` is sent, not when it is answered.
    LeaseMovesAtRevoke,
    /// A new master takes it that nobody serves.
    MasterDoesNotLearn,
    /// A worker greets a new master without having read what the old one still said.
    OldMasterIsForgotten,
    /// A master goes on to other things before it closed what it sent.
    SentStaysOpen,
    /// What could not be sent is dropped.
    FailedBatchIsDropped,
    /// A keeper empties the lanes of its process and leaves them open.
    LanesStayOpen,
    /// An heir works on a connection before it answered the offer.
    WorkBeforeAnswer,
    /// A keeper whose heir died does not look into the heir's ledger.
    HeirsLedgerIsForgotten,
    /// A keeper whose heir died does not read the answers that still came.
    AnswersAreForgotten,
    /// An heir takes what a master left before what the workers left.
    MastersEstateFirst,
    /// An heir gives the lease back before it claimed what there was to claim.
    RevokedBeforeClaims,
    /// An heir takes a connection that it has already.
    SameConnectionTwice,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::LeaseMovesAtRevoke,
        Self::MasterDoesNotLearn,
        Self::OldMasterIsForgotten,
        Self::SentStaysOpen,
        Self::FailedBatchIsDropped,
        Self::LanesStayOpen,
        Self::WorkBeforeAnswer,
        Self::HeirsLedgerIsForgotten,
        Self::AnswersAreForgotten,
        Self::MastersEstateFirst,
        Self::RevokedBeforeClaims,
        Self::SameConnectionTwice,
    ];
}

/// A process of this run, by the order of birth. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pid(pub(crate) usize);

/// A client connection of this run, by the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client(pub(crate) usize);

/// How far a process is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Running,
    /// It does nothing, and may go on later.
    Stopped {
        since: Timestamp,
    },
    /// It will do nothing any more, and is not gone.
    Dumping,
    Dead,
}

impl Body {
    /// Whether it may yet do something.
    pub(crate) const fn may_act(self) -> bool {
        matches!(self, Self::Running | Self::Stopped { .. })
    }
}

/// How far an exchange has come. What is unread is in the kernel, and whoever reads it first
/// has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Unread,
    Read,
}

/// A connection in a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) client: Client,
    pub(crate) phase: Phase,
    /// The estate whose offer brought it, until that is answered.
    pub(crate) unanswered: Option<Pid>,
}

/// The descriptors of a process, and its ledger.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// Sent by a master, not yet received. The queue belongs to the receiving end.
    pub(crate) lane: VecDeque<Client>,
    /// Accepted or received, no state yet. In a master: not yet sent.
    pub(crate) fresh: Vec<Client>,
    /// In a master: sent, not yet closed.
    pub(crate) sent: Vec<Client>,
    pub(crate) ledger: Vec<Entry>,
}

impl Table {
    /// Everything in it, states first: a keeper offers in this order, so that a second copy
    /// of a connection meets the first and not the other way round.
    pub(crate) fn items(&self) -> impl Iterator<Item = (Client, Phase)> + '_ {
        let known = self.ledger.iter().map(|entry| (entry.client, entry.phase));
        let fresh = self.fresh.iter().chain(&self.sent).chain(&self.lane);
        known.chain(fresh.map(|client| (*client, Phase::Unread)))
    }

    pub(crate) fn knows(&self, client: Client) -> bool {
        self.fresh.contains(&client) || self.ledger.iter().any(|entry| entry.client == client)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) role: Role,
    pub(crate) body: Body,
    pub(crate) born: Timestamp,
    pub(crate) table: Table,
    pub(crate) keeper: Keeper,
    /// Of a worker; unused in a master.
    pub(crate) mind: Mind,
}

/// What a worker knows.
#[derive(Clone, Debug)]
pub(crate) struct Mind {
    pub(crate) built: Built,
    pub(crate) serving: Serving,
    pub(crate) stay: Stay,
    pub(crate) link: Option<Link>,
    /// Estates whose offers it has committed and not answered, oldest first.
    pub(crate) to_answer: VecDeque<Pid>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Built {
    No,
    Yes,
}

/// Whether a worker means to stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stay {
    Yes,
    Leaving,
    /// It was let go.
    Released,
}

/// A worker's connection to one master.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) master: Pid,
    pub(crate) up: VecDeque<ToMaster>,
    pub(crate) down: VecDeque<ToWorker>,
}

/// What the living master knows.
#[derive(Clone, Debug)]
pub(crate) struct Master {
    pub(crate) pid: Pid,
    pub(crate) lease: Lease,
    /// The process that it takes to be in each slot, until it is told of its death.
    pub(crate) known: [Option<Pid>; 2],
    /// What it has not heard of yet; it may hear of it in any order.
    pub(crate) notices: Vec<Notice>,
}

/// What the master is told of a process by others than the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    Born(Pid),
    Died(Pid),
}

/// What became of a client.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fate {
    /// Its request has left the kernel's buffer.
    pub(crate) request_taken: bool,
    pub(crate) answers: u32,
}

#[derive(Clone, Debug)]
struct Restarts {
    backoff: Backoff,
    /// When the next one is started, while there is none.
    due: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) flaw: Option<Flaw>,
    pub(crate) now: Timestamp,
    /// The queue of the leased listener, and of the one that the master accepts from.
    pub(crate) queues: [VecDeque<Client>; 2],
    pub(crate) fates: Vec<Fate>,
    /// Every process that ever was, by pid.
    pub(crate) processes: Vec<Process>,
    pub(crate) master: Option<Master>,
    /// The newest worker of each slot.
    pub(crate) workers: [Option<Pid>; 2],
    /// Processes that can act no more and whose keepers are there, oldest first.
    pub(crate) estates: Vec<Pid>,
    restarts: [Restarts; Role::KEPT.len()],
}

impl World {
    pub(crate) fn new(flaw: Option<Flaw>) -> Self {
        let restarts = Role::KEPT
            .map(|_| Restarts { backoff: Backoff::new(RESTART), due: Some(Timestamp::default()) });
        Self {
            flaw,
            now: Timestamp::from_micros(1_000_000),
            queues: [VecDeque::new(), VecDeque::new()],
            fates: Vec::new(),
            processes: Vec::new(),
            master: None,
            workers: [None; 2],
            estates: Vec::new(),
            restarts,
        }
    }

    pub(crate) fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    pub(crate) fn process(&self, pid: Pid) -> &Process {
        self.processes.get(pid.0).expect("a pid names a process")
    }

    pub(crate) fn process_mut(&mut self, pid: Pid) -> &mut Process {
        self.processes.get_mut(pid.0).expect("a pid names a process")
    }

    pub(crate) fn fate(&self, client: Client) -> Fate {
        *self.fates.get(client.0).expect("a client has a fate")
    }

    pub(crate) fn fate_mut(&mut self, client: Client) -> &mut Fate {
        self.fates.get_mut(client.0).expect("a client has a fate")
    }

    /// Clients that have no answer yet.
    pub(crate) fn open(&self) -> impl Iterator<Item = Client> + '_ {
        let fates = self.fates.iter().enumerate();
        fates.filter(|(_, fate)| fate.answers == 0).map(|(client, _)| Client(client))
    }

    pub(crate) fn connect(&mut self, listener: usize) -> Option<()> {
        if self.open().count() >= OPEN_MAX {
            return None;
        }
        let client = Client(self.fates.len());
        self.fates.push(Fate::default());
        let [leased, masters] = &mut self.queues;
        if listener.is_multiple_of(2) { leased } else { masters }.push_back(client);
        Some(())
    }

    /// Workers that `which` is true of, one from each slot at most.
    pub(crate) fn workers(&self, which: impl Fn(&Process) -> bool) -> Vec<Pid> {
        let newest = self.workers.iter().flatten();
        newest.copied().filter(|pid| which(self.process(*pid))).collect()
    }

    /// Workers that can do something now.
    pub(crate) fn running(&self) -> Vec<Pid> {
        self.workers(|process| process.body == Body::Running)
    }

    /// The supervisor starts what is due.
    pub(crate) fn spawn(&mut self, process: usize) -> Option<()> {
        let due: Vec<usize> = (0..self.restarts.len())
            .filter(|place| {
                let due = self.restarts.get(*place).and_then(|restarts| restarts.due);
                due.is_some_and(|due| due <= self.now)
            })
            .collect();
        let place = pick(&due, process)?;
        self.restarts.get_mut(place)?.due = None;
        let pid = Pid(self.processes.len());
        let role = place_role(place);
        self.processes.push(Process {
            role,
            body: Body::Running,
            born: self.now,
            table: Table::default(),
            keeper: Keeper::default(),
            mind: Mind {
                built: Built::No,
                serving: Serving::Standby,
                stay: Stay::Yes,
                link: None,
                to_answer: VecDeque::new(),
            },
        });
        match role {
            Role::Worker(slot) => {
                self.set_worker(slot, pid);
                if let Some(master) = self.master.as_mut() {
                    master.notices.push(Notice::Born(pid));
                }
            }
            Role::Master | Role::Supervisor | Role::Broadcast => self.start_master(pid),
        }
        Some(())
    }

    fn set_worker(&mut self, slot: Slot, pid: Pid) {
        let [one, two] = &mut self.workers;
        *match slot {
            Slot::One => one,
            Slot::Two => two,
        } = Some(pid);
    }

    /// A process can act no more, and `body` says whether it is gone.
    pub(crate) fn end(&mut self, pid: Pid, body: Body) -> Option<()> {
        let now = self.now;
        let process = self.process_mut(pid);
        let (before, role, born) = (process.body, process.role, process.born);
        if before == Body::Dead {
            return None;
        }
        process.body = body;
        if before != Body::Dumping {
            self.estates.push(pid);
        }
        if let Some(master) = self.master.as_mut() {
            if master.pid == pid {
                self.master = None;
            } else if master.known.contains(&Some(pid)) {
                master.notices.push(Notice::Died(pid));
            }
        }
        if body == Body::Dead {
            let place = Role::KEPT.iter().position(|known| *known == role)?;
            let restarts = self.restarts.get_mut(place)?;
            let delay = restarts.backoff.died(now, now.since(born));
            restarts.due = Some(now + delay.wait);
        }
        Some(())
    }
}

fn place_role(place: usize) -> Role {
    *Role::KEPT.get(place).expect("a place names a role")
}
