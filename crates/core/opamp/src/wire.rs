//! Encoding and decoding of messages, within limits.
//!
//! A decoder that makes a value of every field lets two bytes become sixty: four megabytes of
//! empty attributes would take a quarter of a gigabyte. So the fields of the outermost message
//! are walked first, without making anything: each has a limit of its own, and the parts of
//! which many small things are made have small ones.
//!
//! # Invariants
//!
//! 1. No message takes more memory than a small multiple of [`MESSAGE_BYTES_MAX`].
//! 2. What nests is refused at the depth that `prost` allows (100).

use mainstay_model::{InstanceUid, InstanceUidError};
use prost::Message;

use crate::message::{AgentToServer, CustomMessage, ServerToAgent};

mod scan;

pub use scan::ScanError;
use scan::{Field, fields};

/// The most bytes of a message, either way.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most bytes of a part that is made of attributes, names and states.
pub const PART_BYTES_MAX: usize = 256 * 1024;

/// The most fields of the outermost message; a part that is given twice is merged.
const FIELDS_MAX: usize = 64;

/// Why bytes are no message.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The message or a part of it has too many bytes, or too many things in it.
    #[error("{what} is limited to {limit}, and has {found}")]
    TooMuch {
        /// What is limited.
        what: &'static str,
        /// How many bytes or things it may have.
        limit: usize,
        /// How many it has, or more than the limit.
        found: usize,
    },
    /// A part has not the length that it must have.
    #[error("{what} has {expected} bytes, not {found}")]
    Length {
        /// What has a length.
        what: &'static str,
        /// How many bytes it must have.
        expected: usize,
        /// How many it has.
        found: usize,
    },
    /// The bytes do not have the form of fields.
    #[error("{what} is not protobuf")]
    Form {
        /// What was decoded.
        what: &'static str,
        /// Where it went wrong.
        source: ScanError,
    },
    /// The fields are not those of the message.
    #[error("{what} cannot be decoded")]
    Fields {
        /// What was decoded.
        what: &'static str,
        /// Which field it was.
        source: prost::DecodeError,
    },
    /// The sender's name is none.
    #[error("the message does not name its agent")]
    Uid {
        /// What is wrong with it.
        source: InstanceUidError,
    },
    /// Events are numbered from 1.
    #[error("events are numbered from 1, not from 0")]
    SequenceFromZero,
    /// More events than there are numbers.
    #[error("the numbers of events end")]
    SequenceEnds,
}

/// An agent's request, and who it says it is.
///
/// # Errors
///
/// If it is too long, does not decode, or does not name its agent.
pub fn decode_request(bytes: &[u8]) -> Result<(InstanceUid, AgentToServer), DecodeError> {
    let message: AgentToServer = outermost("the request", bytes, request_limit)?;
    let uid = InstanceUid::try_from(message.instance_uid.as_slice())
        .map_err(|source| DecodeError::Uid { source })?;
    Ok((uid, message))
}

/// A manager's answer.
///
/// # Errors
///
/// If it is too long or does not decode.
pub fn decode_answer(bytes: &[u8]) -> Result<ServerToAgent, DecodeError> {
    outermost("the answer", bytes, answer_limit)
}

/// A message as bytes: a request or an answer.
#[must_use]
pub fn encode(message: &impl Message) -> Vec<u8> {
    message.encode_to_vec()
}

/// What a field of a request may have. Bytes that stay bytes may fill the message.
const fn request_limit(number: u32) -> (&'static str, usize) {
    match number {
        3 => ("the description of the agent", PART_BYTES_MAX),
        5 => ("the health of the agent", PART_BYTES_MAX),
        6 => ("the effective configuration", MESSAGE_BYTES_MAX),
        8 => ("the states of packages", PART_BYTES_MAX),
        12 => ("the list of capabilities", PART_BYTES_MAX / 16),
        13 => ("the custom message", MESSAGE_BYTES_MAX),
        14 => ("the list of components", PART_BYTES_MAX),
        // Small by their nature: names, hashes, a sentence.
        _ => ("a field of the request", PART_BYTES_MAX / 4),
    }
}

/// What a field of an answer may have.
const fn answer_limit(number: u32) -> (&'static str, usize) {
    match number {
        3 => ("the configuration", MESSAGE_BYTES_MAX),
        4 => ("the connection settings", PART_BYTES_MAX),
        5 => ("the list of packages", PART_BYTES_MAX),
        10 => ("the list of capabilities", PART_BYTES_MAX / 16),
        11 => ("the custom message", MESSAGE_BYTES_MAX),
        _ => ("a field of the answer", PART_BYTES_MAX / 4),
    }
}

fn outermost<M: Message + Default>(
    what: &'static str,
    bytes: &[u8],
    limit: fn(u32) -> (&'static str, usize),
) -> Result<M, DecodeError> {
    at_most(what, bytes.len(), MESSAGE_BYTES_MAX)?;
    // What stands in one field twice is merged, so the limits hold for the sum.
    let mut sums = [0_usize; 16];
    for (index, field) in fields(bytes).enumerate() {
        at_most("the number of fields", index + 1, FIELDS_MAX)?;
        let Field { number, content } =
            field.map_err(|source| DecodeError::Form { what, source })?;
        let (part, bytes_max) = limit(number);
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        let sum = match sums.get_mut(place) {
            Some(sum) => {
                *sum = sum.saturating_add(content.len());
                *sum
            }
            // Not a field of ours; it is skipped.
            None => content.len(),
        };
        at_most(part, sum, bytes_max)?;
    }
    M::decode(bytes).map_err(|source| DecodeError::Fields { what, source })
}

/// A message of a capability, once its repeated parts were counted.
pub(crate) fn plain<M: Message + Default>(
    what: &'static str,
    bytes: &[u8],
) -> Result<M, DecodeError> {
    M::decode(bytes).map_err(|source| DecodeError::Fields { what, source })
}

/// Refuses bytes in which field `number` stands more than `limit` times.
pub(crate) fn count(
    what: &'static str,
    bytes: &[u8],
    number: u32,
    limit: usize,
) -> Result<(), DecodeError> {
    let mut found = 0;
    for field in fields(bytes) {
        let field = field.map_err(|source| DecodeError::Form { what, source })?;
        if field.number == number {
            found += 1;
            at_most(what, found, limit)?;
        }
    }
    Ok(())
}

pub(crate) const fn at_most(
    what: &'static str,
    found: usize,
    limit: usize,
) -> Result<(), DecodeError> {
    if found > limit { Err(DecodeError::TooMuch { what, limit, found }) } else { Ok(()) }
}

pub(crate) const fn exactly(
    what: &'static str,
    bytes: &[u8],
    expected: usize,
) -> Result<(), DecodeError> {
    let found = bytes.len();
    if found == expected { Ok(()) } else { Err(DecodeError::Length { what, expected, found }) }
}

pub(crate) fn custom(capability: &str, r#type: &str, message: &impl Message) -> CustomMessage {
    CustomMessage {
        capability: capability.to_owned(),
        r#type: r#type.to_owned(),
        data: message.encode_to_vec(),
    }
}

pub(crate) fn is(message: &CustomMessage, capability: &str, r#type: &str) -> bool {
    message.capability == capability && message.r#type == r#type
}

#[cfg(test)]
mod tests;
