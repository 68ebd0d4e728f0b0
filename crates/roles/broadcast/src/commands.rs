//! What callers want, and what came of it.
//!
//! ```text
//!  caller ── status, swap, … ──▶ the chain ──▶ outcome ──▶ caller
//!  caller ── apply N ──▶ the master ── apply N ──▶ the chain ──▶ the master ──▶ caller
//! ```
//!
//! An apply goes through the master, because there is more to it than the chain: the hooks
//! before and after it. What a master does not live to answer, its successor's word decides.

use mainstay_command::Event;
use mainstay_model::{Generation, Process};
use mainstay_wire::broadcast::{Answer, Order, Outcome, Said, ToPeer};
use mainstay_wire::caller::{Refused, Reply, Request};
use tracing::info;

use crate::turn::{Broadcast, Standing};

/// Why active and standby are not exchanged.
const ONE_PROCESS: &str = "this gateway is one process and has no standby to change places with \
                           (`mainstay ha enable` makes it a pair)";

/// Who wants the order that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanting {
    Master,
    Caller(u32),
}

/// What a caller wants of the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    caller: u32,
    generation: Generation,
    state: TicketState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TicketState {
    /// The master knows of it.
    Told,
    /// That master is dead.
    Orphaned,
}

impl Broadcast {
    /// Carries out a line of a caller.
    pub(crate) fn carry_out(&mut self, caller: u32, line: &[u8]) -> anyhow::Result<()> {
        let order = match serde_json::from_slice(line) {
            Ok(Request::Apply { generation }) => return self.ask_master(caller, generation),
            Ok(Request::Status {}) => Order::Status,
            Ok(Request::EspStatus {}) => Order::EspStatus,
            Ok(Request::PolicyRefresh {}) => Order::PolicyRefresh,
            Ok(Request::PurgeCache {}) => Order::PurgeCache,
            Ok(Request::Swap {}) if matches!(self.standing, Standing::Beside { .. }) => {
                let reason = ONE_PROCESS.to_owned();
                self.reply(caller, &Reply::Refused(Refused { reason }));
                return Ok(());
            }
            Ok(Request::Swap {}) => Order::Swap,
            Err(error) => {
                let reason = format!("the line is not a command: {error}");
                self.reply(caller, &Reply::Refused(Refused { reason }));
                return Ok(());
            }
        };
        info!(?order, "a caller wants an order carried out");
        self.want(Wanting::Caller(caller), order)
    }

    /// The master wants every process to do something: after what is under way, for somebody's
    /// question how things are is no reason to refuse an apply.
    pub(crate) fn master_wants(&mut self, order: Order) -> anyhow::Result<()> {
        if self.wanting.is_some() {
            self.next = Some(order);
            return Ok(());
        }
        self.want(Wanting::Master, order)
    }

    fn want(&mut self, wanting: Wanting, order: Order) -> anyhow::Result<()> {
        if self.wanting.is_some() {
            return self.tell_outcome(wanting, Outcome::Busy);
        }
        self.wanting = Some(wanting);
        self.step(Event::Wanted(order))
    }

    /// The order that was under way has ended.
    pub(crate) fn end_order(&mut self, outcome: Outcome) -> anyhow::Result<()> {
        let Some(wanting) = self.wanting.take() else { return Ok(()) };
        info!(?outcome, "order ended");
        self.tell_outcome(wanting, outcome)?;
        match self.next.take() {
            Some(order) => self.want(Wanting::Master, order),
            None => Ok(()),
        }
    }

    fn tell_outcome(&mut self, wanting: Wanting, outcome: Outcome) -> anyhow::Result<()> {
        match wanting {
            Wanting::Master => self.tell(Process::Master, &ToPeer::Ended { outcome }),
            Wanting::Caller(caller) => {
                self.reply(caller, &Reply::Outcome(outcome));
                Ok(())
            }
        }
    }

    fn ask_master(&mut self, caller: u32, generation: Generation) -> anyhow::Result<()> {
        info!(%generation, "a caller wants a generation applied");
        if !self.peers.has(Process::Master) {
            let reason = "it is not there".to_owned();
            let outcome = Outcome::Failed { process: Process::Master, reason };
            self.reply(caller, &Reply::Outcome(outcome));
            return Ok(());
        }
        self.tickets_seen += 1;
        let number = self.tickets_seen;
        let ticket = Ticket { caller, generation, state: TicketState::Told };
        self.tickets.insert(number, ticket);
        self.tell(Process::Master, &ToPeer::Wanted { ticket: number, generation })
    }

    /// The master says what came of an apply that a caller wanted.
    pub(crate) fn settle(&mut self, number: u64, answer: &Answer) {
        let Some(ticket) = self.tickets.remove(&number) else { return };
        let process = Process::Master;
        let outcome = match answer.clone() {
            Answer::Done { sentence } => Outcome::Done { said: vec![Said { process, sentence }] },
            Answer::Refused { reason } => Outcome::Failed { process, reason },
        };
        self.reply(ticket.caller, &Reply::Outcome(outcome));
    }

    /// Draws from an event what it means for the tickets.
    pub(crate) fn note(&mut self, event: &Event) {
        match event {
            Event::Gone(Process::Master) => {
                self.next = None;
                for ticket in self.tickets.values_mut() {
                    ticket.state = TicketState::Orphaned;
                }
            }
            Event::Decided { current, .. } => self.settle_orphaned(*current),
            Event::Gone(_)
            | Event::Came(_)
            | Event::Serves(..)
            | Event::Wanted(_)
            | Event::Answered { .. }
            | Event::Tick => {}
        }
    }

    /// A new master says what is current: then an apply of the old one was done, or undone.
    fn settle_orphaned(&mut self, current: Generation) {
        let orphaned: Vec<(u64, Generation)> = self
            .tickets
            .iter()
            .filter(|(_, ticket)| ticket.state == TicketState::Orphaned)
            .map(|(number, ticket)| (*number, ticket.generation))
            .collect();
        for (number, generation) in orphaned {
            let answer = if generation == current {
                Answer::Done { sentence: format!("generation {generation} is in service") }
            } else {
                let reason = format!("it died; generation {current} is in service");
                Answer::Refused { reason }
            };
            self.settle(number, &answer);
        }
    }
}
