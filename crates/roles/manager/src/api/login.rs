//! Logging in and out, and one's own password.

use std::sync::OnceLock;
use std::time::Duration;

use hyper::header::{HeaderValue, SET_COOKIE};
use mainstay_database::{Audit, Hash, User, UserChange};
use mainstay_trust::password;
use mainstay_trust::token::{self, Secret};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::{info, warn};

use super::answer::{Answered, done, ok};
use super::ask::Ask;
use super::caller::{By, COOKIE_NAME, Caller, check_origin};
use super::problem::Problem;
use super::{Api, instant, users};

/// How long somebody waits until others' passwords are hashed.
const HASH_WAIT: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    name: String,
    password: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    old: String,
    new: String,
}

pub(super) async fn log_in(api: &Api, ask: &Ask) -> Answered {
    // Else another site could have somebody work under its own name.
    check_origin(&ask.fields)?;
    let login: Login = ask.body()?;
    api.begin_try(ask)?;
    let user = api.store.user_named(&login.name).await?;
    let user = user.filter(|user| !user.disabled && !user.password.is_empty());
    let kept = user.as_ref().map(|user| user.password.clone());
    let is_right = api.verify(login.password, kept).await?;
    let Some(user) = user.filter(|_| is_right) else {
        warn!(peer = %ask.peer, name = %shown(&login.name), "a login failed");
        api.store.audit(tried(ask, &login.name)).await?;
        return Err(Problem::wrong_login());
    };
    api.end_try(ask);
    let secret = Secret::new();
    let ttl = api.settings.admin.session_lifetime;
    let audit = Audit { action: "session.open".to_owned(), ..tried(ask, &user.name) };
    api.store.open_session(Hash(secret.hash()), user.id, ttl, audit).await?;
    info!(peer = %ask.peer, name = %user.name, "somebody logged in");
    let mut answer = ok(&json!({ "name": user.name, "role": users::role(user.role) }))?;
    let cookie = cookie(&secret.to_text(), ttl.as_secs());
    let cookie =
        HeaderValue::from_str(&cookie).map_err(|_refused| Problem::unavailable("no cookie"))?;
    answer.headers_mut().insert(SET_COOKIE, cookie);
    Ok(answer)
}

pub(super) async fn log_out(api: &Api, ask: &Ask) -> Answered {
    let By::Session { secret, .. } = ask.caller()?.by else {
        return Err(Problem::conflict("this is no session; a token is revoked instead"));
    };
    api.store.close_session(secret).await?;
    let mut answer = done()?;
    let cookie = HeaderValue::from_str(&cookie("", 0));
    let cookie = cookie.map_err(|_refused| Problem::unavailable("no cookie"))?;
    answer.headers_mut().insert(SET_COOKIE, cookie);
    Ok(answer)
}

pub(super) async fn who(_api: &Api, ask: &Ask) -> Answered {
    let caller = ask.caller()?;
    let expires_at = match caller.by {
        By::Session { expires_at, .. } => instant::json(expires_at),
        By::Token { .. } => Value::Null,
    };
    let role = users::role(caller.role);
    ok(&json!({
        "id": caller.user.0,
        "name": caller.name,
        "role": role,
        "expires_at": expires_at,
    }))
}

/// Ends every session of the user, this one too.
pub(super) async fn change_password(api: &Api, ask: &Ask) -> Answered {
    let Caller { user, name, .. } = ask.caller()?;
    let By::Session { .. } = ask.caller()?.by else {
        return Err(Problem::conflict("a token changes no password"));
    };
    let change: Change = ask.body()?;
    api.begin_try(ask)?;
    let kept: Option<User> = api.store.user_named(name).await?;
    if !api.verify(change.old, kept.map(|user| user.password)).await? {
        return Err(Problem::invalid("the old password is not this"));
    }
    api.end_try(ask);
    let password = Some(api.hash(change.new).await?);
    let audit = ask.audit("user.password", name.clone(), &json!({}))?;
    let change = UserChange { password, ..UserChange::default() };
    api.store.change_user(*user, change, audit).await?;
    done()
}

impl Api {
    fn begin_try(&self, ask: &Ask) -> Result<(), Problem> {
        let mut throttle = self.throttle.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        throttle.begin(ask.peer, mainstay_os::now()).map_err(Problem::too_many)
    }

    fn end_try(&self, ask: &Ask) {
        let mut throttle = self.throttle.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        throttle.succeeded(ask.peer);
    }

    /// Whether a password is the one that is kept. Takes as long if none is kept, so that nobody
    /// learns which names there are.
    async fn verify(&self, tried: String, kept: Option<String>) -> Result<bool, Problem> {
        self.slowly(move || match kept {
            Some(kept) => password::verify(&tried, &kept),
            None => {
                // The time is what counts: it is nobody's.
                let _time_alone = password::verify(&tried, nobody());
                false
            }
        })
        .await
    }

    /// What is kept of a new password.
    pub(super) async fn hash(&self, new: String) -> Result<String, Problem> {
        let hashed = self.slowly(move || password::hash(&new)).await?;
        hashed.map_err(|error| Problem::invalid(error.to_string()))
    }

    /// Works where it may take long, and not for many at a time.
    async fn slowly<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = timeout(HASH_WAIT, self.hashes.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(Problem::unavailable("others are logging in"));
        };
        let worked = tokio::task::spawn_blocking(work).await;
        worked.map_err(|_ended| Problem::unavailable("the manager is ending"))
    }
}

/// The hash of a password that nobody has.
fn nobody() -> &'static str {
    static NOBODY: OnceLock<String> = OnceLock::new();
    NOBODY.get_or_init(|| {
        let drawn: [u8; 32] = token::random();
        password::hash(&token::to_text(&drawn)).unwrap_or_default()
    })
}

fn tried(ask: &Ask, name: &str) -> Audit {
    Audit {
        actor: shown(name),
        address: ask.peer.to_string(),
        action: "session.refused".to_owned(),
        subject: shown(name),
        detail: b"{}".to_vec(),
    }
}

/// A name as anybody may have sent it, for people to read.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(100).collect()
}

fn cookie(value: &str, seconds: u64) -> String {
    let rules = "Path=/; Secure; HttpOnly; SameSite=Strict";
    format!("{COOKIE_NAME}={value}; {rules}; Max-Age={seconds}")
}
