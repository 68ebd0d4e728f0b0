//! Sending and receiving whole messages.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use mainstay_os::{Channel, ChannelError};
use mainstay_wire::frame::{self, FrameError, MESSAGE_BYTES_MAX};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How long a peer that takes nothing is waited for.
const SEND_LIMIT: Duration = Duration::from_millis(200);

/// Why a message did not pass.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MessageError {
    #[error("cannot pass a message")]
    Channel { source: ChannelError },

    #[error("cannot understand a message")]
    Frame { source: FrameError },
}

/// Sends one message.
pub(crate) fn send<M: Serialize>(
    channel: &Channel,
    message: &M,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), MessageError> {
    let bytes = frame::encode(message).map_err(|source| MessageError::Frame { source })?;
    channel
        .send_within(&bytes, descriptors, SEND_LIMIT)
        .map_err(|source| MessageError::Channel { source })
}

/// Receives one message, if there is one.
pub(crate) fn receive<M: DeserializeOwned>(
    channel: &Channel,
) -> Result<Option<(M, Vec<OwnedFd>)>, MessageError> {
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    let received =
        channel.receive(&mut buffer).map_err(|source| MessageError::Channel { source })?;
    let Some(received) = received else { return Ok(None) };
    let bytes = buffer.get(..received.bytes).unwrap_or_default();
    let message = frame::decode(bytes).map_err(|source| MessageError::Frame { source })?;
    Ok(Some((message, received.descriptors)))
}
