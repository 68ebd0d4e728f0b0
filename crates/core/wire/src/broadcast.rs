//! What broadcast and the processes that it speaks to say to each other.
//!
//! Master and workers connect to `broadcast.sock` and speak first. They do so again after a
//! death of broadcast, with everything that its successor has to know: who they are and what
//! they serve. Orders go out one at a time and each is answered; what an order means to a
//! worker and to the master stands beside its variant.

use mainstay_model::{Generation, Process, Slot};
use serde::{Deserialize, Serialize};

use crate::frame::Message;
use crate::session::{Figures, ToRegister, ToReplica};

/// Broadcast to a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToPeer {
    /// Do this, and answer [`ToBroadcast::Answered`] with the same number.
    Do { number: u64, order: Order },
    /// To the master: somebody at the command channel asks for this. Answered with
    /// [`ToBroadcast::Settled`] and the same ticket.
    Wanted { ticket: u64, generation: Generation },
    /// To the master: what came of the chain that it asked for.
    Ended { outcome: Outcome },
    /// About who is logged in.
    Sessions(ToReplica),
    /// To the master, now and then: what is counted about that.
    Figures(Figures),
}

/// A process to broadcast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToBroadcast {
    /// The first message.
    Hello { wire: u32, process: Process, pid: u32 },
    /// A worker: this is what it serves. Sent after `Hello` and at every change.
    Serves { generation: Generation },
    /// The master: who is active, and which generation is the one to serve. Sent after `Hello`
    /// and at every change.
    Decided { active: Option<Slot>, current: Generation },
    /// What came of [`ToPeer::Do`].
    Answered { number: u64, answer: Answer },
    /// The master: have every process do this, and tell [`ToPeer::Ended`].
    Chain { order: Order },
    /// The master: what came of [`ToPeer::Wanted`].
    Settled { ticket: u64, answer: Answer },
    /// About who is logged in.
    Sessions(ToRegister),
}

/// What every process is told to do, one after the other: standby, master, active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// Worker: load it, and prove that it can be served. Master: exchange the roles, watch for
    /// `confirm_ms`, make it current. What of it was done when it fails is undone by `Follow`.
    Apply { generation: Generation, confirm_ms: u64 },
    /// Worker: load it, without a proof, for it is the current one. A worker that cannot is
    /// replaced by one that starts with it.
    Follow { generation: Generation },
    /// Say how you are, in one sentence.
    Status,
    /// Say how the service that logs users in is, as you see it.
    EspStatus,
    /// Read again what requests are decided by.
    PolicyRefresh,
    /// Forget every response that is kept.
    PurgeCache,
    /// Master: exchange active and standby. Worker: be able to.
    Swap,
}

/// What a process says of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done; the sentence says what that came to, if there is anything to say.
    Done { sentence: String },
    /// It is not, and nothing has changed.
    Refused { reason: String },
}

/// What came of an order to all processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Everyone who is there did it.
    Done { said: Vec<Said> },
    /// This process did not; what others had done before is undone.
    Failed { process: Process, reason: String },
    /// Another order is under way.
    Busy,
}

/// What one process said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    pub process: Process,
    pub sentence: String,
}

impl Message for ToPeer {
    fn descriptors(&self) -> usize {
        match self {
            Self::Sessions(ToReplica::Load { files, .. }) => usize::from(*files),
            Self::Sessions(ToReplica::Apply { .. })
            | Self::Do { .. }
            | Self::Wanted { .. }
            | Self::Ended { .. }
            | Self::Figures(_) => 0,
        }
    }
}

impl Message for ToBroadcast {}

impl Answer {
    /// Done, and nothing to say about it.
    pub const DONE: Self = Self::Done { sentence: String::new() };
}
