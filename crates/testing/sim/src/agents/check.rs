//! The invariants.

use std::time::Duration;

use super::world::{POLICY, World};
use super::{Finding, Health, Invariant};

/// However unlucky it was: the longest wait that was asked for, with its luck, the longest wait of
/// its own, and a round of silence.
const FOUND_WITHIN: Duration = Duration::from_secs(900 + 300 + 60);

/// What must hold after every event.
pub(super) fn safety(world: &World) -> Result<(), Finding> {
    if let Some(finding) = &world.finding {
        return Err(finding.clone());
    }
    if world.attempt.is_none() && world.agent.wake_at().is_none() {
        return Err((Invariant::NeverGivesUp, format!("{:?}", world.agent)));
    }
    Ok(())
}

/// What must hold once the bad luck has stopped.
pub(super) fn liveness(world: &mut World) -> Result<(), Finding> {
    world.calm();
    let lone = world.below(world.managers.len());
    for place in 0..world.managers.len() {
        let health = if place == lone { Health::Up } else { Health::Dead };
        // Where it is so already, nothing is to do.
        let _same = world.turn(place, health);
    }
    let before = world.exchanges;
    world.pass(FOUND_WITHIN);
    safety(world)?;
    if world.exchanges == before || world.agent.current() != lone {
        let what = format!("{lone} is there, not {}", world.agent.current());
        return Err((Invariant::FindsWhoIsThere, what));
    }
    let _same = world.turn(0, Health::Up);
    world.pass(POLICY.failback.mul_f64(1.1) + FOUND_WITHIN);
    safety(world)?;
    if world.agent.current() != 0 {
        return Err((Invariant::ComesBackToTheFirst, format!("{:?}", world.agent)));
    }
    Ok(())
}
