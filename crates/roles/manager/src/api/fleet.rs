//! The fleet in numbers.

use serde_json::json;

use super::Api;
use super::answer::{Answered, ok};

pub(super) async fn counts(api: &Api) -> Answered {
    let late_since = api.store.now().await?.minus(api.silence.late_after());
    let counts = api.store.fleet_counts(late_since).await?;
    let versions = counts.versions.iter();
    let versions: Vec<_> =
        versions.map(|(version, agents)| json!({ "version": version, "agents": agents })).collect();
    let managers = counts.managers.iter();
    let managers: Vec<_> = managers
        .map(|(manager, agents)| json!({ "manager": manager.to_string(), "agents": agents }))
        .collect();
    ok(&json!({
        "database": api.store.database_id().await?,
        "agents": counts.agents,
        "presence": {
            "never": counts.never,
            "online": counts.online,
            "late": counts.late,
            "offline": counts.offline,
        },
        "standing": { "pending": counts.pending, "blocked": counts.blocked },
        "sync": {
            "in-sync": counts.in_sync,
            "drifting": counts.drifting,
            "failed": counts.failed,
        },
        "versions": versions,
        "managers": managers,
    }))
}
