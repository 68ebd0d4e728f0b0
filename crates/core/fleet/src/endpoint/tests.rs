//! The ways of an agent, a case at a time. What no case says, the simulator tries.

use super::*;

const POLICY: Policy = Policy {
    attempts: 2,
    patience: Duration::from_secs(5),
    pause: Duration::from_millis(250),
    backoff: Backoff { base: Duration::from_secs(1), max: Duration::from_secs(300) },
    failback: Duration::from_secs(3600),
    hold_max: Duration::from_secs(600),
};
const POLL: Duration = Duration::from_secs(30);
const DOWN: Event = Event::Failed(Failure::Unreachable);
const DONE: Event = Event::Done { next: POLL };

fn at(millis: u64) -> Timestamp {
    Timestamp::from_micros(millis * 1_000)
}

fn agent(count: usize) -> Endpoints {
    Endpoints::new(POLICY, count, at(0))
}

/// An exchange begins: the patience, less the pause before the next one and its answer.
fn exchange(place: usize, now: u64) -> Effect {
    Effect::Try { place, purpose: Purpose::Exchange, until: at(now + 4_500) }
}

fn test(now: u64) -> Effect {
    Effect::Try { place: 0, purpose: Purpose::Test, until: at(now + 5_000) }
}

fn switched(now: u64, from: usize, to: usize, reason: Reason) -> Effect {
    switched_after(0, now, from, to, reason)
}

/// So many milliseconds after the former one had begun to fail.
fn switched_after(after: u64, now: u64, from: usize, to: usize, reason: Reason) -> Effect {
    let after = Duration::from_millis(after);
    Effect::Switched(Switch { at: at(now), from: Some(from), to, reason, after })
}

/// Tells it all of this, at so many milliseconds, without luck: no wait is longer than it must be.
#[track_caller]
fn check(agent: &mut Endpoints, story: Vec<(u64, Event, Vec<Effect>)>) {
    for (millis, event, expected) in story {
        assert_eq!(agent.step(at(millis), Luck(0), event), expected, "{millis} {event:?}");
    }
}

const UNREACHABLE: Reason = Reason::Failed(Failure::Unreachable);

#[test]
fn it_starts_with_the_first_and_goes_on_to_the_next() {
    let mut agent = agent(3);
    check(
        &mut agent,
        vec![
            (0, Event::Due, vec![exchange(0, 0)]),
            (10, DONE, vec![]),
            (30_000, Event::Due, vec![]),
            (30_010, Event::Due, vec![exchange(0, 30_010)]),
            (30_011, DOWN, vec![]),
            // The patience is counted from the first failure.
            (
                30_012,
                Event::Due,
                vec![Effect::Try { place: 0, purpose: Purpose::Exchange, until: at(34_510) }],
            ),
            (30_013, DOWN, vec![switched_after(3, 30_013, 0, 1, UNREACHABLE)]),
            (30_014, Event::Due, vec![exchange(1, 30_014)]),
            (30_020, DONE, vec![]),
        ],
    );
    assert_eq!(agent.current(), 1);
    assert_eq!(agent.failback_at(), Some(at(3_630_013)));
}

#[test]
fn it_goes_round_for_ever_and_slower_each_time() {
    let mut agent = agent(2);
    let mut now = 0;
    let mut places = Vec::new();
    for _ in 0..100 {
        let effects = agent.step(at(now), Luck(0), Event::Due);
        let [Effect::Try { place, .. }] = *effects else { panic!("{effects:?}") };
        places.push(place);
        agent.step(at(now), Luck(u64::MAX), DOWN);
        let wake = agent.wake_at().unwrap();
        let wait = wake.since(at(now));
        assert!(wait <= Duration::from_secs(300), "{wait:?}");
        now = wake.micros().div_ceil(1_000);
    }
    assert_eq!(places[..8], [0, 0, 1, 1, 0, 1, 0, 1]);
    assert!(agent.rounds() > 40);
    // The longest wait is longer than any but the last.
    assert!(now > 40 * 300_000, "{now}");
}

/// However long an outage was: a wait that is longer than a poll would keep a fleet from being whole
/// within two.
#[test]
fn it_waits_no_longer_than_a_poll() {
    let poll = Duration::from_secs(3);
    let mut agent = agent(1);
    agent.set_poll(poll);
    let mut now = at(0);
    for _ in 0..40 {
        assert!(!agent.step(now, Luck(u64::MAX), Event::Due).is_empty());
        agent.step(now, Luck(u64::MAX), Event::Failed(Failure::Unreachable));
        let next = agent.wake_at().unwrap();
        assert!(next.since(now) <= poll, "{:?}", next.since(now));
        now = next;
    }
    assert!(now.since(at(0)) > poll * 30);
}

#[test]
fn a_black_hole_is_left_within_the_patience() {
    let mut agent = agent(2);
    let silent = Failure::Silent;
    check(
        &mut agent,
        vec![
            (0, Event::Due, vec![exchange(0, 0)]),
            (
                4_500,
                Event::Failed(silent),
                vec![switched_after(4_500, 4_500, 0, 1, Reason::Failed(silent))],
            ),
        ],
    );
}

/// Found by the simulator: a pause that outlasts the patience is none to wait for.
#[test]
fn a_second_attempt_that_would_come_too_late_is_not_made() {
    let mut agent = agent(2);
    assert_eq!(agent.step(at(0), Luck(0), Event::Due), [exchange(0, 0)]);
    let effects = agent.step(at(4_400), Luck(u64::MAX), DOWN);
    assert_eq!(effects, [switched_after(4_400, 4_400, 0, 1, UNREACHABLE)]);
}

#[test]
fn some_failures_need_no_second_look() {
    for failure in [Failure::Untrusted, Failure::Busy { hold: None }] {
        let mut agent = agent(2);
        let left = vec![switched_after(1, 1, 0, 1, Reason::Failed(failure))];
        check(
            &mut agent,
            vec![
                (0, Event::Due, vec![exchange(0, 0)]),
                (1, Event::Failed(failure), left),
                (1, Event::Due, vec![exchange(1, 1)]),
            ],
        );
    }
}

#[test]
fn failback_tests_the_first_only_and_stays_while_it_is_away() {
    let mut agent = agent(3);
    check(
        &mut agent,
        vec![
            (0, Event::Due, vec![exchange(0, 0)]),
            (1, DOWN, vec![]),
            (1, Event::Due, vec![exchange(0, 0)]),
            (2, DOWN, vec![switched_after(2, 2, 0, 1, UNREACHABLE)]),
            (2, Event::Due, vec![exchange(1, 2)]),
            (3, DONE, vec![]),
            // The next exchange is due later; it is not put off.
            (30_003, Event::Due, vec![exchange(1, 30_003)]),
            (30_004, Event::Done { next: Duration::from_secs(3_600) }, vec![]),
            (3_600_002, Event::Due, vec![test(3_600_002)]),
            (3_600_003, DOWN, vec![]),
        ],
    );
    assert_eq!(agent.current(), 1);
    assert_eq!(agent.wake_at(), Some(at(3_630_004)));
    check(
        &mut agent,
        vec![
            (3_630_004, Event::Due, vec![exchange(1, 3_630_004)]),
            (3_630_005, Event::Done { next: Duration::from_secs(7_200) }, vec![]),
            (7_200_003, Event::Due, vec![test(7_200_003)]),
            (
                7_200_004,
                DONE,
                vec![switched(7_200_004, 1, 0, Reason::Failback), exchange(0, 7_200_004)],
            ),
            (7_200_005, DONE, vec![]),
        ],
    );
    assert_eq!((agent.current(), agent.failback_at()), (0, None));
}

#[test]
fn a_first_that_was_back_and_is_not_is_left_at_once() {
    let mut agent = agent(2);
    check(
        &mut agent,
        vec![
            (0, Event::Due, vec![exchange(0, 0)]),
            (1, DOWN, vec![]),
            (1, Event::Due, vec![exchange(0, 0)]),
            (2, DOWN, vec![switched_after(2, 2, 0, 1, UNREACHABLE)]),
            (2, Event::Due, vec![exchange(1, 2)]),
            (3, Event::Done { next: Duration::from_secs(7_200) }, vec![]),
            (3_600_002, Event::Due, vec![test(3_600_002)]),
            (
                3_600_003,
                DONE,
                vec![switched(3_600_003, 1, 0, Reason::Failback), exchange(0, 3_600_003)],
            ),
            (
                3_600_004,
                DOWN,
                vec![switched_after(1, 3_600_004, 0, 1, UNREACHABLE), exchange(1, 3_600_004)],
            ),
            (3_600_005, DONE, vec![]),
        ],
    );
    assert_eq!(agent.failback_at(), Some(at(7_200_004)));
}

#[test]
fn a_new_list_and_a_forced_registration_begin_with_the_first() {
    let mut agent = agent(2);
    check(
        &mut agent,
        vec![
            (0, Event::Due, vec![exchange(0, 0)]),
            (
                1,
                Event::Failed(Failure::Untrusted),
                vec![switched_after(1, 1, 0, 1, Reason::Failed(Failure::Untrusted))],
            ),
            (1, Event::Due, vec![exchange(1, 1)]),
            (
                2,
                Event::Forced,
                vec![Effect::Abandon, switched(2, 1, 0, Reason::Forced), exchange(0, 2)],
            ),
            (3, DONE, vec![]),
            (4, Event::Listed { count: 0 }, vec![]),
            (
                4,
                Event::Listed { count: 1 },
                vec![
                    Effect::Switched(Switch {
                        at: at(4),
                        from: None,
                        to: 0,
                        reason: Reason::ListChanged,
                        after: Duration::ZERO,
                    }),
                    exchange(0, 4),
                ],
            ),
            // Already there: no switch.
            (5, Event::Forced, vec![Effect::Abandon, exchange(0, 5)]),
        ],
    );
}

#[test]
fn who_is_busy_is_left_alone_for_as_long_as_it_says() {
    let busy = Failure::Busy { hold: Some(Duration::from_secs(60)) };
    let mut agent = agent(2);
    check(
        &mut agent,
        vec![
            (0, Event::Due, vec![exchange(0, 0)]),
            (1, Event::Failed(busy), vec![switched_after(1, 1, 0, 1, Reason::Failed(busy))]),
            (1, Event::Due, vec![exchange(1, 1)]),
            // The first is not free yet: another try here.
            (2, DOWN, vec![]),
            (2, Event::Due, vec![exchange(1, 1)]),
            (3, DOWN, vec![]),
        ],
    );
    assert_eq!(agent.current(), 1);
    let mut alone = Endpoints::new(POLICY, 1, at(0));
    check(
        &mut alone,
        vec![(0, Event::Due, vec![exchange(0, 0)]), (1, Event::Failed(busy), vec![])],
    );
    assert_eq!(alone.wake_at(), Some(at(60_001)));
    // A manager cannot send its agents away for ever.
    let busy = Failure::Busy { hold: Some(Duration::MAX) };
    check(
        &mut alone,
        vec![
            (60_001, Event::Due, vec![exchange(0, 60_001)]),
            (60_002, Event::Failed(busy), vec![]),
        ],
    );
    assert_eq!(alone.wake_at(), Some(at(660_002)));
}

/// Found by the simulator: the second try waited for as long as #1 had asked for before.
#[test]
fn a_forced_registration_does_not_care_who_was_busy() {
    let busy = Failure::Busy { hold: Some(Duration::from_secs(60)) };
    let mut agent = agent(2);
    check(
        &mut agent,
        vec![
            (0, Event::Due, vec![exchange(0, 0)]),
            (1, Event::Failed(busy), vec![switched_after(1, 1, 0, 1, Reason::Failed(busy))]),
            (2, Event::Forced, vec![switched(2, 1, 0, Reason::Forced), exchange(0, 2)]),
            (3, DOWN, vec![]),
        ],
    );
    assert_eq!(agent.wake_at(), Some(at(3)));
}

#[test]
fn what_is_wanted_comes_at_once_but_not_to_who_fails() {
    let mut agent = agent(1);
    check(
        &mut agent,
        vec![
            (0, Event::Due, vec![exchange(0, 0)]),
            (1, DONE, vec![]),
            (5, Event::Wanted, vec![]),
            (5, Event::Due, vec![exchange(0, 5)]),
        ],
    );
    agent.step(at(6), Luck(u64::MAX), DOWN);
    let wake = agent.wake_at();
    agent.step(at(7), Luck(0), Event::Wanted);
    assert_eq!(agent.wake_at(), wake);
}
