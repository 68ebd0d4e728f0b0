//! The suite over PostgreSQL.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

use mainstay_database::{Limits, Location, StoreError, open};
use mainstay_postgres::Server;
use suite::World;
use suite::world::uid;

mod fleet;
mod outage;
mod suite;

whole_suite!(crate::with_world);

#[test]
fn every_event_once_and_in_order_whatever_gets_lost() {
    suite::model::check(3, |steps| {
        with_world(async |world| suite::model::live(&world, steps).await)
    });
}

pub(crate) fn with_world(test: impl AsyncFnOnce(World)) {
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let limits =
            Limits { batch_window: std::time::Duration::from_millis(1), ..Limits::default() };
        let location = location(&server);
        let one = open(&location, &limits).await.unwrap();
        let two = open(&location, &limits).await.unwrap();
        test(World { one, two }).await;
    });
}

/// Where a server has its database.
fn location(server: &Server) -> Location {
    server.address().parse().unwrap()
}

async fn manager(server: &Server) -> std::sync::Arc<dyn mainstay_database::Store> {
    open(&location(server), &Limits::default()).await.unwrap()
}

#[test]
fn managers_may_start_at_once_on_an_empty_database() {
    let server = Server::start();
    fleet::runtime().block_on(async {
        let all = futures_util::future::join_all((0..6).map(|_| manager(&server))).await;
        let id = all[0].database_id().await.unwrap();
        for store in &all {
            assert_eq!(store.database_id().await.unwrap(), id);
        }
    });
}

#[test]
fn the_former_program_goes_on_beside_the_next_one() {
    let server = Server::start();
    fleet::runtime().block_on(async {
        let (one, two) = (manager(&server).await, manager(&server).await);
        let world = World { one, two };
        world.agents(1).await;
        world.commit(world.next(uid(1)).await).await;
        // What the next program's migration adds.
        server.sql(
            "ALTER TABLE agent ADD COLUMN colour TEXT NOT NULL DEFAULT 'red';
             ALTER TABLE agent_seen ADD COLUMN lap BIGINT NOT NULL DEFAULT 0;
             ALTER TABLE event ADD COLUMN colour TEXT;
             INSERT INTO refinery_schema_history VALUES (3, 'next', '2026-11-28T00:00:00Z', '0')",
        );
        suite::use_it(&world).await;
        let (one, two) = (manager(&server).await, manager(&server).await);
        suite::use_it(&World { one, two }).await;
        // What a later one takes away.
        server.sql("UPDATE compatibility SET oldest = 3");
        let refused = open(&location(&server), &Limits::default()).await;
        let found = matches!(refused, Err(StoreError::Schema { found: 3, needed: 3, .. }));
        assert!(found, "{refused:?}");
    });
}

#[test]
fn old_days_are_dropped_while_exchanges_go_on() {
    let server = Server::start();
    let fleet = fleet::Fleet::start(location(&server), Limits::default());
    fleet.answers(50);
    let today =
        fleet::runtime().block_on(async { manager(&server).await.now().await }).unwrap().day().0;
    let (old, lost, kept) = (today - 7, today - 40, today - 6);
    for day in [old, lost, kept] {
        server.sql(&format!(
            "CREATE TABLE event_{day} PARTITION OF event FOR VALUES IN ({day});
             INSERT INTO event (day, received_at, at, kind, severity, body)
                 VALUES ({day}, {day} * 86400000000, 0, 'old', 1, '')"
        ));
    }
    // As a turn leaves it that is broken off between detaching and dropping.
    server.sql(&format!("ALTER TABLE event DETACH PARTITION event_{lost}"));
    fleet::runtime().block_on(async {
        let store = manager(&server).await;
        let gone = store.turn_days(7).await.unwrap();
        assert_eq!(gone, [mainstay_database::Day(lost), mainstay_database::Day(old)]);
        assert_eq!(store.turn_days(7).await.unwrap(), []);
        let days = store.event_days().await.unwrap();
        assert_eq!((days[0].day.0, days[0].events), (kept, 1));
    });
    fleet.answers(50);
    fleet.finish(&location(&server));
}

#[test]
fn a_day_without_a_place_gets_one() {
    let server = Server::start();
    fleet::runtime().block_on(async {
        let (one, two) = (manager(&server).await, manager(&server).await);
        let world = World { one, two };
        world.agents(1).await;
        let today = world.one.now().await.unwrap().day().0;
        for _kind_of_write in 0..2 {
            server.sql(&format!("DROP TABLE event_{today}"));
            suite::use_it(&world).await;
            server.sql(&format!("DROP TABLE event_{today}"));
            world.one.sweep_offline(mainstay_database::WallTime(i64::MAX), 10).await.unwrap();
        }
    });
}
