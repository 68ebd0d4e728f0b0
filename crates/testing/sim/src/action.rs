//! What can happen next, and how likely it is.
//!
//! Actions name indices, never values: the index is taken modulo the number of things there
//! are when it is performed, and an action for which there is nothing does nothing. So a
//! history that was shortened by hand still makes sense.

use serde::{Deserialize, Serialize};

use crate::luck::Luck;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A client connects; it waits in the queue of a listener.
    Connect { listener: usize },
    /// Time passes.
    AdvanceClock { milliseconds: u32 },

    /// A message from a worker reaches the master.
    DeliverToMaster { link: usize },
    /// A message from a master reaches a worker.
    DeliverToWorker { link: usize },
    /// The master hears of a birth or a death.
    Notice { notice: usize },
    /// The master looks at the heartbeats.
    Watch { worker: usize },
    /// The master's timer.
    Tick,
    /// The master accepts a batch.
    MasterAccept,
    /// The master sends its batch to the worker that serves.
    HandOff,
    /// The same, and the send fails.
    HandOffFails,
    /// The master closes what it has sent.
    CloseSent,
    /// The master answers one connection with 503, if it is to.
    Refuse,

    /// A worker does the next thing for itself: connect, get ready, go.
    Run { worker: usize },
    /// A worker accepts from the leased listener.
    Accept { worker: usize },
    /// A worker takes a handoff from its lane.
    ReadLane { worker: usize },
    /// A worker carries one of its connections one step on.
    Work { worker: usize, connection: usize },
    /// The active worker claims an estate.
    Claim { estate: usize },
    /// An heir commits an offer.
    Take { offer: usize },
    /// An heir answers an offer that it has committed.
    Answer { worker: usize },
    /// A keeper does the next thing.
    Keep { estate: usize },

    /// The supervisor starts a process again, if that is due.
    Spawn { process: usize },
    /// An operator wants active and standby exchanged.
    Swap,
    /// A worker is asked to go, or lost its keeper.
    Leave { worker: usize },

    /// `kill -9`.
    Kill { process: usize },
    /// A worker starts to dump core: past doing anything, and not gone.
    DumpCore { worker: usize },
    /// A core is written; the process is gone.
    Reap { worker: usize },
    /// A worker stands still.
    Hang { worker: usize },
    /// It goes on.
    Wake { worker: usize },
}

impl Action {
    /// The next action, whatever it may find.
    pub fn any(luck: &mut Luck) -> Self {
        // Each choice as often as its range is wide. Most are progress, and progress that is
        // not possible is drawn again: a world in which everything is dead has nothing left
        // to go wrong.
        match luck.below(1000) {
            0..40 => Self::Connect { listener: index(luck) },
            40..65 => Self::AdvanceClock { milliseconds: 1 << luck.below(11) },
            65..145 => Self::DeliverToMaster { link: index(luck) },
            145..225 => Self::DeliverToWorker { link: index(luck) },
            225..275 => Self::Notice { notice: index(luck) },
            275..295 => Self::Watch { worker: index(luck) },
            295..325 => Self::Tick,
            325..365 => Self::MasterAccept,
            365..415 => Self::HandOff,
            415..416 => Self::HandOffFails,
            416..456 => Self::CloseSent,
            456..466 => Self::Refuse,
            466..556 => Self::Run { worker: index(luck) },
            556..596 => Self::Accept { worker: index(luck) },
            596..641 => Self::ReadLane { worker: index(luck) },
            641..701 => Self::Work { worker: index(luck), connection: index(luck) },
            701..741 => Self::Claim { estate: index(luck) },
            741..791 => Self::Take { offer: index(luck) },
            791..841 => Self::Answer { worker: index(luck) },
            841..911 => Self::Keep { estate: index(luck) },
            911..961 => Self::Spawn { process: index(luck) },
            961..969 => Self::Swap,
            969..971 => Self::Leave { worker: index(luck) },
            971..981 => Self::Kill { process: index(luck) },
            981..983 => Self::DumpCore { worker: index(luck) },
            983..990 => Self::Reap { worker: index(luck) },
            990..992 => Self::Hang { worker: index(luck) },
            _ => Self::Wake { worker: index(luck) },
        }
    }
}

fn index(luck: &mut Luck) -> usize {
    luck.below(64) as usize
}

/// The thing that `index` names among `things`.
pub(crate) fn pick<T: Copy>(things: &[T], index: usize) -> Option<T> {
    things.get(index.checked_rem(things.len())?).copied()
}
