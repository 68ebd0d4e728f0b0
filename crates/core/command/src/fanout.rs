//! The whole of what broadcast decides about orders.

use mainstay_model::{Generation, Process, Slot, Timestamp};
use mainstay_wire::broadcast::{Answer, Order, Outcome};

use crate::chain::{Chain, Happened, Next};
use crate::roll::{Decided, Roll};

/// The processes, and the order that is under way.
#[derive(Clone, Debug, Default)]
pub struct Fanout {
    roll: Roll,
    chain: Option<Chain>,
    /// Of the last question: no two have the same.
    number: u64,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A process said Hello.
    Came(Process),
    /// It died, or its channel ended.
    Gone(Process),
    /// A worker said what it serves.
    Serves(Slot, Generation),
    /// The master said what it has decided.
    Decided { active: Option<Slot>, current: Generation },
    /// Somebody wants this of all processes.
    Wanted(Order),
    /// A process said what came of the question with this number.
    Answered { process: Process, number: u64, answer: Answer },
    /// Time has passed; due at [`Fanout::wake_at`].
    Tick,
}

/// What broadcast must do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Tell a process.
    Do { process: Process, number: u64, order: Order },
    /// Tell whoever wanted the order that is, or was, under way.
    End(Outcome),
}

impl Fanout {
    /// When [`Event::Tick`] is due, if it is.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.chain.as_ref().map(Chain::wake_at)
    }

    /// Of a gateway that is one process: nobody waits for a standby that never comes.
    #[must_use]
    pub fn without_standby() -> Self {
        Self { roll: Roll::without_standby(), ..Self::default() }
    }

    /// Takes what happened; returns what must be done.
    pub fn step(&mut self, now: Timestamp, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        let happened = match event {
            Event::Came(process) => {
                self.roll.came(process);
                Happened::Changed
            }
            Event::Gone(process) => {
                self.roll.gone(process);
                Happened::Gone(process)
            }
            Event::Serves(slot, generation) => {
                self.roll.serves(slot, generation);
                Happened::Changed
            }
            Event::Decided { active, current } => {
                self.roll.decide(Decided { active, current });
                Happened::Changed
            }
            Event::Wanted(order) => {
                self.begin(now, order, &mut effects);
                return effects;
            }
            Event::Answered { process, number, answer } => {
                Happened::Answered { process, number, answer }
            }
            Event::Tick => Happened::Changed,
        };
        if let Some(chain) = self.chain.take() {
            let next = chain.step(now, happened, &self.roll, self.number + 1);
            self.go_on(next, &mut effects);
        }
        self.gather_stragglers(&mut effects);
        effects
    }

    fn begin(&mut self, now: Timestamp, order: Order, effects: &mut Vec<Effect>) {
        if self.chain.is_some() {
            // Whoever feeds us sees to it; if not, the first is not disturbed.
            return;
        }
        let next = Chain::begin(now, order, &self.roll, self.number + 1);
        self.go_on(next, effects);
    }

    fn go_on(&mut self, next: Next, effects: &mut Vec<Effect>) {
        match next {
            Next::On(chain) => self.chain = Some(chain),
            Next::Ask(chain, process) => {
                self.number += 1;
                let order = chain.order_for(process);
                effects.push(Effect::Do { process, number: self.number, order });
                self.chain = Some(chain);
            }
            Next::End(outcome) => effects.push(Effect::End(outcome)),
        }
    }

    /// Has everyone follow the current generation, unless another is being put into service.
    fn gather_stragglers(&mut self, effects: &mut Vec<Effect>) {
        if self.chain.as_ref().is_some_and(|chain| !chain.is_undoing()) {
            return;
        }
        for (slot, generation) in self.roll.take_stragglers() {
            self.number += 1;
            effects.push(Effect::Do {
                process: Process::Worker(slot),
                number: self.number,
                order: Order::Follow { generation },
            });
        }
    }
}
