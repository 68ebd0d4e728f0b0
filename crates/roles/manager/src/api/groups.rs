//! Groups of gateways.

use mainstay_database::{Group, GroupId, VersionId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Answered, created, done};
use super::ask::{Ask, name, note};
use super::problem::Problem;
use super::{Api, instant};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewGroup {
    name: String,
    #[serde(default)]
    note: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupVersion {
    version: Option<i64>,
}

pub(super) async fn list(api: &Api) -> Answered {
    answer::list(&api.store.groups().await?, view)
}

pub(super) async fn create(api: &Api, ask: &Ask) -> Answered {
    let new = read(ask)?;
    let audit = ask.audit("group.create", new.name.clone(), &json!({ "note": new.note }))?;
    let id = api.store.create_group(&new.name, &new.note, audit).await?;
    created(&view(&find(api, id).await?))
}

pub(super) async fn change(api: &Api, ask: &Ask) -> Answered {
    let (group, new) = (find(api, ask.id()?).await?, read(ask)?);
    let detail = json!({
        "before": { "name": group.name, "note": group.note },
        "after": { "name": new.name, "note": new.note },
    });
    let audit = ask.audit("group.change", group.name, &detail)?;
    api.store.rename_group(group.id, &new.name, &new.note, audit).await?;
    done()
}

pub(super) async fn remove(api: &Api, ask: &Ask) -> Answered {
    let group = find(api, ask.id()?).await?;
    let audit = ask.audit("group.remove", group.name, &json!({ "note": group.note }))?;
    api.store.remove_group(group.id, audit).await?;
    done()
}

/// At once and without waves.
pub(super) async fn set_version(api: &Api, ask: &Ask) -> Answered {
    let GroupVersion { version } = ask.body()?;
    let group = find(api, ask.id()?).await?;
    let before = group.version.map(|version| version.0);
    let audit =
        ask.audit("group.version", group.name, &json!({ "before": before, "after": version }))?;
    api.store.set_group_version(group.id, version.map(VersionId), audit).await?;
    done()
}

pub(super) async fn find(api: &Api, id: GroupId) -> Result<Group, Problem> {
    let mut groups = api.store.groups().await?.into_iter();
    groups
        .find(|group| group.id == id)
        .ok_or_else(|| Problem::not_found(format!("there is no group {id}")))
}

fn read(ask: &Ask) -> Result<NewGroup, Problem> {
    let new: NewGroup = ask.body()?;
    name("the name of a group", &new.name)?;
    note(&new.note)?;
    Ok(new)
}

fn view(group: &Group) -> Value {
    json!({
        "id": group.id.0,
        "name": group.name,
        "note": group.note,
        "version": group.version.map(|version| version.0),
        "agents": group.agents,
        "created_at": instant::json(group.created_at),
    })
}
