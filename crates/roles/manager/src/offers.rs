//! What agents are offered: how to connect, and which configuration to serve.
//!
//! # Invariants
//!
//! 1. What is desired is compared with what the agent has at every exchange. Nothing is noted as
//!    sent, so an offer that got lost, failed or was undone is made again.
//! 2. An agent that has said that it knows a text is told its hash alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use mainstay_config::manager::Agents;
use mainstay_database::{Store, StoreError, VersionId};
use mainstay_opamp::message::{
    AgentConfigFile, AgentConfigMap, ConnectionSettingsOffers, OpampConnectionSettings,
    TlsConnectionSettings,
};
use mainstay_trust::digest::sha256;

/// Most bytes of texts that are kept in memory.
const TEXTS_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The name of the one file of a configuration.
pub(crate) const FILE: &str = "gateway.toml";

const TOML: &str = "application/toml";

/// What there is to offer.
#[derive(Debug)]
pub(crate) struct Offers {
    poll_s: u64,
    connection: RwLock<Arc<ConnectionSettingsOffers>>,
    texts: Mutex<BTreeMap<VersionId, Arc<Vec<u8>>>>,
}

impl Offers {
    pub(crate) fn new(agents: &Agents, pins: &str) -> Self {
        let poll_s = agents.poll.as_secs().max(1);
        Self {
            poll_s,
            connection: RwLock::new(Arc::new(connection(poll_s, pins))),
            texts: Mutex::default(),
        }
    }

    /// How agents are to connect.
    pub(crate) fn connection(&self) -> Arc<ConnectionSettingsOffers> {
        Arc::clone(&self.connection.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether these pins are others than before.
    pub(crate) fn set_pins(&self, pins: &str) -> bool {
        let new = connection(self.poll_s, pins);
        let mut held = self.connection.write().unwrap_or_else(PoisonError::into_inner);
        let changed = held.hash != new.hash;
        *held = Arc::new(new);
        changed
    }

    /// The text of a version. It never changes, so it is read once.
    pub(crate) async fn text(
        &self,
        store: &dyn Store,
        version: VersionId,
    ) -> Result<Option<Arc<Vec<u8>>>, StoreError> {
        let kept = self.texts.lock().unwrap_or_else(PoisonError::into_inner).get(&version).cloned();
        if kept.is_some() {
            return Ok(kept);
        }
        let Some(text) = store.version_text(version).await? else { return Ok(None) };
        let text = Arc::new(text);
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: usize = texts.values().map(|text| text.len()).sum();
        if bytes + text.len() > TEXTS_BYTES_MAX {
            texts.clear();
        }
        texts.insert(version, Arc::clone(&text));
        Ok(Some(text))
    }
}

fn connection(poll_s: u64, pins: &str) -> ConnectionSettingsOffers {
    let mut said = poll_s.to_be_bytes().to_vec();
    said.extend_from_slice(pins.as_bytes());
    ConnectionSettingsOffers {
        hash: sha256(&said).to_vec(),
        opamp: Some(OpampConnectionSettings {
            heartbeat_interval_seconds: poll_s,
            tls: Some(TlsConnectionSettings {
                ca_pem_contents: pins.to_owned(),
                ..TlsConnectionSettings::default()
            }),
            ..OpampConnectionSettings::default()
        }),
        ..ConnectionSettingsOffers::default()
    }
}

/// A configuration as OpAMP has it.
pub(crate) fn config_map(text: &[u8]) -> AgentConfigMap {
    let file = AgentConfigFile {
        body: text.to_vec(),
        content_type: TOML.to_owned(),
        ..AgentConfigFile::default()
    };
    AgentConfigMap { config_map: [(FILE.to_owned(), file)].into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_pins_are_another_offer() {
        let text = "[database]\nlocation = \"x\"\n";
        let settings = mainstay_config::manager::parse(text).unwrap();
        let offers = Offers::new(&settings.agents, "one");
        let before = offers.connection();
        assert_eq!(before.opamp.as_ref().unwrap().heartbeat_interval_seconds, 30);
        assert!(!offers.set_pins("one"));
        assert!(offers.set_pins("one\ntwo"));
        assert_ne!(offers.connection().hash, before.hash);
    }
}
