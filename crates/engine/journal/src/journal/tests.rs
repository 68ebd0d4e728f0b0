//! What is on the disk after each way to end.

use std::fs;
use std::time::Duration;

use mainstay_model::{Claims, Session, SessionKey, WallTime};
use mainstay_os::{Interest, Poller};
use mainstay_wire::session::Cause;

use super::*;
use crate::load::load;

const LIMITS: Limits = Limits { tail_bytes: 64 * 1024 * 1024 };

fn key(number: u64) -> SessionKey {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    SessionKey::from_bytes(bytes)
}

fn set(number: u64) -> Arc<Update> {
    let session = Session {
        subject: format!("user-{number}"),
        claims: Claims::new(r#"{"groups":["staff"]}"#).unwrap(),
        authenticated_at: WallTime::from_millis(number),
        idle_limit: Duration::from_secs(60),
        absolute_limit: Duration::from_secs(600),
        provider_session: None,
    };
    let (session, last_active) = (Arc::new(session), WallTime::from_millis(number));
    Arc::new(Update::Set { key: key(number), session, last_active })
}

fn ended(number: u64) -> Arc<Update> {
    Arc::new(Update::Ended { keys: vec![key(number)], cause: Cause::LoggedOut })
}

/// Waits for the journal to say something, then looks.
fn look(journal: &mut Journal) -> Option<u64> {
    let mut poller = Poller::new(1).unwrap();
    poller.add(&*journal, 0, Interest::ReadLevel).unwrap();
    assert_eq!(poller.wait(Some(Duration::from_secs(20))).unwrap(), 1, "no report within 20 s");
    journal.look().unwrap()
}

/// Appends these after `number` and waits until they are on the disk.
fn append(journal: &mut Journal, number: u64, updates: impl IntoIterator<Item = Arc<Update>>) {
    let mut last = number;
    for update in updates {
        last += 1;
        journal.append(last, update);
    }
    while look(journal) != Some(last) {}
}

fn texts(table: &Table) -> Vec<String> {
    table.iter().map(|(key, session, at)| format!("{key} {} {at:?}", session.subject)).collect()
}

#[test]
fn what_is_committed_is_there_after_a_start() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("sessions");
    let mut opened = Journal::open(&path, LIMITS).unwrap();
    assert_eq!((opened.table.len(), opened.place.number), (0, 0));
    append(&mut opened.journal, 0, (1..=100).map(set));
    append(&mut opened.journal, 100, (1..=50).map(ended));
    let epoch = opened.place.epoch;
    drop(opened);
    let again = Journal::open(&path, LIMITS).unwrap();
    assert_eq!(again.place, Place { epoch, number: 150 });
    assert_eq!(again.table.len(), 50);
    assert!(again.table.find(&key(50)).is_none());
    assert_eq!(again.table.find(&key(51)).unwrap().0.subject, "user-51");
}

#[test]
fn updates_that_gather_wait_for_the_disk_once() {
    let place = tempfile::tempdir().unwrap();
    let mut opened = Journal::open(place.path(), LIMITS).unwrap();
    append(&mut opened.journal, 0, (1..=5_000).map(set));
    let figures = opened.journal.figures();
    assert!(figures.commits < 1_000, "{figures:?}");
    assert!(figures.commit_micros > 0 && figures.tail_bytes > 5_000 * 100, "{figures:?}");
}

#[test]
fn a_torn_end_costs_only_what_was_not_committed() {
    let place = tempfile::tempdir().unwrap();
    let mut opened = Journal::open(place.path(), LIMITS).unwrap();
    append(&mut opened.journal, 0, [set(1)]);
    append(&mut opened.journal, 1, [set(2)]);
    let tail = opened.journal.directory.file(Kind::Tail, 0);
    drop(opened);
    let whole = fs::read(&tail).unwrap();
    for cut in 1..60 {
        fs::write(&tail, &whole[..whole.len() - cut]).unwrap();
        let mut opened = Journal::open(place.path(), LIMITS).unwrap();
        assert_eq!((opened.place.number, opened.table.len()), (1, 1), "{cut}");
        append(&mut opened.journal, 1, [set(3)]);
        drop(opened);
        let opened = Journal::open(place.path(), LIMITS).unwrap();
        assert!(opened.table.find(&key(3)).is_some());
    }
}

#[test]
fn damage_logs_everybody_out_and_is_set_aside() {
    let place = tempfile::tempdir().unwrap();
    let mut opened = Journal::open(place.path(), LIMITS).unwrap();
    for number in 1..=3 {
        append(&mut opened.journal, number - 1, [set(number)]);
    }
    let tail = opened.journal.directory.file(Kind::Tail, 0);
    let epoch = opened.place.epoch;
    drop(opened);
    let mut wrong = fs::read(&tail).unwrap();
    let middle = wrong.len() / 2;
    wrong[middle] ^= 1;
    fs::write(&tail, &wrong).unwrap();
    let opened = Journal::open(place.path(), LIMITS).unwrap();
    assert_eq!((opened.table.len(), opened.place.number), (0, 0));
    assert_ne!(opened.place.epoch, epoch);
    assert_eq!(fs::read(place.path().join("damaged/tail.0")).unwrap(), wrong);
}

#[test]
fn a_long_tail_becomes_a_snapshot_while_updates_go_on() {
    let place = tempfile::tempdir().unwrap();
    let limits = Limits { tail_bytes: 16 * 1024 };
    let mut opened = Journal::open(place.path(), limits).unwrap();
    let journal = &mut opened.journal;
    append(journal, 0, (1..=200).map(set));
    while journal.snapshot.is_none() {
        look(journal);
    }
    append(journal, 200, (1..=10).map(ended));
    let names = |kind| journal.directory.numbers(kind).unwrap();
    assert_eq!((names(Kind::Snapshot), names(Kind::Tail)), (vec![200], vec![200]));
    let epoch = opened.place.epoch;
    let through = |number| load(&journal.files().unwrap(), Place { epoch, number });
    assert_eq!(through(205).unwrap().len(), 195);
    assert_eq!(through(210).unwrap().len(), 190);
    assert!(matches!(through(211), Err(LoadError::Short { found: 210, expected: 211 })));
    let other = load(&journal.files().unwrap(), Place { epoch: !epoch, number: 210 });
    assert!(matches!(other, Err(LoadError::Mixed)));
    let expected = texts(&through(210).unwrap());
    drop(opened);
    let again = Journal::open(place.path(), limits).unwrap();
    assert_eq!((again.place.number, texts(&again.table)), (210, expected));
}

#[test]
fn a_snapshot_that_is_cut_is_damage() {
    let place = tempfile::tempdir().unwrap();
    let mut opened = Journal::open(place.path(), Limits { tail_bytes: 1024 }).unwrap();
    append(&mut opened.journal, 0, (1..=50).map(set));
    while opened.journal.snapshot.is_none() {
        look(&mut opened.journal);
    }
    let snapshot = opened.journal.directory.file(Kind::Snapshot, 50);
    drop(opened);
    let whole = fs::read(&snapshot).unwrap();
    fs::write(&snapshot, &whole[..whole.len() - 20]).unwrap();
    assert_eq!(Journal::open(place.path(), LIMITS).unwrap().table.len(), 0);
}

#[test]
fn a_journal_has_one_writer() {
    let place = tempfile::tempdir().unwrap();
    let opened = Journal::open(place.path(), LIMITS).unwrap();
    let second = Journal::open(place.path(), LIMITS);
    assert!(matches!(second, Err(JournalError::Locked { .. })), "{second:?}");
    drop(opened);
    Journal::open(place.path(), LIMITS).unwrap();
}
