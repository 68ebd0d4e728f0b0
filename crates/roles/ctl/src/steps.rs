//! What a supervisor says while it does something that takes several steps.

use std::io::{self, Write as _};
use std::time::Duration;

use anyhow::{Context as _, bail};
use mainstay_message::{MessageError, receive};
use mainstay_os::{Channel, ChannelError, now};
use mainstay_wire::upgrade::ToOperator;
use rustix::event::PollFlags;

use crate::ask::wait;

/// What it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Done {
        version: String,
    },
    Failed {
        reason: String,
    },
    /// The supervisor ended.
    Nothing,
}

/// Prints the steps as they happen. `patience` is for each of them.
pub(crate) fn follow(channel: &Channel, patience: Duration) -> anyhow::Result<Told> {
    let mut output = io::stdout().lock();
    let mut deadline = now() + patience;
    loop {
        match receive::<ToOperator>(channel) {
            Ok(Some((ToOperator::Step { sentence }, _))) => {
                writeln!(output, "{sentence}").context("cannot write to standard output")?;
                deadline = now() + patience;
            }
            Ok(Some((ToOperator::Done { version }, _))) => return Ok(Told::Done { version }),
            Ok(Some((ToOperator::Failed { reason }, _))) => return Ok(Told::Failed { reason }),
            Ok(None) => {
                let left = deadline.since(now());
                if left.is_zero() {
                    bail!(
                        "no step within {patience:?}; the log of the supervisor tells how far it is"
                    );
                }
                wait(channel, PollFlags::IN, left).context("cannot wait for the supervisor")?;
            }
            Err(MessageError::Channel { source: ChannelError::Closed }) => {
                return Ok(Told::Nothing);
            }
            Err(error) => return Err(error).context("cannot understand the supervisor"),
        }
    }
}
