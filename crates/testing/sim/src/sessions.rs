//! Who is logged in, in a made-up gateway: the real register, replication and replicas, a disk
//! that loses what was not synced, and crashes of every process between every two messages.
//!
//! # What is real
//!
//! `mainstay-session`: what a request comes to, the order in which it goes where, and what a
//! process does with what it is told. The loops around that, the lanes, the journal's files and
//! the callers are models.

mod action;
mod check;
mod perform;
mod world;

use serde::{Deserialize, Serialize};

use crate::history::History;
use crate::luck::Luck;
use crate::play;

pub use action::Action;
use check::{liveness, safety};
use world::World;

/// Rounds in which everything under way must arrive once the bad luck stopped.
const CALM_ROUNDS: u32 = 200;

/// A rule that this world leaves out, to show that an invariant notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flaw {
    /// A process whose channel ended is taken for dead.
    ChannelEndIsDeath,
    /// A new broadcast does not ask who was running before it.
    NobodyWasThere,
    /// A worker says that it goes by an update when its first thread does.
    FirstThreadAnswers,
    /// The journal says that updates are on the disk when they were written.
    WrittenIsCommitted,
    /// A worker accepts by what it has read before it is told to.
    ServesWhatItRead,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ChannelEndIsDeath,
        Self::NobodyWasThere,
        Self::FirstThreadAnswers,
        Self::WrittenIsCommitted,
        Self::ServesWhatItRead,
    ];
}

/// What must hold: after every event, but for the last, which holds in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invariant {
    /// A session whose announcement was confirmed is in every process that accepts any.
    NoSessionLost,
    /// A session whose logout was confirmed is accepted nowhere.
    NobodyComesBack,
    /// What was confirmed is on the disk.
    ConfirmedIsOnTheDisk,
    /// The answer is the master's: it has what is confirmed.
    TheMasterAnswers,
    /// In the end everything is confirmed, and all have the same.
    EverybodyKnowsInTheEnd,
}

/// An invariant that did not hold, and how it came to that.
pub type Broken = play::Broken<Invariant, Action, Flaw>;

/// What was found, before anybody knows the history.
type Finding = play::Finding<World>;

/// Plays `steps` random actions, checking every invariant after each.
pub fn run(seed: u64, steps: u32, flaw: Option<Flaw>) -> Result<(), Box<Broken>> {
    play::run::<World>(seed, steps, flaw)
}

/// Plays a history again.
pub fn replay(history: &History<Action, Flaw>) -> Result<(), Box<Broken>> {
    play::replay::<World>(history, |_, _| {})
}

/// The same failure, from as few actions as can be found by leaving some out.
pub fn shorten(broken: Box<Broken>) -> Box<Broken> {
    play::shorten::<World>(broken)
}

impl play::World for World {
    type Action = Action;
    type Flaw = Flaw;
    type Invariant = Invariant;

    fn new(_seed: u64, flaw: Option<Flaw>) -> Self {
        Self::new(flaw)
    }

    fn draw(luck: &mut Luck) -> Action {
        Action::any(luck)
    }

    fn perform(&mut self, action: Action) -> Option<()> {
        Self::perform(self, action)
    }

    fn safety(&self) -> Result<(), Finding> {
        safety(self)
    }

    fn calm_down(&mut self) -> Result<(), Finding> {
        for _ in 0..CALM_ROUNDS {
            for action in Action::calm() {
                let _nothing_to_do = self.perform(action);
                safety(self)?;
            }
            if liveness(self).is_ok() {
                break;
            }
        }
        liveness(self)
    }
}
