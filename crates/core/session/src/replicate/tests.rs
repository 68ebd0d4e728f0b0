//! The order of things, a case at a time. What no case says, the simulator tries.

use mainstay_model::Slot;

use super::*;
use crate::table::tests::set;

const MASTER: u32 = 10;
const ONE: u32 = 11;
const TWO: u32 = 12;
const NEXT_MASTER: u32 = 20;
const EPOCH: u64 = 7;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_micros(millis * 1_000)
}

fn member(pid: u32) -> Member {
    let process = match pid {
        MASTER | NEXT_MASTER => Process::Master,
        ONE => Process::Worker(Slot::One),
        _ => Process::Worker(Slot::Two),
    };
    Member { process, pid }
}

fn came(pid: u32, held: Option<u64>) -> Event {
    let held = held.map(|number| Place { epoch: EPOCH, number });
    Event::Came { member: member(pid), held }
}

fn wanted(ticket: u64) -> Event {
    Event::Wanted { ticket: Some(ticket), updates: vec![set(1, "alice")] }
}

fn load(pid: u32, number: u64) -> Effect {
    Effect::Load { to: member(pid), place: Place { epoch: EPOCH, number } }
}

fn apply(pid: u32, first: u64, count: usize) -> Effect {
    let update = Arc::new(set(1, "alice"));
    let updates = vec![update; count];
    Effect::Apply { to: member(pid), first, updates, then: Then::Serve }
}

fn confirmed(ticket: u64) -> Effect {
    Effect::Answer { ticket, answer: Answer::Confirmed }
}

fn applied(pid: u32, number: u64) -> Event {
    Event::Applied { member: member(pid), number }
}

/// Every process serves with everything up to `number`.
fn whole(number: u64) -> Replication {
    let place = Place { epoch: EPOCH, number };
    let mut machine = Replication::new(place, [], Duration::from_secs(5));
    for pid in [ONE, TWO, MASTER] {
        assert_eq!(machine.step(at(0), came(pid, Some(number))), []);
    }
    machine
}

fn check(machine: &mut Replication, rows: Vec<(Event, Vec<Effect>)>) {
    for (event, expected) in rows {
        let name = format!("{event:?}");
        assert_eq!(machine.step(at(0), event), expected, "{name}");
    }
}

#[test]
fn an_update_goes_to_the_disk_then_to_workers_then_to_the_master_then_back() {
    let write = Effect::Write { number: 4, update: Arc::new(set(1, "alice")) };
    check(
        &mut whole(3),
        vec![
            (wanted(1), vec![write]),
            (Event::Committed { number: 4 }, vec![apply(ONE, 4, 1), apply(TWO, 4, 1)]),
            (applied(ONE, 4), vec![]),
            (applied(TWO, 4), vec![apply(MASTER, 4, 1)]),
            (applied(MASTER, 4), vec![confirmed(1)]),
        ],
    );
}

#[test]
fn a_process_that_starts_holds_nobody_up_until_it_may_serve() {
    let mut machine = whole(3);
    let three = 13;
    let write = |number| Effect::Write { number, update: Arc::new(set(1, "alice")) };
    check(
        &mut machine,
        vec![
            (Event::Died { pid: TWO }, vec![]),
            (came(three, None), vec![load(three, 3)]),
            (wanted(1), vec![write(4)]),
            (Event::Committed { number: 4 }, vec![apply(ONE, 4, 1)]),
            (applied(ONE, 4), vec![apply(MASTER, 4, 1)]),
            (applied(MASTER, 4), vec![confirmed(1)]),
            // With this it may serve: from here on it is waited for.
            (applied(three, 3), vec![apply(three, 4, 1)]),
            (wanted(2), vec![write(5)]),
            (Event::Committed { number: 5 }, vec![apply(ONE, 5, 1)]),
            (applied(ONE, 5), vec![]),
            (applied(three, 4), vec![apply(three, 5, 1)]),
            (applied(three, 5), vec![apply(MASTER, 5, 1)]),
            (applied(MASTER, 5), vec![confirmed(2)]),
        ],
    );
}

#[test]
fn a_channel_that_ended_is_no_death() {
    let mut machine = whole(3);
    let write = Effect::Write { number: 4, update: Arc::new(set(1, "alice")) };
    check(
        &mut machine,
        vec![
            (Event::Left { member: member(TWO) }, vec![]),
            (wanted(1), vec![write]),
            (Event::Committed { number: 4 }, vec![apply(ONE, 4, 1)]),
            (applied(ONE, 4), vec![]),
        ],
    );
    let mut other = machine.clone();
    check(
        &mut other,
        vec![
            (Event::Died { pid: TWO }, vec![apply(MASTER, 4, 1)]),
            (applied(MASTER, 4), vec![confirmed(1)]),
        ],
    );
    check(
        &mut machine,
        vec![
            (came(TWO, Some(3)), vec![apply(TWO, 4, 1)]),
            (applied(TWO, 4), vec![apply(MASTER, 4, 1)]),
            (applied(MASTER, 4), vec![confirmed(1)]),
        ],
    );
}

#[test]
fn what_was_running_before_is_waited_for() {
    let place = Place { epoch: EPOCH, number: 3 };
    let running = [ONE, MASTER].map(member);
    let mut machine = Replication::new(place, running, Duration::from_secs(5));
    // Without an update: whether what came before has come everywhere.
    let question = Event::Wanted { ticket: Some(1), updates: vec![] };
    check(
        &mut machine,
        vec![
            (question, vec![]),
            (came(MASTER, Some(3)), vec![]),
            (came(ONE, Some(2)), vec![load(ONE, 3)]),
            (applied(ONE, 3), vec![confirmed(1)]),
        ],
    );
    assert_eq!(machine.confirmed(), Some(3));
}

#[test]
fn a_table_of_another_journal_is_replaced_and_waited_for() {
    let place = Place { epoch: EPOCH, number: 3 };
    for held in [Place { epoch: EPOCH + 1, number: 3 }, Place { epoch: EPOCH, number: 4 }] {
        let mut machine = Replication::new(place, [], Duration::from_secs(5));
        let there = Event::Came { member: member(ONE), held: Some(held) };
        check(
            &mut machine,
            vec![
                (came(MASTER, Some(3)), vec![]),
                (there, vec![load(ONE, 3)]),
                (Event::Wanted { ticket: Some(1), updates: vec![] }, vec![]),
                (applied(ONE, 3), vec![confirmed(1)]),
            ],
        );
    }
}

#[test]
fn nobody_answers_for_the_master() {
    let mut machine = whole(3);
    let successor = Event::Came { member: member(NEXT_MASTER), held: None };
    check(
        &mut machine,
        vec![
            (Event::Died { pid: MASTER }, vec![]),
            (Event::Wanted { ticket: Some(1), updates: vec![] }, vec![]),
            (successor, vec![load(NEXT_MASTER, 3)]),
            (applied(NEXT_MASTER, 3), vec![apply(NEXT_MASTER, 4, 0), confirmed(1)]),
        ],
    );
}

#[test]
fn who_waits_too_long_is_told_who_is_missing() {
    let mut machine = whole(3);
    machine.step(at(0), wanted(1));
    machine.step(at(0), Event::Committed { number: 4 });
    machine.step(at(1), applied(ONE, 4));
    assert_eq!(machine.wake_at(), Some(at(5_000)));
    assert_eq!(machine.step(at(4_999), Event::Tick), []);
    let missing = vec![Process::Master, Process::Worker(Slot::Two)];
    let answer = Answer::Unconfirmed { missing };
    assert_eq!(machine.step(at(5_000), Event::Tick), [Effect::Answer { ticket: 1, answer }]);
    assert_eq!(machine.wake_at(), None);
}

#[test]
fn who_is_far_behind_reads_the_journal() {
    let mut machine = whole(0);
    machine.step(at(0), Event::Left { member: member(TWO) });
    for number in 1..=TAIL_MAX as u64 + 10 {
        machine.step(at(0), wanted(number));
        machine.step(at(0), Event::Committed { number });
    }
    assert_eq!(machine.tail.len(), TAIL_MAX);
    let last = machine.last();
    let effects = machine.step(at(0), came(TWO, Some(5)));
    assert_eq!(effects, [load(TWO, last)]);
}

#[test]
fn a_message_has_a_limited_weight() {
    let mut machine = whole(0);
    let updates = vec![set(1, "alice"); 1_000];
    machine.step(at(0), Event::Wanted { ticket: None, updates });
    let effects = machine.step(at(0), Event::Committed { number: 1_000 });
    let Some(Effect::Apply { updates, .. }) = effects.first() else { panic!("{effects:?}") };
    assert!((50..200).contains(&updates.len()), "{}", updates.len());
}

/// What is longest when it is written as JSON: control characters in names, quotes in claims.
#[test]
fn an_update_is_never_longer_than_it_is_weighed() {
    use mainstay_model::{Claims, Session, SessionKey, WallTime};
    use mainstay_wire::session::{Cause, KEYS_MAX, NAME_BYTES_MAX, Use};
    let name = "\u{1}".repeat(NAME_BYTES_MAX);
    let quotes = "\\\"".repeat((Claims::BYTES_MAX - 8) / 2);
    let session = Session {
        subject: name.clone(),
        claims: Claims::new(&format!("{{\"a\":\"{quotes}\"}}")).unwrap(),
        authenticated_at: WallTime::from_millis(u64::MAX),
        idle_limit: Duration::from_millis(u64::MAX),
        absolute_limit: Duration::from_millis(u64::MAX),
        provider_session: Some(name),
    };
    let (key, at) = (SessionKey::from_bytes([0xff; 32]), WallTime::from_millis(u64::MAX));
    for update in [
        Update::Set { key, session: Arc::new(session), last_active: at },
        Update::Used { uses: vec![Use { key, at }; KEYS_MAX] },
        Update::Ended { keys: vec![key; KEYS_MAX], cause: Cause::LoggedOut },
    ] {
        let bytes = serde_json::to_vec(&update).unwrap().len();
        assert!(bytes <= weigh(&update), "{bytes} > {}", weigh(&update));
        assert!(weigh(&update) <= MESSAGE_WEIGHT_MAX);
    }
}

/// Worker and master of a gateway that is one process: each has a table, and they die together.
#[test]
fn two_members_may_be_one_process() {
    let place = Place { epoch: EPOCH, number: 3 };
    let [worker, master] =
        [Process::Worker(Slot::One), Process::Master].map(|process| Member { process, pid: ONE });
    let mut machine = Replication::new(place, [master], Duration::from_secs(5));
    let load = |to| Effect::Load { to, place };
    let apply = |to, updates| Effect::Apply { to, first: 4, updates, then: Then::Serve };
    let update = Arc::new(set(1, "alice"));
    check(
        &mut machine,
        vec![
            (Event::Came { member: worker, held: None }, vec![load(worker)]),
            (Event::Came { member: master, held: None }, vec![load(master)]),
            (Event::Applied { member: worker, number: 3 }, vec![apply(worker, vec![])]),
            (Event::Applied { member: master, number: 3 }, vec![apply(master, vec![])]),
            (Event::Applied { member: worker, number: 3 }, vec![]),
            (Event::Applied { member: master, number: 3 }, vec![]),
            (wanted(1), vec![Effect::Write { number: 4, update: Arc::clone(&update) }]),
            (Event::Committed { number: 4 }, vec![apply(worker, vec![Arc::clone(&update)])]),
            (Event::Applied { member: worker, number: 4 }, vec![apply(master, vec![update])]),
            (Event::Applied { member: master, number: 4 }, vec![confirmed(1)]),
            (Event::Died { pid: ONE }, vec![]),
        ],
    );
    assert_eq!(machine.standings(), []);
}
