//! `org.mainstay.enrol/v1`: how a host becomes an agent, and how a clone becomes another one.
//!
//! ```text
//!   host    Request { secret, public_key, fingerprint } ──▶      manager: is the token good?
//!           ◀── Enrolled { next_sequence, chain, group }      row made, committed
//!   clone   a Batch with a token that was used already ──▶       manager: fork, another host
//!           ◀── AgentIdentification, Invite { secret, group }    the clone makes a key, enrols
//! ```
//!
//! The request is signed with the key that it brings. The manager checks the signature against
//! that key: it proves that who enrols holds it, and the secret proves that it may.
//! With the secret left out, a registered agent asks to be registered anew (`reregister`): it
//! keeps its name, and the signature is checked against the key in the database.

use std::fmt;

use crate::message::CustomMessage;
use crate::wire::{self, DecodeError};

/// The name of this capability.
pub const CAPABILITY: &str = "org.mainstay.enrol/v1";

/// The `type` of a [`Request`].
pub const REQUEST: &str = "request";

/// The `type` of an [`Enrolled`].
pub const ENROLLED: &str = "enrolled";

/// The `type` of an [`Invite`].
pub const INVITE: &str = "invite";

/// The bytes of an Ed25519 public key.
pub const PUBLIC_KEY_BYTES: usize = 32;

/// The most bytes of a token's secret.
pub const SECRET_BYTES_MAX: usize = 64;

/// The most bytes of the name of a group or of a host.
pub const NAME_BYTES_MAX: usize = 253;

/// A host asks to become an agent. The secret is not printed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct Request {
    /// Of the enrolment token; empty to register anew.
    #[prost(bytes = "vec", tag = "1")]
    pub secret: Vec<u8>,
    /// Ed25519, [`PUBLIC_KEY_BYTES`].
    #[prost(bytes = "vec", tag = "2")]
    pub public_key: Vec<u8>,
    /// What the host is recognised by, if two agents claim one name.
    #[prost(bytes = "vec", tag = "3")]
    pub host_fingerprint: Vec<u8>,
    /// The host's name, for people.
    #[prost(string, tag = "4")]
    pub host_name: String,
    /// The group that the token named; empty leaves it to the manager.
    #[prost(string, tag = "5")]
    pub group: String,
}

/// The host is an agent.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Enrolled {
    /// Which database it is registered with.
    #[prost(string, tag = "1")]
    pub database: String,
    /// The group that it is in.
    #[prost(string, tag = "2")]
    pub group: String,
    /// The next request has this number.
    #[prost(uint64, tag = "3")]
    pub next_sequence: u64,
    /// What the next request gives as `nonce`.
    #[prost(bytes = "vec", tag = "4")]
    pub chain: Vec<u8>,
}

/// A clone may enrol under another name. The secret is not printed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct Invite {
    /// Good for one enrolment; empty if an operator has to approve first.
    #[prost(bytes = "vec", tag = "1")]
    pub secret: Vec<u8>,
    /// The group to enrol into.
    #[prost(string, tag = "2")]
    pub group: String,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("public_key", &self.public_key)
            .field("host_fingerprint", &self.host_fingerprint)
            .field("host_name", &self.host_name)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invite").field("group", &self.group).finish_non_exhaustive()
    }
}

impl Request {
    /// As the custom message of a request.
    #[must_use]
    pub fn to_message(&self) -> CustomMessage {
        wire::custom(CAPABILITY, REQUEST, self)
    }

    /// The enrolment in a request's custom message; nothing if it is another message.
    ///
    /// # Errors
    ///
    /// If it does not decode, or breaks a limit of this module.
    pub fn from_message(message: &CustomMessage) -> Result<Option<Self>, DecodeError> {
        if !wire::is(message, CAPABILITY, REQUEST) {
            return Ok(None);
        }
        let request: Self = wire::plain("an enrolment", &message.data)?;
        wire::at_most("the secret of a token", request.secret.len(), SECRET_BYTES_MAX)?;
        wire::exactly("a public key", &request.public_key, PUBLIC_KEY_BYTES)?;
        let fingerprint = request.host_fingerprint.len();
        wire::at_most("the fingerprint", fingerprint, crate::events::FINGERPRINT_BYTES_MAX)?;
        wire::at_most("the name of the host", request.host_name.len(), NAME_BYTES_MAX)?;
        wire::at_most("the name of the group", request.group.len(), NAME_BYTES_MAX)?;
        Ok(Some(request))
    }
}

impl Enrolled {
    /// As the custom message of an answer.
    #[must_use]
    pub fn to_message(&self) -> CustomMessage {
        wire::custom(CAPABILITY, ENROLLED, self)
    }

    /// The outcome in an answer's custom message; nothing if it is another message.
    ///
    /// # Errors
    ///
    /// If it does not decode, or breaks a limit of this module.
    pub fn from_message(message: &CustomMessage) -> Result<Option<Self>, DecodeError> {
        if !wire::is(message, CAPABILITY, ENROLLED) {
            return Ok(None);
        }
        let enrolled: Self = wire::plain("the outcome of an enrolment", &message.data)?;
        wire::at_most("the name of the database", enrolled.database.len(), NAME_BYTES_MAX)?;
        wire::at_most("the name of the group", enrolled.group.len(), NAME_BYTES_MAX)?;
        let chain = enrolled.chain.len();
        wire::at_most("the token of the next exchange", chain, crate::events::CHAIN_BYTES_MAX)?;
        Ok(Some(enrolled))
    }
}

impl Invite {
    /// As the custom message of an answer.
    #[must_use]
    pub fn to_message(&self) -> CustomMessage {
        wire::custom(CAPABILITY, INVITE, self)
    }

    /// The invitation in an answer's custom message; nothing if it is another message.
    ///
    /// # Errors
    ///
    /// If it does not decode, or breaks a limit of this module.
    pub fn from_message(message: &CustomMessage) -> Result<Option<Self>, DecodeError> {
        if !wire::is(message, CAPABILITY, INVITE) {
            return Ok(None);
        }
        let invite: Self = wire::plain("an invitation", &message.data)?;
        wire::at_most("the secret of a token", invite.secret.len(), SECRET_BYTES_MAX)?;
        wire::at_most("the name of the group", invite.group.len(), NAME_BYTES_MAX)?;
        Ok(Some(invite))
    }
}
