//! How an agent is to connect: to managers, and to where it sends its telemetry.
//!
//! A manager of ours offers the settings for managers only. A pin set travels in
//! `tls.ca_pem_contents`, one certificate after the other; the agent compares bytes and
//! believes no authority.

use std::collections::BTreeMap;
use std::fmt;

/// Settings that a manager offers. The agent tries them before it keeps them.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConnectionSettingsOffers {
    /// Of all settings, those that are left out included.
    #[prost(bytes = "vec", tag = "1")]
    pub hash: Vec<u8>,
    /// For managers.
    #[prost(message, optional, tag = "2")]
    pub opamp: Option<OpampConnectionSettings>,
    /// For the agent's metrics.
    #[prost(message, optional, tag = "3")]
    pub own_metrics: Option<TelemetryConnectionSettings>,
    /// For the agent's traces.
    #[prost(message, optional, tag = "4")]
    pub own_traces: Option<TelemetryConnectionSettings>,
    /// For the agent's logs.
    #[prost(message, optional, tag = "5")]
    pub own_logs: Option<TelemetryConnectionSettings>,
    /// By name.
    #[prost(btree_map = "string, message", tag = "6")]
    pub other_connections: BTreeMap<String, OtherConnectionSettings>,
}

/// For managers.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OpampConnectionSettings {
    /// A URL.
    #[prost(string, tag = "1")]
    pub destination_endpoint: String,
    /// To send with every request.
    #[prost(message, optional, tag = "2")]
    pub headers: Option<Headers>,
    /// A client certificate.
    #[prost(message, optional, tag = "3")]
    pub certificate: Option<TlsCertificate>,
    /// How often to poll; 0 leaves it as it is.
    #[prost(uint64, tag = "4")]
    pub heartbeat_interval_seconds: u64,
    /// What to accept of the manager.
    #[prost(message, optional, tag = "5")]
    pub tls: Option<TlsConnectionSettings>,
    /// A way through a proxy.
    #[prost(message, optional, tag = "6")]
    pub proxy: Option<ProxyConnectionSettings>,
}

/// For telemetry.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TelemetryConnectionSettings {
    /// A URL.
    #[prost(string, tag = "1")]
    pub destination_endpoint: String,
    /// To send with every request.
    #[prost(message, optional, tag = "2")]
    pub headers: Option<Headers>,
    /// A client certificate.
    #[prost(message, optional, tag = "3")]
    pub certificate: Option<TlsCertificate>,
    /// What to accept of the destination.
    #[prost(message, optional, tag = "4")]
    pub tls: Option<TlsConnectionSettings>,
    /// A way through a proxy.
    #[prost(message, optional, tag = "5")]
    pub proxy: Option<ProxyConnectionSettings>,
}

/// For anything else.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OtherConnectionSettings {
    /// A URL, or whatever names the destination.
    #[prost(string, tag = "1")]
    pub destination_endpoint: String,
    /// To send with every request.
    #[prost(message, optional, tag = "2")]
    pub headers: Option<Headers>,
    /// A client certificate.
    #[prost(message, optional, tag = "3")]
    pub certificate: Option<TlsCertificate>,
    /// What the agent makes of it is its own affair.
    #[prost(btree_map = "string, string", tag = "4")]
    pub other_settings: BTreeMap<String, String>,
    /// What to accept of the destination.
    #[prost(message, optional, tag = "5")]
    pub tls: Option<TlsConnectionSettings>,
    /// A way through a proxy.
    #[prost(message, optional, tag = "6")]
    pub proxy: Option<ProxyConnectionSettings>,
}

/// Fields of a request's head.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Headers {
    /// In order.
    #[prost(message, repeated, tag = "1")]
    pub headers: Vec<Header>,
}

/// A field of a request's head. Its value may be a secret, and is not printed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct Header {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header").field("key", &self.key).finish_non_exhaustive()
    }
}

/// A certificate and its key. The key is not printed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct TlsCertificate {
    /// PEM.
    #[prost(bytes = "vec", tag = "1")]
    pub cert: Vec<u8>,
    /// PEM.
    #[prost(bytes = "vec", tag = "2")]
    pub private_key: Vec<u8>,
    /// PEM, of who signed `cert`.
    #[prost(bytes = "vec", tag = "3")]
    pub ca_cert: Vec<u8>,
}

impl fmt::Debug for TlsCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsCertificate").field("cert", &self.cert).finish_non_exhaustive()
    }
}

/// What to accept of the other side.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TlsConnectionSettings {
    /// Certificates, as PEM. From our managers: the pin set, current before next.
    #[prost(string, tag = "1")]
    pub ca_pem_contents: String,
    /// Believe the system's authorities, too. Our agents never do.
    #[prost(bool, tag = "2")]
    pub include_system_ca_certs_pool: bool,
    /// Check nothing. Our agents never do that either.
    #[prost(bool, tag = "3")]
    pub insecure_skip_verify: bool,
    /// `1.2` if it is empty.
    #[prost(string, tag = "4")]
    pub min_version: String,
    /// No limit if it is empty.
    #[prost(string, tag = "5")]
    pub max_version: String,
    /// By name.
    #[prost(string, repeated, tag = "6")]
    pub cipher_suites: Vec<String>,
}

/// A way through a proxy.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ProxyConnectionSettings {
    /// A URL, or whatever names the proxy.
    #[prost(string, tag = "1")]
    pub url: String,
    /// To send with `CONNECT`.
    #[prost(message, optional, tag = "2")]
    pub connect_headers: Option<Headers>,
}

/// What became of the settings that were offered last.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConnectionSettingsStatus {
    /// The offer's `hash`.
    #[prost(bytes = "vec", tag = "1")]
    pub last_connection_settings_hash: Vec<u8>,
    /// What became of it.
    #[prost(enumeration = "ConnectionSettingsStatuses", tag = "2")]
    pub status: i32,
    /// Why it failed, if it did.
    #[prost(string, tag = "3")]
    pub error_message: String,
}

/// What became of connection settings that were offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum ConnectionSettingsStatuses {
    /// Nothing is said.
    Unset = 0,
    /// They are in use.
    Applied = 1,
    /// They are being tried.
    Applying = 2,
    /// They are not in use, and will not be.
    Failed = 3,
}
