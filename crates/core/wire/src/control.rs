//! What the supervisor and the processes it started say to each other.
//!
//! The channel is the child's standard input, a socket pair made at spawn. When the
//! supervisor dies, its children go on, and connect to `supervisor.sock` when a new one has
//! bound it. The first message is the child's [`ToSupervisor::Hello`]; with any wire version
//! but our own the supervisor stops the child and starts it anew.

use mainstay_model::{Generation, Process, Slot};
use serde::{Deserialize, Serialize};

use crate::event::{Event, Tally};
use crate::frame::Message;

/// Supervisor to a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToProcess {
    /// Answers `Hello`. To the master it carries the listening sockets, one descriptor for
    /// each name, in order; to a worker `listeners` is empty.
    Welcome { generation: Generation, listeners: Vec<String> },
    /// Answers `Listen`: a socket for each listener of that generation, in order. Those that the
    /// gateway had already are among them.
    Listening { generation: Generation, listeners: Vec<String> },
    /// Answers `Listen`: nothing has changed.
    NotListening { generation: Generation, reason: String },
    /// Which processes run now; sent to the master after `Welcome` and at every change.
    Processes { processes: Vec<Running> },
    /// The event of this number, and those before it, will not be forgotten.
    Noted { number: u64 },
    /// What happened so far, by kind; sent to the master when that has changed.
    Tally { tally: Tally },
    /// Take nothing new, finish what is open within the limit, then exit.
    Stop { limit_ms: u64 },
}

/// One process as its supervisor knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    pub process: Process,
    pub pid: u32,
    /// Seconds since 1970 at which it was started.
    pub since_unix: u64,
    /// How often this process was started again after a death.
    pub restarts: u64,
}

/// A process to its supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToSupervisor {
    /// The first message, also of an orphan to a new supervisor. Carries the listening
    /// sockets that this process already holds, one descriptor for each name, in order, so
    /// that a new supervisor does not bind them a second time.
    Hello { wire: u32, process: Process, pid: u32, listeners: Vec<String> },
    /// The master's loop still turns; sent four times in each hang timeout. Whether a worker's
    /// threads do, the master sees in its ledger.
    Alive,
    /// From the master: who serves, and whether the gateway is whole: every worker that there should
    /// be is ready, and no apply is under way. Sent after `Hello` and at every change.
    Pair { active: Option<Slot>, is_whole: bool },
    /// From the master: bind what this generation, which is not current yet, listens on and
    /// nobody does so far. What is bound already stays.
    Listen { generation: Generation },
    /// From the master: an apply is over, or this is a new supervisor. What is current is read
    /// from the disk, and so is what is `next`, if that has been opened for already; carries a socket
    /// for each of their listeners. All others are closed.
    Settled { listeners: Vec<String>, next: Option<Generation> },
    /// From a master that is a part of the one process: its keeper is dead, and a worker is to stand in
    /// for it until there is another one.
    StandIn,
    /// From an operator, as the first message: become this program, and have every other process
    /// become it. Carries the program. What comes back is in [`crate::upgrade`].
    Upgrade,
    /// Something happened that an operator should hear of, at this time. Numbered from 1 by who
    /// tells it, and told to the next supervisor again unless it was answered `Noted`.
    Event { number: u64, unix_ms: u64, event: Event },
    /// From an operator, as the first message: what stands, and what happened last? Answered
    /// with an [`crate::event::Report`].
    Alerts,
    /// From an operator, as the first message: become what host.toml says now, a pair or one
    /// process. What comes back is in [`crate::upgrade`].
    Arrange,
}

impl Message for ToProcess {
    fn descriptors(&self) -> usize {
        match self {
            Self::Welcome { listeners, .. } | Self::Listening { listeners, .. } => listeners.len(),
            Self::NotListening { .. }
            | Self::Processes { .. }
            | Self::Noted { .. }
            | Self::Tally { .. }
            | Self::Stop { .. } => 0,
        }
    }
}

impl Message for ToSupervisor {
    fn descriptors(&self) -> usize {
        match self {
            Self::Hello { listeners, .. } | Self::Settled { listeners, .. } => listeners.len(),
            Self::Upgrade => 1,
            Self::Alive
            | Self::Pair { .. }
            | Self::Listen { .. }
            | Self::Event { .. }
            | Self::Alerts
            | Self::StandIn
            | Self::Arrange => 0,
        }
    }
}
