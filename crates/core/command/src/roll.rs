//! Who is there, and what each of them serves.

use mainstay_model::{Generation, Process, Slot};

/// The processes that broadcast speaks to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roll {
    master: Option<Master>,
    workers: [Option<Worker>; 2],
    standby: Standby,
}

/// Whether a worker that does not serve is to be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standby {
    #[default]
    Expected,
    /// The gateway is one process. There may be one, for as long as it changes.
    Unexpected,
}

/// A master that is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Master {
    /// None until it has said so.
    decided: Option<Decided>,
}

/// What the master alone decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decided {
    pub(crate) active: Option<Slot>,
    pub(crate) current: Generation,
}

/// A worker that is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Worker {
    /// None until it has said so.
    serves: Option<Generation>,
    /// What it was told to follow: once, for one that cannot is replaced.
    following: Option<Generation>,
}

impl Roll {
    /// Of a gateway that is one process.
    pub(crate) fn without_standby() -> Self {
        Self { standby: Standby::Unexpected, ..Self::default() }
    }

    /// Whether a standby that is away is worth waiting for.
    pub(crate) fn expects_standby(&self) -> bool {
        self.standby == Standby::Expected
    }

    pub(crate) const fn is_there(&self, process: Process) -> bool {
        match process {
            Process::Master => self.master.is_some(),
            Process::Worker(slot) => self.worker(slot).is_some(),
            Process::Supervisor | Process::Broadcast => false,
        }
    }

    pub(crate) fn came(&mut self, process: Process) {
        match process {
            Process::Master => self.master = Some(Master::default()),
            Process::Worker(slot) => *self.worker_mut(slot) = Some(Worker::default()),
            Process::Supervisor | Process::Broadcast => {}
        }
    }

    pub(crate) fn gone(&mut self, process: Process) {
        match process {
            Process::Master => self.master = None,
            Process::Worker(slot) => *self.worker_mut(slot) = None,
            Process::Supervisor | Process::Broadcast => {}
        }
    }

    pub(crate) fn serves(&mut self, slot: Slot, generation: Generation) {
        if let Some(worker) = self.worker_mut(slot) {
            *worker = Worker { serves: Some(generation), following: None };
        }
    }

    pub(crate) fn decide(&mut self, decided: Decided) {
        if let Some(master) = &mut self.master {
            master.decided = Some(decided);
        }
    }

    /// What the master that is there has decided.
    pub(crate) fn decided(&self) -> Option<Decided> {
        self.master.and_then(|master| master.decided)
    }

    /// Workers that serve something else than the current generation and were not told yet.
    /// From here on they were.
    pub(crate) fn take_stragglers(&mut self) -> Vec<(Slot, Generation)> {
        let Some(Decided { current, .. }) = self.decided() else { return Vec::new() };
        let mut stragglers = Vec::new();
        for slot in Slot::ALL {
            let Some(worker) = self.worker_mut(slot) else { continue };
            let astray = worker.serves.is_some_and(|serves| serves != current);
            if astray && worker.following != Some(current) {
                worker.following = Some(current);
                stragglers.push((slot, current));
            }
        }
        stragglers
    }

    /// Whether every worker that is there serves the current generation.
    pub(crate) fn is_of_one_mind(&self) -> bool {
        self.decided().is_some_and(|Decided { current, .. }| {
            self.workers.iter().flatten().all(|worker| worker.serves == Some(current))
        })
    }

    const fn worker(&self, slot: Slot) -> Option<Worker> {
        let [one, two] = self.workers;
        match slot {
            Slot::One => one,
            Slot::Two => two,
        }
    }

    const fn worker_mut(&mut self, slot: Slot) -> &mut Option<Worker> {
        let [one, two] = &mut self.workers;
        match slot {
            Slot::One => one,
            Slot::Two => two,
        }
    }
}
