//! How agents join: tokens, and the one transaction in which a row is made.

use super::{all, audit, groups};
use crate::access::Audit;
use crate::agent::{
    Credential, Enrolled, Enrolment, EnrolmentRefusal, EnrolmentToken, NewEnrolmentToken, Presence,
    Standing,
};
use crate::id::{AgentUid, EnrolmentId, GroupId};
use crate::session::{Row, Session, Value, values};
use crate::store::Stored;
use crate::time::WallTime;

pub(crate) fn create_token(
    s: &mut dyn Session,
    token: &NewEnrolmentToken,
    asked: &Audit,
) -> Stored<EnrolmentId> {
    groups::must_exist(s, token.group)?;
    let now = s.now()?;
    let id = s.number(
        "INSERT INTO enrolment_token (secret, agent_group, created_at, created_by, expires_at,
                                      uses, standing, note)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
        values![
            token.secret,
            token.group,
            now,
            &*asked.actor,
            token.expires_at,
            token.uses,
            token.standing,
            &*token.note,
        ],
    )?;
    audit::write(s, asked)?;
    Ok(EnrolmentId(id))
}

const TOKEN: &str = "id, agent_group, created_at, created_by, expires_at, uses, used, revoked, \
                     standing, note";

pub(crate) fn tokens(s: &mut dyn Session) -> Stored<Vec<EnrolmentToken>> {
    all(s.rows(&format!("SELECT {TOKEN} FROM enrolment_token ORDER BY id"), &[])?, read)
}

pub(crate) fn revoke(s: &mut dyn Session, token: EnrolmentId, asked: &Audit) -> Stored<()> {
    let update = "UPDATE enrolment_token SET revoked = 1 WHERE id = $1";
    s.change("enrolment token", update, values![token])?;
    audit::write(s, asked)
}

/// In `credential_kind`, of one that signs.
pub(crate) const KEY: i64 = 0;

/// In `credential_kind`, of one that brings a secret.
pub(crate) const BEARER: i64 = 1;

/// The two columns that a credential is.
pub(crate) fn columns(credential: &Credential) -> (i64, Vec<u8>) {
    match credential {
        Credential::Key(key) => (KEY, key.to_vec()),
        Credential::Bearer(hash) => (BEARER, hash.0.to_vec()),
    }
}

/// Joins an agent. Whoever is there already with the same key is not asked for a token that
/// still counts: its first try may have taken the last use.
pub(crate) fn enroll(s: &mut dyn Session, new: &Enrolment) -> Stored<Enrolled> {
    let now = s.now()?;
    let (kind, credential) = columns(&new.credential);
    let sql = format!("SELECT {TOKEN} FROM enrolment_token WHERE secret = $1");
    let token = s.row(&sql, values![new.secret])?.map(|mut row| read(&mut row)).transpose()?;
    let Some(token) = token else {
        return Ok(Enrolled::Refused(EnrolmentRefusal::UnknownToken));
    };
    let there = s.row(
        "SELECT uid, agent_group, standing, credential_kind, credential FROM agent
         WHERE uid = $1 OR credential = $2 ORDER BY CASE WHEN uid = $1 THEN 0 ELSE 1 END",
        values![new.agent, &*credential],
    )?;
    if let Some(mut row) = there {
        let (uid, group): (AgentUid, _) = (row.id()?, GroupId(row.int()?));
        let standing = row.code()?;
        let same = (row.int()?, row.bytes()?) == (kind, credential);
        let refused = match (uid == new.agent, same) {
            (true, true) if standing == Standing::Blocked => EnrolmentRefusal::Blocked,
            (true, true) => return again(s, new, group, standing),
            (true, false) => EnrolmentRefusal::UidTaken,
            (false, _) => EnrolmentRefusal::KeyTaken,
        };
        return Ok(Enrolled::Refused(refused));
    }
    if let Some(refused) = refusal(&token, now) {
        return Ok(Enrolled::Refused(refused));
    }
    // One statement counts the use and checks it, so that the last is not given twice.
    let used = s.run(
        "UPDATE enrolment_token SET used = used + 1
         WHERE id = $1 AND revoked = 0 AND (uses IS NULL OR used < uses)",
        values![token.id],
    )?;
    if used == 0 {
        return Ok(Enrolled::Refused(EnrolmentRefusal::UsedUp));
    }
    insert(s, new, &token, now)?;
    Ok(Enrolled::New { group: token.group, standing: token.standing })
}

fn refusal(token: &EnrolmentToken, now: WallTime) -> Option<EnrolmentRefusal> {
    if token.revoked {
        Some(EnrolmentRefusal::Revoked)
    } else if token.expires_at.is_some_and(|at| at <= now) {
        Some(EnrolmentRefusal::Expired)
    } else if token.uses.is_some_and(|uses| token.used >= uses) {
        Some(EnrolmentRefusal::UsedUp)
    } else {
        None
    }
}

fn insert(
    s: &mut dyn Session,
    new: &Enrolment,
    token: &EnrolmentToken,
    now: WallTime,
) -> Stored<()> {
    let (kind, credential) = columns(&new.credential);
    s.run(
        "INSERT INTO agent (uid, agent_group, name, version, credential_kind, credential,
                            standing, fingerprint, enrolled_at, enrolled_with)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        values![
            new.agent,
            token.group,
            &*new.name,
            &*new.version,
            kind,
            credential,
            token.standing,
            &*new.fingerprint,
            now,
            token.id,
        ],
    )?;
    s.run(
        "INSERT INTO agent_seen (agent, sequence, current, previous, presence, manager, address,
                                 reply)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        &chain(new),
    )?;
    Ok(())
}

/// Gives an agent that is there the chain of this request.
fn again(
    s: &mut dyn Session,
    new: &Enrolment,
    group: GroupId,
    standing: Standing,
) -> Stored<Enrolled> {
    s.run(
        "UPDATE agent_seen SET sequence = $2, current = $3, previous = $4, manager = $6,
                               address = $7, reply = $8,
                               presence = CASE WHEN presence = $5 THEN $5 ELSE presence END
         WHERE agent = $1",
        &chain(new),
    )?;
    s.run(
        "UPDATE agent SET name = $1, version = $2 WHERE uid = $3",
        values![&*new.name, &*new.version, new.agent],
    )?;
    Ok(Enrolled::Again { group, standing })
}

fn chain(new: &Enrolment) -> [Value; 8] {
    [
        new.agent.into(),
        new.chain.sequence.into(),
        new.chain.current.into(),
        new.chain.previous.into(),
        Presence::Never.into(),
        new.manager.into(),
        new.address.as_str().into(),
        new.reply.as_slice().into(),
    ]
}

fn read(row: &mut Row) -> Stored<EnrolmentToken> {
    Ok(EnrolmentToken {
        id: EnrolmentId(row.int()?),
        group: GroupId(row.int()?),
        created_at: row.time()?,
        created_by: row.text()?,
        expires_at: row.maybe_time()?,
        uses: row.maybe_count()?,
        used: row.count()?,
        revoked: row.flag()?,
        standing: row.code()?,
        note: row.text()?,
    })
}
