//! OpAMP's messages. A field's number is the protocol; its name is ours.
//!
//! Written from the specification's tables of fields, as types with `prost` attributes: there
//! is no schema file and no generated code. Maps are ordered, so that the same message has the
//! same bytes.

mod agent;
mod config;
mod custom;
mod health;
mod package;
mod server;
mod settings;
mod value;

pub use agent::{
    AgentDescription, AgentDisconnect, AgentToServer, AvailableComponents, CertificateRequest,
    ComponentDetails, ConnectionSettingsRequest, OpampConnectionSettingsRequest,
};
pub use config::{
    AgentConfigFile, AgentConfigMap, AgentRemoteConfig, EffectiveConfig, RemoteConfigStatus,
    RemoteConfigStatuses,
};
pub use custom::{CustomCapabilities, CustomMessage};
pub use health::ComponentHealth;
pub use package::{
    DownloadableFile, PackageAvailable, PackageDownloadDetails, PackageState, PackageStatus,
    PackageStatuses, PackageType, PackagesAvailable,
};
pub use server::{
    AgentIdentification, CommandType, RetryInfo, ServerErrorResponse, ServerErrorResponseType,
    ServerToAgent, ServerToAgentCommand,
};
pub use settings::{
    ConnectionSettingsOffers, ConnectionSettingsStatus, ConnectionSettingsStatuses, Header,
    Headers, OpampConnectionSettings, OtherConnectionSettings, ProxyConnectionSettings,
    TelemetryConnectionSettings, TlsCertificate, TlsConnectionSettings,
};
pub use value::{AnyValue, ArrayValue, KeyValue, KeyValueList, Value};
