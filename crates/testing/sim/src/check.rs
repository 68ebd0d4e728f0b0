//! The invariants, by name. The first five hold after every event, the last two once the bad
//! luck stopped.

use mainstay_model::Process as Role;
use mainstay_pair::Route;
use mainstay_wire::pair::Serving;

use crate::action::Action;
use crate::play;
use crate::world::{Body, Built, Client, Flaw, Process, World};

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invariant {
    /// Whom the master takes for the holder of the lease holds it, or nobody does.
    OneActiveWorker,
    /// At most one worker that may yet act holds the lease.
    OneLeaseHolder,
    /// No connection is where nobody will ever look again.
    NoConnectionAtADeadWorker,
    /// No two workers that may yet act have the same connection.
    NoConnectionAtTwoWorkers,
    /// Every connection that has no answer is somewhere.
    NoConnectionLost,
    /// No connection gets two answers.
    NoConnectionServedTwice,
    /// In the end a ready worker serves, and the master knows.
    AReadyWorkerServes,
    /// In the end every connection has an answer.
    EveryConnectionIsServed,
}

/// An invariant that did not hold, and how it came to that.
pub type Broken = play::Broken<Invariant, Action, Flaw>;

/// What was found, before anybody knows the history.
pub(crate) type Finding = (Invariant, String);

/// What must hold at every instant.
pub(crate) fn safety(world: &World) -> Result<(), Finding> {
    one_lease_holder(world)?;
    one_active_worker(world)?;
    connections(world)
}

/// What must hold in the end.
pub(crate) fn liveness(world: &World) -> Result<(), Finding> {
    a_ready_worker_serves(world)?;
    if let Some(client) = world.open().next() {
        let what = format!("connection {} waits forever", client.0);
        return Err((Invariant::EveryConnectionIsServed, what));
    }
    Ok(())
}

fn holds(process: &Process) -> bool {
    process.body.may_act() && process.mind.serving == Serving::Active
}

fn one_lease_holder(world: &World) -> Result<(), Finding> {
    let holders = world.workers(holds);
    if holders.len() > 1 {
        return Err((Invariant::OneLeaseHolder, format!("{holders:?} hold it")));
    }
    Ok(())
}

fn one_active_worker(world: &World) -> Result<(), Finding> {
    let Some(master) = &world.master else { return Ok(()) };
    for pid in world.workers(holds) {
        let Role::Worker(slot) = world.process(pid).role else { continue };
        let wrong = match master.lease.holder() {
            Some(holder) => holder != slot,
            // It may be learning; it must not think that nobody serves.
            None => master.lease.route() == Route::Refuse,
        };
        if wrong {
            let what = format!("{pid:?} serves, the master says {:?}", master.lease.holder());
            return Err((Invariant::OneActiveWorker, what));
        }
    }
    Ok(())
}

/// Where one connection is.
#[derive(Clone, Copy, Default)]
struct Places {
    all: u32,
    living_workers: u32,
}

fn connections(world: &World) -> Result<(), Finding> {
    if let Some(twice) = world.fates.iter().position(|fate| fate.answers > 1) {
        let what = format!("connection {twice} was answered twice");
        return Err((Invariant::NoConnectionServedTwice, what));
    }
    let mut places = vec![Places::default(); world.fates.len()];
    let mut found = |client: Client, in_living_worker: u32| {
        if let Some(places) = places.get_mut(client.0) {
            places.all += 1;
            places.living_workers += in_living_worker;
        }
    };
    for client in world.queues.iter().flatten() {
        found(*client, 0);
    }
    for process in &world.processes {
        let worker = matches!(process.role, Role::Worker(_));
        if process.body.may_act() {
            let mut seen: Vec<Client> = Vec::new();
            for (client, _) in process.table.items() {
                let first = worker && !seen.contains(&client);
                seen.push(client);
                found(client, u32::from(first));
            }
        } else if let Some(left) = process.keeper.left() {
            if let Some(client) = process.table.lane.front() {
                let what = format!("connection {} is in the lane of the dead", client.0);
                return Err((Invariant::NoConnectionAtADeadWorker, what));
            }
            left.iter().for_each(|(client, _)| found(*client, 0));
        } else {
            process.table.items().for_each(|(client, _)| found(client, 0));
        }
    }
    for client in world.open() {
        let places = places.get(client.0).copied().unwrap_or_default();
        if places.all == 0 {
            let what = format!("connection {} is nowhere", client.0);
            return Err((Invariant::NoConnectionLost, what));
        }
        if places.living_workers > 1 {
            let what = format!("connection {} is at both workers", client.0);
            return Err((Invariant::NoConnectionAtTwoWorkers, what));
        }
    }
    Ok(())
}

fn a_ready_worker_serves(world: &World) -> Result<(), Finding> {
    let serving = world.workers(|process| {
        process.body == Body::Running && process.mind.built == Built::Yes && holds(process)
    });
    let route = world.route();
    let known = serving.iter().any(|pid| match world.process(*pid).role {
        Role::Worker(slot) => route == Route::To(slot),
        Role::Master | Role::Supervisor | Role::Broadcast => false,
    });
    if known {
        return Ok(());
    }
    let what = format!("{serving:?} serve, the master sends {route:?}");
    Err((Invariant::AReadyWorkerServes, what))
}
