//! What a manager answers.

use super::{
    AgentRemoteConfig, ConnectionSettingsOffers, CustomCapabilities, CustomMessage,
    PackagesAvailable,
};

/// The answer of an exchange. With nothing but the uid it says that the request was taken.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ServerToAgent {
    /// The one of the request.
    #[prost(bytes = "vec", tag = "1")]
    pub instance_uid: Vec<u8>,
    /// The request was not carried out; nothing else is set then.
    #[prost(message, optional, tag = "2")]
    pub error_response: Option<ServerErrorResponse>,
    /// A configuration to apply.
    #[prost(message, optional, tag = "3")]
    pub remote_config: Option<AgentRemoteConfig>,
    /// Other ways to connect: keys, pins, intervals.
    #[prost(message, optional, tag = "4")]
    pub connection_settings: Option<ConnectionSettingsOffers>,
    /// Packages to install.
    #[prost(message, optional, tag = "5")]
    pub packages_available: Option<PackagesAvailable>,
    /// Bits of [`crate::capability::server_flag`].
    #[prost(uint64, tag = "6")]
    pub flags: u64,
    /// Bits of [`crate::capability::server`]; set in the first answer at least.
    #[prost(uint64, tag = "7")]
    pub capabilities: u64,
    /// The agent must take another name.
    #[prost(message, optional, tag = "8")]
    pub agent_identification: Option<AgentIdentification>,
    /// Do this, and look at nothing else.
    #[prost(message, optional, tag = "9")]
    pub command: Option<ServerToAgentCommand>,
    /// Names of capabilities beyond OpAMP's own.
    #[prost(message, optional, tag = "10")]
    pub custom_capabilities: Option<CustomCapabilities>,
    /// A message of one of them.
    #[prost(message, optional, tag = "11")]
    pub custom_message: Option<CustomMessage>,
}

/// The request was not carried out.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ServerErrorResponse {
    /// Whether to try again.
    #[prost(enumeration = "ServerErrorResponseType", tag = "1")]
    pub r#type: i32,
    /// A sentence for a person.
    #[prost(string, tag = "2")]
    pub error_message: String,
    /// With [`ServerErrorResponseType::Unavailable`]: when to try again.
    #[prost(message, optional, tag = "3")]
    pub retry_info: Option<RetryInfo>,
}

/// Whether to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum ServerErrorResponseType {
    /// It is not known what went wrong; not to be tried again.
    Unknown = 0,
    /// The request was malformed; not to be tried again.
    BadRequest = 1,
    /// The manager has too much to do; to be tried again.
    Unavailable = 2,
}

/// When to try again.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct RetryInfo {
    /// At the earliest after this many ns.
    #[prost(uint64, tag = "1")]
    pub retry_after_nanoseconds: u64,
}

/// Another name for the agent.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AgentIdentification {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub new_instance_uid: Vec<u8>,
}

/// Something to do.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ServerToAgentCommand {
    /// What.
    #[prost(enumeration = "CommandType", tag = "1")]
    pub r#type: i32,
}

/// What an agent may be told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum CommandType {
    /// To start again.
    Restart = 0,
}
