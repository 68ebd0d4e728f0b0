//! Users and their roles.

use mainstay_database::{Role, User, UserChange, UserId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Answered, created, done};
use super::ask::{Ask, choose, name};
use super::problem::Problem;
use super::{Api, agents, instant};

pub(super) const ROLES: [(&str, Role); 3] = [
    ("viewer", Role::Viewer),
    ("operator", Role::Operator),
    ("administrator", Role::Administrator),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUser {
    name: String,
    password: String,
    role: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    role: Option<String>,
    password: Option<String>,
    disabled: Option<bool>,
}

pub(super) async fn list(api: &Api) -> Answered {
    answer::list(&api.store.users().await?, view)
}

pub(super) async fn create(api: &Api, ask: &Ask) -> Answered {
    let new: NewUser = ask.body()?;
    name("the name of a user", &new.name)?;
    let role = choose("role", &new.role, &ROLES)?;
    let password = api.hash(new.password).await?;
    let audit = ask.audit("user.create", new.name.clone(), &json!({ "role": new.role }))?;
    let id = api.store.create_user(&new.name, &password, role, audit).await?;
    created(&view(&find(api, id).await?))
}

pub(super) async fn change(api: &Api, ask: &Ask) -> Answered {
    let wanted: Change = ask.body()?;
    let user = find(api, ask.id()?).await?;
    let role = wanted.role.as_deref().map(|text| choose("role", text, &ROLES)).transpose()?;
    let detail = json!({
        "before": { "role": self::role(user.role), "disabled": user.disabled },
        "role": wanted.role,
        "disabled": wanted.disabled,
        "password": wanted.password.is_some(),
    });
    let password = match wanted.password {
        Some(password) => Some(api.hash(password).await?),
        None => None,
    };
    let audit = ask.audit("user.change", user.name, &detail)?;
    let change = UserChange { role, password, disabled: wanted.disabled };
    api.store.change_user(user.id, change, audit).await?;
    done()
}

pub(super) async fn remove(api: &Api, ask: &Ask) -> Answered {
    let user = find(api, ask.id()?).await?;
    let audit = ask.audit("user.remove", user.name, &json!({ "role": role(user.role) }))?;
    api.store.remove_user(user.id, audit).await?;
    done()
}

/// How a role is called.
pub(super) fn role(role: Role) -> &'static str {
    agents::called(role, &ROLES)
}

pub(super) async fn find(api: &Api, id: UserId) -> Result<User, Problem> {
    let mut users = api.store.users().await?.into_iter();
    users
        .find(|user| user.id == id)
        .ok_or_else(|| Problem::not_found(format!("there is no user {id}")))
}

fn view(user: &User) -> Value {
    json!({
        "id": user.id.0,
        "name": user.name,
        "role": role(user.role),
        "disabled": user.disabled,
        "created_at": instant::json(user.created_at),
        "used_at": instant::maybe(user.used_at),
    })
}
