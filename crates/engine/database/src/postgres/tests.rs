//! What only somebody inside of a transaction can do.

use std::sync::mpsc;
use std::time::Duration;

use mainstay_postgres::Server;

use super::*;
use crate::location::Location;

/// How long anything may take that is waited for.
const DEADLINE: Duration = Duration::from_secs(20);

#[test]
fn who_stands_still_in_a_transaction_holds_up_the_others_for_a_moment_only() {
    let server = Server::start();
    let Ok(Location::Postgres(location)) = server.address().parse() else { panic!("an address") };
    let transaction_timeout = Duration::from_millis(200);
    let limits = Limits { transaction_timeout, ..Limits::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let one = Postgres::open(&location, &limits).await.unwrap();
        let two = Postgres::open(&location, &limits).await.unwrap();
        let (locked, is_locked) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel();
        let lock = "LOCK TABLE agent_group IN EXCLUSIVE MODE";
        let stands_still = move |s: &mut dyn Session| {
            s.run(lock, &[])?;
            locked.send(()).unwrap();
            may_go_on.recv_timeout(DEADLINE).unwrap();
            s.run(lock, &[])
        };
        let still = tokio::spawn(async move { one.write(stands_still).await });
        let held = tokio::task::spawn_blocking(move || is_locked.recv_timeout(DEADLINE));
        held.await.unwrap().unwrap();
        two.write(move |s| s.run(lock, &[])).await.unwrap();
        go_on.send(()).unwrap();
        let cut_off = still.await.unwrap();
        assert!(matches!(cut_off, Err(StoreError::Unavailable { .. })), "{cut_off:?}");
    });
}
