//! Agents, as people ask for them.

use super::enrolment::{BEARER, KEY, columns};
use super::rollouts::applied;
use super::{JOINT, all, audit, configurations, groups, literal, page};
use crate::access::Audit;
use crate::agent::{
    AgentFilter, AgentRow, Credential, FleetCounts, Presence, Standing, StreamRow, Sync,
};
use crate::error::StoreError;
use crate::exchange::{ChainRow, Desired, EventCursor, Loaded};
use crate::id::{AgentUid, ConfigurationId, EnrolmentId, GroupId, Hash, StreamId, VersionId};
use crate::page::{Page, Range};
use crate::session::{Conditions, Row, Session, values};
use crate::store::Stored;
use crate::time::WallTime;

const WHAT: &str = "agent";

/// What a manager reads before it decides; [`read_loaded`] reads it. `$1` is the agent, `$2` the
/// stream.
pub(crate) const LOAD: &str = "
    SELECT a.uid, a.credential_kind, a.credential, a.standing, a.agent_group, a.fingerprint,
           s.sequence, s.current, s.previous, s.presence, s.seen_at,
           v.id, v.configuration, v.hash, a.effective, a.reported, a.retired_key, e.through, e.hash
    FROM agent a JOIN agent_seen s ON s.agent = a.uid
         JOIN agent_group g ON g.id = a.agent_group
         LEFT JOIN version v ON v.id = COALESCE(a.own_version, g.version)
         LEFT JOIN event_stream e ON e.agent = a.uid AND e.stream = $2
    WHERE a.uid = $1";

pub(crate) fn read_loaded(row: &mut Row, stream: StreamId, now: WallTime) -> Stored<Loaded> {
    let agent = row.id()?;
    let credential = read_credential(row)?;
    let (standing, group, fingerprint) = (row.code()?, GroupId(row.int()?), row.bytes()?);
    let chain = read_chain(row)?;
    let (presence, seen_at) = (row.code()?, row.maybe_time()?);
    let desired = read_desired(row)?;
    let (effective, reported) = (row.maybe_id()?, row.flag()?);
    let key_retired = is_retired(&credential, row.maybe_id()?);
    let (through, hash) = (row.maybe_int()?, row.maybe_id()?);
    let cursor = match (through, hash) {
        (Some(through), Some(hash)) => {
            EventCursor { stream, through: through.cast_unsigned(), hash }
        }
        _ => EventCursor::start(stream),
    };
    Ok(Loaded {
        agent,
        credential,
        key_retired,
        standing,
        group,
        fingerprint,
        chain,
        cursor,
        presence,
        seen_at,
        desired,
        effective,
        reported,
        now,
    })
}

pub(crate) const LAST_REPLY: &str =
    "SELECT reply FROM agent_seen WHERE agent = $1 AND sequence = $2";

const COLUMNS: &str = "
    a.uid, a.credential_kind, a.credential, a.retired_key, a.agent_group, a.name, a.version, a.standing,
    a.fingerprint, a.enrolled_at, a.enrolled_with, s.sequence, s.current, s.previous, s.presence,
    s.seen_at, s.manager, s.address, a.capabilities, a.description, a.healthy, a.health,
    a.effective, a.applied_state, a.applied_hash, a.applied_message, v.id, v.configuration, v.hash,
    a.own_version, a.pin, a.contact, a.forks, a.forked_at";

const TABLES: &str = "
    agent a JOIN agent_seen s ON s.agent = a.uid JOIN agent_group g ON g.id = a.agent_group
    LEFT JOIN version v ON v.id = COALESCE(a.own_version, g.version)";

/// Failed, drifting or in sync, in the order in which they are looked for: see [`Sync`].
const FAILED: &str = "v.hash IS NOT NULL AND a.applied_state = 3 AND a.applied_hash = v.hash";
const DRIFTING: &str = "v.hash IS NOT NULL AND (a.effective IS NULL OR a.effective <> v.hash)
    AND NOT (a.applied_state IS NOT NULL AND a.applied_state = 3 AND a.applied_hash = v.hash)";
const IN_SYNC: &str = "(v.hash IS NULL OR a.effective = v.hash)
    AND NOT (v.hash IS NOT NULL AND a.applied_state IS NOT NULL AND a.applied_state = 3
             AND a.applied_hash = v.hash)";

pub(crate) fn get(s: &mut dyn Session, agent: AgentUid) -> Stored<Option<AgentRow>> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE a.uid = $1");
    s.row(&sql, values![agent])?.map(|mut row| read(&mut row)).transpose()
}

pub(crate) fn list(
    s: &mut dyn Session,
    filter: &AgentFilter,
    range: &Range,
) -> Stored<Page<AgentRow>> {
    let mut conditions = conditions(filter);
    if let Some((name, uid)) = range.after.as_deref().and_then(|after| after.rsplit_once(JOINT)) {
        let uid = uid.parse::<AgentUid>().unwrap_or(AgentUid([0; 16]));
        let name = conditions.bind(name);
        conditions.and(&format!("a.name > {name} OR a.name = {name} AND a.uid > ?"), uid);
    }
    let limit = conditions.bind(range.rows() + 1);
    let sql = format!(
        "SELECT {COLUMNS} FROM {TABLES}{} ORDER BY a.name, a.uid LIMIT {limit}",
        conditions.sql(),
    );
    let rows = s.rows(&sql, &conditions.values)?;
    page(rows, range, read, |row| format!("{}{JOINT}{}", row.name, row.agent))
}

fn conditions(filter: &AgentFilter) -> Conditions {
    let mut conditions = Conditions::default();
    if let Some(search) = filter.search.as_deref().filter(|search| !search.is_empty()) {
        let text = conditions.bind(format!("%{}%", literal(search)));
        let uid = search.replace('-', "");
        let mut sql = format!(
            "lower(a.name) LIKE {text} ESCAPE '!' OR lower(s.address) LIKE {text} ESCAPE '!'"
        );
        // The uid is bytes: what it begins with is a range of them.
        if let Some((from, to)) = uids_that_begin(&uid) {
            let (from, to) = (conditions.bind(from), conditions.bind(to));
            sql.push_str(&format!(" OR a.uid BETWEEN {from} AND {to}"));
        }
        conditions.and_plain(&sql);
    }
    conditions.and_maybe("a.agent_group = ?", filter.group);
    conditions.and_maybe("a.standing = ?", filter.standing);
    conditions.and_maybe("s.presence = ?", filter.presence);
    conditions.and_maybe("a.healthy = ?", filter.healthy);
    conditions.and_maybe("s.seen_at >= ?", filter.seen_from);
    conditions.and_maybe("s.seen_at < ?", filter.seen_before);
    match filter.sync {
        None => {}
        Some(Sync::InSync) => conditions.and_plain(IN_SYNC),
        Some(Sync::Drifting) => conditions.and_plain(DRIFTING),
        Some(Sync::Failed) => conditions.and_plain(FAILED),
    }
    conditions
}

/// The first and the last uid that begin with these hexadecimal digits.
fn uids_that_begin(digits: &str) -> Option<(AgentUid, AgentUid)> {
    if digits.is_empty() || digits.len() > 32 {
        return None;
    }
    let filled = |with: &str| format!("{digits}{}", with.repeat(32 - digits.len())).parse().ok();
    Some((filled("0")?, filled("f")?))
}

pub(crate) fn counts(s: &mut dyn Session, late_since: WallTime) -> Stored<FleetCounts> {
    let sql = format!(
        "SELECT count(*),
                count(CASE WHEN s.presence = 0 THEN 1 END),
                count(CASE WHEN s.presence = 2 THEN 1 END),
                count(CASE WHEN s.presence = 1 AND s.seen_at < $1 THEN 1 END),
                count(CASE WHEN s.presence = 1 AND s.seen_at >= $1 THEN 1 END),
                count(CASE WHEN a.standing = 1 THEN 1 END),
                count(CASE WHEN a.standing = 2 THEN 1 END),
                count(CASE WHEN {IN_SYNC} THEN 1 END),
                count(CASE WHEN {DRIFTING} THEN 1 END),
                count(CASE WHEN {FAILED} THEN 1 END)
         FROM {TABLES}"
    );
    let mut row = s.row(&sql, values![late_since])?.ok_or(StoreError::Corrupt { what: "count" })?;
    let mut counts = FleetCounts {
        agents: row.count()?,
        never: row.count()?,
        offline: row.count()?,
        late: row.count()?,
        online: row.count()?,
        pending: row.count()?,
        blocked: row.count()?,
        in_sync: row.count()?,
        drifting: row.count()?,
        failed: row.count()?,
        ..FleetCounts::default()
    };
    let most = "GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 100";
    let rows = s.rows(&format!("SELECT version, count(*) FROM agent {most}"), &[])?;
    counts.versions = all(rows, |row| Ok((row.text()?, row.count()?)))?;
    let sql = format!(
        "SELECT manager, count(*) FROM agent_seen WHERE manager IS NOT NULL AND presence <> 0 {most}"
    );
    counts.managers = all(s.rows(&sql, &[])?, |row| Ok((row.id()?, row.count()?)))?;
    let rows = s.rows(&format!("SELECT pin, count(*) FROM agent {most}"), &[])?;
    counts.pins = all(rows, |row| Ok((row.maybe_id()?, row.count()?)))?;
    Ok(counts)
}

pub(crate) fn effective_text(s: &mut dyn Session, agent: AgentUid) -> Stored<Option<Vec<u8>>> {
    let row = s.row("SELECT text FROM agent_text WHERE agent = $1", values![agent])?;
    row.map(|mut row| row.bytes()).transpose()
}

pub(crate) fn streams(s: &mut dyn Session, agent: AgentUid) -> Stored<Vec<StreamRow>> {
    let rows = s.rows(
        "SELECT stream, through, hash, updated_at FROM event_stream WHERE agent = $1
         ORDER BY updated_at DESC, stream",
        values![agent],
    )?;
    all(rows, |row| {
        let (stream, through, hash) = (row.id()?, row.unsigned()?, row.id()?);
        let cursor = EventCursor { stream, through, hash };
        Ok(StreamRow { cursor, updated_at: row.time()? })
    })
}

pub(crate) fn move_to(
    s: &mut dyn Session,
    agents: &[AgentUid],
    group: GroupId,
    asked: &Audit,
) -> Stored<u64> {
    groups::must_exist(s, group)?;
    let mut moved = 0;
    for &agent in agents {
        moved += s.run(
            "UPDATE agent SET agent_group = $1 WHERE uid = $2 AND agent_group <> $1",
            values![group, agent],
        )?;
    }
    audit::write(s, asked)?;
    Ok(moved)
}

pub(crate) fn set_standing(
    s: &mut dyn Session,
    agents: &[AgentUid],
    standing: Standing,
    asked: &Audit,
) -> Stored<u64> {
    let mut changed = 0;
    for &agent in agents {
        changed += s.run(
            "UPDATE agent SET standing = $1 WHERE uid = $2 AND standing <> $1",
            values![standing, agent],
        )?;
    }
    audit::write(s, asked)?;
    Ok(changed)
}

pub(crate) fn set_credential(
    s: &mut dyn Session,
    agent: AgentUid,
    (expected, credential): (&Credential, &Credential),
    asked: Option<&Audit>,
) -> Stored<bool> {
    let (kind, bytes) = columns(credential);
    let (expected_kind, expected_bytes) = columns(expected);
    s.refuse(
        StoreError::Exists { what: "key" },
        "SELECT 1 FROM agent WHERE credential = $1 AND uid <> $2",
        values![&*bytes, agent],
    )?;
    let changed = s.run(
        "UPDATE agent SET credential_kind = $1, credential = $2
         WHERE uid = $3 AND credential_kind = $4 AND credential = $5",
        values![kind, bytes, agent, expected_kind, expected_bytes],
    )?;
    if changed == 0 {
        return Ok(false);
    }
    audit::write_maybe(s, asked)?;
    Ok(true)
}

/// Has agents replace the keys that they have now; how many have one that they were not to replace
/// already.
pub(crate) fn retire_keys(s: &mut dyn Session, agents: &[AgentUid], asked: &Audit) -> Stored<u64> {
    let mut changed = 0;
    for &agent in agents {
        changed += s.run(
            "UPDATE agent SET retired_key = credential WHERE uid = $1 AND credential_kind = $2
             AND (retired_key IS NULL OR retired_key <> credential)",
            values![agent, KEY],
        )?;
    }
    audit::write(s, asked)?;
    Ok(changed)
}

pub(crate) fn set_own_version(
    s: &mut dyn Session,
    agent: AgentUid,
    version: Option<VersionId>,
    asked: &Audit,
) -> Stored<()> {
    configurations::must_exist(s, version)?;
    let update = "UPDATE agent SET own_version = $1 WHERE uid = $2";
    s.change(WHAT, update, values![version, agent])?;
    audit::write(s, asked)
}

pub(crate) fn remove(s: &mut dyn Session, agent: AgentUid, asked: &Audit) -> Stored<()> {
    s.change(WHAT, "DELETE FROM agent WHERE uid = $1", values![agent])?;
    audit::write(s, asked)
}

/// Whether the key that it has is the one that it is to replace.
fn is_retired(credential: &Credential, retired: Option<Hash>) -> bool {
    match credential {
        Credential::Key(key) => retired == Some(Hash(*key)),
        Credential::Bearer(_) => false,
    }
}

fn read_credential(row: &mut Row) -> Stored<Credential> {
    let corrupt = StoreError::Corrupt { what: "credential" };
    let kind = row.int()?;
    let bytes: Hash = row.id()?;
    match kind {
        KEY => Ok(Credential::Key(bytes.0)),
        BEARER => Ok(Credential::Bearer(bytes)),
        _ => Err(corrupt),
    }
}

fn read_chain(row: &mut Row) -> Stored<ChainRow> {
    Ok(ChainRow { sequence: row.unsigned()?, current: row.id()?, previous: row.id()? })
}

fn read_desired(row: &mut Row) -> Stored<Option<Desired>> {
    let (version, configuration) = (row.maybe_int()?, row.maybe_int()?);
    let hash = row.maybe_id()?;
    let (Some(version), Some(configuration), Some(hash)) = (version, configuration, hash) else {
        return Ok(None);
    };
    let (version, configuration) = (VersionId(version), ConfigurationId(configuration));
    Ok(Some(Desired { configuration, version, hash }))
}

fn read(row: &mut Row) -> Stored<AgentRow> {
    let agent = row.id()?;
    let credential = read_credential(row)?;
    let key_retired = is_retired(&credential, row.maybe_id()?);
    Ok(AgentRow {
        agent,
        credential,
        key_retired,
        group: GroupId(row.int()?),
        name: row.text()?,
        version: row.text()?,
        standing: row.code()?,
        fingerprint: row.bytes()?,
        enrolled_at: row.time()?,
        enrolled_with: row.maybe_int()?.map(EnrolmentId),
        chain: read_chain(row)?,
        presence: row.code::<Presence>()?,
        seen_at: row.maybe_time()?,
        manager: row.maybe_id()?,
        address: row.text()?,
        capabilities: row.unsigned()?,
        description: row.bytes()?,
        healthy: row.maybe_flag()?,
        health: row.bytes()?,
        effective: row.maybe_id()?,
        applied: applied(row)?,
        desired: read_desired(row)?,
        own_version: row.maybe_int()?.map(VersionId),
        pin: row.maybe_id()?,
        contact: row.bytes()?,
        forks: row.count()?,
        forked_at: row.maybe_time()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_of_a_uid_is_a_range() {
        let (from, to) = uids_that_begin("abc").unwrap();
        assert_eq!(from.to_string(), format!("abc{}", "0".repeat(29)));
        assert_eq!(to.to_string(), format!("abc{}", "f".repeat(29)));
        for wrong in ["", "web-1", &"a".repeat(33)] {
            assert_eq!(uids_that_begin(wrong), None, "{wrong}");
        }
    }
}
