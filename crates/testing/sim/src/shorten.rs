//! Makes the history of a failure short enough to read. Actions name indices, so what is left
//! still plays.

use crate::check::Broken;
use crate::gateway::replay;
use crate::play::shorten_with;

/// The same failure, from as few actions as can be found by leaving some out.
pub fn shorten(broken: Box<Broken>) -> Box<Broken> {
    shorten_with(
        broken,
        |broken| broken.history.actions.len(),
        |broken, left_out| {
            let mut history = broken.history.clone();
            history.actions.drain(left_out);
            let shorter = replay(&history, |_, _| {}).err()?;
            (shorter.invariant == broken.invariant).then_some(shorter)
        },
    )
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
