//! What agents and managers say to each other: the messages of OpAMP 0.18, and two capabilities
//! of our own in it.
//!
//! ```text
//!   agent ── POST /v1/opamp, AgentToServer ──▶ manager
//!         ◀── 200, ServerToAgent ────────────
//! ```
//!
//! | module | content |
//! | --- | --- |
//! | [`message`] | OpAMP's messages, by their field numbers |
//! | [`capability`] | what each side may say that it can do |
//! | [`events`] | `org.mainstay.events/v1`: events of a gateway, exactly once |
//! | [`enrol`] | `org.mainstay.enrol/v1`: how a host becomes an agent |
//! | [`renewal`] | an agent is to replace its key |
//! | [`token`] | an enrolment token: list, certificates, group and secret in one string |
//! | [`refusal`] | why a manager did not carry out an exchange, for a machine to act on |
//! | [`wire`] | encoding and decoding, within limits |
//!
//! # Invariants
//!
//! 1. Bytes become a message only through [`wire`], so that no message is decoded that takes
//!    many times the memory of its bytes.
//! 2. A field that is not known is ignored, as OpAMP asks: newer agents talk to older managers.
//!
//! # Not here
//!
//! HTTP, signatures (`mainstay-trust`), and what a manager or an agent makes of a message.
//!
//! Source: the OpAMP specification, version 0.18, its tables of fields.

#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

pub mod capability;
pub mod enrol;
pub mod events;
pub mod message;
pub mod refusal;
pub mod renewal;
pub mod token;
pub mod wire;

pub use message::{AgentToServer, ServerToAgent};

/// Where a manager is reached, unless its operator says otherwise.
pub const PATH: &str = "/v1/opamp";

/// The media type of both messages.
pub const CONTENT_TYPE: &str = "application/x-protobuf";

/// The request header that names the agent, for balancers and logs; the signature covers it.
pub const INSTANCE_UID_HEADER: &str = "opamp-instance-uid";
