//! Rollouts: a version on its way to a group, in waves.

use std::collections::BTreeSet;

use mainstay_database::{
    AgentFilter, AgentUid, GroupId, Member, MemberState, NewRollout, Range, Rollout, RolloutId,
    RolloutState, Standing, VersionId,
};
use mainstay_fleet::rollout::{Order, Plan};
use mainstay_model::Chain;
use mainstay_trust::digest::sha256;
use mainstay_trust::token;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answered, created, ok, page};
use super::ask::{Ask, choose, note};
use super::problem::Problem;
use super::{Api, agents, configurations, groups, instant};
use crate::rollouts::{self, OrderError, PlanText};

const STATES: [(&str, RolloutState); 6] = [
    ("draft", RolloutState::Draft),
    ("running", RolloutState::Running),
    ("halted", RolloutState::Halted),
    ("rolling-back", RolloutState::RollingBack),
    ("rolled-back", RolloutState::RolledBack),
    ("done", RolloutState::Done),
];

const MEMBER_STATES: [(&str, MemberState); 5] = [
    ("waiting", MemberState::Waiting),
    ("offered", MemberState::Offered),
    ("applied", MemberState::Applied),
    ("failed", MemberState::Failed),
    ("rolled-back", MemberState::RolledBack),
];

const ORDERS: [(&str, Order); 4] = [
    ("start", Order::Start),
    ("halt", Order::Halt),
    ("resume", Order::Resume),
    ("roll-back", Order::RollBack),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    group: i64,
    version: i64,
    #[serde(default)]
    plan: PlanText,
    /// Agents that go first, whatever luck says.
    #[serde(default)]
    first: Vec<String>,
    #[serde(default)]
    note: String,
    /// Whether the first wave is offered at once; else it waits for the order `start`.
    #[serde(default)]
    start: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    order: String,
}

pub(super) async fn list(api: &Api, ask: &Ask) -> Answered {
    page(&api.store.rollouts(ask.parameter("group")?, ask.range()?).await?, view)
}

pub(super) async fn one(api: &Api, ask: &Ask) -> Answered {
    ok(&view(&find(api, ask.id()?).await?))
}

pub(super) async fn members(api: &Api, ask: &Ask) -> Answered {
    let rollout = find(api, ask.id()?).await?;
    page(&api.store.members(rollout.id, ask.range()?).await?, member_view)
}

pub(super) async fn create(api: &Api, ask: &Ask) -> Answered {
    let wanted: Wanted = ask.body()?;
    note(&wanted.note)?;
    let plan = wanted.plan.read().map_err(Problem::invalid)?;
    let group = groups::find(api, GroupId(wanted.group)).await?;
    let version = configurations::find_version(api, VersionId(wanted.version)).await?;
    let first = agents::uids(&wanted.first)?;
    let members = assign(&plan, in_order(api, group.id, first).await?)?;
    let detail = json!({
        "version": version.id.0,
        "members": members.len(),
        "plan": wanted.plan,
        "note": wanted.note,
    });
    let audit = ask.audit("rollout.create", group.name.clone(), &detail)?;
    let new = NewRollout {
        group: group.id,
        version: version.id,
        state: RolloutState::Draft,
        plan: wanted.plan.to_bytes(),
        members,
        note: wanted.note,
    };
    let id = api.store.create_rollout(new, audit).await?;
    if wanted.start {
        give(api, ask, id, Order::Start, "start").await?;
    }
    created(&view(&find(api, id).await?))
}

pub(super) async fn order(api: &Api, ask: &Ask) -> Answered {
    let command: Command = ask.body()?;
    let order = choose("order", &command.order, &ORDERS)?;
    let id: RolloutId = ask.id()?;
    give(api, ask, id, order, &command.order).await?;
    ok(&view(&find(api, id).await?))
}

async fn give(
    api: &Api,
    ask: &Ask,
    id: RolloutId,
    order: Order,
    name: &str,
) -> Result<(), Problem> {
    let audit = ask.audit("rollout.order", id.to_string(), &json!({ "order": name }))?;
    let given = rollouts::order(&*api.store, &api.silence, id, order, &audit).await;
    given.map_err(|error| match error {
        OrderError::Missing => Problem::not_found(format!("there is no rollout {id}")),
        OrderError::Refused(refusal) => Problem::conflict(refusal.to_string()),
        OrderError::Busy => Problem::unavailable(Chain(&error).to_string()),
        OrderError::Store(error) => error.into(),
    })
}

/// Everybody in a group who is served: those who shall go first, then the others as luck has it,
/// so that it is not always the same ones who find out.
async fn in_order(
    api: &Api,
    group: GroupId,
    first: Vec<AgentUid>,
) -> Result<Vec<AgentUid>, Problem> {
    let luck: [u8; 16] = token::random();
    let filter = AgentFilter {
        group: Some(group),
        standing: Some(Standing::Active),
        ..AgentFilter::default()
    };
    let mut there = BTreeSet::new();
    let mut range = Range::default();
    loop {
        let part = api.store.agents(filter.clone(), range).await?;
        there.extend(part.rows.iter().map(|agent| agent.agent));
        let Some(next) = part.next else { break };
        range = Range { after: Some(next), limit: 0 };
    }
    let mut order = Vec::with_capacity(there.len());
    for agent in first {
        if !there.remove(&agent) {
            let sentence = format!("{agent} is not served in this group, or named twice");
            return Err(Problem::invalid(sentence));
        }
        order.push(agent);
    }
    let mut rest: Vec<AgentUid> = there.into_iter().collect();
    rest.sort_by_cached_key(|agent| sha256(&[luck, agent.0].concat()));
    order.extend(rest);
    Ok(order)
}

fn assign(plan: &Plan, order: Vec<AgentUid>) -> Result<Vec<(AgentUid, u32)>, Problem> {
    if order.is_empty() {
        return Err(Problem::conflict("nobody in this group is served"));
    }
    let count = u32::try_from(order.len())
        .map_err(|_refused| Problem::invalid("the group is too large"))?;
    Ok(order.into_iter().zip(plan.assign(count)).collect())
}

async fn find(api: &Api, id: RolloutId) -> Result<Rollout, Problem> {
    let rollout = api.store.rollout(id).await?;
    rollout.ok_or_else(|| Problem::not_found(format!("there is no rollout {id}")))
}

fn view(rollout: &Rollout) -> Value {
    json!({
        "id": rollout.id.0,
        "group": rollout.group.0,
        "version": rollout.version.0,
        "former": rollout.former.map(|version| version.0),
        "state": agents::called(rollout.state, &STATES),
        "wave": rollout.wave.map(|wave| u64::from(wave) + 1),
        "wave_at": instant::maybe(rollout.wave_at),
        "plan": PlanText::of(rollout),
        "reason": rollout.reason,
        "note": rollout.note,
        "created_at": instant::json(rollout.created_at),
        "created_by": rollout.created_by,
        "updated_at": instant::json(rollout.updated_at),
    })
}

fn member_view(member: &Member) -> Value {
    json!({
        "agent": member.agent.to_string(),
        "wave": u64::from(member.wave) + 1,
        "state": agents::called(member.state, &MEMBER_STATES),
        "message": member.message,
        "updated_at": instant::json(member.updated_at),
        "applied": member.applied.as_ref().map(agents::applied),
        "effective": agents::maybe_hash(member.effective),
        "healthy": member.healthy,
        "seen_at": instant::maybe(member.seen_at),
    })
}
