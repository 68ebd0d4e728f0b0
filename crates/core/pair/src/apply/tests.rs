//! Applies told as conversations, and what holds after any of them.

use mainstay_model::Slot::{One, Two};
use proptest::prelude::*;

use super::ApplyEffect::{Answer, BringBack, Discard, Load, MakeCurrent, Swap};
use super::ApplyEvent::{Active, Died, Loaded, Refused, Tick};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn generation() -> Generation {
    Generation::FIRST.next()
}

/// Everything that the master is told to do when this happens, one second after the other, to
/// an apply whose standby is worker two.
fn told(events: &[ApplyEvent]) -> (Option<Apply>, Vec<ApplyEffect>) {
    let mut now = Timestamp::default();
    let (apply, first) = Apply::begin(now, generation(), Two);
    let (mut apply, mut effects) = (Some(apply), vec![first]);
    for event in events {
        now = now + SECOND;
        let Some(running) = apply else { break };
        let (next, more) = running.step(now, *event);
        apply = next;
        effects.extend(more);
    }
    (apply, effects)
}

#[test]
fn the_standby_is_first_and_the_former_active_follows() {
    let generation = generation();
    let (apply, effects) = told(&[Active(One), Loaded(Two), Active(One), Active(Two), Loaded(One)]);
    assert_eq!(apply, None);
    let load = |slot| Load { slot, generation };
    let end = Answer(Outcome::Applied(generation));
    assert_eq!(effects, [load(Two), Swap, MakeCurrent(generation), load(One), end]);
}

#[test]
fn whatever_goes_wrong_before_the_swap_goes_back() {
    for (events, outcome) in [
        (&[Refused(Two)][..], Outcome::Refused),
        (&[Died(Two)], Outcome::Died(Two)),
        (&[Loaded(Two), Died(Two)], Outcome::Died(Two)),
        (&[Tick; 10], Outcome::NotLoaded),
        (
            &[Loaded(Two), Tick, Tick, Tick, Tick, Tick, Tick, Tick, Tick, Tick, Tick],
            Outcome::NotSwapped,
        ),
    ] {
        let (apply, effects) = told(events);
        assert_eq!(apply, None, "{events:?}");
        assert!(effects.ends_with(&[Discard, BringBack(Two), Answer(outcome)]), "{effects:?}");
    }
}

#[test]
fn a_failover_is_as_good_as_a_swap() {
    let (_, effects) = told(&[Died(One), Active(Two), Loaded(Two), Active(Two)]);
    assert!(effects.contains(&MakeCurrent(generation())), "{effects:?}");
}

#[test]
fn a_former_active_that_is_gone_does_not_hold_it_up() {
    for last in [&[Died(One)][..], &[Refused(One)], &[Tick; 10]] {
        let events = [&[Loaded(Two), Active(Two)], last].concat();
        let (apply, effects) = told(&events);
        let end = Answer(Outcome::Applied(generation()));
        assert_eq!((apply, effects.last()), (None, Some(&end)), "{last:?}");
    }
}

fn event() -> impl Strategy<Value = ApplyEvent> {
    let slot = prop_oneof![Just(One), Just(Two)];
    (slot, 0..5).prop_map(|(slot, kind)| match kind {
        0 => Loaded(slot),
        1 => Refused(slot),
        2 => Died(slot),
        3 => Active(slot),
        _ => Tick,
    })
}

proptest! {
    /// One answer at most, as the last thing; and it says what was done.
    #[test]
    fn an_apply_ends_as_it_says(events in prop::collection::vec(event(), 0..40)) {
        let (apply, effects) = told(&events);
        let answers = effects.iter().filter(|effect| matches!(effect, Answer(_))).count();
        prop_assert_eq!(answers, usize::from(apply.is_none()));
        let is_current = effects.contains(&MakeCurrent(generation()));
        prop_assert!(!(is_current && effects.contains(&Discard)), "{:?}", effects);
        if let Some(Answer(outcome)) = effects.last() {
            prop_assert_eq!(matches!(outcome, Outcome::Applied(_)), is_current);
        }
        if is_current {
            // Only after the standby had loaded it and was active.
            let loaded = events.iter().position(|event| *event == Loaded(Two));
            let active = events.iter().rposition(|event| *event == Active(Two));
            prop_assert!(loaded.is_some() && loaded < active, "{:?}", events);
        }
    }
}
