//! Pins: the certificates that agents are to hold, and how they are exchanged.
//!
//! ```text
//!   add the next ─▶ every agent is offered both ─▶ managers show the next ─▶ remove the former
//! ```
//!
//! A pin by which agents were connected last is not removed unless somebody says that these are
//! given up: an agent that holds only the former one finds no manager any more. One that a manager
//! shows is never removed.

use std::collections::BTreeMap;

use mainstay_database::Hash;
use mainstay_trust::certificate;
use mainstay_trust::digest::sha256;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::answer::{self, Answered, created, done};
use super::ask::Ask;
use super::instant;
use super::problem::Problem;
use crate::fleet::PINS;
use crate::orphans;

/// Most pins at a time: current, next and recovery, and one to spare.
const PINS_MAX: usize = 4;

/// How often a change is tried again because another was faster.
const TRIES: usize = 8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// As PEM.
    certificate: String,
}

pub(super) async fn list(api: &Api) -> Answered {
    let pins = read(&text(api).await?)?;
    let counts: BTreeMap<Option<Hash>, u64> =
        api.store.fleet_counts(api.store.now().await?).await?.pins.into_iter().collect();
    answer::list(&pins, |pin| view(pin, &counts))
}

pub(super) async fn add(api: &Api, ask: &Ask) -> Answered {
    let wanted: Wanted = ask.body()?;
    let Ok([new]) = <[Vec<u8>; 1]>::try_from(read(&wanted.certificate)?) else {
        return Err(Problem::invalid("exactly one certificate is added at a time"));
    };
    let hash = Hash(sha256(&new));
    let audit = ask.audit("pin.add", hash.to_string(), &json!({}))?;
    for _ in 0..TRIES {
        let before = text(api).await?;
        let mut pins = read(&before)?;
        if pins.contains(&new) {
            return Err(Problem::conflict("agents are to hold this certificate already"));
        }
        if pins.len() >= PINS_MAX {
            return Err(Problem::conflict(format!("there are at most {PINS_MAX} pins")));
        }
        pins.push(new.clone());
        if replace(api, &before, &pins, &audit).await? {
            return created(&view(&new, &BTreeMap::new()));
        }
    }
    Err(Problem::unavailable("others change the pins, too"))
}

pub(super) async fn remove(api: &Api, ask: &Ask) -> Answered {
    let hash: Hash = ask.id()?;
    let gives_up = ask.choice("stragglers", &[("give-up", ())])?.is_some();
    let audit = ask.audit("pin.remove", hash.to_string(), &json!({ "gives_up": gives_up }))?;
    for _ in 0..TRIES {
        let before = text(api).await?;
        let mut pins = read(&before)?;
        let there = pins.len();
        pins.retain(|pin| Hash(sha256(pin)) != hash);
        if pins.len() == there {
            return Err(Problem::not_found(format!("there is no pin {hash}")));
        }
        if pins.is_empty() {
            return Err(Problem::conflict("this is the only pin: nobody would find a manager"));
        }
        let shown = orphans::shown(&*api.store).await?;
        if let Some(shows) = shown.iter().find(|shows| Hash(shows.certificate) == hash) {
            return Err(Problem::conflict(format!("the manager {} shows it", shows.name)));
        }
        let counts = api.store.fleet_counts(api.store.now().await?).await?.pins;
        let holders = counts.iter().find(|(pin, _)| *pin == Some(hash)).map_or(0, |(_, n)| *n);
        if holders > 0 && !gives_up {
            let sentence = format!(
                "{holders} agents knew their manager by it last; stragglers=give-up removes it"
            );
            return Err(Problem::conflict(sentence));
        }
        if replace(api, &before, &pins, &audit).await? {
            return done();
        }
    }
    Err(Problem::unavailable("others change the pins, too"))
}

/// The certificates that agents are to hold, as PEM; none before a manager has served.
pub(super) async fn text(api: &Api) -> Result<String, Problem> {
    let pins = api.store.setting(PINS).await?.unwrap_or_default();
    String::from_utf8(pins).map_err(|_refused| Problem::unavailable("the pins cannot be read"))
}

fn read(pem: &str) -> Result<Vec<Vec<u8>>, Problem> {
    if pem.is_empty() {
        return Ok(Vec::new());
    }
    let found = certificate::from_pem(pem.as_bytes());
    let found = found.map_err(|error| Problem::invalid(error.to_string()))?;
    Ok(found.iter().map(|der| der.to_vec()).collect())
}

async fn replace(
    api: &Api,
    before: &str,
    pins: &[Vec<u8>],
    audit: &mainstay_database::Audit,
) -> Result<bool, Problem> {
    let new: String = pins.iter().map(|der| certificate::to_pem("CERTIFICATE", der)).collect();
    let expected = Some(before.as_bytes()).filter(|before| !before.is_empty());
    let set = api.store.set_setting(PINS, expected, Some(new.as_bytes()), Some(audit.clone()));
    Ok(set.await?)
}

fn view(der: &[u8], counts: &BTreeMap<Option<Hash>, u64>) -> Value {
    let hash = Hash(sha256(der));
    let facts = certificate::facts(der).ok();
    let at = |seconds: i64| {
        instant::json(mainstay_database::WallTime(seconds.saturating_mul(1_000_000)))
    };
    json!({
        "sha256": hash.to_string(),
        "certificate": certificate::to_pem("CERTIFICATE", der),
        "subject": facts.as_ref().map(|facts| facts.subject.clone()),
        "algorithm": facts.as_ref().map(|facts| facts.algorithm.to_string()),
        "not_before": facts.as_ref().map(|facts| at(facts.not_before_unix_s)),
        "not_after": facts.as_ref().map(|facts| at(facts.not_after_unix_s)),
        "agents": counts.get(&Some(hash)).copied().unwrap_or(0),
    })
}
