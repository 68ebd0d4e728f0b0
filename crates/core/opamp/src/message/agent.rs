//! What an agent sends.

use std::collections::BTreeMap;

use super::{
    ComponentHealth, ConnectionSettingsStatus, CustomCapabilities, CustomMessage, EffectiveConfig,
    KeyValue, PackageStatuses, RemoteConfigStatus,
};

/// The request of an exchange. What is left out has not changed since the last one.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AgentToServer {
    /// 16 bytes: a `mainstay_model::InstanceUid`.
    #[prost(bytes = "vec", tag = "1")]
    pub instance_uid: Vec<u8>,
    /// One more than in the last request. A gap makes the manager ask for everything.
    #[prost(uint64, tag = "2")]
    pub sequence_num: u64,
    /// Who the agent is and where it runs.
    #[prost(message, optional, tag = "3")]
    pub agent_description: Option<AgentDescription>,
    /// Bits of [`crate::capability::agent`]; always set.
    #[prost(uint64, tag = "4")]
    pub capabilities: u64,
    /// How the agent and its parts are.
    #[prost(message, optional, tag = "5")]
    pub health: Option<ComponentHealth>,
    /// What the agent works with, whoever configured it.
    #[prost(message, optional, tag = "6")]
    pub effective_config: Option<EffectiveConfig>,
    /// What became of the configuration that a manager offered.
    #[prost(message, optional, tag = "7")]
    pub remote_config_status: Option<RemoteConfigStatus>,
    /// What became of the packages that a manager offered.
    #[prost(message, optional, tag = "8")]
    pub package_statuses: Option<PackageStatuses>,
    /// The agent goes on purpose: this is its last message.
    #[prost(message, optional, tag = "9")]
    pub agent_disconnect: Option<AgentDisconnect>,
    /// Bits of [`crate::capability::agent_flag`].
    #[prost(uint64, tag = "10")]
    pub flags: u64,
    /// A certificate is wanted.
    #[prost(message, optional, tag = "11")]
    pub connection_settings_request: Option<ConnectionSettingsRequest>,
    /// Names of capabilities beyond OpAMP's own.
    #[prost(message, optional, tag = "12")]
    pub custom_capabilities: Option<CustomCapabilities>,
    /// A message of one of them.
    #[prost(message, optional, tag = "13")]
    pub custom_message: Option<CustomMessage>,
    /// What could be configured.
    #[prost(message, optional, tag = "14")]
    pub available_components: Option<AvailableComponents>,
    /// What became of the connection settings that a manager offered.
    #[prost(message, optional, tag = "15")]
    pub connection_settings_status: Option<ConnectionSettingsStatus>,
}

/// Who the agent is and where it runs.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AgentDescription {
    /// What tells it from others: `service.name`, `service.version`, `service.instance.id`.
    #[prost(message, repeated, tag = "1")]
    pub identifying_attributes: Vec<KeyValue>,
    /// What describes it: `os.type`, `host.name`, …
    #[prost(message, repeated, tag = "2")]
    pub non_identifying_attributes: Vec<KeyValue>,
}

/// The agent goes on purpose.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct AgentDisconnect {}

/// The agent asks for connection settings.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConnectionSettingsRequest {
    /// For the connection to managers.
    #[prost(message, optional, tag = "1")]
    pub opamp: Option<OpampConnectionSettingsRequest>,
}

/// The agent asks for settings of its connection to managers.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OpampConnectionSettingsRequest {
    /// Always set.
    #[prost(message, optional, tag = "1")]
    pub certificate_request: Option<CertificateRequest>,
}

/// The agent asks for a client certificate.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CertificateRequest {
    /// A signing request, as PEM.
    #[prost(bytes = "vec", tag = "1")]
    pub csr: Vec<u8>,
}

/// What could be configured in the agent.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AvailableComponents {
    /// Left out unless it was asked for.
    #[prost(btree_map = "string, message", tag = "1")]
    pub components: BTreeMap<String, ComponentDetails>,
    /// Of all of them; always set.
    #[prost(bytes = "vec", tag = "2")]
    pub hash: Vec<u8>,
}

/// One thing that could be configured.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ComponentDetails {
    /// What describes it.
    #[prost(message, repeated, tag = "1")]
    pub metadata: Vec<KeyValue>,
    /// Its parts.
    #[prost(btree_map = "string, message", tag = "2")]
    pub sub_component_map: BTreeMap<String, Self>,
}

impl AgentDescription {
    /// The text of an attribute, looked for among the identifying ones first.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.identifying_attributes
            .iter()
            .chain(&self.non_identifying_attributes)
            .find(|attribute| attribute.key == key)
            .and_then(KeyValue::as_text)
    }
}
