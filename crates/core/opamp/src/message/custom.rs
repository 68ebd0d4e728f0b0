//! Messages beyond OpAMP's own. At most one travels in a request or in an answer.

/// Names of capabilities beyond OpAMP's own.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CustomCapabilities {
    /// Reversed domain names, with a version.
    #[prost(string, repeated, tag = "1")]
    pub capabilities: Vec<String>,
}

/// A message of such a capability.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CustomMessage {
    /// Whose message this is.
    #[prost(string, tag = "1")]
    pub capability: String,
    /// Which of its messages.
    #[prost(string, tag = "2")]
    pub r#type: String,
    /// In the form that the capability lays down.
    #[prost(bytes = "vec", tag = "3")]
    pub data: Vec<u8>,
}

impl CustomCapabilities {
    /// The names that this build knows.
    #[must_use]
    pub fn ours() -> Self {
        let capabilities = [crate::events::CAPABILITY, crate::enrol::CAPABILITY];
        Self { capabilities: capabilities.map(str::to_owned).to_vec() }
    }

    /// Whether a capability is among them.
    #[must_use]
    pub fn has(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|name| name == capability)
    }
}
