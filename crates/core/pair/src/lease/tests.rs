//! Stories, one row an event, and the laws that hold for every story.
//!
//! A row is `event | effects | state`. The state is what became of the lease, and a star at
//! the active slot: `held one*`, `revoking one two*`, `waiting one*`.

use super::*;
use crate::{Cause, Report};
use mainstay_wire::pair::Serving;

mod laws;

const LIMITS: Limits = Limits { hold: Duration::from_secs(5), hang: Duration::from_secs(1) };

/// Both workers announced themselves to a new gateway; worker one serves.
const BOTH_READY: &str = "
    start                | nobody ready            | waiting one*
    one arrives          |                         | waiting one*
    two arrives          |                         | waiting one*
    one ready            | serve one, recovered one | held one*
    two ready            |                         | held one*
";

#[test]
fn the_first_worker_that_is_ready_serves() {
    check(BOTH_READY);
    check(
        "
        start            | nobody ready             | waiting one*
        one arrives      |                          | waiting one*
        two arrives      |                          | waiting one*
        two ready        | serve two, recovered two | held two*
        one ready        |                          | held two*
        ",
    );
}

#[test]
fn the_standby_takes_over_from_the_dead() {
    check_after(
        BOTH_READY,
        "
        one died         | serve two, failed over one two | held two*
        # There is no failback.
        one arrives      |                                | held two*
        one ready        |                                | held two*
        two died         | serve one, failed over two one | held one*
        ",
    );
}

#[test]
fn the_death_of_the_standby_changes_nothing() {
    check_after(BOTH_READY, "two died | | held one*");
}

#[test]
fn a_worker_that_stands_still_loses_the_lease_by_dying() {
    check_after(
        BOTH_READY,
        "
        # The pointer moves at once, the lease with the death.
        one hung         | kill one hung, failed over one two | held one two*
        one hung         |                                    | held one two*
        one died         | serve two                          | held two*
        ",
    );
    check_after(
        BOTH_READY,
        "
        two hung         | kill two hung                      | held one*
        two died         |                                    | held one*
        ",
    );
}

#[test]
fn nothing_is_believed_of_a_worker_that_was_killed() {
    check_after(
        BOTH_READY,
        "
        one hung            | kill one hung, failed over one two | held one two*
        one revoked         |                                    | held one two*
        one ready           |                                    | held one two*
        one leaves          |                                    | held one two*
        one arrives         |                                    | held one two*
        one arrives serving |                                    | held one two*
        one died            | serve two                          | held two*
        ",
    );
}

#[test]
fn a_broken_lane_is_a_failover() {
    check_after(
        BOTH_READY,
        "
        handoff to one failed | kill one handoff, failed over one two | held one two*
        one died              | serve two                             | held two*
        ",
    );
}

#[test]
fn a_swap_waits_for_the_answer() {
    check_after(
        BOTH_READY,
        "
        swap             | swapped one two, revoke one | revoking one two*
        swap             | swap refused                | revoking one two*
        one revoked      | serve two                   | held two*
        swap             | swapped two one, revoke two | revoking two one*
        two died         | serve one                   | held one*
        swap             | swap refused                | held one*
        ",
    );
}

#[test]
fn a_holder_that_does_not_answer_is_killed_and_buried_first() {
    check_after(
        BOTH_READY,
        "
        swap             | swapped one two, revoke one | revoking one two*
        after 999ms      |                             | revoking one two*
        after 1ms        | kill one unanswered         | held one two*
        one revoked      |                             | held one two*
        one died         | serve two                   | held two*
        ",
    );
}

#[test]
fn a_swap_whose_target_dies_goes_back() {
    check_after(
        BOTH_READY,
        "
        swap             | swapped one two, revoke one     | revoking one two*
        two died         | failed over two one             | revoking one*
        one revoked      | serve one                       | held one*
        ",
    );
}

#[test]
fn connections_wait_then_are_refused_then_served() {
    check_after(
        BOTH_READY,
        "
        two died         |                                       | held one*
        one died         | nobody ready                          | waiting one*
        after 4999ms     |                                       | waiting one*
        after 1ms        | refuse, hold expired                  | refusing one*
        two arrives      |                                       | refusing one*
        two ready        | stop refusing, serve two, recovered two | held two*
        ",
    );
}

#[test]
fn a_new_master_learns_who_serves() {
    check(
        "
        start one two       |                    | learning one*
        two arrives serving | learned two        | held two*
        one arrives         |                    | held two*
        one ready           |                    | held two*
        ",
    );
}

#[test]
fn a_new_master_gives_nothing_while_one_has_not_spoken() {
    check(
        "
        start one two    |                          | learning one*
        one arrives      |                          | learning one*
        one ready        |                          | learning one*
        two arrives      | serve one, recovered one | held one*
        ",
    );
    check(
        "
        start one two    |                          | learning one*
        one arrives      |                          | learning one*
        one ready        |                          | learning one*
        after 1s         | kill two silent          | learning one*
        two died         | serve one, recovered one | held one*
        ",
    );
}

#[test]
fn who_serves_goes_on_while_the_other_is_silent() {
    check(
        "
        start one two       |                 | learning one*
        one arrives serving | learned one     | held one*
        after 1s            | kill two silent | held one*
        two died            |                 | held one*
        ",
    );
}

#[test]
fn a_process_that_never_speaks_is_started_anew() {
    check_after(
        BOTH_READY,
        "
        two died    |                 | held one*
        two starts  |                 | held one*
        after 9999ms |                | held one*
        after 1ms   | kill two silent | held one*
        two died    |                 | held one*
        two starts  |                 | held one*
        two arrives |                 | held one*
        # News that come late change nothing.
        two starts  |                 | held one*
        after 60s   |                 | held one*
        ",
    );
}

#[test]
fn two_claims_leave_one() {
    check(
        "
        start one two       |                       | learning one*
        one arrives serving | learned one           | held one*
        two arrives serving | kill two second claim | held one*
        two died            |                       | held one*
        ",
    );
}

#[test]
fn a_worker_that_leaves_is_exchanged_when_the_other_is_ready() {
    check_after(
        BOTH_READY,
        "
        one leaves       | revoke one, swapped one two | revoking one two*
        one revoked      | serve two                   | held two*
        one died         |                             | held two*
        ",
    );
    check_after(
        BOTH_READY,
        "
        two died         |                             | held one*
        one leaves       |                             | held one*
        two arrives      |                             | held one*
        two ready        | revoke one, swapped one two | revoking one two*
        one revoked      | serve two                   | held two*
        ",
    );
}

#[test]
fn a_standby_that_leaves_may_go_at_once() {
    check_after(
        BOTH_READY,
        "
        two leaves       | revoke two                | held one*
        two revoked      |                           | held one*
        # On its way out it is not there to fail over to.
        one died         | nobody ready              | waiting one*
        two died         |                           | waiting one*
        two arrives      |                           | waiting one*
        two ready        | serve two, recovered two  | held two*
        ",
    );
}

#[test]
fn the_last_worker_serves_although_it_leaves() {
    check(
        "
        start one           |                             | learning one*
        one arrives serving | learned one                 | held one*
        one leaves          |                             | held one*
        two arrives         |                             | held one*
        two leaves          | revoke two                  | held one*
        two died            |                             | held one*
        two arrives         |                             | held one*
        two ready           | revoke one, swapped one two | revoking one two*
        two died            |                             | revoking one two*
        one revoked         | nobody ready                | waiting two*
        one died            |                             | waiting two*
        ",
    );
}

#[test]
fn a_worker_that_connects_anew_is_asked_anew() {
    check_after(
        BOTH_READY,
        "
        swap                | swapped one two, revoke one     | revoking one two*
        one arrives serving | revoke one                      | revoking one two*
        one revoked         | serve two                       | held two*
        # It does not know of the lease that it was sent.
        two arrives         | serve one, failed over two one  | held one*
        ",
    );
}

#[test]
fn a_gateway_that_stops_changes_nothing_any_more() {
    check_after(
        BOTH_READY,
        "
        stop             |               | stopping one*
        one hung         | kill one hung | stopping one*
        one died         |               | stopping one*
        after 60s        |               | stopping one*
        ",
    );
}

#[test]
fn handoffs_go_to_the_holder_alone() {
    let route = |story: &str| play(story).0.route();
    assert_eq!(route(BOTH_READY), Route::To(Slot::One));
    assert_eq!(route("start one two | | learning one*"), Route::Wait);
    let then = |rows: &str| route(&format!("{BOTH_READY}\n{rows}"));
    assert_eq!(then("swap | swapped one two, revoke one | revoking one two*"), Route::Wait);
    assert_eq!(then("one hung | kill one hung, failed over one two | held one two*"), Route::Wait);
    assert_eq!(then("one died | serve two, failed over one two | held two*"), Route::To(Slot::Two));
}

#[test]
fn the_master_sleeps_until_something_is_due() {
    let (lease, now) = play(BOTH_READY);
    assert_eq!(lease.wake_at(), None);
    let (lease, _) = lease.step(now, Event::SwapRequested);
    assert_eq!(lease.wake_at(), Some(now + LIMITS.hang));
}

fn check(story: &str) {
    play(story);
}

#[track_caller]
fn check_after(before: &str, story: &str) {
    play(&format!("{before}\n{story}"));
}

/// Plays a story, comparing effects and state in every row.
#[track_caller]
fn play(story: &str) -> (Lease, Timestamp) {
    let mut now = Timestamp::from_micros(1_000_000);
    let mut lease = None;
    for row in story.lines().map(str::trim).filter(|row| !row.is_empty() && !row.starts_with('#')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [event, effects, after] = cells[..] else { panic!("three cells, not {row:?}") };
        let (next, done) = match (lease, event.strip_prefix("start")) {
            (_, Some(who)) => {
                Lease::start(LIMITS, ["one", "two"].map(|slot| living(who, slot)), now)
            }
            (Some(lease), None) => {
                let event = read(event, &mut now);
                Lease::step(lease, now, event)
            }
            (None, None) => panic!("a story begins with a start, not {row:?}"),
        };
        let done: Vec<String> = done.into_iter().map(effect).collect();
        assert_eq!(done.join(", "), effects, "in row: {row}");
        assert_eq!(state(&next), after, "in row: {row}");
        lease = Some(next);
    }
    (lease.expect("a story has rows"), now)
}

fn living(who: &str, slot: &str) -> Living {
    if who.contains(slot) { Living::Yes } else { Living::No }
}

/// Reads `one arrives serving`, or lets time pass for `after 5s`.
fn read(text: &str, now: &mut Timestamp) -> Event {
    let slot = |word: &str| if word == "one" { Slot::One } else { Slot::Two };
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        [who, "starts"] => Event::Started(slot(who)),
        [who, "arrives"] => Event::Arrived { slot: slot(who), serving: Serving::Standby },
        [who, "arrives", "serving"] => Event::Arrived { slot: slot(who), serving: Serving::Active },
        [who, "ready"] => Event::Ready(slot(who)),
        [who, "revoked"] => Event::Revoked(slot(who)),
        [who, "leaves"] => Event::Leaving(slot(who)),
        [who, "hung"] => Event::Hung(slot(who)),
        [who, "died"] => Event::Died(slot(who)),
        ["handoff", "to", who, "failed"] => Event::HandoffFailed(slot(who)),
        ["swap"] => Event::SwapRequested,
        ["stop"] => Event::Stopping,
        ["after", time] => {
            *now = *now + duration(time);
            Event::Tick
        }
        _ => panic!("no such event: {text}"),
    }
}

fn duration(text: &str) -> Duration {
    match text.strip_suffix("ms") {
        Some(millis) => Duration::from_millis(millis.parse().unwrap()),
        None => Duration::from_secs(text.trim_end_matches('s').parse().unwrap()),
    }
}

fn effect(effect: Effect) -> String {
    match effect {
        Effect::Serve(slot) => format!("serve {slot}"),
        Effect::Revoke(slot) => format!("revoke {slot}"),
        Effect::Kill { slot, cause } => {
            let cause = match cause {
                Cause::Hung => "hung",
                Cause::Silent => "silent",
                Cause::HandoffFailed => "handoff",
                Cause::RevokeUnanswered => "unanswered",
                Cause::SecondClaim => "second claim",
            };
            format!("kill {slot} {cause}")
        }
        Effect::AcceptAndRefuse => String::from("refuse"),
        Effect::StopRefusing => String::from("stop refusing"),
        Effect::Report(Report::Learned(slot)) => format!("learned {slot}"),
        Effect::Report(Report::FailedOver { from, to }) => format!("failed over {from} {to}"),
        Effect::Report(Report::Swapped { from, to }) => format!("swapped {from} {to}"),
        Effect::Report(Report::SwapRefused) => String::from("swap refused"),
        Effect::Report(Report::NobodyReady) => String::from("nobody ready"),
        Effect::Report(Report::HoldExpired) => String::from("hold expired"),
        Effect::Report(Report::Recovered(slot)) => format!("recovered {slot}"),
    }
}

/// Writes `held one*`, or `held one two*` while holder and active are not the same.
fn state(lease: &Lease) -> String {
    let name = match lease.state {
        State::Learning => "learning",
        State::Held(_) => "held",
        State::Revoking { .. } => "revoking",
        State::Free => "free",
        State::Waiting { .. } => "waiting",
        State::Refusing => "refusing",
        State::Stopping => "stopping",
    };
    match lease.holder() {
        Some(holder) if holder != lease.active => format!("{name} {holder} {}*", lease.active),
        Some(_) | None => format!("{name} {}*", lease.active),
    }
}
