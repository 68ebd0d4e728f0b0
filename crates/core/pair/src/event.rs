//! The words of the lease: what the master tells it, and what it asks of the master.

use std::fmt;

use mainstay_model::Slot;
use mainstay_wire::pair::Serving;

/// Whether a slot has a living process when a master starts.
///
/// A process counts as living until it is certain that it can do nothing more. Whoever fills
/// this in must not miss one: it may hold the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Living {
    Yes,
    No,
}

/// What happened.
///
/// For one slot, the death of a process is told before the start and arrival of the next: the master
/// sees to it, and drops what it reads from a process after telling of its death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The supervisor started a process, which has not spoken yet.
    Started(Slot),
    /// A worker connected and said what it does. It says this on every new connection, and
    /// then again whatever else still holds for it (that it is ready, that it is leaving).
    Arrived { slot: Slot, serving: Serving },
    /// It announced itself: everything is built.
    Ready(Slot),
    /// It no longer takes connections.
    Revoked(Slot),
    /// It asks to be replaced.
    Leaving(Slot),
    /// One of its threads stood still for the hang timeout.
    Hung(Slot),
    /// A handoff to it failed. A lane that is full is not a failure.
    HandoffFailed(Slot),
    /// It is past doing anything: its pidfd says so, or the event of its keeper.
    Died(Slot),
    /// An operator wants active and standby exchanged.
    SwapRequested,
    /// The gateway is being stopped.
    Stopping,
    /// Time has passed; due at [`crate::Lease::wake_at`].
    Tick,
}

impl Event {
    /// The slot that it is about, if it is about one.
    pub const fn slot(self) -> Option<Slot> {
        match self {
            Self::Started(slot)
            | Self::Arrived { slot, .. }
            | Self::Ready(slot)
            | Self::Revoked(slot)
            | Self::Leaving(slot)
            | Self::Hung(slot)
            | Self::HandoffFailed(slot)
            | Self::Died(slot) => Some(slot),
            Self::SwapRequested | Self::Stopping | Self::Tick => None,
        }
    }
}

/// What the master must do, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send `Serve`: this worker holds the lease from here on.
    Serve(Slot),
    /// Send `Revoke`.
    Revoke(Slot),
    /// Send SIGKILL.
    Kill { slot: Slot, cause: Cause },
    /// Nobody came back in time: accept from every listener and answer 503.
    AcceptAndRefuse,
    /// Stop doing so.
    StopRefusing,
    /// Write it to the log, and count it.
    Report(Report),
}

/// Why a worker is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It stood still.
    Hung,
    /// It lives and has not spoken to this master.
    Silent,
    /// Handoffs do not reach it, and a process with a broken lane has no way back.
    HandoffFailed,
    /// It was asked for the lease and did not answer.
    RevokeUnanswered,
    /// It says that it holds a lease which another worker holds.
    SecondClaim,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hung => "it stood still",
            Self::Silent => "it did not speak to the master",
            Self::HandoffFailed => "handoffs do not reach it",
            Self::RevokeUnanswered => "it did not give the lease back",
            Self::SecondClaim => "it claims a lease that another worker holds",
        })
    }
}

/// A change that an operator should hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// A new master learned that this worker serves.
    Learned(Slot),
    /// The active worker went down and the standby became active.
    FailedOver { from: Slot, to: Slot },
    /// The roles were exchanged, because an operator or the worker itself asked for it.
    Swapped { from: Slot, to: Slot },
    /// Active and standby were not exchanged: the standby is not ready to serve.
    SwapRefused,
    /// No worker is ready; connections wait.
    NobodyReady,
    /// None became ready in time; connections are refused.
    HoldExpired,
    /// A worker serves, after a time in which none did.
    Recovered(Slot),
}

/// Where the connections go that the master accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To the worker that holds the lease.
    To(Slot),
    /// Nowhere yet: leave them in the queue, and keep what was taken out of it.
    Wait,
    /// Nowhere: answer 503.
    Refuse,
}
