//! What a fleet's database has, read and changed beside its managers.

use std::sync::Arc;

use anyhow::Context as _;
use mainstay_database::{
    AgentFilter, AgentRow, Audit, EventFilter, EventRow, Hash, Limits, Location, NewVersion, Range,
    Store, open,
};
use mainstay_trust::digest::sha256;
use tokio::runtime::Runtime;

use super::Fleet;

fn audit(subject: &str) -> Audit {
    Audit {
        actor: "test".to_owned(),
        address: String::new(),
        action: "test".to_owned(),
        subject: subject.to_owned(),
        detail: b"{}".to_vec(),
    }
}

/// The database of a fleet.
#[expect(missing_debug_implementations, reason = "a store has no form")]
pub struct Records {
    runtime: Runtime,
    store: Arc<dyn Store>,
}

impl Records {
    /// Of a fleet whose database is its file.
    pub fn of(fleet: &Fleet) -> anyhow::Result<Self> {
        Self::at(&Location::File(fleet.directory().join("fleet.db")))
    }

    /// Of a fleet whose database is there.
    pub fn at(location: &Location) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let store = runtime.block_on(open(location, &Limits::default()))?;
        Ok(Self { runtime, store })
    }

    /// Every event that agents sent, each agent's in its order.
    pub fn events(&self) -> anyhow::Result<Vec<EventRow>> {
        let mut rows = self.all_events()?;
        rows.retain(|row| row.origin.is_some());
        rows.sort_by_key(|row| row.origin);
        Ok(rows)
    }

    /// Every event, those of managers too, the oldest first.
    pub fn all_events(&self) -> anyhow::Result<Vec<EventRow>> {
        let mut rows = Vec::new();
        let mut after = None;
        loop {
            let range = Range { after, limit: 0 };
            let page = self.runtime.block_on(self.store.events(EventFilter::default(), range))?;
            rows.extend(page.rows);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        rows.reverse();
        Ok(rows)
    }

    /// Every agent.
    pub fn agents(&self) -> anyhow::Result<Vec<AgentRow>> {
        let mut rows = Vec::new();
        let mut after = None;
        loop {
            let range = Range { after, limit: 0 };
            let page = self.runtime.block_on(self.store.agents(AgentFilter::default(), range))?;
            rows.extend(page.rows);
            after = page.next;
            if after.is_none() {
                return Ok(rows);
            }
        }
    }

    /// Has every agent of the first group serve this text.
    pub fn offer(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let audit = || audit(name);
        self.runtime.block_on(async {
            let group = self.store.groups().await?.into_iter().next().context("a group")?.id;
            let configuration = self.store.create_configuration(name, "", audit()).await?;
            let version = NewVersion {
                configuration,
                after: 0,
                hash: Hash(sha256(text.as_bytes())),
                text: text.as_bytes().to_vec(),
                note: String::new(),
            };
            let version = self.store.add_version(version, audit()).await?.id;
            Ok(self.store.set_group_version(group, Some(version), audit()).await?)
        })
    }

    /// Has every agent replace its key; how many were not to already.
    pub fn retire_keys(&self) -> anyhow::Result<u64> {
        let agents = self.agents()?.into_iter().map(|agent| agent.agent).collect();
        Ok(self.runtime.block_on(self.store.retire_keys(agents, audit("agents")))?)
    }

    /// Has agents offered these certificates, whatever managers show; as PEM.
    pub fn set_pins(&self, pem: &str) -> anyhow::Result<()> {
        self.runtime.block_on(async {
            loop {
                let before = self.store.setting("pins").await?;
                let after = Some(pem.as_bytes());
                if self.store.set_setting("pins", before.as_deref(), after, None).await? {
                    return Ok(());
                }
            }
        })
    }

    /// What the one agent says that became of what it was offered.
    pub fn applied(&self) -> anyhow::Result<Option<AgentRow>> {
        Ok(self.agents()?.into_iter().next())
    }
}
