//! API tokens: secrets with which programs ask in a user's name, with at most the user's role.

use std::time::Duration;

use mainstay_database::{ApiToken, ApiTokenId, Hash, NewApiToken, UserId};
use mainstay_trust::token::Secret;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Answered, created, done};
use super::ask::{Ask, choose, note};
use super::caller::TOKEN_PREFIX;
use super::problem::Problem;
use super::{Api, instant, users};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    user: i64,
    role: String,
    /// For how long it counts; none for as long as it is not revoked.
    valid_seconds: Option<u64>,
    #[serde(default)]
    note: String,
}

pub(super) async fn list(api: &Api) -> Answered {
    answer::list(&api.store.api_tokens().await?, view)
}

pub(super) async fn create(api: &Api, ask: &Ask) -> Answered {
    let wanted: Wanted = ask.body()?;
    note(&wanted.note)?;
    let role = choose("role", &wanted.role, &users::ROLES)?;
    let user = users::find(api, UserId(wanted.user)).await?;
    if role > user.role {
        return Err(Problem::invalid("a token may do no more than its user"));
    }
    let expires_at = match wanted.valid_seconds {
        Some(seconds) => Some(api.store.now().await?.plus(Duration::from_secs(seconds))),
        None => None,
    };
    let secret = Secret::new();
    let detail = json!({
        "role": wanted.role,
        "expires_at": instant::maybe(expires_at),
        "note": wanted.note,
    });
    let audit = ask.audit("api_token.create", user.name, &detail)?;
    let new = NewApiToken {
        secret: Hash(secret.hash()),
        user: user.id,
        role,
        expires_at,
        note: wanted.note,
    };
    let id = api.store.create_api_token(new, audit).await?;
    created(&json!({
        "id": id.0,
        "token": format!("{TOKEN_PREFIX}{}", secret.to_text()),
        "expires_at": instant::maybe(expires_at),
    }))
}

pub(super) async fn revoke(api: &Api, ask: &Ask) -> Answered {
    let token: ApiTokenId = ask.id()?;
    let audit = ask.audit("api_token.revoke", token.to_string(), &json!({}))?;
    api.store.revoke_api_token(token, audit).await?;
    done()
}

fn view(token: &ApiToken) -> Value {
    json!({
        "id": token.id.0,
        "user": token.user.0,
        "role": users::role(token.role),
        "created_at": instant::json(token.created_at),
        "expires_at": instant::maybe(token.expires_at),
        "used_at": instant::maybe(token.used_at),
        "note": token.note,
    })
}
