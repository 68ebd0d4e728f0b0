//! Configurations and their versions. A version is kept only if the gateway's own parser takes
//! it, and never changes.

use std::path::Path;

use mainstay_config::gateway;
use mainstay_database::{Configuration, ConfigurationId, Hash, NewVersion, Version, VersionId};
use mainstay_trust::digest::sha256;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Answered, created, done, ok, page};
use super::ask::{Ask, name, note};
use super::problem::Problem;
use super::{Api, instant};

/// What the problems of a text are said to be in.
const FILE: &str = "gateway.toml";

/// Most problems of one text.
const PROBLEMS_MAX: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewConfiguration {
    name: String,
    #[serde(default)]
    note: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft {
    /// The number of the last version that its author has seen; 0 before the first.
    after: u32,
    text: String,
    #[serde(default)]
    note: String,
}

pub(super) async fn validate(ask: &Ask) -> Answered {
    let Text { text } = ask.body()?;
    check(text).await.map(drop)?;
    ok(&json!({ "valid": true }))
}

pub(super) async fn list(api: &Api) -> Answered {
    answer::list(&api.store.configurations().await?, view)
}

pub(super) async fn create(api: &Api, ask: &Ask) -> Answered {
    let new: NewConfiguration = ask.body()?;
    name("the name of a configuration", &new.name)?;
    note(&new.note)?;
    let detail = json!({ "note": new.note });
    let audit = ask.audit("configuration.create", new.name.clone(), &detail)?;
    let id = api.store.create_configuration(&new.name, &new.note, audit).await?;
    created(&view(&find(api, id).await?))
}

pub(super) async fn remove(api: &Api, ask: &Ask) -> Answered {
    let found = find(api, ask.id()?).await?;
    let detail = json!({ "note": found.note, "last": found.last });
    let audit = ask.audit("configuration.remove", found.name, &detail)?;
    api.store.remove_configuration(found.id, audit).await?;
    done()
}

pub(super) async fn versions(api: &Api, ask: &Ask) -> Answered {
    let found = find(api, ask.id()?).await?;
    page(&api.store.versions(found.id, ask.range()?).await?, version_view)
}

pub(super) async fn add_version(api: &Api, ask: &Ask) -> Answered {
    let found = find(api, ask.id()?).await?;
    let draft: Draft = ask.body()?;
    note(&draft.note)?;
    let text = check(draft.text).await?.into_bytes();
    let hash = Hash(sha256(&text));
    let detail = json!({
        "after": draft.after,
        "hash": hash.to_string(),
        "size": text.len(),
        "note": draft.note,
    });
    let audit = ask.audit("configuration.version", found.name, &detail)?;
    let new =
        NewVersion { configuration: found.id, after: draft.after, hash, text, note: draft.note };
    created(&version_view(&api.store.add_version(new, audit).await?))
}

pub(super) async fn version(api: &Api, ask: &Ask) -> Answered {
    ok(&version_view(&find_version(api, ask.id()?).await?))
}

pub(super) async fn version_text(api: &Api, ask: &Ask) -> Answered {
    let id: VersionId = ask.id()?;
    let text = api.store.version_text(id).await?;
    let text = text.ok_or_else(|| Problem::not_found(format!("there is no version {id}")))?;
    answer::text("application/toml", text)
}

pub(super) async fn find_version(api: &Api, id: VersionId) -> Result<Version, Problem> {
    let version = api.store.version(id).await?;
    version.ok_or_else(|| Problem::not_found(format!("there is no version {id}")))
}

async fn find(api: &Api, id: ConfigurationId) -> Result<Configuration, Problem> {
    let mut all = api.store.configurations().await?.into_iter();
    all.find(|one| one.id == id)
        .ok_or_else(|| Problem::not_found(format!("there is no configuration {id}")))
}

/// The text again, if a gateway would take it. A large one takes long.
async fn check(text: String) -> Result<String, Problem> {
    let checked = tokio::task::spawn_blocking(move || match gateway::parse(&text) {
        Ok(_) => Ok(text),
        Err(problems) => {
            let located = problems.iter().take(PROBLEMS_MAX);
            Err(located.map(|problem| problem.locate(Path::new(FILE), &text)).collect())
        }
    });
    let checked: Result<String, Vec<String>> =
        checked.await.map_err(|_ended| Problem::unavailable("the manager is ending"))?;
    checked.map_err(|lines| {
        Problem::configuration(lines.iter().filter_map(|line| place(line)).collect())
    })
}

/// `gateway.toml:3:7: sentence`
fn place(line: &str) -> Option<Value> {
    let mut parts = line.splitn(4, ':');
    let (file, at) = (parts.next()?, parts.next()?.parse::<u64>().ok()?);
    let (column, sentence) = (parts.next()?.parse::<u64>().ok()?, parts.next()?.trim_start());
    Some(json!({ "file": file, "line": at, "column": column, "sentence": sentence }))
}

fn view(one: &Configuration) -> Value {
    json!({
        "id": one.id.0,
        "name": one.name,
        "note": one.note,
        "last": one.last,
        "created_at": instant::json(one.created_at),
    })
}

fn version_view(version: &Version) -> Value {
    json!({
        "id": version.id.0,
        "configuration": version.configuration.0,
        "number": version.number,
        "hash": version.hash.to_string(),
        "size": version.size,
        "note": version.note,
        "created_at": instant::json(version.created_at),
        "created_by": version.created_by,
    })
}
