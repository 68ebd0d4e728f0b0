//! What every made-up world is played with: random actions, the same again from a history, and
//! the search for a shorter history of what went wrong.

use std::ops::Range;

use crate::history::History;
use crate::luck::Luck;

/// Actions drawn before a step is given up: most find nothing to do.
const DRAWS_MAX: u32 = 20;

/// What was found, before anybody knows the history.
pub(crate) type Finding<W> = (<W as World>::Invariant, String);

/// What a world's play can end with.
pub(crate) type Broke<W> =
    Box<Broken<<W as World>::Invariant, <W as World>::Action, <W as World>::Flaw>>;

/// A world in which actions are performed.
pub(crate) trait World: Sized {
    type Action: Copy;
    /// A rule that it leaves out, to show that an invariant notices.
    type Flaw: Copy;
    type Invariant: Copy + PartialEq;

    fn new(seed: u64, flaw: Option<Self::Flaw>) -> Self;

    /// Any action that there can be.
    fn draw(luck: &mut Luck) -> Self::Action;

    /// Does it, or returns `None` if there is nothing to do it to.
    fn perform(&mut self, action: Self::Action) -> Option<()>;

    /// Whether everything holds that always must.
    fn safety(&self) -> Result<(), Finding<Self>>;

    /// Nothing bad happens any more, and everything under way arrives: whether everything holds
    /// that must in the end.
    fn calm_down(&mut self) -> Result<(), Finding<Self>>;
}

/// An invariant that did not hold, and how it came to that.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{invariant:?} after {} actions of seed {}: {what}", history.actions.len(), history.seed)]
pub struct Broken<I, A, F> {
    /// What did not hold.
    pub invariant: I,
    /// What it is about.
    pub what: String,
    /// Everything that happened until then.
    pub history: History<A, F>,
}

/// Plays `steps` random actions, checking every invariant after each.
pub(crate) fn run<W: World>(seed: u64, steps: u32, flaw: Option<W::Flaw>) -> Result<(), Broke<W>> {
    let mut world = W::new(seed, flaw);
    let mut history = History { seed, flaw, actions: Vec::new() };
    improvise(&mut world, &mut Luck::new(seed), steps, &mut history.actions)
        // Safety holds always; liveness only once the bad luck stops.
        .and_then(|()| world.calm_down())
        .map_err(|finding| broken(finding, history))
}

/// Plays a history again. `watch` sees every action before it happens and the world in which
/// it will, and in the end the world after the calm.
pub(crate) fn replay<W: World>(
    history: &History<W::Action, W::Flaw>,
    mut watch: impl FnMut(Option<&W::Action>, &W),
) -> Result<(), Broke<W>> {
    let mut world = W::new(history.seed, history.flaw);
    let mut played = History { actions: Vec::new(), ..*history };
    for action in &history.actions {
        watch(Some(action), &world);
        played.actions.push(*action);
        // In a history that was shortened, some actions find nothing to do.
        let _nothing_to_do = world.perform(*action);
        if let Err(finding) = world.safety() {
            return Err(broken(finding, played));
        }
    }
    let calm = world.calm_down();
    watch(None, &world);
    calm.map_err(|finding| broken(finding, played))
}

fn broken<I, A, F>((invariant, what): (I, String), history: History<A, F>) -> Box<Broken<I, A, F>> {
    Box::new(Broken { invariant, what, history })
}

/// Plays `steps` random actions, and notes them in `played`, until something does not hold.
fn improvise<W: World>(
    world: &mut W,
    luck: &mut Luck,
    steps: u32,
    played: &mut Vec<W::Action>,
) -> Result<(), Finding<W>> {
    for _ in 0..steps {
        for _ in 0..DRAWS_MAX {
            let action = W::draw(luck);
            if world.perform(action).is_some() {
                played.push(action);
                break;
            }
        }
        world.safety()?;
    }
    Ok(())
}

/// The same failure, from as few actions as can be found by leaving some out. Actions name
/// indices, so what is left still plays.
///
/// Takes away as many at once as it can, then fewer.
pub(crate) fn shorten<W: World>(mut shortest: Broke<W>) -> Broke<W> {
    let without = |broken: &Broke<W>, left_out: Range<usize>| {
        let history = &broken.history;
        let mut actions = history.actions.clone();
        actions.drain(left_out);
        let shorter = replay::<W>(&History { actions, ..*history }, |_, _| {}).err()?;
        (shorter.invariant == broken.invariant).then_some(shorter)
    };
    let mut width = shortest.history.actions.len().div_ceil(2);
    while width > 0 {
        let mut start = 0;
        let mut found = false;
        while start < shortest.history.actions.len() {
            let end = shortest.history.actions.len().min(start + width);
            match without(&shortest, start..end) {
                // What was behind is now at `start`.
                Some(shorter) => {
                    shortest = shorter;
                    found = true;
                }
                None => start += width,
            }
        }
        if !found {
            width /= 2;
        }
    }
    shortest
}
