//! How a message becomes a datagram: JSON, one value, one datagram, a length limit.
//!
//! JSON because these messages are few, and because an operator with `strace` or `socat` can
//! read them. The one channel that is on the path of a connection, the lane, has a binary
//! form of its own ([`crate::lane`]).

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version of every message in this crate. A peer with another one is refused.
pub const WIRE_VERSION: u32 = 5;

/// Largest message. A longer datagram is a protocol error, on both sides.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Most descriptors in one message: the kernel's own limit (`SCM_MAX_FD`).
pub const DESCRIPTORS_MAX: usize = 253;

/// A message of a channel. Those that travel without descriptors need say nothing more.
pub trait Message: Serialize + DeserializeOwned {
    /// How many descriptors travel with it; any other number is refused.
    fn descriptors(&self) -> usize {
        0
    }
}

/// Why a message could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("message of {bytes} bytes is over the limit of {MESSAGE_BYTES_MAX}")]
    TooLong { bytes: usize },

    #[error("cannot write message")]
    Encode { source: serde_json::Error },

    #[error("cannot read message")]
    Decode { source: serde_json::Error },

    #[error("message came with {found} descriptors, not {expected}")]
    Descriptors { found: usize, expected: usize },
}

/// Writes one message.
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, FrameError> {
    let bytes = serde_json::to_vec(message).map_err(|source| FrameError::Encode { source })?;
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(FrameError::TooLong { bytes: bytes.len() });
    }
    Ok(bytes)
}

/// Reads one message. What is not one is refused whole.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, FrameError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(FrameError::TooLong { bytes: bytes.len() });
    }
    serde_json::from_slice(bytes).map_err(|source| FrameError::Decode { source })
}
