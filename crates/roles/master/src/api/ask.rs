//! A question to the loop, as any operator asks it, and its replies as they come.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::time::Duration;

use mainstay_message::{MessageError, receive, send};
use mainstay_model::Chain;
use mainstay_os::Channel;
use mainstay_wire::command::{Command, Reply};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::Api;
use super::problem::Problem;

/// How long the loop may take for what it knows.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Why the loop did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("the master's loop cannot be reached")]
    Connect { source: io::Error },

    #[error("cannot talk to the master's loop")]
    Message { source: MessageError },

    #[error("the master's loop did not answer within {limit:?}")]
    Silent { limit: Duration },

    #[error("cannot wait for the master's loop")]
    Wait { source: io::Error },
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        Self::unavailable(Chain(&error).to_string())
    }
}

/// A question that was asked.
#[derive(Debug)]
pub(super) struct Conversation {
    channel: Channel,
    /// The same socket, as the runtime can watch it without `unsafe`: it is never read as a stream.
    watched: UnixStream,
}

impl Conversation {
    /// Asks. Nothing waits: a channel that was just made has room.
    pub(super) fn begin(
        run: &Path,
        command: &Command,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Self, AskError> {
        let channel = Channel::connect(&run.join("admin.sock"))
            .map_err(|source| AskError::Connect { source })?;
        send(&channel, command, descriptors).map_err(|source| AskError::Message { source })?;
        let watch = |channel: &Channel| {
            UnixStream::from_std(StdUnixStream::from(OwnedFd::from(channel.try_clone()?)))
        };
        let watched = watch(&channel).map_err(|source| AskError::Wait { source })?;
        Ok(Self { channel, watched })
    }

    /// The next reply. Dropped while it waits, it loses none.
    pub(super) async fn next(&mut self, limit: Duration) -> Result<Reply, AskError> {
        loop {
            let readable = timeout(limit, self.watched.readable()).await;
            readable
                .map_err(|_elapsed| AskError::Silent { limit })?
                .map_err(|source| AskError::Wait { source })?;
            let received =
                self.watched.try_io(Interest::READABLE, || match receive(&self.channel) {
                    Ok(Some((reply, _))) => Ok(Ok(reply)),
                    Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
                    Err(source) => Ok(Err(source)),
                });
            match received {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(source)) => return Err(AskError::Message { source }),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(source) => return Err(AskError::Wait { source }),
            }
        }
    }
}

impl Api {
    /// Asks the loop for what it knows.
    pub(super) async fn ask(&self, command: &Command) -> Result<Reply, AskError> {
        Conversation::begin(&self.run, command, &[])?.next(ANSWER_LIMIT).await
    }
}
