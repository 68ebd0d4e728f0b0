//! The made-up world: broadcast, its disk, three processes with tables, and callers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mainstay_model::{Process as Role, SessionKey, Slot, Timestamp};
use mainstay_session::{Member, Register, Replica, Replication, Table};
use mainstay_wire::session::{Place, Then, ToRegister, Update};

use super::Flaw;

pub(super) const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);

/// Its name does not matter: the disk is never replaced.
pub(super) const EPOCH: u64 = 7;

/// Threads that serve, of each process. The master has one, which is no different here.
pub(super) const THREADS: usize = 2;

/// The processes that have tables, by place.
pub(super) const ROLES: [Role; 3] =
    [Role::Worker(Slot::One), Role::Worker(Slot::Two), Role::Master];

/// What was written, and how much of it survives the end of the machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) written: Vec<Arc<Update>>,
    pub(super) synced: usize,
}

impl Disk {
    /// The table after so many updates.
    pub(super) fn table(&self, number: u64) -> Table {
        let mut table = Table::default();
        let count = usize::try_from(number).expect("few updates");
        for update in self.written.iter().take(count) {
            table.apply(update);
        }
        table
    }
}

#[derive(Clone, Debug)]
pub(super) struct Broadcast {
    pub(super) life: u32,
    pub(super) register: Register,
    pub(super) replication: Replication,
    /// For the journal's thread.
    pub(super) jobs: VecDeque<Arc<Update>>,
    /// From it: committed up to here.
    pub(super) committed: Option<u64>,
    /// Deaths that it has not heard of, in any order.
    pub(super) notices: Vec<u32>,
    /// What callers wait for.
    pub(super) tickets: BTreeMap<u64, Vec<Wish>>,
}

/// What a caller wants of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) key: SessionKey,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    In,
    Out,
}

/// What callers know of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) is_in: Known,
    pub(super) is_out: Known,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Known {
    /// Nobody wanted it.
    #[default]
    No,
    /// Somebody did, and was not told that it was done.
    Wanted,
    Confirmed,
}

#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) role: Role,
    pub(super) replica: Replica,
    /// What was read and no thread has.
    pub(super) aside: Option<Table>,
    /// The journal as it was when it was told to read it.
    pub(super) reading: Option<(Place, Table)>,
    pub(super) threads: [Thread; THREADS],
    pub(super) link: Option<Link>,
}

impl Process {
    pub(super) const fn member(&self) -> Member {
        Member { process: self.role, pid: self.pid }
    }
}

/// A thread that serves.
#[derive(Clone, Debug, Default)]
pub(super) struct Thread {
    /// Whom it accepts; none: nobody.
    pub(super) table: Option<Table>,
    pub(super) told: VecDeque<Change>,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Load(Table),
    Apply(Vec<Arc<Update>>),
}

/// A channel between a process and one life of broadcast.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) life: u32,
    pub(super) up: VecDeque<ToRegister>,
    pub(super) down: VecDeque<Told>,
}

#[derive(Clone, Debug)]
pub(super) enum Told {
    Load(Place, Table),
    Apply { first: u64, updates: Vec<Arc<Update>>, then: Then },
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) flaw: Option<Flaw>,
    pub(super) now: Timestamp,
    pub(super) disk: Disk,
    pub(super) broadcast: Option<Broadcast>,
    pub(super) lives: u32,
    pub(super) pids: u32,
    pub(super) processes: [Option<Process>; 3],
    pub(super) fates: BTreeMap<SessionKey, Fate>,
    pub(super) tickets: u64,
    /// The most that any master has said that it has.
    pub(super) master_has: u64,
    /// The most that was confirmed to a caller.
    pub(super) confirmed: u64,
}

impl World {
    pub(super) fn new(flaw: Option<Flaw>) -> Self {
        Self {
            flaw,
            now: Timestamp::from_micros(1_000_000),
            disk: Disk::default(),
            broadcast: None,
            lives: 0,
            pids: 100,
            processes: [None, None, None],
            fates: BTreeMap::new(),
            tickets: 0,
            master_has: 0,
            confirmed: 0,
        }
    }

    pub(super) fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Another broadcast reads what its predecessor has written, and makes sure of it.
    pub(super) fn start_broadcast(&mut self) {
        self.lives += 1;
        self.disk.synced = self.disk.written.len();
        let number = self.disk.synced as u64;
        let running: Vec<Member> = if self.has(Flaw::NobodyWasThere) {
            Vec::new()
        } else {
            self.processes.iter().flatten().map(Process::member).collect()
        };
        let place = Place { epoch: EPOCH, number };
        self.broadcast = Some(Broadcast {
            life: self.lives,
            register: Register::new(self.disk.table(number), 1_000),
            replication: Replication::new(place, running, CONFIRM_TIMEOUT),
            jobs: VecDeque::new(),
            committed: None,
            notices: Vec::new(),
            tickets: BTreeMap::new(),
        });
    }

    pub(super) fn start_process(&mut self, place: usize) -> Option<()> {
        let role = *ROLES.get(place)?;
        let process = self.processes.get_mut(place)?;
        if process.is_some() {
            return None;
        }
        self.pids += 1;
        *process = Some(Process {
            pid: self.pids,
            role,
            replica: Replica::default(),
            aside: None,
            reading: None,
            threads: [Thread::default(), Thread::default()],
            link: None,
        });
        Some(())
    }

    pub(super) fn kill(&mut self, place: usize) -> Option<()> {
        let process = self.processes.get_mut(place)?.take()?;
        if let Some(broadcast) = &mut self.broadcast {
            broadcast.notices.push(process.pid);
        }
        Some(())
    }
}
