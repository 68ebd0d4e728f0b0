//! A gateway at this instant: from the supervisor's list, the lease, the ledgers and `/proc`.

use mainstay_ledger::{Counter, Totals};
use mainstay_model::{Process, Slot};
use mainstay_os::{ProcessUse, host_name, memory_share, process_use};
use mainstay_pair::Health;
use mainstay_wire::command::{ProcessStatus, State, Status};
use mainstay_wire::control::Running;
use mainstay_wire::pair::Adopted;

use crate::metrics_text::{Metered, Snapshot};
use crate::turn::Master;

/// What this master has seen happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// How often the active role moved because a worker went down.
    pub(crate) failovers: u64,
    /// How often it moved for another reason.
    pub(crate) swaps: u64,
    /// Connections given to a worker over a lane.
    pub(crate) handed_over: u64,
    pub(crate) adoptions: u64,
    pub(crate) adopted: u64,
    pub(crate) adopted_fresh: u64,
    pub(crate) adopted_closed: u64,
    pub(crate) suspects: u64,
}

impl Tally {
    /// Counts what came of one adoption.
    pub(crate) fn add(&mut self, adopted: Adopted) {
        let add = |total: &mut u64, count: u32| *total = total.saturating_add(count.into());
        add(&mut self.adoptions, 1);
        add(&mut self.adopted, adopted.connections);
        add(&mut self.adopted_fresh, adopted.fresh);
        add(&mut self.adopted_closed, adopted.closed);
        add(&mut self.suspects, adopted.suspects);
    }
}

impl Master {
    /// Every process, and who serves.
    pub(crate) fn status(&self) -> Status {
        let processes = [Process::Supervisor].into_iter().chain(Process::SUPERVISED);
        let processes = processes.filter(|&process| self.is_part_of_gateway(process));
        Status {
            generation: self.generation,
            active: self.active(),
            failovers: self.tally.failovers,
            processes: processes.map(|process| self.process_status(process)).collect(),
        }
    }

    /// What the metrics show.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let metered = |slot: Slot| {
            let spoken = self.workers.get(slot)?.spoken.as_ref()?;
            let counts = Counter::ALL.map(|counter| (counter, spoken.ledger.counter(counter)));
            Some(Metered { slot, counts: counts.to_vec() })
        };
        Snapshot {
            gateway: self.settings.host.id.clone().unwrap_or_else(host_name),
            status: self.status(),
            tally: self.tally,
            refused: self.refusing.total,
            events: self.events.clone(),
            sessions: self.sessions.table.len(),
            session_figures: self.sessions.figures,
            workers: Slot::ALL.into_iter().filter_map(metered).collect(),
        }
    }

    /// The slot whose worker takes new connections.
    pub(crate) fn active(&self) -> Option<Slot> {
        let lease = self.lease.as_ref()?;
        lease.holder().filter(|&slot| lease.health(slot) == Health::Ready)
    }

    fn process_status(&self, process: Process) -> ProcessStatus {
        let running = self.processes.iter().find(|running| running.process == process);
        match process {
            Process::Supervisor | Process::Broadcast => {
                let pid = running.map_or(0, |running| running.pid);
                self.assemble(process, running, pid, None)
            }
            Process::Master => {
                let keeper = Some(self.standing.keeper_pid());
                let status = self.assemble(process, running, std::process::id(), keeper);
                match self.standing.slot() {
                    Some(slot) => self.with_worker(slot, status),
                    None => status,
                }
            }
            Process::Worker(slot) => {
                let worker = self.workers.get(slot);
                // What the master knows of its pid is newer than what the supervisor said.
                let pid = worker.map(|worker| worker.pid);
                let pid = pid.or_else(|| running.map(|running| running.pid)).unwrap_or(0);
                let spoken = worker.and_then(|worker| worker.spoken.as_ref());
                let status =
                    self.assemble(process, running, pid, spoken.map(|spoken| spoken.keeper_pid));
                self.with_worker(slot, status)
            }
        }
    }

    /// The status of a process with what is known of the worker in it.
    fn with_worker(&self, slot: Slot, mut status: ProcessStatus) -> ProcessStatus {
        let spoken = self.workers.get(slot).and_then(|worker| worker.spoken.as_ref());
        let totals = spoken.map_or_else(Totals::default, |spoken| spoken.ledger.totals());
        status.state = self.worker_state(slot, &status);
        status.connections = totals.connections;
        status.requests = totals.requests;
        status.adopted = totals.adopted;
        status
    }

    fn worker_state(&self, slot: Slot, status: &ProcessStatus) -> State {
        let health = self.health(slot);
        if self.active() == Some(slot) {
            State::Active
        } else if health == Health::Ready {
            State::Standby
        } else if status.pid == 0 {
            State::Down
        } else {
            State::Starting
        }
    }

    /// The share of a process, if it has one.
    fn memory_max(&self, process: Process) -> Option<u64> {
        let host = &self.settings.host;
        let share = match process {
            Process::Master if self.standing.slot().is_some() => host.one_process().memory,
            Process::Master => host.master.memory,
            Process::Worker(slot) => host.workers.get(slot.index())?.memory,
            Process::Supervisor | Process::Broadcast => return None,
        };
        memory_share(share.percent()).ok()
    }

    fn assemble(
        &self,
        process: Process,
        running: Option<&Running>,
        pid: u32,
        keeper_pid: Option<u32>,
    ) -> ProcessStatus {
        // 0: it has none, adoption is switched off.
        let keeper_pid = keeper_pid.filter(|&pid| pid != 0);
        // Of a process that is gone there is nothing to say.
        let own = if pid == 0 { None } else { process_use(pid).ok() };
        let state = if own.is_some() { State::Running } else { State::Down };
        let uses = [own, keeper_pid.and_then(|pid| process_use(pid).ok())];
        let uses: Vec<ProcessUse> = uses.into_iter().flatten().collect();
        ProcessStatus {
            process,
            state,
            pid: if own.is_some() { pid } else { 0 },
            keeper_pid,
            since_unix: running
                .filter(|running| running.pid == pid && own.is_some())
                .map_or(0, |running| running.since_unix),
            restarts: running.map_or(0, |running| running.restarts),
            connections: 0,
            requests: 0,
            adopted: 0,
            memory_max_bytes: self.memory_max(process),
            memory_bytes: uses.iter().map(|used| used.resident_bytes).sum(),
            cpu_ms: uses.iter().map(|used| used.cpu_ms).sum(),
        }
    }
}
