//! How an agent and its parts are.

use std::collections::BTreeMap;

use super::KeyValue;

/// How a component and its parts are.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ComponentHealth {
    /// It is up and does what it should.
    #[prost(bool, tag = "1")]
    pub healthy: bool,
    /// Since when it is up, in ns since 1970; 0 if it is not.
    #[prost(fixed64, tag = "2")]
    pub start_time_unix_nano: u64,
    /// What is wrong, for a person.
    #[prost(string, tag = "3")]
    pub last_error: String,
    /// A word of the agent's own.
    #[prost(string, tag = "4")]
    pub status: String,
    /// When this was seen, in ns since 1970.
    #[prost(fixed64, tag = "5")]
    pub status_time_unix_nano: u64,
    /// Its parts.
    #[prost(btree_map = "string, message", tag = "6")]
    pub component_health_map: BTreeMap<String, Self>,
    /// What else there is to say.
    #[prost(message, repeated, tag = "7")]
    pub attributes: Vec<KeyValue>,
}
