//! Events: stored once, read in order, forgotten by the day.

use std::time::Duration;

use mainstay_database::{
    EventFilter, EventRow, Exchange, Exchanged, Judgement, NewEvent, Presence, Range, Severity,
};

use super::World;
use super::world::{MANAGER, STREAM, all, batch, hash, next, uid};

/// Sends a batch, and says what was done with it.
async fn send(world: &World, first: u64, count: u64) -> Judgement {
    let loaded = world.load(uid(1)).await;
    let mut exchange = next(&loaded);
    exchange.events = Some(batch(first, count));
    let judged = loaded.cursor.judge(exchange.events.as_ref().unwrap());
    let done = world.one.exchange(exchange).await.unwrap();
    let Exchanged::Committed { events: Some(events), .. } = done else { panic!("{done:?}") };
    assert_eq!(events, judged, "what was said before is what was done");
    events
}

fn numbers(rows: &[EventRow]) -> Vec<u64> {
    rows.iter().filter_map(|row| row.origin.map(|(_stream, number)| number)).collect()
}

pub(crate) async fn events_are_stored_once_and_in_order(world: &World) {
    world.agents(1).await;
    for (first, count) in [(1, 3), (1, 3), (2, 4), (6, 0), (6, 1), (1, 2)] {
        send(world, first, count).await;
    }
    let page = world.two.events(EventFilter::default(), all()).await.unwrap();
    assert_eq!(numbers(&page.rows), [6, 5, 4, 3, 2, 1]);
    let first = page.rows.last().unwrap();
    assert_eq!((first.agent, first.manager), (Some(uid(1)), Some(MANAGER)));
    assert_eq!((first.at, &*first.body, &*first.kind), (1, &b"1"[..], "swap"));
    let streams = world.one.streams(uid(1)).await.unwrap();
    assert_eq!((streams.len(), streams[0].cursor.through), (1, 6));
    assert_eq!(streams[0].cursor.hash, hash(6));
}

pub(crate) async fn a_gap_and_another_stream_are_refused(world: &World) {
    world.agents(1).await;
    send(world, 1, 2).await;
    assert_eq!(send(world, 4, 1).await, Judgement::Gap { through: 2 });
    let mut exchange = world.next(uid(1)).await;
    let mut forged = batch(3, 1);
    forged.previous = hash(99);
    exchange.events = Some(forged);
    let done = world.one.exchange(exchange).await.unwrap();
    let broken = Some(Judgement::Broken { through: 2 });
    assert!(matches!(done, Exchanged::Committed { events, .. } if events == broken), "{done:?}");
    let page = world.one.events(EventFilter::default(), all()).await.unwrap();
    assert_eq!(numbers(&page.rows), [2, 1]);
}

pub(crate) async fn a_reader_that_comes_back_misses_nothing(world: &World) {
    world.agents(1).await;
    send(world, 1, 2).await;
    let mut position = world.two.events_end().await.unwrap();
    let mut seen = Vec::new();
    for first in [3, 6, 9] {
        send(world, first, 3).await;
        loop {
            let read = world.two.events_after(position, EventFilter::default(), 2).await.unwrap();
            let (rows, next) = read;
            assert!(next >= position);
            position = next;
            if rows.is_empty() {
                break;
            }
            seen.extend(numbers(&rows));
        }
    }
    assert_eq!(seen, (3..=11).collect::<Vec<u64>>());
}

pub(crate) async fn events_are_found_by_what_they_are(world: &World) {
    world.agents(2).await;
    send(world, 1, 6).await;
    let told = NewEvent {
        agent: None,
        kind: "manager.started".into(),
        severity: Severity::Information,
        body: b"{}".to_vec(),
    };
    world.two.tell(Some(MANAGER), vec![told]).await.unwrap();
    let find = async |filter| world.one.events(filter, all()).await.unwrap().rows;
    let kind = |kind: &str| EventFilter { kind: Some(kind.into()), ..EventFilter::default() };
    assert_eq!(numbers(&find(kind("failover.*")).await), [6, 4, 2]);
    assert_eq!(numbers(&find(kind("failover")).await), [0_u64; 0]);
    assert_eq!(find(kind("manager.started")).await.len(), 1);
    let worse = EventFilter { severity: Some(Severity::Warning), ..EventFilter::default() };
    assert_eq!(numbers(&find(worse).await), [6, 4, 2]);
    let others = EventFilter { agent: Some(uid(2)), ..EventFilter::default() };
    assert_eq!(find(others).await, []);
    let stream = EventFilter { stream: Some(STREAM), ..EventFilter::default() };
    assert_eq!(find(stream).await.len(), 6);
    let now = world.one.now().await.unwrap();
    let hour = Duration::from_secs(3600);
    let late = EventFilter { from: Some(now.plus(hour)), ..EventFilter::default() };
    assert_eq!(find(late).await, []);
    let early = EventFilter { before: Some(now.plus(hour)), ..EventFilter::default() };
    assert_eq!(find(early).await.len(), 7);
    // Page by page it is the same.
    let mut range = Range::first(2);
    let mut paged = Vec::new();
    loop {
        let page = world.two.events(EventFilter::default(), range.clone()).await.unwrap();
        paged.extend(page.rows);
        let Some(next) = page.next else { break };
        range.after = Some(next);
    }
    assert_eq!(paged, find(EventFilter::default()).await);
}

pub(crate) async fn a_silent_agent_is_told_of_once(world: &World) {
    world.agents(3).await;
    for number in 1..=2 {
        world.commit(world.next(uid(number)).await).await;
    }
    let now = world.one.now().await.unwrap();
    let (past, future) = (now.minus(Duration::from_secs(60)), now.plus(Duration::from_secs(60)));
    assert_eq!(world.one.sweep_offline(past, 10).await.unwrap(), []);
    assert_eq!(world.one.sweep_offline(future, 1).await.unwrap(), [uid(1)]);
    assert_eq!(world.two.sweep_offline(future, 10).await.unwrap(), [uid(2)]);
    assert_eq!(world.one.sweep_offline(future, 10).await.unwrap(), []);
    let told = world.one.events(EventFilter::default(), all()).await.unwrap().rows;
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|event| event.kind == "agent.offline"));
    assert_eq!(told[1].agent, Some(uid(1)));
    assert_eq!(world.load(uid(1)).await.presence, Presence::Offline);
    world.commit(world.next(uid(1)).await).await;
    assert_eq!(world.load(uid(1)).await.presence, Presence::Online);
}

pub(crate) async fn an_agent_that_took_its_leave_is_not_missed(world: &World) {
    world.agents(1).await;
    let last = Exchange { presence: Presence::Offline, ..world.next(uid(1)).await };
    world.commit(last).await;
    assert_eq!(world.load(uid(1)).await.presence, Presence::Offline);
    let future = world.one.now().await.unwrap().plus(Duration::from_secs(60));
    assert_eq!(world.one.sweep_offline(future, 10).await.unwrap(), []);
    world.commit(world.next(uid(1)).await).await;
    assert_eq!(world.load(uid(1)).await.presence, Presence::Online);
    assert_eq!(world.one.sweep_offline(future, 10).await.unwrap(), [uid(1)]);
}

pub(crate) async fn days_are_turned(world: &World) {
    world.agents(1).await;
    send(world, 1, 2).await;
    assert_eq!(world.one.turn_days(7).await.unwrap(), []);
    let today = world.one.now().await.unwrap().day();
    let days = world.two.event_days().await.unwrap();
    let found = days.iter().find(|day| day.day == today).unwrap();
    assert_eq!(found.events, 2);
}
