//! Makes the history of a failure short enough to read.
//!
//! Takes away as many actions at once as it can, then fewer, while the same invariant still
//! breaks. Actions name indices, so what is left still plays.

use crate::check::Broken;
use crate::gateway::replay;

/// The same failure, from as few actions as can be found by leaving some out.
pub fn shorten(broken: Box<Broken>) -> Box<Broken> {
    let mut shortest = broken;
    let mut width = shortest.history.actions.len().div_ceil(2);
    while width > 0 {
        let mut start = 0;
        let mut found = false;
        while start < shortest.history.actions.len() {
            match without(&shortest, start, width) {
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

/// The failure that is left when `width` actions from `start` on are left out.
fn without(broken: &Broken, start: usize, width: usize) -> Option<Box<Broken>> {
    let mut history = broken.history.clone();
    let end = history.actions.len().min(start + width);
    history.actions.drain(start..end);
    let shorter = replay(&history, |_, _| {}).err()?;
    (shorter.invariant == broken.invariant).then_some(shorter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::run_flawed;
    use crate::world::Flaw;

    #[test]
    fn a_short_history_breaks_the_same_invariant() {
        let long = run_flawed(0, 500, Some(Flaw::FailedBatchIsDropped)).unwrap_err();
        let (invariant, actions) = (long.invariant, long.history.actions.len());
        let short = shorten(long);
        assert_eq!(short.invariant, invariant);
        assert!(short.history.actions.len() < actions / 2, "{:?}", short.history.actions);
    }
}
