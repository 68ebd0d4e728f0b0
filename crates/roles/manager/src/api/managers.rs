//! Managers: which there are, how much they do, and which should send their agents away.

use mainstay_database::{Drain, ManagerId, ManagerRow, WallTime};
use mainstay_fleet::online;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Answered, done, stored};
use super::ask::Ask;
use super::problem::Problem;
use super::{Api, instant};
use crate::jobs::BEAT;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    drain: bool,
}

pub(super) async fn list(api: &Api) -> Answered {
    let managers = api.store.managers().await?;
    let now = api.store.now().await?;
    answer::list(&managers, |manager| view(manager, now))
}

pub(super) async fn drain(api: &Api, ask: &Ask) -> Answered {
    let wanted: Wanted = ask.body()?;
    let found = find(api, ask).await?;
    let drain = if wanted.drain { Drain::Drain } else { Drain::Serve };
    let audit = ask.audit("manager.drain", found.beat.name, &json!({ "drain": wanted.drain }))?;
    api.store.set_drain(found.beat.manager, drain, audit).await?;
    done()
}

/// Forgets one that does not come back.
pub(super) async fn remove(api: &Api, ask: &Ask) -> Answered {
    let found = find(api, ask).await?;
    let now = api.store.now().await?;
    match online::manager(now.since(found.seen_at), BEAT) {
        online::Manager::Gone => {}
        online::Manager::Serving => return Err(Problem::conflict("the manager is there")),
    }
    let detail = json!({ "address": found.beat.address, "version": found.beat.version });
    let audit = ask.audit("manager.remove", found.beat.name, &detail)?;
    api.store.remove_manager(found.beat.manager, audit).await?;
    done()
}

async fn find(api: &Api, ask: &Ask) -> Result<ManagerRow, Problem> {
    let id: ManagerId = ask.id()?;
    let mut managers = api.store.managers().await?.into_iter();
    managers
        .find(|manager| manager.beat.manager == id)
        .ok_or_else(|| Problem::not_found(format!("there is no manager {id}")))
}

fn view(row: &ManagerRow, now: WallTime) -> Value {
    let micros = u64::try_from(row.beat.commit_latency.as_micros()).unwrap_or(u64::MAX);
    json!({
        "manager": row.beat.manager.to_string(),
        "name": row.beat.name,
        "version": row.beat.version,
        "address": row.beat.address,
        "started_at": instant::json(row.beat.started_at),
        "seen_at": instant::json(row.seen_at),
        "state": match online::manager(now.since(row.seen_at), BEAT) {
            online::Manager::Serving => "there",
            online::Manager::Gone => "gone",
        },
        "drain": row.drain == Drain::Drain,
        "exchanges_per_thousand_seconds": row.beat.exchange_rate,
        "connections": row.beat.connections,
        "commit_p99_microseconds": micros,
        "detail": stored(&row.beat.detail),
    })
}
