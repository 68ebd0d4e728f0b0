//! Applies told as conversations, and what holds after any of them.

use mainstay_model::Slot::{One, Two};
use proptest::prelude::*;

use super::ApplyEffect::{
    Activate, AnswerChain, Chain, Close, End, Hook as Run, MakeCurrent, Open, Watch,
};
use super::ApplyEvent::{
    Active, ChainDone, ChainFailed, ChainLost, HookDone, HookFailed, Hurt, NotOpened, Opened, Tick,
    Turn, TurnInPlace,
};
use super::Hook::{Network, PostApply, PreApply, UndoNetwork};
use super::*;

const CONFIRM: Duration = Duration::from_secs(3);

/// A tick after a long time, and one after a second.
const SECOND: Duration = Duration::from_secs(1);

/// Everything that the master is told to do when this happens, one second after the other.
/// `None` is a time so long that whatever is awaited is late.
fn told(events: &[Option<ApplyEvent>]) -> (Option<Apply>, Vec<ApplyEffect>) {
    let mut now = Timestamp::default();
    let (apply, first) = Apply::begin(now, Generation::FIRST.next(), CONFIRM);
    let (mut apply, mut effects) = (Some(apply), vec![first]);
    for event in events {
        let Some(running) = apply else { break };
        now = if event.is_some() { now + SECOND } else { running.wake_at() };
        let (next, more) = running.step(now, event.unwrap_or(Tick));
        apply = next;
        effects.extend(more);
    }
    (apply, effects)
}

/// The same, of an apply whose first two hooks went well, and whose listeners are open.
fn told_when_proving(events: &[Option<ApplyEvent>]) -> (Option<Apply>, Vec<ApplyEffect>) {
    let (apply, mut effects) = told(&[&[WELL, WELL, OPENED], events].concat());
    let begun: Vec<_> = effects.drain(..4).collect();
    assert_eq!(begun, [Run(PreApply), Run(Network), Open, Chain]);
    (apply, effects)
}

const LATE: Option<ApplyEvent> = None;
const WELL: Option<ApplyEvent> = Some(HookDone);
const OPENED: Option<ApplyEvent> = Some(Opened);
const TURN: Option<ApplyEvent> = Some(Turn { first: Two });
const IN_PLACE: Option<ApplyEvent> = Some(TurnInPlace { first: Two });
const SWAPPED: Option<ApplyEvent> = Some(Active(Two));
const BACK: Option<ApplyEvent> = Some(Active(One));

#[test]
fn it_is_current_when_the_watch_is_over() {
    let (apply, effects) =
        told_when_proving(&[BACK, TURN, BACK, SWAPPED, SWAPPED, Some(Tick), LATE]);
    assert_eq!(apply.unwrap().part(), Part::Following);
    assert_eq!(effects, [Activate(Two), Watch, MakeCurrent, AnswerChain(Ok(()))]);
    for chain in [Some(ChainDone), Some(ChainFailed), Some(ChainLost), LATE] {
        for hook in [WELL, Some(HookFailed), LATE] {
            let (apply, effects) = told_when_proving(&[TURN, SWAPPED, LATE, chain, hook]);
            assert_eq!(apply, None, "{chain:?}");
            assert!(effects.ends_with(&[Run(PostApply), End(Ok(()))]), "{effects:?}");
        }
    }
}

#[test]
fn a_hook_can_refuse_it() {
    for refusal in [Some(HookFailed), LATE] {
        let (_, effects) = told(&[refusal]);
        assert_eq!(effects, [Run(PreApply), End(Err(Cause::Hook))]);
        let (_, effects) = told(&[WELL, refusal, WELL]);
        let undone = [Close, Run(UndoNetwork), End(Err(Cause::Hook))];
        assert_eq!(effects, [&[Run(PreApply), Run(Network)], &undone[..]].concat());
    }
}

#[test]
fn a_listener_that_cannot_be_opened_refuses_it() {
    for refusal in [Some(NotOpened), LATE] {
        let (_, effects) = told(&[WELL, WELL, refusal, WELL]);
        let undone = [Close, Run(UndoNetwork), End(Err(Cause::Listeners))];
        assert_eq!(effects, [&[Run(PreApply), Run(Network), Open], &undone[..]].concat());
    }
}

#[test]
fn whatever_goes_wrong_goes_back() {
    let back = Activate(One);
    for (events, cause, effects) in [
        (&[Some(ChainFailed)][..], Cause::Chain, &[][..]),
        (&[Some(ChainLost)], Cause::BroadcastGone, &[]),
        (&[LATE], Cause::ChainLate, &[]),
        (&[TURN, LATE, BACK, Some(ChainFailed)], Cause::NotSwapped, &[back]),
        (&[TURN, Some(ChainLost), BACK], Cause::BroadcastGone, &[back]),
        (&[TURN, SWAPPED, Some(Hurt), BACK, Some(ChainFailed)], Cause::Hurt, &[back]),
        (&[TURN, SWAPPED, Some(Hurt), BACK, LATE], Cause::Hurt, &[back]),
        // There is nobody to go back to.
        (&[TURN, SWAPPED, Some(Hurt), LATE, Some(ChainFailed)], Cause::Hurt, &[back]),
        (&[TURN, SWAPPED, Some(ChainLost), BACK], Cause::BroadcastGone, &[back]),
        (&[TURN, SWAPPED, BACK, Some(ChainFailed)], Cause::FirstGone, &[]),
    ] {
        let (apply, told) = told_when_proving(&[events, &[WELL]].concat());
        assert_eq!(apply, None, "{events:?}");
        let undone = [Close, Run(UndoNetwork), End(Err(cause))];
        assert!(told.ends_with(&undone), "{events:?}: {told:?}");
        assert!(effects.iter().all(|effect| told.contains(effect)), "{events:?}: {told:?}");
        assert!(!told.contains(&MakeCurrent), "{events:?}");
    }
}

#[test]
fn who_serves_already_is_watched_at_once_and_comes_back_alone() {
    let (apply, effects) = told_when_proving(&[IN_PLACE, SWAPPED, LATE]);
    assert_eq!(apply.unwrap().part(), Part::Following);
    assert_eq!(effects, [Watch, MakeCurrent, AnswerChain(Ok(()))]);
    let (apply, effects) = told_when_proving(&[IN_PLACE, Some(Hurt), Some(ChainFailed), WELL]);
    assert_eq!(apply, None);
    let cause = Cause::Hurt;
    let undone = [Close, Run(UndoNetwork), End(Err(cause))];
    assert_eq!(effects, [&[Watch, AnswerChain(Err(cause))], &undone[..]].concat());
}

fn event() -> impl Strategy<Value = Option<ApplyEvent>> {
    prop_oneof![
        2 => Just(TURN),
        1 => Just(IN_PLACE),
        3 => Just(SWAPPED),
        2 => Just(BACK),
        1 => Just(Some(Hurt)),
        1 => Just(Some(ChainDone)),
        1 => Just(Some(ChainFailed)),
        1 => Just(Some(ChainLost)),
        2 => Just(Some(Tick)),
        4 => Just(WELL),
        3 => Just(OPENED),
        1 => Just(Some(NotOpened)),
        1 => Just(Some(HookFailed)),
        2 => Just(LATE),
    ]
}

proptest! {
    /// One answer at most, as the last thing; and it says what was done.
    #[test]
    fn an_apply_ends_as_it_says(events in prop::collection::vec(event(), 0..40)) {
        let (apply, effects) = told(&events);
        let ends = effects.iter().filter(|effect| matches!(effect, End(_))).count();
        prop_assert_eq!(ends, usize::from(apply.is_none()));
        let is_current = effects.contains(&MakeCurrent);
        if let Some(End(outcome)) = effects.last() {
            prop_assert_eq!(outcome.is_ok(), is_current);
        }
        if is_current {
            // It was watched, as the last thing before.
            let watched = effects.iter().position(|effect| *effect == Watch);
            let current = effects.iter().position(|effect| *effect == MakeCurrent);
            prop_assert!(watched.is_some() && watched < current, "{:?}", effects);
        }
        // What was connected for it is disconnected again, if it comes to nothing.
        let (up, down) = (Run(Network), Run(UndoNetwork));
        if apply.is_none() && effects.contains(&up) {
            prop_assert_eq!(effects.contains(&down), !is_current, "{:?}", effects);
        }
        // So is what was opened, before that.
        let at = |wanted: ApplyEffect| effects.iter().position(|effect| *effect == wanted);
        if apply.is_none() && effects.contains(&Open) {
            prop_assert_eq!(effects.contains(&Close), !is_current, "{:?}", effects);
            prop_assert!(at(Close) <= at(down), "{:?}", effects);
        }
        let answers = effects.iter().filter(|effect| matches!(effect, AnswerChain(_))).count();
        prop_assert!(answers <= 1, "{:?}", effects);
    }

    /// Whatever happened before, it ends by time alone.
    #[test]
    fn an_apply_ends(events in prop::collection::vec(event(), 0..40)) {
        let events = [&events[..], &[LATE; 8]].concat();
        prop_assert_eq!(told(&events).0, None);
    }
}
