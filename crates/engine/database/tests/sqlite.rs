//! The suite over SQLite.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on fails"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mainstay_database::{EventFilter, Limits, Location, Range, Store, StoreError, open};
use suite::World;
use suite::world::uid;

#[expect(dead_code, reason = "here, agents are killed with their manager")]
mod fleet;
mod killed;
mod suite;

whole_suite!(crate::with_world);

#[test]
fn every_event_once_and_in_order_whatever_gets_lost() {
    suite::model::check(24, |steps| {
        with_world(async |world| suite::model::live(&world, steps).await)
    });
}

pub(crate) fn with_world(test: impl AsyncFnOnce(World)) {
    with_file(async |world, _path| test(world).await);
}

/// Gives a test the file, too.
fn with_file(test: impl AsyncFnOnce(World, &Path)) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fleet.db");
    fleet::runtime().block_on(async {
        let (one, two) = (manager(&path).await, manager(&path).await);
        test(World { one, two }, &path).await;
    });
}

async fn manager(path: &Path) -> Arc<dyn Store> {
    let limits = Limits { batch_window: Duration::from_millis(1), ..Limits::default() };
    open(&Location::File(path.into()), &limits).await.unwrap()
}

/// Runs statements beside all managers.
fn sql(path: &Path, statements: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(statements).unwrap();
}

#[test]
fn managers_may_start_at_once_on_an_empty_database() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fleet.db");
    fleet::runtime().block_on(async {
        let all = futures_util::future::join_all((0..6).map(|_| manager(&path))).await;
        let id = all[0].database_id().await.unwrap();
        for store in &all {
            assert_eq!(store.database_id().await.unwrap(), id);
        }
    });
}

#[test]
fn the_file_is_its_owners() {
    with_file(async |world, path| {
        world.agents(1).await;
        for file in path.parent().unwrap().read_dir().unwrap() {
            let file = file.unwrap();
            let mode = file.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", file.path().display());
        }
    });
}

#[test]
fn the_former_program_goes_on_beside_the_next_one() {
    with_file(async |world, path| {
        world.agents(1).await;
        // What the next program's migration adds.
        sql(
            path,
            "ALTER TABLE agent ADD COLUMN colour TEXT NOT NULL DEFAULT 'red';
             ALTER TABLE agent_seen ADD COLUMN lap BIGINT NOT NULL DEFAULT 0;
             INSERT INTO refinery_schema_history VALUES (3, 'next', '2026-11-28T00:00:00Z', '0')",
        );
        suite::use_it(&world).await;
        suite::use_it(&World { one: manager(path).await, two: manager(path).await }).await;
        // What a later one takes away.
        sql(path, "UPDATE compatibility SET oldest = 3");
        let refused = open(&Location::File(path.into()), &Limits::default()).await;
        let found = matches!(refused, Err(StoreError::Schema { found: 3, needed: 3, .. }));
        assert!(found, "{refused:?}");
    });
}

/// Moves the events of today to another day.
fn move_today(path: &Path, today: i64, to: i64) {
    sql(
        path,
        &format!(
            "DROP INDEX event_{today}_by_agent;
             ALTER TABLE event_{today} RENAME TO event_{to};
             UPDATE event_day SET day = {to} WHERE day = {today}"
        ),
    );
}

#[test]
fn old_days_are_dropped() {
    with_file(async |world, path| {
        world.agents(1).await;
        let today = world.one.now().await.unwrap().day().0;
        for days in [7, 6, 0] {
            suite::use_it(&world).await;
            if days > 0 {
                move_today(path, today, today - days);
            }
        }
        assert_eq!(world.one.turn_days(7).await.unwrap(), [mainstay_database::Day(today - 7)]);
        assert_eq!(world.two.turn_days(7).await.unwrap(), []);
        let days: Vec<_> = world.two.event_days().await.unwrap();
        let days: Vec<_> = days.iter().map(|day| (day.day.0, day.events)).collect();
        assert_eq!(days, [(today - 6, 4), (today, 4)]);
        assert_eq!(fleet::stored(&*world.one, 1).await, (5..=12).collect::<Vec<u64>>());
        assert_eq!(
            world.load(uid(1)).await.cursor.through,
            12,
            "what was dropped is not asked for"
        );
    });
}

#[test]
fn a_clock_that_is_set_back_changes_no_order() {
    with_file(async |world, path| {
        world.agents(1).await;
        let today = world.one.now().await.unwrap().day().0;
        suite::use_it(&world).await;
        // Tomorrow, then today again.
        move_today(path, today, today + 1);
        suite::use_it(&world).await;
        suite::use_it(&world).await;
        assert_eq!(fleet::stored(&*world.one, 1).await, (1..=12).collect::<Vec<u64>>());
        let mut range = Range::first(5);
        let mut numbers = Vec::new();
        loop {
            let page = world.one.events(EventFilter::default(), range.clone()).await.unwrap();
            numbers.extend(page.rows.iter().filter_map(|row| row.origin.map(|origin| origin.1)));
            let Some(next) = page.next else { break };
            range.after = Some(next);
        }
        assert_eq!(numbers, (1..=12).rev().collect::<Vec<u64>>());
    });
}
