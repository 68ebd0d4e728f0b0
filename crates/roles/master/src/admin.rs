//! What an operator asks at `admin.sock`: one command, one reply, and the end.

use std::time::Duration;

use anyhow::Context as _;
use mainstay_message::{MessageError, receive, send};
use mainstay_model::{Chain, Timestamp};
use mainstay_os::{Channel, Interest, now};
use mainstay_wire::command::{Command, Reply};
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use tracing::{debug, warn};

use crate::apply::Asker;
use crate::proposal::Purpose;
use crate::token::Token;
use crate::turn::Master;

/// How long an operator may take to ask.
const LIMIT: Duration = Duration::from_secs(5);

/// Most operators at a time.
const OPERATORS_MAX: usize = 64;

/// Who came in and has not asked yet.
#[derive(Debug, Default)]
pub(crate) struct Operators {
    waiting: Vec<Operator>,
    seen: u32,
}

#[derive(Debug)]
struct Operator {
    number: u32,
    channel: Channel,
    until: Timestamp,
}

impl Operators {
    /// Lets go of who took too long.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        self.waiting.retain(|operator| operator.until > now);
    }
}

impl Master {
    /// Lets in whoever is at the operators' door.
    pub(crate) fn let_operators_in(&mut self) -> anyhow::Result<()> {
        loop {
            let Some(doors) = &self.doors else { return Ok(()) };
            let Some(channel) = doors.admin.accept().context("cannot accept an operator")? else {
                return Ok(());
            };
            if self.operators.waiting.len() >= OPERATORS_MAX {
                warn!("too many connections at admin.sock, one was closed");
                continue;
            }
            if !is_permitted(&channel) {
                warn!("connection at admin.sock of another user was closed");
                continue;
            }
            self.operators.seen = self.operators.seen.wrapping_add(1);
            let number = self.operators.seen;
            self.poller
                .add(&channel, Token::Operator(number).number(), Interest::ReadLevel)
                .context("cannot watch an operator")?;
            self.operators.waiting.push(Operator { number, channel, until: now() + LIMIT });
        }
    }

    /// The channel of an operator whose answer takes time.
    fn take_operator(&mut self, index: usize) -> anyhow::Result<Channel> {
        let Operator { channel, .. } = self.operators.waiting.remove(index);
        self.poller.remove(&channel).context("cannot stop watching an operator")?;
        Ok(channel)
    }

    /// Answers an operator.
    pub(crate) fn answer_operator(&mut self, number: u32) -> anyhow::Result<()> {
        let is_asking = |operator: &Operator| operator.number == number;
        let Some(index) = self.operators.waiting.iter().position(is_asking) else { return Ok(()) };
        let Some(operator) = self.operators.waiting.get(index) else { return Ok(()) };
        let reply = match receive(&operator.channel) {
            Ok(None) => return Ok(()),
            Ok(Some((Command::Status, _))) => Some(Reply::Status(self.status())),
            Ok(Some((Command::Generations, _))) => Some(self.kept_generations()),
            Ok(Some((Command::Apply { confirm_ms }, files))) => {
                let operator = self.take_operator(index)?;
                let Some(file) = files.into_iter().next() else { return Ok(()) };
                let confirm = confirm_ms.map(Duration::from_millis);
                return self.propose(operator, file, Purpose::Apply { confirm });
            }
            Ok(Some((Command::Compare, files))) => {
                let operator = self.take_operator(index)?;
                let Some(file) = files.into_iter().next() else { return Ok(()) };
                return self.propose(operator, file, Purpose::Compare);
            }
            Ok(Some((Command::Rollback { generation }, _))) => {
                let operator = Asker::Operator(self.take_operator(index)?);
                return self.roll_back(operator, generation);
            }
            Ok(Some((Command::Health, connections))) => {
                Some(self.hand_over_own(connections.into_iter().next()))
            }
            Err(MessageError::Frame { source }) => {
                Some(Reply::Refused { reason: Chain(&source).to_string() })
            }
            Err(MessageError::Channel { .. }) => None,
        };
        // Its channel is closed when it goes out of scope: nobody else holds it.
        let operator = self.operators.waiting.remove(index);
        if let Some(reply) = reply
            && let Err(error) = send(&operator.channel, &reply, &[])
        {
            debug!(error = %Chain(&error), "cannot answer an operator");
        }
        Ok(())
    }
}

/// The user that we run as, and root.
fn is_permitted(channel: &Channel) -> bool {
    socket_peercred(channel)
        .is_ok_and(|credentials| credentials.uid.is_root() || credentials.uid == geteuid())
}
