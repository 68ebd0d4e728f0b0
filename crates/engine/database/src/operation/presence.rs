//! Who is heard of, and who is there twice.

use super::{alerts, all};
use crate::agent::{Fork, Presence};
use crate::alert::NewAlert;
use crate::event::{NewEvent, Severity};
use crate::id::AgentUid;
use crate::session::{Session, values};
use crate::store::Stored;
use crate::time::WallTime;

/// What is told of an agent that is not heard of any more.
const OFFLINE: &str = "agent.offline";

/// What is told of an identity with two holders.
const FORKED: &str = "agent.forked";

/// One statement finds and marks them, so nobody is told of twice, whoever else sweeps.
pub(crate) fn sweep(
    s: &mut dyn Session,
    silent_since: WallTime,
    limit: u32,
) -> Stored<Vec<AgentUid>> {
    let silent = s.rows(
        "UPDATE agent_seen SET presence = $1
         WHERE presence = $2 AND seen_at < $3 AND agent IN
             (SELECT agent FROM agent_seen WHERE presence = $2 AND seen_at < $3
              ORDER BY agent LIMIT $4)
         RETURNING agent, seen_at",
        values![Presence::Offline, Presence::Online, silent_since, limit],
    )?;
    let mut silent = all(silent, |row| Ok((row.id::<AgentUid>()?, row.time()?)))?;
    silent.sort_unstable();
    let told: Vec<NewEvent> =
        silent.iter().map(|&(agent, seen_at)| offline(agent, seen_at)).collect();
    s.tell(None, &told)?;
    Ok(silent.into_iter().map(|(agent, _seen_at)| agent).collect())
}

fn offline(agent: AgentUid, seen_at: WallTime) -> NewEvent {
    NewEvent {
        agent: Some(agent),
        kind: OFFLINE.into(),
        severity: Severity::Warning,
        body: format!(r#"{{"seen_at":{}}}"#, seen_at.0).into_bytes(),
    }
}

pub(crate) fn record_fork(s: &mut dyn Session, fork: &Fork) -> Stored<()> {
    let now = s.now()?;
    s.change(
        "agent",
        "UPDATE agent SET forks = forks + 1, forked_at = $1 WHERE uid = $2",
        values![now, fork.agent],
    )?;
    let event = NewEvent {
        agent: Some(fork.agent),
        kind: FORKED.into(),
        severity: Severity::Error,
        body: fork.detail.clone(),
    };
    s.tell(None, &[event])?;
    let alert = NewAlert {
        key: format!("clone:{}", fork.agent),
        kind: "clone".into(),
        severity: Severity::Error,
        agent: Some(fork.agent),
        text: format!("the identity is held twice; the second holder came from {}", fork.address),
        detail: fork.detail.clone(),
    };
    alerts::raise(s, &alert).map(drop)
}
