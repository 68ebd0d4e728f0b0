//! Whether agents still find a manager when this one shows another certificate.
//!
//! Every manager says in the database what it shows, and every agent what it holds. Whoever wants a
//! manager to show another certificate says so first and looks then: of two that do it at the same
//! time, at least one sees the other.

use std::collections::BTreeSet;

use anyhow::bail;
use mainstay_database::{
    AgentFilter, AgentRow, Credential, Drain, Hash, ManagerId, Range, Standing, Store, StoreError,
};
use mainstay_fleet::online;
use mainstay_fleet::pin::{Change, Holds, Sha256};
use serde_json::Value;

use crate::jobs::BEAT;

/// The setting with what a manager shows, before its number.
const SHOWN: &str = "certificate-of/";

/// Most agents that are named.
const NAMES_MAX: usize = 3;

/// What becomes of agents that would find no manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Stragglers {
    /// They have to be enrolled again
    GiveUp,
}

/// Agents that a change leaves without a manager.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) agents: u64,
    /// Of a few of them.
    pub(crate) names: Vec<String>,
}

impl Left {
    /// For a sentence.
    pub(crate) fn who(&self) -> String {
        let noun = if self.agents == 1 { "agent" } else { "agents" };
        let more = if self.agents > NAMES_MAX as u64 { ", …" } else { "" };
        format!("{} {noun} ({}{more})", self.agents, self.names.join(", "))
    }
}

/// What a manager that serves shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shows {
    pub(crate) manager: ManagerId,
    pub(crate) name: String,
    pub(crate) certificate: Sha256,
}

/// Says what a manager shows.
pub(crate) async fn say(
    store: &dyn Store,
    manager: ManagerId,
    certificate: Sha256,
) -> Result<(), StoreError> {
    let key = format!("{SHOWN}{manager}");
    loop {
        let before = store.setting(&key).await?;
        if before.as_deref() == Some(certificate.as_slice())
            || store.set_setting(&key, before.as_deref(), Some(&certificate), None).await?
        {
            return Ok(());
        }
    }
}

/// What the managers show that serve agents now.
pub(crate) async fn shown(store: &dyn Store) -> Result<Vec<Shows>, StoreError> {
    let now = store.now().await?;
    let mut found = Vec::new();
    for row in store.managers().await? {
        let there = online::manager(now.since(row.seen_at), BEAT);
        if there == online::Manager::Gone || row.drain == Drain::Drain {
            continue;
        }
        let manager = row.beat.manager;
        let said = store.setting(&format!("{SHOWN}{manager}")).await?;
        if let Some(certificate) = said.and_then(|said| said.try_into().ok()) {
            found.push(Shows { manager, name: row.beat.name, certificate });
        }
    }
    Ok(found)
}

/// What every agent holds that is served and has a key: with its name.
pub(crate) async fn holders(store: &dyn Store) -> Result<Vec<(String, Holds)>, StoreError> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = store.agents(AgentFilter::default(), Range { after, limit: 0 }).await?;
        let rows = page.rows.into_iter().filter(|row| {
            row.standing != Standing::Blocked && matches!(row.credential, Credential::Key(_))
        });
        found.extend(rows.map(|row| (name(&row), holds(&row.contact))));
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
    }
}

fn name(row: &AgentRow) -> String {
    if row.name.is_empty() { row.agent.to_string() } else { row.name.clone() }
}

/// What an agent says of the pins that it holds.
fn holds(contact: &[u8]) -> Holds {
    let said: Option<Value> = serde_json::from_slice(contact).ok();
    let said = said.as_ref().and_then(|said| said.get("pins")?.as_array());
    let read = |pin: &Value| pin.as_str()?.parse().ok().map(|Hash(pin)| pin);
    match said.map(|pins| pins.iter().map(read).collect::<Option<BTreeSet<Sha256>>>()) {
        Some(Some(pins)) => Holds::These(pins),
        Some(None) | None => Holds::Unsaid,
    }
}

/// Whom a change leaves without a manager.
pub(crate) async fn left_by(store: &dyn Store, change: &Change) -> Result<Left, StoreError> {
    let mut left = Left::default();
    for (name, holds) in holders(store).await? {
        if change.orphans(&holds) {
            left.agents += 1;
            if left.names.len() < NAMES_MAX {
                left.names.push(name);
            }
        }
    }
    Ok(left)
}

/// Says that a manager is to show another certificate, unless that leaves agents without one.
pub(crate) async fn intend(
    store: &dyn Store,
    own: ManagerId,
    from: Sha256,
    to: Sha256,
    stragglers: Option<Stragglers>,
) -> anyhow::Result<()> {
    if from == to {
        return Ok(());
    }
    say(store, own, to).await?;
    let others = shown(store).await?.into_iter().filter(|shows| shows.manager != own);
    let others: BTreeSet<Sha256> = others.map(|shows| shows.certificate).collect();
    let with = |certificate| others.iter().copied().chain([certificate]).collect();
    let left = left_by(store, &Change { before: with(from), after: with(to) }).await?;
    match stragglers {
        None if left.agents > 0 => {
            say(store, own, from).await?;
            bail!(
                "{} would find no manager: they do not hold that certificate, and no other manager \
                 that serves shows one that they hold; wait for them, or give them up with \
                 --stragglers give-up",
                left.who()
            )
        }
        None | Some(Stragglers::GiveUp) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_says_is_read_and_what_cannot_be_read_is_not_said() {
        let pin = "ab".repeat(32);
        let said = format!("{{\"pins\":[\"{pin}\"],\"managers\":[]}}");
        assert_eq!(holds(said.as_bytes()), Holds::These(BTreeSet::from([[0xab; 32]])));
        assert_eq!(holds(b"{\"pins\":[]}"), Holds::These(BTreeSet::new()));
        for unsaid in [&b""[..], b"{}", b"{\"pins\":[7]}", b"{\"pins\":[\"ab\"]}"] {
            assert_eq!(holds(unsaid), Holds::Unsaid);
        }
    }

    #[test]
    fn a_few_are_named() {
        let names = vec!["a".to_owned()];
        assert_eq!(Left { agents: 1, names: names.clone() }.who(), "1 agent (a)");
        let names = [names, vec!["b".to_owned(), "c".to_owned()]].concat();
        assert_eq!(Left { agents: 25, names }.who(), "25 agents (a, b, c, …)");
    }
}
