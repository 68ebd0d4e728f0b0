//! Versions on their way to a group, in waves.

use super::{all, audit, before, configurations, groups, page};
use crate::access::Audit;
use crate::agent::Applied;
use crate::configuration::{
    Desire, Member, MemberState, NewRollout, Rollout, RolloutState, RolloutStep,
};
use crate::error::StoreError;
use crate::id::{AgentUid, GroupId, RolloutId, VersionId};
use crate::page::{Page, Range};
use crate::session::{Code as _, Conditions, Row, Session, values};
use crate::store::Stored;

const WHAT: &str = "rollout";

const COLUMNS: &str = "id, agent_group, version, former, state, wave, wave_at, plan, revision, \
                       reason, note, created_at, created_by, updated_at";

/// Draft, running, halted, rolling back: a group has at most one such.
const UNFINISHED: &str = "state IN (0, 1, 2, 3)";

pub(crate) fn create(s: &mut dyn Session, new: &NewRollout, asked: &Audit) -> Stored<RolloutId> {
    groups::must_exist(s, new.group)?;
    configurations::must_exist(s, Some(new.version))?;
    let unfinished = format!("SELECT 1 FROM rollout WHERE agent_group = $1 AND {UNFINISHED}");
    s.refuse(StoreError::InUse { what: "group" }, &unfinished, values![new.group])?;
    let now = s.now()?;
    let id = s.number(
        "INSERT INTO rollout (agent_group, version, former, state, plan, revision, reason, note,
                              created_at, created_by, updated_at)
         VALUES ($1, $2, (SELECT version FROM agent_group WHERE id = $1), $3, $4, 1, '', $5,
                 $6, $7, $6)
         RETURNING id",
        values![new.group, new.version, new.state, &*new.plan, &*new.note, now, &*asked.actor],
    )?;
    for &(agent, wave) in &new.members {
        // Whoever left the group meanwhile is not a member.
        s.run(
            "INSERT INTO rollout_member (rollout, agent, wave, state, message, updated_at)
             SELECT $1, uid, $2, 0, '', $3 FROM agent WHERE uid = $4 AND agent_group = $5",
            values![id, wave, now, agent, new.group],
        )?;
    }
    audit::write(s, asked)?;
    Ok(RolloutId(id))
}

pub(crate) fn get(s: &mut dyn Session, rollout: RolloutId) -> Stored<Option<Rollout>> {
    let sql = format!("SELECT {COLUMNS} FROM rollout WHERE id = $1");
    s.row(&sql, values![rollout])?.map(|mut row| read(&mut row)).transpose()
}

pub(crate) fn list(
    s: &mut dyn Session,
    group: Option<GroupId>,
    range: &Range,
) -> Stored<Page<Rollout>> {
    let mut conditions = Conditions::default();
    conditions.and("id < ?", before(range));
    conditions.and_maybe("agent_group = ?", group);
    let limit = conditions.bind(range.rows() + 1);
    let sql = format!(
        "SELECT {COLUMNS} FROM rollout{} ORDER BY id DESC LIMIT {limit}",
        conditions.sql(),
    );
    page(s.rows(&sql, &conditions.values)?, range, read, |rollout| rollout.id.to_string())
}

pub(crate) fn live(s: &mut dyn Session) -> Stored<Vec<Rollout>> {
    let sql = format!("SELECT {COLUMNS} FROM rollout WHERE state IN ($1, $2) ORDER BY id");
    all(s.rows(&sql, values![RolloutState::Running, RolloutState::RollingBack])?, read)
}

pub(crate) fn members(
    s: &mut dyn Session,
    rollout: RolloutId,
    range: &Range,
) -> Stored<Page<Member>> {
    let mut conditions = Conditions::default();
    conditions.and("m.rollout = ?", rollout);
    let after = range.after.as_deref().and_then(|after| after.split_once('-'));
    let after = after.and_then(|(wave, agent)| {
        Some((wave.parse::<i64>().ok()?, agent.parse::<AgentUid>().ok()?))
    });
    if let Some((wave, agent)) = after {
        let wave = conditions.bind(wave);
        conditions.and(&format!("m.wave > {wave} OR m.wave = {wave} AND m.agent > ?"), agent);
    }
    let limit = conditions.bind(range.rows() + 1);
    let sql = format!(
        "SELECT m.agent, m.wave, m.state, m.message, m.updated_at,
                a.applied_state, a.applied_hash, a.applied_message, a.effective, a.healthy,
                s.presence, s.seen_at
         FROM rollout_member m JOIN agent a ON a.uid = m.agent
              JOIN agent_seen s ON s.agent = m.agent{}
         ORDER BY m.wave, m.agent LIMIT {limit}",
        conditions.sql(),
    );
    let rows = s.rows(&sql, &conditions.values)?;
    page(rows, range, member, |member| format!("{}-{}", member.wave, member.agent))
}

pub(crate) fn step(s: &mut dyn Session, step: &RolloutStep, asked: Option<&Audit>) -> Stored<bool> {
    let Some(rollout) = get(s, step.rollout)? else {
        return Err(StoreError::Missing { what: WHAT });
    };
    if rollout.revision != step.revision {
        return Ok(false);
    }
    let now = s.now()?;
    let wave = step.offer.or(rollout.wave);
    let wave_at = if step.offer.is_some() { Some(now) } else { rollout.wave_at };
    // Asked for again: another one may have stepped since it was read.
    let moved = s.run(
        "UPDATE rollout SET state = $1, reason = $2, wave = $3, wave_at = $4, revision = $5,
                            updated_at = $6
         WHERE id = $7 AND revision = $8",
        values![
            step.state,
            &*step.reason,
            wave,
            wave_at,
            step.revision + 1,
            now,
            step.rollout,
            step.revision,
        ],
    )?;
    if moved == 0 {
        return Ok(false);
    }
    for (agent, state, message) in &step.members {
        s.run(
            "UPDATE rollout_member SET state = $1, message = $2, updated_at = $3
             WHERE rollout = $4 AND agent = $5",
            values![*state, &**message, now, step.rollout, *agent],
        )?;
    }
    if let Some(wave) = step.offer {
        offer(s, &rollout, wave)?;
    }
    desire(s, &rollout, step.desire)?;
    audit::write_maybe(s, asked)?;
    Ok(true)
}

/// Has the members of a wave that wait for it serve the new version.
fn offer(s: &mut dyn Session, rollout: &Rollout, wave: u32) -> Stored<()> {
    let now = s.now()?;
    s.run(
        "UPDATE agent SET own_version = $1 WHERE uid IN
             (SELECT agent FROM rollout_member WHERE rollout = $2 AND wave = $3 AND state = $4)",
        values![rollout.version, rollout.id, wave, MemberState::Waiting],
    )?;
    s.run(
        "UPDATE rollout_member SET state = $1, updated_at = $2
         WHERE rollout = $3 AND wave = $4 AND state = $5",
        values![MemberState::Offered, now, rollout.id, wave, MemberState::Waiting],
    )?;
    Ok(())
}

fn desire(s: &mut dyn Session, rollout: &Rollout, desire: Desire) -> Stored<()> {
    let now = s.now()?;
    // Only what this rollout gave them: an operator may have set another one since.
    let release = "UPDATE agent SET own_version = NULL WHERE own_version = $1 AND uid IN
                       (SELECT agent FROM rollout_member WHERE rollout = $2 AND state <> $3)";
    let released = values![rollout.version, rollout.id, MemberState::Waiting];
    match desire {
        Desire::Keep => {}
        Desire::Adopt => {
            s.run(
                "UPDATE agent_group SET version = $1 WHERE id = $2",
                values![rollout.version, rollout.group],
            )?;
            s.run(release, released)?;
        }
        Desire::Revert => {
            s.run(release, released)?;
            let sql = format!(
                "UPDATE rollout_member SET state = {}, updated_at = $1
                 WHERE rollout = $2 AND state <> $3",
                MemberState::RolledBack.code(),
            );
            s.run(&sql, values![now, rollout.id, MemberState::Waiting])?;
        }
    }
    Ok(())
}

fn read(row: &mut Row) -> Stored<Rollout> {
    Ok(Rollout {
        id: RolloutId(row.int()?),
        group: GroupId(row.int()?),
        version: VersionId(row.int()?),
        former: row.maybe_int()?.map(VersionId),
        state: row.code()?,
        wave: row.maybe_count()?,
        wave_at: row.maybe_time()?,
        plan: row.bytes()?,
        revision: row.count()?,
        reason: row.text()?,
        note: row.text()?,
        created_at: row.time()?,
        created_by: row.text()?,
        updated_at: row.time()?,
    })
}

fn member(row: &mut Row) -> Stored<Member> {
    Ok(Member {
        agent: row.id()?,
        wave: row.count()?,
        state: row.code()?,
        message: row.text()?,
        updated_at: row.time()?,
        applied: applied(row)?,
        effective: row.maybe_id()?,
        healthy: row.maybe_flag()?,
        presence: row.code()?,
        seen_at: row.maybe_time()?,
    })
}

/// `applied_state, applied_hash, applied_message`.
pub(crate) fn applied(row: &mut Row) -> Stored<Option<Applied>> {
    let (state, hash, message) = (row.maybe_code()?, row.maybe_id()?, row.maybe_text()?);
    let (Some(state), Some(hash)) = (state, hash) else { return Ok(None) };
    Ok(Some(Applied { state, hash, message: message.unwrap_or_default() }))
}
