//! Events through restarts, power failures and a full queue.

use std::fs;

use super::*;

const LIMIT: u64 = 1024 * 1024;

fn stream() -> Bytes {
    Bytes(vec![1; 16])
}

fn event(number: u64) -> Event {
    Event { unix_us: number, severity: 0, kind: format!("n{number}"), body: "{}".to_owned() }
}

fn kinds(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}

#[test]
fn events_are_there_after_a_restart_until_they_are_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue");
    let mut queue = Queue::open(&path, &stream(), LIMIT).unwrap();
    let place = Place { inode: 3, offset: 99 };
    queue.add(vec![event(1), event(2)], Some(place.clone())).unwrap();
    queue.add(vec![event(3)], None).unwrap();
    drop(queue);

    let mut queue = Queue::open(&path, &stream(), LIMIT).unwrap();
    assert_eq!(*queue.place(), place);
    let (first, events) = queue.first();
    assert_eq!((first, kinds(&events)), (1, vec!["n1", "n2", "n3"]));
    queue.forget_through(2).unwrap();
    drop(queue);

    // What was forgotten without being written anew is forgotten again from the state.
    let mut queue = Queue::open(&path, &stream(), LIMIT).unwrap();
    queue.forget_through(2).unwrap();
    let (first, events) = queue.first();
    assert_eq!((first, kinds(&events)), (3, vec!["n3"]));
    queue.forget_through(3).unwrap();
    queue.add(vec![event(4)], None).unwrap();
    drop(queue);
    let queue = Queue::open(&path, &stream(), LIMIT).unwrap();
    let (first, events) = queue.first();
    assert_eq!((first, kinds(&events)), (4, vec!["n4"]));
}

#[test]
fn a_line_that_was_cut_is_left_out_at_every_byte() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue");
    let mut queue = Queue::open(&path, &stream(), LIMIT).unwrap();
    queue.add(vec![event(1)], Some(Place { inode: 3, offset: 10 })).unwrap();
    let before = fs::metadata(&path).unwrap().len();
    queue.add(vec![event(2)], Some(Place { inode: 3, offset: 20 })).unwrap();
    drop(queue);
    let whole = fs::read(&path).unwrap();
    for length in usize::try_from(before).unwrap()..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let queue = Queue::open(&path, &stream(), LIMIT).unwrap();
        assert_eq!(kinds(&queue.first().1), ["n1"], "{length}");
        assert_eq!(queue.place().offset, 10);
    }
}

#[test]
fn a_full_queue_drops_its_oldest_that_were_not_sent_and_counts_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue");
    let mut queue = Queue::open(&path, &stream(), LIMIT).unwrap();
    let mut added = 0;
    while queue.dropped() == 0 {
        added += 1;
        let body = "x".repeat(1000);
        queue.add(vec![Event { body, ..event(added) }], None).unwrap();
    }
    let dropped = queue.dropped();
    assert!(dropped > 10, "a tenth at once, not one by one: {dropped}");
    assert_eq!(queue.len() as u64 + dropped, added, "none is lost without being counted");
    let (first, events) = queue.first();
    assert_eq!((first, events[0].kind.as_str()), (1, "n1"), "what may have been sent is kept");
    let sent = events.len() as u64;
    queue.forget_through(sent).unwrap();
    drop(queue);

    let mut queue = Queue::open(&path, &stream(), LIMIT).unwrap();
    queue.forget_through(sent).unwrap();
    assert_eq!(queue.dropped(), dropped);
    queue.told_dropped(dropped).unwrap();
    assert_eq!(Queue::open(&path, &stream(), LIMIT).unwrap().dropped(), 0);
}

#[test]
fn another_stream_begins_anew_where_the_log_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue");
    let mut queue = Queue::open(&path, &stream(), LIMIT).unwrap();
    queue.add(vec![event(1)], Some(Place { inode: 3, offset: 10 })).unwrap();
    let queue = Queue::open(&path, &Bytes(vec![2; 16]), LIMIT).unwrap();
    assert_eq!((queue.len(), queue.place().offset), (0, 10));
    assert_eq!(queue.first().0, 1);
}

#[test]
fn samples_are_the_first_that_a_queue_does_without() {
    let directory = tempfile::tempdir().unwrap();
    let mut queue = Queue::open(&directory.path().join("queue"), &stream(), LIMIT).unwrap();
    let body = || "x".repeat(1000);
    let sample = || Event { kind: sample::KIND.to_owned(), body: body(), ..event(0) };
    let samples = |queue: &Queue| {
        queue.events.iter().filter(|event| event.kind == sample::KIND).count() as u64
    };
    // What may have been sent already stays, whatever it is.
    let first: Vec<Event> = (0..SENT_EVENTS_MAX as u64).map(event).collect();
    queue.add(first, None).unwrap();
    let mut taken = 0;
    while queue.add_sample(sample()).unwrap() == Sampled::Queued {
        taken += 1;
    }
    assert!(queue.bytes().0 <= LIMIT / 2, "half of it is for events alone");
    assert_eq!((samples(&queue), queue.dropped()), (taken, 0));

    // Events alone fill it: samples go, and no event while there are any.
    let mut added = SENT_EVENTS_MAX as u64;
    let mut add = |queue: &mut Queue| {
        queue.add(vec![Event { body: body(), ..event(added) }], None).unwrap();
        added += 1;
        added
    };
    while samples(&queue) > 0 {
        let added = add(&mut queue);
        let gone = taken - samples(&queue);
        if samples(&queue) > 0 {
            assert_eq!(queue.dropped(), gone);
            assert_eq!(queue.len() as u64, added + taken - gone);
        }
    }
    assert!(queue.dropped() >= taken);
    assert_eq!(queue.dropped_here(), queue.dropped());
    assert_eq!(queue.first().1[0].kind, "n0");
}
