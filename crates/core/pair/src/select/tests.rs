//! Rows for every pair, and one law.

use proptest::prelude::*;

use super::*;

#[test]
fn selection_follows_the_guide() {
    check(
        "
        # before        | decision         | after
        ready*  ready   | serve one        | ready*  ready
        ready*  down    | serve one        | ready*  down
        down*   ready   | fail over to two | down    ready*
        down*   down    | refuse           | down*   down

        # Worker one recovered. There is no failback inside a pair.
        ready   ready*  | serve two        | ready   ready*
        ready   down*   | fail over to one | ready*  down
        down    ready*  | serve two        | down    ready*
        down    down*   | refuse           | down    down*
        ",
    );
}

#[test]
fn one_death_is_one_failover() {
    let pair = read("down* ready");
    let (pair, first) = pair.select();
    let (_, second) = pair.select();
    assert_eq!(first, Selection::FailOver { from: Slot::One, to: Slot::Two });
    assert_eq!(second, Selection::Serve(Slot::Two));
}

#[track_caller]
fn check(table: &str) {
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty() && !row.starts_with('#')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [before, decision, after] = cells[..] else { panic!("three cells, not {row:?}") };
        let (pair, selection) = read(before).select();
        assert_eq!(selection.to_string(), decision, "in row: {row}");
        assert_eq!(pair, read(after), "in row: {row}");
    }
}

/// Reads `down* ready`: worker one is down and active, worker two is ready.
fn read(pair: &str) -> Pair {
    let words: Vec<&str> = pair.split_whitespace().collect();
    let [one, two] = words[..] else { panic!("two workers, not {pair:?}") };
    let health = |word: &str| match word.trim_end_matches('*') {
        "ready" => Health::Ready,
        "down" => Health::Down,
        other => panic!("no such health: {other}"),
    };
    let active = if one.ends_with('*') { Slot::One } else { Slot::Two };
    Pair::new(active).with_health(Slot::One, health(one)).with_health(Slot::Two, health(two))
}

fn any_pair() -> impl Strategy<Value = Pair> {
    let slot = prop_oneof![Just(Slot::One), Just(Slot::Two)];
    let health = || prop_oneof![Just(Health::Down), Just(Health::Ready)];
    (slot, health(), health()).prop_map(|(active, one, two)| {
        Pair::new(active).with_health(Slot::One, one).with_health(Slot::Two, two)
    })
}

proptest! {
    #[test]
    fn nothing_is_given_to_a_dead_worker(pair in any_pair()) {
        let (after, selection) = pair.select();
        if let Some(slot) = selection.slot() {
            prop_assert_eq!(after.health(slot), Health::Ready);
            prop_assert_eq!(after.active(), slot);
        }
    }
}
