//! Users, their logins, and secrets for programs.

use std::time::Duration;

use super::{all, audit};
use crate::access::{ApiToken, Audit, NewApiToken, Role, Session as Login, User, UserChange};
use crate::error::StoreError;
use crate::id::{ApiTokenId, Hash, UserId};
use crate::session::{Row, Session, values};
use crate::store::Stored;

const WHAT: &str = "user";

const USER: &str = "u.id, u.name, u.role, u.password, u.disabled, u.created_at, u.used_at";

/// How exactly it is known when something was used: a row is not written more often.
const USED: Duration = Duration::from_secs(60);

pub(crate) fn create(
    s: &mut dyn Session,
    name: &str,
    (password, role): (&str, Role),
    asked: &Audit,
) -> Stored<UserId> {
    let exists = StoreError::Exists { what: WHAT };
    s.refuse(exists, "SELECT 1 FROM account WHERE name = $1", values![name])?;
    let now = s.now()?;
    let id = s.number(
        "INSERT INTO account (name, role, password, created_at) VALUES ($1, $2, $3, $4)
         RETURNING id",
        values![name, role, password, now],
    )?;
    audit::write(s, asked)?;
    Ok(UserId(id))
}

pub(crate) fn users(s: &mut dyn Session) -> Stored<Vec<User>> {
    all(s.rows(&format!("SELECT {USER} FROM account u ORDER BY u.name"), &[])?, user)
}

pub(crate) fn named(s: &mut dyn Session, name: &str) -> Stored<Option<User>> {
    let sql = format!("SELECT {USER} FROM account u WHERE u.name = $1");
    s.row(&sql, values![name])?.map(|mut row| user(&mut row)).transpose()
}

fn get(s: &mut dyn Session, id: UserId) -> Stored<User> {
    let sql = format!("SELECT {USER} FROM account u WHERE u.id = $1");
    user(&mut s.row(&sql, values![id])?.ok_or(StoreError::Missing { what: WHAT })?)
}

pub(crate) fn change(
    s: &mut dyn Session,
    id: UserId,
    change: &UserChange,
    asked: &Audit,
) -> Stored<()> {
    let user = get(s, id)?;
    let role = change.role.unwrap_or(user.role);
    let disabled = change.disabled.unwrap_or(user.disabled);
    if role != Role::Administrator || disabled {
        keep_an_administrator(s, &user)?;
    }
    s.run(
        "UPDATE account SET role = $1, disabled = $2, password = $3 WHERE id = $4",
        values![role, disabled, change.password.as_ref().unwrap_or(&user.password).as_str(), id],
    )?;
    if change.password.is_some() || disabled || role < user.role {
        s.run("DELETE FROM web_session WHERE account = $1", values![id])?;
    }
    audit::write(s, asked)
}

pub(crate) fn remove(s: &mut dyn Session, id: UserId, asked: &Audit) -> Stored<()> {
    let user = get(s, id)?;
    keep_an_administrator(s, &user)?;
    s.run("DELETE FROM account WHERE id = $1", values![id])?;
    audit::write(s, asked)
}

/// Refuses to lose `user` if there is no other administrator.
fn keep_an_administrator(s: &mut dyn Session, user: &User) -> Stored<()> {
    if user.role != Role::Administrator || user.disabled {
        return Ok(());
    }
    let others = s.number(
        "SELECT count(*) FROM account WHERE role = $1 AND disabled = 0 AND id <> $2",
        values![Role::Administrator, user.id],
    )?;
    if others == 0 { Err(StoreError::LastAdministrator) } else { Ok(()) }
}

pub(crate) fn open_session(
    s: &mut dyn Session,
    secret: Hash,
    (user, ttl): (UserId, Duration),
    asked: &Audit,
) -> Stored<()> {
    let now = s.now()?;
    s.change(WHAT, "UPDATE account SET used_at = $1 WHERE id = $2", values![now, user])?;
    s.run(
        "INSERT INTO web_session (secret, account, created_at, used_at, expires_at, address)
         VALUES ($1, $2, $3, $3, $4, $5)",
        values![secret, user, now, now.plus(ttl), &*asked.address],
    )?;
    audit::write(s, asked)
}

/// The session, and whether its use should be noted.
pub(crate) fn session(
    s: &mut dyn Session,
    secret: Hash,
    idle: Duration,
) -> Stored<Option<(Login, Note)>> {
    let now = s.now()?;
    let sql = format!(
        "SELECT w.secret, w.created_at, w.used_at, w.expires_at, w.address, {USER}
         FROM web_session w JOIN account u ON u.id = w.account
         WHERE w.secret = $1 AND w.expires_at > $2 AND w.used_at > $3 AND u.disabled = 0"
    );
    let Some(mut row) = s.row(&sql, values![secret, now, now.minus(idle)])? else {
        return Ok(None);
    };
    let row = &mut row;
    let (secret, created_at, used_at) = (row.id()?, row.time()?, row.time()?);
    let (expires_at, address) = (row.time()?, row.text()?);
    let login = Login { secret, user: user(row)?, created_at, used_at, expires_at, address };
    Ok(Some((login, Note::since(now.since(used_at)))))
}

/// Whether it must be written down that something was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    Used,
    Known,
}

impl Note {
    fn since(last: Duration) -> Self {
        if last >= USED { Self::Used } else { Self::Known }
    }
}

pub(crate) fn note_session(s: &mut dyn Session, secret: Hash) -> Stored<()> {
    let now = s.now()?;
    s.run("UPDATE web_session SET used_at = $1 WHERE secret = $2", values![now, secret])?;
    Ok(())
}

pub(crate) fn close_session(s: &mut dyn Session, secret: Hash) -> Stored<()> {
    s.run("DELETE FROM web_session WHERE secret = $1", values![secret])?;
    Ok(())
}

pub(crate) fn sweep_sessions(s: &mut dyn Session) -> Stored<u64> {
    let now = s.now()?;
    s.run("DELETE FROM web_session WHERE expires_at <= $1", values![now])
}

pub(crate) fn create_token(
    s: &mut dyn Session,
    token: &NewApiToken,
    asked: &Audit,
) -> Stored<ApiTokenId> {
    get(s, token.user)?;
    let now = s.now()?;
    let id = s.number(
        "INSERT INTO api_token (secret, account, role, created_at, expires_at, note)
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
        values![token.secret, token.user, token.role, now, token.expires_at, &*token.note],
    )?;
    audit::write(s, asked)?;
    Ok(ApiTokenId(id))
}

const TOKEN: &str = "t.id, t.account, t.role, t.created_at, t.expires_at, t.used_at, t.note";

pub(crate) fn tokens(s: &mut dyn Session) -> Stored<Vec<ApiToken>> {
    all(s.rows(&format!("SELECT {TOKEN} FROM api_token t ORDER BY t.id"), &[])?, read_token)
}

/// The token, its user, and whether its use should be noted.
pub(crate) fn token(s: &mut dyn Session, secret: Hash) -> Stored<Option<(ApiToken, User, Note)>> {
    let now = s.now()?;
    let sql = format!(
        "SELECT {TOKEN}, {USER} FROM api_token t JOIN account u ON u.id = t.account
         WHERE t.secret = $1 AND (t.expires_at IS NULL OR t.expires_at > $2) AND u.disabled = 0"
    );
    let Some(mut row) = s.row(&sql, values![secret, now])? else { return Ok(None) };
    let token = read_token(&mut row)?;
    let note = token.used_at.map_or(Note::Used, |used_at| Note::since(now.since(used_at)));
    Ok(Some((token, user(&mut row)?, note)))
}

pub(crate) fn note_token(s: &mut dyn Session, token: ApiTokenId) -> Stored<()> {
    let now = s.now()?;
    s.run("UPDATE api_token SET used_at = $1 WHERE id = $2", values![now, token])?;
    Ok(())
}

pub(crate) fn revoke_token(s: &mut dyn Session, token: ApiTokenId, asked: &Audit) -> Stored<()> {
    s.change("API token", "DELETE FROM api_token WHERE id = $1", values![token])?;
    audit::write(s, asked)
}

fn user(row: &mut Row) -> Stored<User> {
    Ok(User {
        id: UserId(row.int()?),
        name: row.text()?,
        role: row.code()?,
        password: row.text()?,
        disabled: row.flag()?,
        created_at: row.time()?,
        used_at: row.maybe_time()?,
    })
}

fn read_token(row: &mut Row) -> Stored<ApiToken> {
    Ok(ApiToken {
        id: ApiTokenId(row.int()?),
        user: UserId(row.int()?),
        role: row.code()?,
        created_at: row.time()?,
        expires_at: row.maybe_time()?,
        used_at: row.maybe_time()?,
        note: row.text()?,
    })
}
