//! What an agent is told when its exchange is carried out.

use mainstay_database::{AgentUid, Credential, Loaded, StatusReport};
use mainstay_model::InstanceUid;
use mainstay_opamp::capability::{agent as can, server, server_flag};
use mainstay_opamp::message::{
    AgentRemoteConfig, AgentToServer, ConnectionSettingsOffers, ConnectionSettingsStatuses,
    CustomCapabilities, ServerToAgent,
};
use mainstay_opamp::renewal;
use mainstay_trust::digest::sha256;

use super::refused::Refused;
use crate::fleet::Fleet;
use crate::offers::config_map;

/// Whether the agent is asked to leave nothing out next time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FullState {
    Wanted,
    Known,
}

/// The answer without a custom message.
pub(super) async fn compose(
    fleet: &Fleet,
    message: &AgentToServer,
    loaded: &Loaded,
    status: Option<&StatusReport>,
    full: FullState,
) -> Result<ServerToAgent, Refused> {
    let remote_config = remote_config(fleet, message, loaded, status).await?;
    Ok(ServerToAgent {
        instance_uid: uid(loaded.agent),
        remote_config,
        connection_settings: connection(fleet, message, loaded),
        flags: match full {
            FullState::Wanted => server_flag::REPORT_FULL_STATE,
            FullState::Known => 0,
        },
        capabilities: server::OURS,
        custom_capabilities: message.custom_capabilities.is_some().then(CustomCapabilities::ours),
        ..ServerToAgent::default()
    })
}

/// The configuration that it should serve, if it serves another.
async fn remote_config(
    fleet: &Fleet,
    message: &AgentToServer,
    loaded: &Loaded,
    status: Option<&StatusReport>,
) -> Result<Option<AgentRemoteConfig>, Refused> {
    let Some(desired) = loaded.desired else { return Ok(None) };
    let effective = status.and_then(|status| status.effective).or(loaded.effective);
    if effective == Some(desired.hash) || message.capabilities & can::ACCEPTS_REMOTE_CONFIG == 0 {
        return Ok(None);
    }
    let known = message
        .remote_config_status
        .as_ref()
        .map(|status| status.last_remote_config_hash.as_slice());
    let config = if known == Some(&desired.hash.0) {
        None
    } else {
        let text = fleet.offers.text(&*fleet.store, desired.version).await;
        let Some(text) = text.map_err(|error| Refused::store(fleet, &error))? else {
            // Removed since it was read; what is desired is another by now.
            return Ok(None);
        };
        Some(config_map(&text))
    };
    Ok(Some(AgentRemoteConfig { config, config_hash: desired.hash.0.to_vec() }))
}

/// How it should connect, if it said that it knows another way. What it could not use is offered
/// again: whether it can depends on what managers show. Who is to replace its key is asked to until
/// it has.
fn connection(
    fleet: &Fleet,
    message: &AgentToServer,
    loaded: &Loaded,
) -> Option<ConnectionSettingsOffers> {
    if message.capabilities & can::ACCEPTS_OPAMP_CONNECTION_SETTINGS == 0 {
        return None;
    }
    let offer = fleet.offers.connection();
    let known = message.connection_settings_status.as_ref()?;
    let has_failed = known.status() == ConnectionSettingsStatuses::Failed;
    let is_known = known.last_connection_settings_hash == offer.hash && !has_failed;
    if let Some(key) = retired(message, loaded) {
        let mut offer = (*offer).clone();
        renewal::offer(&mut offer, key);
        offer.hash = sha256(&[offer.hash.as_slice(), key].concat()).to_vec();
        return Some(offer);
    }
    (!is_known).then(|| (*offer).clone())
}

/// The key that it has and is to replace, if it can.
fn retired<'l>(message: &AgentToServer, loaded: &'l Loaded) -> Option<&'l [u8; 32]> {
    let can = message.capabilities & can::ACCEPTS_OTHER_CONNECTION_SETTINGS != 0;
    match &loaded.credential {
        Credential::Key(key) if can && loaded.key_retired => Some(key),
        Credential::Key(_) | Credential::Bearer(_) => None,
    }
}

/// An agent's name as OpAMP has it.
pub(super) fn uid(agent: AgentUid) -> Vec<u8> {
    agent.0.to_vec()
}

/// An agent's name as the database has it.
pub(super) fn agent(uid: InstanceUid) -> AgentUid {
    AgentUid(*uid.as_bytes())
}
