//! The invariants: those of every instant, and the one of the end.

use mainstay_session::Table;

use super::world::{Known, World};
use super::{Finding, Invariant};

/// What must hold at every instant.
pub(super) fn safety(world: &World) -> Result<(), Finding> {
    let disk = world.disk.table(world.disk.synced as u64);
    for (key, fate) in &world.fates {
        let is_in = fate.is_in == Known::Confirmed && fate.is_out == Known::No;
        let is_out = fate.is_out == Known::Confirmed;
        for process in world.processes.iter().flatten() {
            let tables = process.threads.iter().filter_map(|thread| thread.table.as_ref());
            for table in tables {
                let is_there = table.find(key).is_some();
                if is_out && is_there {
                    let what = format!("{} {} accepts {key:?}", process.role, process.pid);
                    return Err((Invariant::NobodyComesBack, what));
                }
                if is_in && !is_there {
                    let what = format!("{} {} has no {key:?}", process.role, process.pid);
                    return Err((Invariant::NoSessionLost, what));
                }
            }
        }
        if (is_in || is_out) && disk.find(key).is_some() != is_in {
            let what = format!("{key:?} is otherwise on the disk");
            return Err((Invariant::ConfirmedIsOnTheDisk, what));
        }
    }
    if world.master_has < world.confirmed {
        let what = format!("{} is confirmed, a master has {}", world.confirmed, world.master_has);
        return Err((Invariant::TheMasterAnswers, what));
    }
    Ok(())
}

/// What must hold in the end.
pub(super) fn liveness(world: &World) -> Result<(), Finding> {
    let wrong = |what: String| Err((Invariant::EverybodyKnowsInTheEnd, what));
    let Some(broadcast) = &world.broadcast else { return wrong("no broadcast".to_owned()) };
    if !broadcast.tickets.is_empty() {
        return wrong(format!("callers wait: {:?}", broadcast.tickets));
    }
    let last = broadcast.replication.last();
    if broadcast.replication.confirmed() != Some(last) {
        return wrong(format!("{last} is not confirmed: {:?}", broadcast.replication.standings()));
    }
    let all = listing(broadcast.register.table());
    for place in &world.processes {
        let Some(process) = place else { return wrong("a process is missing".to_owned()) };
        for thread in &process.threads {
            if thread.table.as_ref().map(listing) != Some(all.clone()) {
                return wrong(format!("{} {} has another table", process.role, process.pid));
            }
        }
    }
    Ok(())
}

fn listing(table: &Table) -> String {
    let sessions =
        table.iter().map(|(key, session, at)| format!("{key} {} {at:?}", session.subject));
    sessions.collect::<Vec<_>>().join("\n")
}
