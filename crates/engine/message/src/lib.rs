//! Typed messages on channels: what every process uses to talk to the others.
//!
//! `mainstay-wire` says what a message is, `mainstay-os` carries datagrams; here the two meet.
//!
//! # Invariants
//!
//! 1. A message comes with exactly the descriptors that belong to it, or is refused whole.
//! 2. Whoever is lost is looked for until found ([`Link`]).
//! 3. What a supervisor is told it has written down, or it is told again ([`News`]).
//! 4. A line is read whole or not at all, and has a limit ([`Lines`]).
//!
//! # Not here
//!
//! What a message means, and what to do when it does not pass: the roles.

#![forbid(unsafe_code)]

mod lines;
mod link;
mod news;
mod whereabouts;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use mainstay_os::{Channel, ChannelError};
use mainstay_wire::frame::{FrameError, MESSAGE_BYTES_MAX, Message, decode, encode};

pub use lines::{Lines, LinesError};
pub use link::Link;
pub use news::News;
pub use whereabouts::{noted, pid_file, running};

/// Why a message was not sent or not received.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    #[error("cannot use the channel")]
    Channel { source: ChannelError },

    #[error("cannot write or read the message")]
    Frame { source: FrameError },
}

/// Sends one message with its descriptors, or says that the other side is full or gone.
pub fn send<M: Message>(
    channel: &Channel,
    message: &M,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), MessageError> {
    let bytes = encode(message).map_err(|source| MessageError::Frame { source })?;
    channel.send(&bytes, descriptors).map_err(|source| MessageError::Channel { source })
}

/// The same, waiting up to `limit` for room.
pub fn send_within<M: Message>(
    channel: &Channel,
    message: &M,
    descriptors: &[BorrowedFd<'_>],
    limit: Duration,
) -> Result<(), MessageError> {
    let bytes = encode(message).map_err(|source| MessageError::Frame { source })?;
    let sent = channel.send_within(&bytes, descriptors, limit);
    sent.map_err(|source| MessageError::Channel { source })
}

/// The next message with its descriptors; `None` when there is none now.
pub fn receive<M: Message>(channel: &Channel) -> Result<Option<(M, Vec<OwnedFd>)>, MessageError> {
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    let received =
        channel.receive(&mut buffer).map_err(|source| MessageError::Channel { source })?;
    let Some(received) = received else { return Ok(None) };
    let frame = |source| MessageError::Frame { source };
    let bytes = buffer.get(..received.bytes).unwrap_or_default();
    let message: M = decode(bytes).map_err(frame)?;
    let (found, expected) = (received.descriptors.len(), message.descriptors());
    if found != expected {
        return Err(frame(FrameError::Descriptors { found, expected }));
    }
    Ok(Some((message, received.descriptors)))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use mainstay_wire::estate::{ToHeir, ToKeeper};

    use super::*;

    #[test]
    fn a_message_passes_with_its_descriptors() {
        let (near, far) = Channel::pair().unwrap();
        assert!(receive::<ToKeeper>(&far).unwrap().is_none());
        send(&near, &ToKeeper::Claim { pid: 7 }, &[near.as_fd()]).unwrap();
        let (message, descriptors) = receive::<ToKeeper>(&far).unwrap().unwrap();
        assert_eq!((message, descriptors.len()), (ToKeeper::Claim { pid: 7 }, 1));
    }

    #[test]
    fn another_number_of_descriptors_is_refused_and_so_is_another_message() {
        let (near, far) = Channel::pair().unwrap();
        let claim = ToKeeper::Claim { pid: 7 };
        for descriptors in [vec![], vec![near.as_fd(); 2]] {
            send(&near, &claim, &descriptors).unwrap();
            let refused = receive::<ToKeeper>(&far);
            let count = FrameError::Descriptors { found: descriptors.len(), expected: 1 };
            assert!(
                matches!(&refused, Err(MessageError::Frame { source }) if source.to_string() == count.to_string()),
                "{refused:?}"
            );
        }
        send(&near, &claim, &[near.as_fd()]).unwrap();
        let refused = receive::<ToHeir>(&far);
        assert!(matches!(refused, Err(MessageError::Frame { .. })), "{refused:?}");
    }

    #[test]
    fn the_end_of_a_channel_is_told() {
        let (near, far) = Channel::pair().unwrap();
        drop(near);
        let ended = receive::<ToHeir>(&far);
        assert!(
            matches!(ended, Err(MessageError::Channel { source: ChannelError::Closed })),
            "{ended:?}"
        );
    }
}
