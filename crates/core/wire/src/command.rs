//! What an operator asks of a running gateway, and the answer: one request, its replies, then
//! the connection is closed. Before its outcome an apply tells what it has begun.

use mainstay_model::{Generation, Process, Slot};
use serde::{Deserialize, Serialize};

use crate::frame::Message;

/// Operator to master, on `admin.sock`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Every process, and who serves.
    Status,
    /// Serve the configuration in the file that travels with it.
    Apply {
        /// For how long it is watched; none: as the configuration says.
        confirm_ms: Option<u64>,
    },
    /// Say whether the configuration in the file that travels with it is valid, and what it
    /// would change.
    Compare,
    /// Serve a generation that is kept; none: the one before the current.
    Rollback { generation: Option<Generation> },
    /// Which generations are kept.
    Generations,
    /// Hand the connection that travels with it to the worker that serves, as if a client had
    /// made it.
    Health,
}

/// Master to operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    Status(Status),
    Generations(Generations),
    /// What is proposed is valid, and this is what it changes; said before anything is done.
    Difference(Difference),
    /// An apply has come so far.
    Progress(Progress),
    /// A hook of it is over.
    Hook(HookSaid),
    /// This generation is in service.
    Applied {
        generation: Generation,
    },
    /// The worker that serves is given the connection.
    HandedOver,
    /// What was to be compared is valid. Nothing was done.
    Compared,
    /// Clients had been served by another generation, and are served by this one again; one
    /// sentence says why.
    WentBack {
        generation: Generation,
        reason: String,
    },
    /// The command was not understood or not carried out; one sentence.
    Refused {
        reason: String,
    },
}

impl Reply {
    /// The status, if it is one.
    pub fn into_status(self) -> Option<Status> {
        match self {
            Self::Status(status) => Some(status),
            Self::Generations(_)
            | Self::Difference(_)
            | Self::HandedOver
            | Self::Compared
            | Self::WentBack { .. }
            | Self::Progress(_)
            | Self::Hook(_)
            | Self::Refused { .. }
            | Self::Applied { .. } => None,
        }
    }
}

impl Message for Command {
    fn descriptors(&self) -> usize {
        match self {
            Self::Status | Self::Rollback { .. } | Self::Generations => 0,
            Self::Apply { .. } | Self::Compare | Self::Health => 1,
        }
    }
}

impl Message for Reply {}

/// What a configuration changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The generation that is in service.
    pub from: Generation,
    /// A line for each section that differs, up to a limit; empty, if none does.
    pub lines: Vec<String>,
}

/// How far an apply has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub generation: Generation,
    pub step: Step,
    /// Since it began.
    pub after_ms: u64,
}

/// What an apply does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The hook before anything is done.
    Prepare,
    /// The hook for the addresses that it needs.
    Connect,
    /// Its new listeners are opened.
    Open,
    /// The standby loads it and answers its probes.
    Prove,
    /// Without a standby: the process that serves loads it and answers its probes.
    Load,
    /// Active and standby change places.
    Swap,
    /// Clients are watched.
    Watch,
    /// It is current; the former active follows.
    Follow,
    /// Without a standby: it is current.
    Keep,
    /// The hook after it.
    Finish,
    /// The former active serves again.
    GoBack,
    /// Whoever has loaded it comes back to the current one.
    Unwind,
    /// The hook that takes the addresses back.
    Disconnect,
}

/// What came of a hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookSaid {
    /// As host.toml calls it.
    pub hook: String,
    /// How it ended, in words.
    pub end: String,
    /// What it said, up to its limit.
    pub output: String,
}

/// The generations that are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generations {
    /// Oldest first.
    pub kept: Vec<Generation>,
    pub current: Generation,
}

/// A gateway at one instant. This is also what `mainstay status --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub generation: Generation,
    /// The slot whose worker serves; none while no worker is ready.
    pub active: Option<Slot>,
    /// How often the active role moved because a worker went down.
    pub failovers: u64,
    pub processes: Vec<ProcessStatus>,
}

/// One process at one instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessStatus {
    pub process: Process,
    pub state: State,
    pub pid: u32,
    /// The process that outlives it; none for the supervisor.
    pub keeper_pid: Option<u32>,
    /// Seconds since 1970; 0 while it is down.
    pub since_unix: u64,
    pub restarts: u64,
    /// Open client connections.
    pub connections: u64,
    /// Requests answered since it started.
    pub requests: u64,
    /// Connections it took over from another process since it started.
    pub adopted: u64,
    /// Resident memory, its keeper's included.
    pub memory_bytes: u64,
    /// What it may have of its own; none: whatever there is.
    pub memory_max_bytes: Option<u64>,
    /// Processor time used, its keeper's included.
    pub cpu_ms: u64,
}

/// What a process is at this instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A worker that serves.
    Active,
    /// A worker that is ready to serve.
    Standby,
    /// A worker that has not announced itself yet.
    Starting,
    /// A supervisor or master that does its work.
    Running,
    /// It is not there.
    Down,
}
