//! The channel to broadcast: what it is told of our decisions, and what it asks of us.

use anyhow::Context as _;
use mainstay_message::{receive, send};
use mainstay_model::{Chain, Generation, Process, Slot};
use mainstay_os::now;
use mainstay_pair::{ApplyEvent, Health, Lease};
use mainstay_wire::broadcast::{Answer, Order, Outcome, ToBroadcast, ToPeer};
use mainstay_wire::frame::WIRE_VERSION;
use tracing::{debug, info, warn};

use crate::apply::Asker;
use crate::token::Token;
use crate::turn::Master;

/// What broadcast knows of our decisions: the active worker, the current generation.
pub(crate) type Told = (Option<Slot>, Generation);

/// An exchange of the roles that broadcast asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Swapping {
    number: u64,
    /// Who is to serve.
    to: Slot,
}

impl Master {
    /// Looks for a broadcast that is away.
    pub(crate) fn search_broadcast(&mut self) -> anyhow::Result<()> {
        // Before the supervisor has spoken there is nothing to say.
        if self.lease.is_none() || !self.broadcast.search(now()) {
            return Ok(());
        }
        self.broadcast
            .watch(&self.poller, Token::Broadcast(0).number())
            .context("cannot watch broadcast")?;
        let pid = std::process::id();
        let hello = ToBroadcast::Hello { wire: WIRE_VERSION, process: Process::Master, pid };
        self.told = None;
        self.tell_broadcast(&hello)?;
        self.tell_decisions()?;
        self.introduce_sessions()
    }

    /// Tells what was decided, if that has changed.
    pub(crate) fn tell_decisions(&mut self) -> anyhow::Result<()> {
        let decided = (self.active(), self.generation);
        if self.broadcast.channel().is_none() || self.told == Some(decided) {
            return Ok(());
        }
        self.told = Some(decided);
        let (active, current) = decided;
        self.tell_broadcast(&ToBroadcast::Decided { active, current })
    }

    /// Tells broadcast; one that cannot be told is gone.
    pub(crate) fn tell_broadcast(&mut self, message: &ToBroadcast) -> anyhow::Result<()> {
        let Some(channel) = self.broadcast.channel() else { return Ok(()) };
        match send(channel, message, &[]) {
            Ok(()) => Ok(()),
            Err(error) => {
                warn!(error = %Chain(&error), "cannot tell broadcast");
                self.lose_broadcast()
            }
        }
    }

    pub(crate) fn answer_broadcast(&mut self, number: u64, answer: Answer) -> anyhow::Result<()> {
        self.tell_broadcast(&ToBroadcast::Answered { number, answer })
    }

    pub(crate) fn lose_broadcast(&mut self) -> anyhow::Result<()> {
        if self.broadcast.channel().is_none() {
            return Ok(());
        }
        info!("broadcast is gone");
        self.broadcast.lose(&self.poller, now());
        self.swapping = None;
        self.step_apply(ApplyEvent::ChainLost)
    }

    /// Reads all that broadcast has said.
    pub(crate) fn hear_broadcast(&mut self) -> anyhow::Result<()> {
        loop {
            let Some(channel) = self.broadcast.channel() else { return Ok(()) };
            match receive::<ToPeer>(channel) {
                Ok(None) => return Ok(()),
                Ok(Some((ToPeer::Do { number, order }, _))) => self.obey(number, order)?,
                Ok(Some((ToPeer::Wanted { ticket, generation }, _))) => {
                    self.roll_back(Asker::Ticket(ticket), Some(generation))?;
                }
                Ok(Some((ToPeer::Sessions(said), files))) => self.hear_sessions(said, files)?,
                Ok(Some((ToPeer::Figures(figures), _))) => self.sessions.figures = figures,
                Ok(Some((ToPeer::Ended { outcome }, _))) => self.chain_ended(outcome)?,
                Err(error) => {
                    debug!(error = %Chain(&error), "broadcast's channel ended");
                    return self.lose_broadcast();
                }
            }
        }
    }

    fn obey(&mut self, number: u64, order: Order) -> anyhow::Result<()> {
        let sentence = match order {
            Order::Apply { generation, .. } => return self.have_turn(number, generation),
            Order::Swap => return self.begin_swap(number),
            Order::Status => match self.active() {
                Some(slot) => format!("worker {slot} serves generation {}", self.generation),
                None => "no worker serves".to_owned(),
            },
            Order::EspStatus => "no esp is configured".to_owned(),
            // What it decides by, it is told by files that do not change.
            Order::PolicyRefresh | Order::PurgeCache | Order::Follow { .. } => String::new(),
        };
        self.answer_broadcast(number, Answer::Done { sentence })
    }

    /// Exchanges the roles; answers when that is done.
    fn begin_swap(&mut self, number: u64) -> anyhow::Result<()> {
        let Some(holder) = self.lease.as_ref().and_then(Lease::holder) else {
            let reason = "no worker serves".to_owned();
            return self.answer_broadcast(number, Answer::Refused { reason });
        };
        self.swapping = Some(Swapping { number, to: holder.other() });
        self.swap_if_ready()
    }

    /// A standby that was just started is awaited, for as long as broadcast waits for us.
    pub(crate) fn swap_if_ready(&mut self) -> anyhow::Result<()> {
        match self.swapping {
            Some(Swapping { to, .. }) if self.health(to) == Health::Ready => self.activate(to),
            Some(_) | None => Ok(()),
        }
    }

    /// Looks whether an exchange that was asked for is done.
    pub(crate) fn end_swap(&mut self) -> anyhow::Result<()> {
        let Some(Swapping { number, to }) = self.swapping else { return Ok(()) };
        if self.active() != Some(to) {
            return Ok(());
        }
        self.swapping = None;
        let sentence = format!("worker {to} serves");
        self.answer_broadcast(number, Answer::Done { sentence })
    }

    fn chain_ended(&mut self, outcome: Outcome) -> anyhow::Result<()> {
        match outcome {
            Outcome::Done { .. } => self.step_apply(ApplyEvent::ChainDone),
            Outcome::Failed { process, reason } => {
                self.note_reason(format!("{process}: {reason}"));
                self.step_apply(ApplyEvent::ChainFailed)
            }
            Outcome::Busy => {
                self.note_reason("another order is under way".to_owned());
                self.step_apply(ApplyEvent::ChainFailed)
            }
        }
    }
}
