//! `org.mainstay.events/v1`: an agent's events, delivered exactly once, and the token of its
//! next exchange.
//!
//! OpAMP moves states, not events. So an agent of ours puts a [`Batch`] into the custom message
//! of every request, without events if it has none, and finds an [`Ack`] in the answer.
//!
//! ```text
//!   agent   Batch { stream, first_seq: 8, events: [8, 9, 10] } ──▶   manager, cursor 7
//!           ◀── Ack { stream, durable_through: 10 }                  cursor 10, committed
//! ```
//!
//! # Invariants
//!
//! 1. Events of a stream are numbered from 1 without gaps; the first of a batch has `first_seq`.
//! 2. `durable_through` is what the database holds at the commit: the agent may forget it.
//! 3. A batch that begins behind the cursor is taken from the cursor on; one that begins after a
//!    gap is not taken, and the answer says where the cursor stands.
//! 4. A stream is named by 16 random bytes, made with the queue on the agent's disk. Another
//!    queue is another stream, and numbers from 1.

use crate::message::CustomMessage;
use crate::wire::{self, DecodeError};

/// The name of this capability.
pub const CAPABILITY: &str = "org.mainstay.events/v1";

/// The `type` of a [`Batch`].
pub const BATCH: &str = "batch";

/// The `type` of an [`Ack`].
pub const ACK: &str = "ack";

/// The most events in a batch.
pub const BATCH_EVENTS_MAX: usize = 4096;

/// The most bytes of one event's text.
pub const EVENT_BYTES_MAX: usize = 64 * 1024;

/// The bytes of a stream's name.
pub const STREAM_BYTES: usize = 16;

/// The most bytes of a host's fingerprint.
pub const FINGERPRINT_BYTES_MAX: usize = 64;

/// The most bytes of the token of the next exchange.
pub const CHAIN_BYTES_MAX: usize = 128;

/// The most bytes of the word that says what kind of event it is.
pub const KIND_BYTES_MAX: usize = 128;

/// Events of an agent, and the host that it runs on.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Batch {
    /// The queue on the agent's disk: [`STREAM_BYTES`] random bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub stream: Vec<u8>,
    /// The number of the first event; of the next one to come if there is none.
    #[prost(uint64, tag = "2")]
    pub first_seq: u64,
    /// In order, at most [`BATCH_EVENTS_MAX`].
    #[prost(message, repeated, tag = "3")]
    pub events: Vec<Event>,
    /// What the host is recognised by, if two agents claim one name.
    #[prost(bytes = "vec", tag = "4")]
    pub host_fingerprint: Vec<u8>,
    /// How many events the agent had to drop from this stream before `first_seq` since the last
    /// answer, because its queue was full. They have no numbers.
    #[prost(uint64, tag = "5")]
    pub dropped: u64,
}

/// One event.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Event {
    /// When it happened by the agent's clock, in µs since 1970. For people; nothing is decided by it.
    #[prost(uint64, tag = "1")]
    pub unix_us: u64,
    /// How bad it is.
    #[prost(enumeration = "Severity", tag = "2")]
    pub severity: i32,
    /// What happened, in a word: `failover`, `manager-switched`, …
    #[prost(string, tag = "3")]
    pub kind: String,
    /// One JSON object, at most [`EVENT_BYTES_MAX`].
    #[prost(string, tag = "4")]
    pub body: String,
}

/// How bad an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Severity {
    /// Something happened.
    Info = 0,
    /// Something is not as it should be.
    Warning = 1,
    /// Somebody should act.
    Critical = 2,
}

/// What a manager took, and the token of the next exchange.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Ack {
    /// The stream of the batch.
    #[prost(bytes = "vec", tag = "1")]
    pub stream: Vec<u8>,
    /// The highest number that the database holds; 0 if it holds none of this stream.
    #[prost(uint64, tag = "2")]
    pub durable_through: u64,
    /// Send no events for this long, in ms; 0 for no wait.
    #[prost(uint64, tag = "3")]
    pub hold_ms: u64,
    /// What the next request gives as `nonce`; written to disk before the answer is acted on.
    #[prost(bytes = "vec", tag = "4")]
    pub chain: Vec<u8>,
}

impl Batch {
    /// As the custom message of a request.
    #[must_use]
    pub fn to_message(&self) -> CustomMessage {
        wire::custom(CAPABILITY, BATCH, self)
    }

    /// The batch in a request's custom message; nothing if it is another capability's message.
    ///
    /// # Errors
    ///
    /// If it does not decode, or breaks a limit of this module.
    pub fn from_message(message: &CustomMessage) -> Result<Option<Self>, DecodeError> {
        if !wire::is(message, CAPABILITY, BATCH) {
            return Ok(None);
        }
        wire::count("events of a batch", &message.data, 3, BATCH_EVENTS_MAX)?;
        let batch: Self = wire::plain("a batch", &message.data)?;
        wire::exactly("the name of a stream", &batch.stream, STREAM_BYTES)?;
        wire::at_most("the fingerprint", batch.host_fingerprint.len(), FINGERPRINT_BYTES_MAX)?;
        if batch.first_seq == 0 {
            return Err(DecodeError::SequenceFromZero);
        }
        let length = u64::try_from(batch.events.len()).unwrap_or(u64::MAX);
        if batch.first_seq.checked_add(length).is_none() {
            return Err(DecodeError::SequenceEnds);
        }
        for event in &batch.events {
            wire::at_most("the text of an event", event.body.len(), EVENT_BYTES_MAX)?;
            wire::at_most("the kind of an event", event.kind.len(), KIND_BYTES_MAX)?;
        }
        Ok(Some(batch))
    }

    /// The number of the last event; one less than `first_seq` if there is none.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        let length = u64::try_from(self.events.len()).unwrap_or(u64::MAX);
        self.first_seq.saturating_add(length).saturating_sub(1)
    }
}

impl Ack {
    /// As the custom message of an answer.
    #[must_use]
    pub fn to_message(&self) -> CustomMessage {
        wire::custom(CAPABILITY, ACK, self)
    }

    /// The ack in an answer's custom message; nothing if it is another capability's message.
    ///
    /// # Errors
    ///
    /// If it does not decode, or breaks a limit of this module.
    pub fn from_message(message: &CustomMessage) -> Result<Option<Self>, DecodeError> {
        if !wire::is(message, CAPABILITY, ACK) {
            return Ok(None);
        }
        let ack: Self = wire::plain("an ack", &message.data)?;
        wire::exactly("the name of a stream", &ack.stream, STREAM_BYTES)?;
        wire::at_most("the token of the next exchange", ack.chain.len(), CHAIN_BYTES_MAX)?;
        Ok(Some(ack))
    }
}
