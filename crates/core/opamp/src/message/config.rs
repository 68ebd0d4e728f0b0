//! Configurations: offered, in effect, and what became of an offer.

use std::collections::BTreeMap;

/// A configuration to apply.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AgentRemoteConfig {
    /// Left out if it is the one that the agent reported last.
    #[prost(message, optional, tag = "1")]
    pub config: Option<AgentConfigMap>,
    /// Of `config`; what the agent says it has.
    #[prost(bytes = "vec", tag = "2")]
    pub config_hash: Vec<u8>,
}

/// Named files.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AgentConfigMap {
    /// By name; the name may be empty if there is one file.
    #[prost(btree_map = "string, message", tag = "1")]
    pub config_map: BTreeMap<String, AgentConfigFile>,
}

/// One file.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AgentConfigFile {
    /// Its content.
    #[prost(bytes = "vec", tag = "1")]
    pub body: Vec<u8>,
    /// Its media type, if it is said.
    #[prost(string, tag = "2")]
    pub content_type: String,
    /// What it is for, if that is said.
    #[prost(string, tag = "3")]
    pub role: String,
}

/// What the agent works with.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EffectiveConfig {
    /// Named files.
    #[prost(message, optional, tag = "1")]
    pub config_map: Option<AgentConfigMap>,
}

/// What became of the configuration that was offered last.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RemoteConfigStatus {
    /// The offer's `config_hash`.
    #[prost(bytes = "vec", tag = "1")]
    pub last_remote_config_hash: Vec<u8>,
    /// What became of it.
    #[prost(enumeration = "RemoteConfigStatuses", tag = "2")]
    pub status: i32,
    /// Why it failed, if it did.
    #[prost(string, tag = "3")]
    pub error_message: String,
}

/// What became of a configuration that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum RemoteConfigStatuses {
    /// Nothing is said.
    Unset = 0,
    /// It is in service.
    Applied = 1,
    /// It is being put into service.
    Applying = 2,
    /// It is not in service, and will not be.
    Failed = 3,
}
