//! Managers, their jobs, and alerts.

use std::time::{Duration, Instant};

use mainstay_database::{
    AlertFilter, AlertState, Drain, Lease, ManagerBeat, NewAlert, Severity, WallTime,
};

use super::World;
use super::world::{MANAGER, OTHER, all, audit};

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) async fn one_manager_has_a_job_at_a_time(world: &World) {
    let ask = async |holder| world.one.lease("offline", holder, HOUR).await.unwrap();
    assert!(matches!(ask(MANAGER).await, Lease::Held { term: 1, .. }));
    assert!(matches!(ask(OTHER).await, Lease::Taken { by: MANAGER, .. }));
    assert!(matches!(ask(MANAGER).await, Lease::Held { term: 1, .. }), "it is kept");
    world.two.release("offline", OTHER).await.unwrap();
    assert!(matches!(ask(OTHER).await, Lease::Taken { .. }), "only the holder gives it back");
    world.two.release("offline", MANAGER).await.unwrap();
    assert!(matches!(ask(OTHER).await, Lease::Held { term: 2, .. }));
}

pub(crate) async fn a_lease_runs_out_by_the_clock_of_the_database(world: &World) {
    let short = Duration::from_millis(20);
    let held = world.one.lease("days", MANAGER, short).await.unwrap();
    let Lease::Held { until, .. } = held else { panic!("{held:?}") };
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        assert!(Instant::now() < deadline, "the lease never ran out");
        let before = world.two.now().await.unwrap();
        let asked = world.two.lease("days", OTHER, HOUR).await.unwrap();
        let after = world.two.now().await.unwrap();
        match asked {
            Lease::Held { term, .. } => {
                assert_eq!(term, 2);
                assert!(after >= until, "it was taken too early");
                return;
            }
            Lease::Taken { .. } => assert!(before < until, "it was not taken in time"),
        }
    }
}

pub(crate) async fn managers_say_that_they_are_there(world: &World) {
    let beat = ManagerBeat {
        manager: MANAGER,
        name: "one".into(),
        version: "1.0".into(),
        address: "[::]:4320".into(),
        started_at: WallTime(7),
        exchange_rate: 1_500,
        connections: 3,
        commit_latency: Duration::from_micros(700),
        detail: vec![],
    };
    assert_eq!(world.one.beat(beat.clone()).await.unwrap(), Drain::Serve);
    world.two.set_drain(MANAGER, Drain::Drain, audit("manager.drain")).await.unwrap();
    assert_eq!(world.one.beat(beat.clone()).await.unwrap(), Drain::Drain);
    let rows = world.two.managers().await.unwrap();
    assert_eq!((rows.len(), &rows[0].beat, rows[0].drain), (1, &beat, Drain::Drain));
    world.one.remove_manager(MANAGER, audit("manager.remove")).await.unwrap();
    assert_eq!(world.one.managers().await.unwrap(), []);
}

pub(crate) async fn alerts_with_one_key_are_one(world: &World) {
    let alert = NewAlert {
        key: "database".into(),
        kind: "slow".into(),
        severity: Severity::Warning,
        agent: None,
        text: "commits are slow".into(),
        detail: vec![],
    };
    let first = world.one.raise(alert.clone()).await.unwrap();
    assert_eq!(world.two.raise(alert.clone()).await.unwrap(), first);
    world.one.set_alert(first, AlertState::Acknowledged, audit("alert.acknowledge")).await.unwrap();
    assert_eq!(world.two.raise(alert.clone()).await.unwrap(), first);
    assert!(world.one.settle("database").await.unwrap());
    assert!(!world.one.settle("database").await.unwrap());
    let second = world.one.raise(alert).await.unwrap();
    assert_ne!(second, first);
    let open = AlertFilter { state: Some(AlertState::Open), ..AlertFilter::default() };
    let rows = world.two.alerts(open, all()).await.unwrap().rows;
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [second]);
    let rows = world.two.alerts(AlertFilter::default(), all()).await.unwrap().rows;
    assert_eq!((rows[1].id, rows[1].count, rows[1].state), (first, 3, AlertState::Closed));
}
