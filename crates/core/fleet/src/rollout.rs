//! A version on its way to a group, wave by wave: who is offered it next, and when to stop.
//!
//! ```text
//!          Start            the last wave is good
//!  Draft ────────▶ Running ───────────────────────▶ Done
//!    │              │  ▲ │
//!    │   Halt, or a │  │ │ RollBack, or a bad wave if the plan says so
//!    │   bad wave   ▼  │ Resume          everyone is back, or their time is over
//!    │            Halted ──────▶ RollingBack ──────────────────────────────▶ RolledBack
//!    │                RollBack                                                   ▲
//!    └───────────────────────────────────────────────────────────────────────────┘
//!                                 RollBack: nobody was offered anything
//! ```
//!
//! # Invariants
//!
//! 1. A wave is offered only when every one before it was good, or when an operator said
//!    `Resume`; so a bad version reaches the members of one wave.
//! 2. `Done` comes after the last wave was good.
//! 3. Whoever is not heard of holds up nobody: after the plan's patience a silent member is left
//!    to find the version when it returns. A wave in which nobody applied it is bad all the same.
//! 4. What was decided depends on the rows alone, so any manager can take the next step.
//!
//! # Not here
//!
//! Rows and revisions: `mainstay-database`. Going back on the gateway itself: its own apply.

mod plan;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

pub use plan::{OnFailure, Plan, PlanError, Share, WAVES_MAX};

/// Where a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Draft,
    Running,
    Halted,
    RollingBack,
    RolledBack,
    Done,
}

/// What an operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Start,
    Halt,
    /// What has failed is accepted; what comes next is offered.
    Resume,
    RollBack,
}

/// What was found about a member so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Waiting,
    Offered,
    Applied,
    Failed,
    RolledBack,
}

/// What a member's agent last said of the new version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nothing, or that it is at it.
    Nothing,
    /// It serves it.
    Applied,
    /// It serves it, and is not healthy.
    Unhealthy,
    /// It could not apply it, and serves what it served before.
    Failed,
}

/// Whether a member is heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    Online,
    Silent,
}

/// A gateway of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// From 0.
    pub wave: u32,
    pub mark: Mark,
    pub said: Said,
    pub heard: Heard,
}

/// Whether there is something to go back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Former {
    Version,
    /// The group had no version.
    None,
}

/// A rollout as its rows show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View<'a> {
    pub state: State,
    /// The last wave that was offered; none before the first.
    pub wave: Option<u32>,
    /// Since that wave was offered.
    pub since_wave: Duration,
    /// Since the last step, whatever it was.
    pub since_step: Duration,
    pub former: Former,
    pub members: &'a [Member],
}

/// What happens next, all at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub state: State,
    /// Why, if the state changes or somebody asked.
    pub reason: Option<Reason>,
    /// The wave to offer.
    pub offer: Option<u32>,
    /// Members (by their place in the view) and what was found about them.
    pub marks: Vec<(usize, Mark)>,
    pub desire: Desire,
}

/// What becomes of the version of the group and of its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desire {
    /// As it is.
    Keep,
    /// The new version becomes the group's, and members have no own one any more.
    Adopt,
    /// Members that were offered the new version should serve the group's again, and count as
    /// rolled back.
    Revert,
}

/// Why a rollout is in its state. Waves are counted from 1 for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Ordered(Order),
    /// More failed than the plan allows.
    Failures {
        wave: u32,
        failed: usize,
        allowed: u32,
    },
    /// The patience is over and nobody in the wave has applied it.
    Nobody {
        wave: u32,
    },
    /// Every wave was good.
    Complete,
    /// Everyone who is heard of is back.
    Back,
    /// The patience is over; some still serve the new version.
    StillServing {
        members: usize,
    },
    /// The group had no version before, so members keep what they serve.
    NothingBefore,
}

/// An order that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rollout that is {state} does not take the order {order}")]
pub struct Refusal {
    pub state: State,
    pub order: Order,
}

/// What an order does.
///
/// # Errors
///
/// If the state does not take it.
pub fn order(plan: &Plan, view: &View<'_>, order: Order) -> Result<Step, Refusal> {
    let to = |state| Step { reason: Some(Reason::Ordered(order)), ..Step::to(state) };
    match (view.state, order) {
        (State::Draft, Order::Start) => {
            Ok(Step { offer: next_wave(view.members, None), ..to(State::Running) })
        }
        (State::Running, Order::Halt) => Ok(to(State::Halted)),
        (State::Halted, Order::Resume) => Ok(resume(plan, view)),
        // Nobody was offered anything: nothing is to be taken back.
        (State::Draft, Order::RollBack) => Ok(to(State::RolledBack)),
        (State::Running | State::Halted, Order::RollBack) => {
            Ok(Step { reason: Some(Reason::Ordered(order)), ..back(view) })
        }
        (state @ (State::RollingBack | State::RolledBack | State::Done), _)
        | (state @ State::Draft, Order::Halt | Order::Resume)
        | (state @ State::Running, Order::Start | Order::Resume)
        | (state @ State::Halted, Order::Start | Order::Halt) => Err(Refusal { state, order }),
    }
}

/// What happens by itself; nothing if nothing does yet.
#[must_use]
pub fn look(plan: &Plan, view: &View<'_>) -> Option<Step> {
    match view.state {
        State::Running => run(plan, view),
        State::RollingBack => go_back(plan, view),
        State::Draft | State::Halted | State::RolledBack | State::Done => None,
    }
}

fn run(plan: &Plan, view: &View<'_>) -> Option<Step> {
    let Some(wave) = view.wave else { return Some(advance(view.members, None)) };
    let is_over = view.since_wave >= plan.patience;
    let mut marks = Vec::new();
    let (mut failed, mut applied, mut undecided, mut size) = (0_usize, 0_usize, 0_usize, 0_usize);
    for (place, member) in view.members.iter().enumerate() {
        let mark = found(member, is_over);
        if mark != member.mark {
            marks.push((place, mark));
        }
        let is_news = mark != member.mark && mark == Mark::Failed;
        if member.wave == wave {
            size += 1;
            failed += usize::from(mark == Mark::Failed);
            applied += usize::from(mark == Mark::Applied);
            let is_left_out = is_over && member.heard == Heard::Silent;
            undecided += usize::from(mark == Mark::Offered && !is_left_out);
        } else {
            // An earlier wave was good: what failed there since counts here.
            failed += usize::from(is_news);
        }
    }
    if failed > usize::try_from(plan.failures).unwrap_or(usize::MAX) {
        let reason = Reason::Failures { wave, failed, allowed: plan.failures };
        return Some(Step { marks, ..bad(plan, view, reason) });
    }
    if undecided == 0 && applied == 0 && size > 0 {
        return Some(Step { marks, ..bad(plan, view, Reason::Nobody { wave }) });
    }
    if !marks.is_empty() {
        return Some(Step { marks, ..Step::to(State::Running) });
    }
    // Nothing has changed since the last step, which began the time to watch.
    (undecided == 0 && view.since_step >= plan.watch).then(|| advance(view.members, Some(wave)))
}

/// What is known of a member by what it said.
const fn found(member: &Member, is_over: bool) -> Mark {
    match (member.mark, member.said) {
        (Mark::Offered | Mark::Applied, Said::Failed | Said::Unhealthy) => Mark::Failed,
        (Mark::Offered, Said::Applied) => Mark::Applied,
        // It is there, and has had its time.
        (Mark::Offered, Said::Nothing) if is_over && matches!(member.heard, Heard::Online) => {
            Mark::Failed
        }
        (mark, Said::Nothing | Said::Applied | Said::Unhealthy | Said::Failed) => mark,
    }
}

fn bad(plan: &Plan, view: &View<'_>, reason: Reason) -> Step {
    match (plan.on_failure, view.former) {
        (OnFailure::RollBack, Former::Version) => Step { reason: Some(reason), ..back(view) },
        (OnFailure::RollBack, Former::None) | (OnFailure::Halt, _) => {
            Step { reason: Some(reason), ..Step::to(State::Halted) }
        }
    }
}

fn back(view: &View<'_>) -> Step {
    match view.former {
        Former::Version => Step { desire: Desire::Revert, ..Step::to(State::RollingBack) },
        Former::None => Step { desire: Desire::Revert, ..Step::to(State::RolledBack) },
    }
}

fn go_back(plan: &Plan, view: &View<'_>) -> Option<Step> {
    if view.former == Former::None {
        return Some(Step { reason: Some(Reason::NothingBefore), ..Step::to(State::RolledBack) });
    }
    let serving = |member: &&Member| match (member.mark, member.said, member.heard) {
        (Mark::RolledBack, Said::Applied | Said::Unhealthy, Heard::Online) => true,
        (
            Mark::Waiting | Mark::Offered | Mark::Applied | Mark::Failed | Mark::RolledBack,
            Said::Nothing | Said::Applied | Said::Unhealthy | Said::Failed,
            Heard::Online | Heard::Silent,
        ) => false,
    };
    let members = view.members.iter().filter(serving).count();
    let reason = match members {
        0 => Reason::Back,
        members if view.since_step >= plan.patience => Reason::StillServing { members },
        _ => return None,
    };
    Some(Step { reason: Some(reason), ..Step::to(State::RolledBack) })
}

/// Goes on where it was, or, if the wave is what was bad, with the one after it.
fn resume(plan: &Plan, view: &View<'_>) -> Step {
    let reason = Some(Reason::Ordered(Order::Resume));
    let in_wave = |member: &&Member| Some(member.wave) == view.wave;
    let failed = view.members.iter().filter(in_wave).filter(|one| one.mark == Mark::Failed).count();
    let undecided = view.members.iter().filter(in_wave).any(|one| one.mark == Mark::Offered);
    let is_bad = failed > usize::try_from(plan.failures).unwrap_or(usize::MAX) || !undecided;
    if view.wave.is_some() && !is_bad {
        // The same wave again: its time begins anew.
        return Step { reason, offer: view.wave, ..Step::to(State::Running) };
    }
    Step { reason, ..advance(view.members, view.wave) }
}

fn advance(members: &[Member], after: Option<u32>) -> Step {
    match next_wave(members, after) {
        Some(wave) => Step { offer: Some(wave), ..Step::to(State::Running) },
        None => {
            Step { reason: Some(Reason::Complete), desire: Desire::Adopt, ..Step::to(State::Done) }
        }
    }
}

/// The first wave after this one that anybody is in.
fn next_wave(members: &[Member], after: Option<u32>) -> Option<u32> {
    members.iter().map(|member| member.wave).filter(|&wave| after.is_none_or(|at| wave > at)).min()
}

impl Step {
    const fn to(state: State) -> Self {
        Self { state, reason: None, offer: None, marks: Vec::new(), desire: Desire::Keep }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Draft => "a draft",
            Self::Running => "running",
            Self::Halted => "halted",
            Self::RollingBack => "rolling back",
            Self::RolledBack => "rolled back",
            Self::Done => "done",
        })
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Halt => "halt",
            Self::Resume => "resume",
            Self::RollBack => "roll back",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ordered(order) => write!(f, "an operator gave the order {order}"),
            Self::Failures { wave, failed, allowed } => {
                let wave = wave.saturating_add(1);
                write!(f, "wave {wave}: {failed} failed, {allowed} are allowed")
            }
            Self::Nobody { wave } => {
                write!(f, "wave {}: nobody has applied it", wave.saturating_add(1))
            }
            Self::Complete => f.write_str("every wave has applied it"),
            Self::Back => f.write_str("everyone who is heard of serves what they served before"),
            Self::StillServing { members } => {
                write!(f, "{members} have not said that they went back")
            }
            Self::NothingBefore => {
                f.write_str("the group had no version before, and members keep what they serve")
            }
        }
    }
}
