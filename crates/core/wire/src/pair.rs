//! What the master and its workers say to each other.
//!
//! The worker connects to `master.sock` and speaks first. It does so again after a death of
//! the master: a new master learns from the workers which of them serves. Death is seen by
//! pidfd, not by end of file, for a keeper holds the dead side's end open.

use mainstay_model::{Generation, ListenerId, Slot};
use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::frame::Message;

/// Master to worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToWorker {
    /// Answers `Hello`: the listening sockets, one descriptor each, in order. The worker
    /// holds them; those of its own configuration are what a lease is about.
    Welcome { listeners: Vec<Listener>, current: Generation },
    /// The listening sockets are these from here on: more while an apply is under way, and then
    /// those of what is current. The worker closes all others.
    Listeners { listeners: Vec<Listener>, current: Generation },
    /// Be active: adopt what any keeper holds, and accept from the leased listeners.
    Serve,
    /// Be standby: stop accepting, and answer [`ToMaster::Revoked`].
    Revoke,
    /// The other worker serves, or another process like this one will: leave what is open here to it, and exit.
    HandOver,
    /// Take nothing new, finish what is open within the limit, then exit.
    Stop { limit_ms: u64 },
}

/// A listening socket. Who accepts from it a worker reads in its own configuration, where it
/// finds it by its address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// As the master calls it when it hands connections over.
    pub id: ListenerId,
    pub name: String,
    pub standing: Standing,
}

/// Which generation has a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    Current,
    /// Only the one that is on its way into service: who serves the current one does not accept
    /// there, even if it knew that address once.
    Next,
}

/// Worker to master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToMaster {
    /// The first message. Carries, in order: the ledger; the event that its keeper raises
    /// when the worker is past doing anything; the sending end of the lane of each thread.
    Hello {
        wire: u32,
        slot: Slot,
        pid: u32,
        keeper_pid: u32,
        /// It holds the lease, given by an earlier master.
        serving: Serving,
        threads: u16,
    },
    /// Everything is built: connections are welcome. This is what makes a worker ready.
    Ready,
    /// It no longer accepts.
    Revoked,
    /// It took over what another process left.
    Adopted(Adopted),
    /// It serves what is current, but was made for fewer connections: to be exchanged with the
    /// other worker when that one is not.
    Outgrown,
    /// The worker of the one process, which speaks to no supervisor: something happened, at this time,
    /// that the supervisor should hear of.
    Told { unix_ms: u64, event: Event },
    /// It can no longer be protected (its keeper died) and asks to be replaced: it serves on
    /// until `Revoke`, then offers its connections and exits.
    Leaving,
}

/// Whether a worker holds the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Serving {
    Active,
    Standby,
}

/// What came of one adoption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// The process that left it.
    pub from_pid: u32,
    /// Connections that go on.
    pub connections: u32,
    /// Connections that had been accepted and had no state yet.
    pub fresh: u32,
    /// Connections that could not be reconciled, and were closed.
    pub closed: u32,
    /// Connections that were being worked on when the process died by its own fault.
    pub suspects: u32,
    /// From the first offer to the last commit.
    pub micros: u64,
}

impl Adopted {
    /// Whether the estate turned out to have nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.connections == 0 && self.fresh == 0 && self.closed == 0
    }
}

impl Message for ToWorker {
    fn descriptors(&self) -> usize {
        match self {
            Self::Welcome { listeners, .. } | Self::Listeners { listeners, .. } => listeners.len(),
            Self::Serve | Self::Revoke | Self::HandOver | Self::Stop { .. } => 0,
        }
    }
}

impl Message for ToMaster {
    fn descriptors(&self) -> usize {
        match self {
            Self::Hello { threads, .. } => 2 + *threads as usize,
            Self::Ready
            | Self::Revoked
            | Self::Outgrown
            | Self::Adopted(_)
            | Self::Told { .. }
            | Self::Leaving => 0,
        }
    }
}
