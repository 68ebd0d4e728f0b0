//! Agents: who they are, what they serve, and whether that is what they should.

use std::time::Duration;

use mainstay_database::{
    AgentFilter, AgentRow, AgentUid, Applied, AppliedState, Credential, EventFilter, GroupId, Hash,
    Presence, Range, Standing, StreamRow, Sync, VersionId,
};
use mainstay_fleet::online;
use mainstay_opamp::message::{AgentDescription, ComponentHealth};
use prost::Message as _;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::{self, Answered, done, ok, page, stored};
use super::ask::{Ask, choose};
use super::instant;
use super::problem::Problem;
use super::{Api, groups};
use crate::presence::presence;

/// Most agents of one change.
const AGENTS_MAX: usize = 1_000;

/// What kind of event an agent's sample of its gateway's figures is.
const METRICS: &str = "gateway.metrics";

/// The oldest one that is shown as the present.
const METRICS_AGE_MAX: Duration = Duration::from_hours(24);

const STANDINGS: [(&str, Standing); 3] =
    [("active", Standing::Active), ("pending", Standing::Pending), ("blocked", Standing::Blocked)];

const SYNCS: [(&str, Sync); 3] =
    [("in-sync", Sync::InSync), ("drifting", Sync::Drifting), ("failed", Sync::Failed)];

const PRESENCES: [(&str, online::Presence); 4] = [
    ("never", online::Presence::Never),
    ("online", online::Presence::Online),
    ("late", online::Presence::Late),
    ("offline", online::Presence::Offline),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    agents: Vec<String>,
    group: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Judge {
    agents: Vec<String>,
    standing: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Renew {
    agents: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnVersion {
    version: Option<i64>,
}

pub(super) async fn list(api: &Api, ask: &Ask) -> Answered {
    let now = api.store.now().await?;
    let late_since = now.minus(api.silence.late_after());
    let mut filter = AgentFilter {
        search: ask.query.get("search").cloned(),
        group: ask.parameter("group")?,
        standing: ask.choice("standing", &STANDINGS)?,
        healthy: ask.parameter("healthy")?,
        sync: ask.choice("sync", &SYNCS)?,
        ..AgentFilter::default()
    };
    match ask.choice("presence", &PRESENCES)? {
        None => {}
        Some(online::Presence::Never) => filter.presence = Some(Presence::Never),
        Some(online::Presence::Offline) => filter.presence = Some(Presence::Offline),
        Some(online::Presence::Online) => {
            (filter.presence, filter.seen_from) = (Some(Presence::Online), Some(late_since));
        }
        Some(online::Presence::Late) => {
            (filter.presence, filter.seen_before) = (Some(Presence::Online), Some(late_since));
        }
    }
    let agents = api.store.agents(filter, ask.range()?).await?;
    page(&agents, |agent| brief(api, agent, now))
}

pub(super) async fn one(api: &Api, ask: &Ask) -> Answered {
    let agent = find(api, ask).await?;
    let now = api.store.now().await?;
    let mut view = brief(api, &agent, now);
    let more = json!({
        "fingerprint": hex(&agent.fingerprint),
        "enrolled_with": agent.enrolled_with.map(|token| token.0),
        "sequence": agent.chain.sequence,
        "capabilities": agent.capabilities,
        "attributes": attributes(&agent.description),
        "health": ComponentHealth::decode(&*agent.health).ok().map(|health| tree(&health, 0)),
        "contact": stored(&agent.contact),
        "metrics": metrics(api, &agent, now).await?,
        "forked_at": instant::maybe(agent.forked_at),
    });
    if let (Value::Object(view), Value::Object(more)) = (&mut view, more) {
        view.extend(more);
    }
    ok(&view)
}

/// The gateway's last figures. Older ones are in the events, for whoever looks for them: a page
/// is not to read everything that an agent without a gateway has ever told.
async fn metrics(
    api: &Api,
    agent: &AgentRow,
    now: mainstay_database::WallTime,
) -> Result<Value, Problem> {
    let filter = EventFilter {
        agent: Some(agent.agent),
        kind: Some(METRICS.to_owned()),
        from: Some(now.minus(METRICS_AGE_MAX)),
        ..EventFilter::default()
    };
    let last = api.store.events(filter, Range::first(1)).await?.rows.pop();
    Ok(last.map_or(Value::Null, |sample| {
        json!({
            "at": instant::text(mainstay_database::WallTime(sample.at)),
            "received_at": instant::json(sample.received_at),
            "figures": stored(&sample.body),
        })
    }))
}

pub(super) async fn effective(api: &Api, ask: &Ask) -> Answered {
    let text = api.store.effective_text(ask.id()?).await?;
    let text = text.ok_or_else(|| Problem::not_found("the agent has not said what it serves"))?;
    answer::text("application/toml", text)
}

pub(super) async fn streams(api: &Api, ask: &Ask) -> Answered {
    let streams = api.store.streams(find(api, ask).await?.agent).await?;
    answer::list(&streams, |StreamRow { cursor, updated_at }| {
        json!({
            "stream": cursor.stream.to_string(),
            "through": cursor.through,
            "hash": cursor.hash.to_string(),
            "updated_at": instant::json(*updated_at),
        })
    })
}

pub(super) async fn r#move(api: &Api, ask: &Ask) -> Answered {
    let wanted: Move = ask.body()?;
    let agents = uids(&wanted.agents)?;
    let group = groups::find(api, GroupId(wanted.group)).await?;
    let detail = json!({ "agents": wanted.agents, "group": group.name });
    let audit = ask.audit("agent.move", subject(&wanted.agents), &detail)?;
    let moved = api.store.move_agents(agents, group.id, audit).await?;
    ok(&json!({ "changed": moved }))
}

pub(super) async fn set_standing(api: &Api, ask: &Ask) -> Answered {
    let wanted: Judge = ask.body()?;
    let agents = uids(&wanted.agents)?;
    let standing = choose("standing", &wanted.standing, &STANDINGS)?;
    let detail = json!({ "agents": wanted.agents, "standing": wanted.standing });
    let audit = ask.audit("agent.standing", subject(&wanted.agents), &detail)?;
    let changed = api.store.set_standing(agents, standing, audit).await?;
    ok(&json!({ "changed": changed }))
}

/// They are asked to when they are heard next, for as long as they have the keys of this moment.
pub(super) async fn renew_keys(api: &Api, ask: &Ask) -> Answered {
    let Renew { agents } = ask.body()?;
    let detail = json!({ "agents": agents });
    let audit = ask.audit("agent.new-key", subject(&agents), &detail)?;
    let changed = api.store.retire_keys(uids(&agents)?, audit).await?;
    ok(&json!({ "changed": changed }))
}

pub(super) async fn set_version(api: &Api, ask: &Ask) -> Answered {
    let OwnVersion { version } = ask.body()?;
    let agent = find(api, ask).await?;
    let before = agent.own_version.map(|version| version.0);
    let detail = json!({ "before": before, "after": version });
    let audit = ask.audit("agent.version", agent.agent.to_string(), &detail)?;
    api.store.set_own_version(agent.agent, version.map(VersionId), audit).await?;
    done()
}

pub(super) async fn remove(api: &Api, ask: &Ask) -> Answered {
    let agent = find(api, ask).await?;
    let detail = json!({ "name": agent.name, "group": agent.group.0 });
    let audit = ask.audit("agent.remove", agent.agent.to_string(), &detail)?;
    api.store.remove_agent(agent.agent, audit).await?;
    done()
}

async fn find(api: &Api, ask: &Ask) -> Result<AgentRow, Problem> {
    let uid: AgentUid = ask.id()?;
    let agent = api.store.agent(uid).await?;
    agent.ok_or_else(|| Problem::not_found(format!("there is no agent {uid}")))
}

/// The agents of a change.
pub(super) fn uids(texts: &[String]) -> Result<Vec<AgentUid>, Problem> {
    if texts.len() > AGENTS_MAX {
        return Err(Problem::invalid(format!("at most {AGENTS_MAX} agents at a time")));
    }
    let read = |text: &String| {
        text.parse().map_err(|_refused| Problem::invalid(format!("{text:?} names no agent")))
    };
    texts.iter().map(read).collect()
}

fn subject(agents: &[String]) -> String {
    match agents {
        [one] => one.clone(),
        agents => format!("{} agents", agents.len()),
    }
}

fn brief(api: &Api, agent: &AgentRow, now: mainstay_database::WallTime) -> Value {
    let presence = presence(&api.silence, agent.presence, agent.seen_at, now);
    json!({
        "agent": agent.agent.to_string(),
        "name": agent.name,
        "version": agent.version,
        "group": agent.group.0,
        "standing": called(agent.standing, &STANDINGS),
        "presence": called(presence, &PRESENCES),
        "credential": match agent.credential {
            Credential::Key(_) => "key",
            Credential::Bearer(_) => "bearer",
        },
        "key_retired": agent.key_retired,
        "enrolled_at": instant::json(agent.enrolled_at),
        "seen_at": instant::maybe(agent.seen_at),
        "manager": agent.manager.map(|manager| manager.to_string()),
        "address": agent.address,
        "healthy": agent.healthy,
        "effective": agent.effective.map(|hash| hash.to_string()),
        "desired": agent.desired.map(|desired| json!({
            "configuration": desired.configuration.0,
            "version": desired.version.0,
            "hash": desired.hash.to_string(),
        })),
        "own_version": agent.own_version.map(|version| version.0),
        "applied": agent.applied.as_ref().map(applied),
        "sync": called(sync(agent), &SYNCS),
        "pin": agent.pin.map(|pin| pin.to_string()),
        "forks": agent.forks,
    })
}

/// As the database counts it.
fn sync(agent: &AgentRow) -> Sync {
    let Some(desired) = agent.desired else { return Sync::InSync };
    if agent.effective == Some(desired.hash) {
        return Sync::InSync;
    }
    match &agent.applied {
        Some(Applied { state: AppliedState::Failed, hash, .. }) if *hash == desired.hash => {
            Sync::Failed
        }
        Some(_) | None => Sync::Drifting,
    }
}

/// What came of the last offer.
pub(super) fn applied(applied: &Applied) -> Value {
    let state = match applied.state {
        AppliedState::Unset => "unset",
        AppliedState::Applied => "applied",
        AppliedState::Applying => "applying",
        AppliedState::Failed => "failed",
    };
    json!({ "state": state, "hash": applied.hash.to_string(), "message": applied.message })
}

/// What one of a few values is called.
pub(super) fn called<T: PartialEq + Copy>(value: T, names: &[(&'static str, T)]) -> &'static str {
    names.iter().find(|(_, known)| *known == value).map_or("unknown", |(name, _)| name)
}

/// How a standing is called.
pub(super) fn standing(standing: Standing) -> &'static str {
    called(standing, &STANDINGS)
}

/// What a hash is called if it may be none.
pub(super) fn maybe_hash(hash: Option<Hash>) -> Option<String> {
    hash.map(|hash| hash.to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What an agent says about itself, as far as it is text.
fn attributes(description: &[u8]) -> Value {
    let Ok(description) = AgentDescription::decode(description) else { return json!({}) };
    let said = description.identifying_attributes.iter();
    let said = said.chain(&description.non_identifying_attributes);
    let texts = said.filter_map(|pair| Some((pair.key.clone(), pair.as_text()?.into())));
    Value::Object(texts.collect::<Map<String, Value>>())
}

/// The tree of what is well and what is not, as deep as anybody looks.
fn tree(health: &ComponentHealth, depth: usize) -> Value {
    const DEPTH_MAX: usize = 8;
    let parts =
        health.component_health_map.iter().take(if depth < DEPTH_MAX { usize::MAX } else { 0 });
    let parts: Map<String, Value> =
        parts.map(|(name, part)| (name.clone(), tree(part, depth + 1))).collect();
    json!({
        "healthy": health.healthy,
        "status": health.status,
        "error": health.last_error,
        "parts": parts,
    })
}
