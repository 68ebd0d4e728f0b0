//! Which manager an agent speaks to, in a made-up network: the real machine, managers that die,
//! swallow, refuse and come back, and time that passes.
//!
//! # What is real
//!
//! `mainstay-fleet`'s endpoints. The driver, which waits and tries, and the managers are models.
//!
//! An even seed plays with everything. In an odd one only #1 comes and goes, and nobody interferes:
//! then switches can be counted.

mod check;
mod world;

use serde::{Deserialize, Serialize};

use crate::history::History;
use crate::luck::Luck;
use crate::play;

use check::{liveness, safety};
use world::World;

/// A rule that this world leaves out, to show that an invariant notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flaw {
    /// An attempt is waited for beyond its limit.
    WaitsForEver,
    /// #1 is tested again much sooner than it should be.
    FailbackIsHasty,
    /// What is due is now and then forgotten.
    ForgetsWhatIsDue,
    /// A test of #1 that failed is taken for one that did not.
    EveryTestSucceeds,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::WaitsForEver,
        Self::FailbackIsHasty,
        Self::ForgetsWhatIsDue,
        Self::EveryTestSucceeds,
    ];
}

/// What must hold: after every event, but for the last two, which hold in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invariant {
    /// Something is under way, or it is known when it will be.
    NeverGivesUp,
    /// From the first failure to the switch: a second if it cannot be reached, five if it is
    /// silent.
    LeavesInTime,
    /// A #1 that comes and goes causes at most two switches in a failback interval.
    AtMostTwoSwitches,
    /// It fails back to a #1 that is there, so no exchange is lost by it.
    FailbackLosesNothing,
    /// Only #1 is tested, and the first try after a start, another list or a forced registration is
    /// with it.
    TheFirstIsFirst,
    /// In the end it speaks to somebody who is there.
    FindsWhoIsThere,
    /// In the end it speaks to #1, if that is there.
    ComesBackToTheFirst,
}

/// An invariant that did not hold, and how it came to that.
pub type Broken = play::Broken<Invariant, Action, Flaw>;

/// What was found, before anybody knows the history.
type Finding = play::Finding<World>;

/// How a manager is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    Up,
    /// Connections are refused.
    Dead,
    /// Nothing comes back.
    Silent,
    /// It asks to be left alone, for so many seconds.
    Busy(u16),
}

/// One thing that happens in this world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Turn(u8, Health),
    /// So many milliseconds pass.
    Pass(u32),
    Want,
    List(u8),
    Force,
}

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

    fn new(seed: u64, flaw: Option<Flaw>) -> Self {
        Self::new(seed, flaw)
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
        liveness(self)
    }
}

impl Action {
    fn any(luck: &mut Luck) -> Self {
        let place = |luck: &mut Luck| u8::try_from(luck.below(4)).unwrap_or(0);
        match luck.below(100) {
            0..30 => Self::Pass(luck.below(3_000)),
            30..45 => Self::Pass(luck.below(60_000)),
            45..55 => Self::Pass(luck.below(1_200_000)),
            55..67 => Self::Turn(place(luck), Health::Up),
            67..77 => Self::Turn(place(luck), Health::Dead),
            77..85 => Self::Turn(place(luck), Health::Silent),
            85..90 => {
                let seconds = u16::try_from(luck.below(600)).unwrap_or(0);
                Self::Turn(place(luck), Health::Busy(seconds))
            }
            90..95 => Self::Want,
            95..98 => Self::List(1 + place(luck)),
            _ => Self::Force,
        }
    }
}
