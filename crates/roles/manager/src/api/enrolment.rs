//! Enrolment tokens: what lets hosts become agents.

use std::time::Duration;

use mainstay_database::{EnrolmentId, EnrolmentToken, GroupId, Hash, NewEnrolmentToken, Standing};
use mainstay_trust::token::Secret;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Answered, created, done};
use super::ask::{Ask, note};
use super::problem::Problem;
use super::{Api, agents, groups, instant, pins};
use crate::invitation;

/// Longest that a token may count.
const DAYS_MAX: u64 = 366;

const DAY_SECONDS: u64 = 24 * 60 * 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    group: i64,
    /// For how long it counts.
    valid_seconds: u64,
    /// How many may join with it; none for any number.
    uses: Option<u32>,
    /// Whether somebody has to approve of who joins.
    #[serde(default)]
    approval: bool,
    #[serde(default)]
    note: String,
}

pub(super) async fn list(api: &Api) -> Answered {
    answer::list(&api.store.enrolment_tokens().await?, view)
}

pub(super) async fn create(api: &Api, ask: &Ask) -> Answered {
    let wanted: Wanted = ask.body()?;
    note(&wanted.note)?;
    if wanted.valid_seconds == 0 || wanted.valid_seconds > DAYS_MAX * DAY_SECONDS {
        let sentence = format!("a token counts for one second to {DAYS_MAX} days");
        return Err(Problem::invalid(sentence));
    }
    if wanted.uses == Some(0) {
        return Err(Problem::invalid("a token is for at least one host"));
    }
    let group = groups::find(api, GroupId(wanted.group)).await?;
    let expires_at = api.store.now().await?.plus(Duration::from_secs(wanted.valid_seconds));
    let secret = Secret::new();
    let pins = pins::text(api).await?;
    let text = invitation::text(&api.settings, &pins, &group.name, &secret, Some(expires_at));
    let text =
        text.map_err(|_refused| Problem::unavailable("the pins in the database cannot be read"))?;
    let detail = json!({
        "group": group.name,
        "uses": wanted.uses,
        "approval": wanted.approval,
        "expires_at": instant::json(expires_at),
        "note": wanted.note,
    });
    let audit = ask.audit("token.create", group.name, &detail)?;
    let new = NewEnrolmentToken {
        secret: Hash(secret.hash()),
        group: group.id,
        expires_at: Some(expires_at),
        uses: wanted.uses,
        standing: if wanted.approval { Standing::Pending } else { Standing::Active },
        note: wanted.note,
    };
    let id = api.store.create_enrolment_token(new, audit).await?;
    created(&json!({
        "id": id.0,
        "token": text,
        "secret": secret.to_text(),
        "expires_at": instant::json(expires_at),
    }))
}

pub(super) async fn revoke(api: &Api, ask: &Ask) -> Answered {
    let token: EnrolmentId = ask.id()?;
    let audit = ask.audit("token.revoke", token.to_string(), &json!({}))?;
    api.store.revoke_enrolment_token(token, audit).await?;
    done()
}

fn view(token: &EnrolmentToken) -> Value {
    json!({
        "id": token.id.0,
        "group": token.group.0,
        "created_at": instant::json(token.created_at),
        "created_by": token.created_by,
        "expires_at": instant::maybe(token.expires_at),
        "uses": token.uses,
        "used": token.used,
        "revoked": token.revoked,
        "standing": agents::standing(token.standing),
        "note": token.note,
    })
}
