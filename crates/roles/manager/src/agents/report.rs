//! What an agent says about itself, as the database keeps it.

use mainstay_database::{Applied, AppliedState, Hash, StatusReport};
use mainstay_opamp::message::{
    AgentDescription, AgentToServer, EffectiveConfig, RemoteConfigStatus, RemoteConfigStatuses,
};
use mainstay_opamp::wire;
use mainstay_trust::digest::sha256;

use crate::offers::FILE;

/// The attribute with the SHA-256 of the pin by which the agent knows the manager, in
/// hexadecimal digits.
const PIN: &str = "mainstay.pin";

/// The attribute with the agent's list of managers and its last switch: JSON.
const CONTACT: &str = "mainstay.contact";

/// Longest name of an agent, for people.
const NAME_BYTES_MAX: usize = 253;

/// What a request says; none if it says nothing new.
pub(super) fn read(message: &AgentToServer) -> Option<StatusReport> {
    let said = message.agent_description.is_some()
        || message.health.is_some()
        || message.effective_config.is_some()
        || message.remote_config_status.is_some();
    if !said {
        return None;
    }
    let effective_text = message.effective_config.as_ref().and_then(text).map(<[u8]>::to_vec);
    let description = message.agent_description.as_ref();
    Some(StatusReport {
        name: description.and_then(name),
        version: description
            .and_then(|description| description.text("service.version"))
            .map(|version| cut(version, NAME_BYTES_MAX)),
        capabilities: Some(message.capabilities),
        description: description.map(wire::encode),
        healthy: message.health.as_ref().map(|health| health.healthy),
        health: message.health.as_ref().map(wire::encode),
        effective: effective_text.as_deref().map(|text| Hash(sha256(text))),
        effective_text,
        applied: message.remote_config_status.as_ref().and_then(applied),
        pin: description.and_then(|description| description.text(PIN)).and_then(hash),
        contact: description
            .and_then(|description| description.text(CONTACT))
            .map(|contact| contact.as_bytes().to_vec()),
    })
}

/// The host's name; of programs that run elsewhere, the one that they have.
pub(super) fn name(description: &AgentDescription) -> Option<String> {
    ["host.name", "service.instance.id", "service.name"]
        .into_iter()
        .find_map(|key| description.text(key))
        .map(|name| cut(name, NAME_BYTES_MAX))
}

fn cut(text: &str, bytes_max: usize) -> String {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// The one file of a configuration.
fn text(effective: &EffectiveConfig) -> Option<&[u8]> {
    let files = &effective.config_map.as_ref()?.config_map;
    let file = files.get(FILE).or_else(|| files.values().next())?;
    Some(&file.body)
}

fn applied(status: &RemoteConfigStatus) -> Option<Applied> {
    let state = match status.status() {
        RemoteConfigStatuses::Unset => AppliedState::Unset,
        RemoteConfigStatuses::Applied => AppliedState::Applied,
        RemoteConfigStatuses::Applying => AppliedState::Applying,
        RemoteConfigStatuses::Failed => AppliedState::Failed,
    };
    // A hash that is none of ours is of no configuration that was offered here.
    let hash = Hash(status.last_remote_config_hash.as_slice().try_into().ok()?);
    Some(Applied { state, hash, message: status.error_message.clone() })
}

fn hash(digits: &str) -> Option<Hash> {
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use mainstay_opamp::message::{ComponentHealth, KeyValue};

    use super::*;
    use crate::offers::config_map;

    #[test]
    fn nothing_said_is_nothing_to_store() {
        assert_eq!(read(&AgentToServer::default()), None);
    }

    #[test]
    fn what_is_said_is_kept() {
        let message = AgentToServer {
            capabilities: 5,
            agent_description: Some(AgentDescription {
                identifying_attributes: vec![KeyValue::text("service.version", "1.2.3")],
                non_identifying_attributes: vec![
                    KeyValue::text("host.name", "edge-1"),
                    KeyValue::text(PIN, "ab".repeat(32)),
                    KeyValue::text(CONTACT, "{}"),
                ],
            }),
            health: Some(ComponentHealth { healthy: true, ..ComponentHealth::default() }),
            effective_config: Some(EffectiveConfig { config_map: Some(config_map(b"text")) }),
            remote_config_status: Some(RemoteConfigStatus {
                last_remote_config_hash: vec![7; 32],
                status: RemoteConfigStatuses::Failed.into(),
                error_message: "no".to_owned(),
            }),
            ..AgentToServer::default()
        };
        let report = read(&message).unwrap();
        assert_eq!(report.name.as_deref(), Some("edge-1"));
        assert_eq!(report.version.as_deref(), Some("1.2.3"));
        assert_eq!(report.healthy, Some(true));
        assert_eq!(report.effective, Some(Hash(sha256(b"text"))));
        assert_eq!(report.effective_text.as_deref(), Some(&b"text"[..]));
        assert_eq!(report.pin, Some(Hash([0xab; 32])));
        assert_eq!(report.contact.as_deref(), Some(&b"{}"[..]));
        let applied = report.applied.unwrap();
        assert_eq!((applied.state, applied.hash), (AppliedState::Failed, Hash([7; 32])));
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(cut("häuser", 2), "h");
        assert_eq!(cut("haus", 9), "haus");
    }
}
