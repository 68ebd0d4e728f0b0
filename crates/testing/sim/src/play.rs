//! What every made-up world is played with: random actions, and the search for a shorter history
//! of what went wrong.

use std::ops::Range;

use crate::luck::Luck;

/// Actions drawn before a step is given up: most find nothing to do.
const DRAWS_MAX: u32 = 20;

/// A world in which actions are performed.
pub(crate) trait World {
    type Action: Copy;
    type Finding;

    /// Any action that there can be.
    fn draw(luck: &mut Luck) -> Self::Action;

    /// Does it, or returns `None` if there is nothing to do it to.
    fn perform(&mut self, action: Self::Action) -> Option<()>;

    /// Whether everything holds that always must.
    fn safety(&self) -> Result<(), Self::Finding>;
}

/// Plays `steps` random actions, and notes them in `played`, until something does not hold.
pub(crate) fn improvise<W: World>(
    world: &mut W,
    luck: &mut Luck,
    steps: u32,
    played: &mut Vec<W::Action>,
) -> Result<(), W::Finding> {
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

/// The same failure, from as few actions as can be found by leaving some out.
///
/// Takes away as many at once as it can, then fewer; `without` plays a failure again without some
/// of its actions, and returns it if the same invariant still breaks.
pub(crate) fn shorten_with<B>(
    mut shortest: B,
    length: impl Fn(&B) -> usize,
    without: impl Fn(&B, Range<usize>) -> Option<B>,
) -> B {
    let mut width = length(&shortest).div_ceil(2);
    while width > 0 {
        let mut start = 0;
        let mut found = false;
        while start < length(&shortest) {
            let end = length(&shortest).min(start + width);
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
