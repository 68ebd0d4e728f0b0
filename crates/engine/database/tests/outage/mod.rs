//! Servers that die, hang, and are replaced by their standby, under exchanges.

use std::time::Duration;

use mainstay_database::{Limits, StoreError, Stored, open};
use mainstay_postgres::{Server, address};
use rustix::process::Signal;

use crate::fleet::{Fleet, runtime};
use crate::location;
use crate::suite::World;
use crate::suite::world::{audit, uid};

/// With little patience for hosts that say nothing.
fn limits() -> Limits {
    let short = Duration::from_millis(500);
    Limits {
        batch_window: Duration::from_millis(1),
        connect_timeout: short,
        answer_timeout: short,
        ..Limits::default()
    }
}

#[test]
fn a_server_that_dies_and_comes_back_loses_nothing_and_doubles_nothing() {
    let mut server = Server::start();
    let fleet = Fleet::start(location(&server), Limits::default());
    for _death in 0..3 {
        fleet.answers(100);
        server.kill();
        server.run();
    }
    fleet.answers(100);
    fleet.finish(&location(&server));
}

#[test]
fn a_promoted_standby_has_all_that_was_answered() {
    let mut primary = Server::with(&["synchronous_standby_names=standby"]);
    let standby = Server::standby(&primary, &[]);
    let fleet = Fleet::start(address(&[&primary, &standby]).parse().unwrap(), limits());
    fleet.answers(200);
    primary.kill();
    standby.promote();
    fleet.answers(200);
    fleet.finish(&location(&standby));
}

#[test]
fn a_server_that_hangs_is_left_for_another() {
    let primary = Server::with(&["synchronous_standby_names=standby"]);
    let standby = Server::standby(&primary, &[]);
    let fleet = Fleet::start(address(&[&primary, &standby]).parse().unwrap(), limits());
    fleet.answers(200);
    primary.signal_all(Signal::STOP);
    standby.promote();
    fleet.answers(200);
    fleet.finish(&location(&standby));
    primary.signal_all(Signal::CONT);
}

#[test]
fn a_primary_that_was_cut_off_answers_nobody() {
    let primary = Server::with(&["synchronous_standby_names=standby"]);
    let mut standby = Server::standby(&primary, &[]);
    let fleet = Fleet::start(address(&[&primary, &standby]).parse().unwrap(), limits());
    fleet.answers(200);
    // The primary is as it was, but nobody has its commits: they wait, and are not answered.
    standby.kill();
    standby.run();
    standby.promote();
    fleet.answers(200);
    fleet.finish(&location(&standby));
}

#[test]
fn an_outage_is_said_and_not_waited_for() {
    let mut server = Server::start();
    let location = location(&server);
    runtime().block_on(async {
        let one = open(&location, &limits()).await.unwrap();
        let two = open(&location, &limits()).await.unwrap();
        let world = World { one, two };
        world.agents(1).await;
        let exchange = world.next(uid(1)).await;
        server.signal_all(Signal::STOP);
        gone(&world.one.exchange(exchange.clone()).await);
        gone(&world.one.load(uid(1), None).await);
        gone(&world.one.groups().await);
        gone(&world.one.turn_days(7).await);
        server.signal_all(Signal::CONT);
        world.commit(exchange).await;
        let exchange = world.next(uid(1)).await;
        server.kill();
        gone(&world.one.exchange(exchange).await);
        gone(&world.one.create_group("others", "", audit("group.create")).await);
        server.run();
        world.one.create_group("others", "", audit("group.create")).await.unwrap();
        world.commit(world.next(uid(1)).await).await;
    });
}

#[track_caller]
fn gone<T: std::fmt::Debug>(done: &Stored<T>) {
    assert!(matches!(done, Err(StoreError::Unavailable { .. })), "{done:?}");
}
