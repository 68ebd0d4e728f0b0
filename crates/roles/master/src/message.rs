//! Messages on the channels to the other processes, typed.

use std::os::fd::{BorrowedFd, OwnedFd};

use mainstay_os::{Channel, ChannelError};
use mainstay_wire::frame::{FrameError, MESSAGE_BYTES_MAX, decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a message was not sent or not understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MessageError {
    #[error("cannot use the channel")]
    Channel { source: ChannelError },

    #[error("cannot write or read the message")]
    Frame { source: FrameError },
}

/// The next message, with the descriptors that `expected` says belong to it; `None` when
/// there is none now.
pub(crate) fn receive<M: DeserializeOwned>(
    channel: &Channel,
    expected: impl FnOnce(&M) -> usize,
) -> Result<Option<(M, Vec<OwnedFd>)>, MessageError> {
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    let received =
        channel.receive(&mut buffer).map_err(|source| MessageError::Channel { source })?;
    let Some(received) = received else { return Ok(None) };
    let frame = |source| MessageError::Frame { source };
    let message: M = decode(buffer.get(..received.bytes).unwrap_or_default()).map_err(frame)?;
    let (found, expected) = (received.descriptors.len(), expected(&message));
    if found != expected {
        return Err(frame(FrameError::Descriptors { found, expected }));
    }
    Ok(Some((message, received.descriptors)))
}

/// Sends one message with its descriptors.
pub(crate) fn send<M: Serialize>(
    channel: &Channel,
    message: &M,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), MessageError> {
    let bytes = encode(message).map_err(|source| MessageError::Frame { source })?;
    channel.send(&bytes, descriptors).map_err(|source| MessageError::Channel { source })
}
