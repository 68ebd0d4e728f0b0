//! One order on its way through the processes.
//!
//! ```text
//!             each in turn: Do ──▶ Done         all of them
//!  Waiting ──▶ Asking(process) ────────────────────────────▶ Done
//!   │ for a standby  │ refused, too late, died: of an apply that changed something
//!   │ that restarts  ▼
//!   └──────────▶ Undoing, until everyone serves the current generation ──▶ Failed
//! ```

use std::time::Duration;

use mainstay_model::{Process, Slot, Timestamp};
use mainstay_wire::broadcast::{Answer, Order, Outcome, Said};

use crate::roll::Roll;

/// How long a standby that is restarting is waited for.
const RETURN_MAX: Duration = Duration::from_secs(3);

/// How long a process may take for something that is quick.
const QUICK_MAX: Duration = Duration::from_secs(5);

/// How long it may take to load a generation and prove it: 30 s, and as long as all probes of a
/// configuration may take.
pub const LOAD_MAX: Duration = Duration::from_secs(90);

/// How long everyone may take to come back to the current generation.
const UNDO_MAX: Duration = Duration::from_secs(30);

/// How long a process may take for an order.
fn limit_of(order: Order) -> Duration {
    match order {
        // The exchange of the roles and back, beside the watch.
        Order::Apply { confirm_ms, .. } => LOAD_MAX + Duration::from_millis(confirm_ms),
        Order::Follow { .. } => LOAD_MAX,
        Order::Status
        | Order::EspStatus
        | Order::PolicyRefresh
        | Order::PurgeCache
        | Order::Swap => QUICK_MAX,
    }
}

/// An order that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    order: Order,
    part: Part,
    until: Timestamp,
    said: Vec<Said>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// The standby is away: perhaps only for a moment.
    Waiting,
    Asking {
        process: Process,
        number: u64,
        /// Who is asked after it.
        rest: Vec<Process>,
    },
    /// An apply failed; the processes come back to what is current.
    Undoing { process: Process, reason: String },
}

/// What becomes of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It goes on as it is.
    On(Chain),
    /// This process is asked.
    Ask(Chain, Process),
    /// It is over.
    End(Outcome),
}

/// What happened that a chain depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    Answered {
        process: Process,
        number: u64,
        answer: Answer,
    },
    Gone(Process),
    /// Somebody came, or said what it serves or has decided; or time has passed.
    Changed,
}

impl Chain {
    /// Begins, or waits for a standby without which it cannot.
    pub(crate) fn begin(now: Timestamp, order: Order, roll: &Roll, number: u64) -> Next {
        let chain = Self { order, part: Part::Waiting, until: now + RETURN_MAX, said: Vec::new() };
        chain.start(now, roll, number)
    }

    /// What a process is told. Who comes after the master finds the generation current, and has
    /// nothing to prove any more.
    pub(crate) const fn order_for(&self, process: Process) -> Order {
        match (self.order, &self.part, process) {
            (Order::Apply { generation, .. }, Part::Asking { rest, .. }, Process::Worker(_))
                if rest.is_empty() =>
            {
                Order::Follow { generation }
            }
            (order, _, _) => order,
        }
    }

    /// When it is due if nothing happens.
    pub(crate) const fn wake_at(&self) -> Timestamp {
        self.until
    }

    /// Whether workers may be told to follow while it is under way.
    pub(crate) const fn is_undoing(&self) -> bool {
        matches!(self.part, Part::Undoing { .. })
    }

    /// Takes what happened. `number` is for whoever is asked next.
    pub(crate) fn step(self, now: Timestamp, happened: Happened, roll: &Roll, number: u64) -> Next {
        let is_late = now >= self.until;
        match (&self.part, happened) {
            (Part::Waiting, _) => self.start(now, roll, number),

            (
                Part::Asking { process, number: asked, .. },
                Happened::Answered { process: by, number: to, answer },
            ) if *process == by && *asked == to => {
                let process = *process;
                match answer {
                    Answer::Done { sentence } => {
                        self.done(now, Said { process, sentence }, roll, number)
                    }
                    Answer::Refused { reason } => self.failed(now, process, reason, roll),
                }
            }
            (Part::Asking { process, .. }, Happened::Gone(gone)) if *process == gone => {
                self.died(now, gone, roll, number)
            }
            (Part::Asking { process, .. }, Happened::Changed) if is_late => {
                let process = *process;
                self.failed(now, process, "it took too long".to_owned(), roll)
            }
            (
                Part::Undoing { .. },
                Happened::Changed | Happened::Gone(_) | Happened::Answered { .. },
            ) => self.settle(now, roll),
            // Of another process, or an answer to an earlier question.
            (
                Part::Asking { .. },
                Happened::Answered { .. } | Happened::Gone(_) | Happened::Changed,
            ) => Next::On(self),
        }
    }

    fn start(self, now: Timestamp, roll: &Roll, number: u64) -> Next {
        let is_late = now >= self.until;
        let roles_are_needed = matches!(self.order, Order::Apply { .. } | Order::Swap);
        let standby_is_needed = roles_are_needed && roll.expects_standby();
        let Some(decided) = roll.decided() else {
            return if is_late || !roles_are_needed {
                // Nobody knows who is who; those who can be asked without that are.
                self.ask_next(now, everyone(None), roll, number)
            } else {
                Next::On(self)
            };
        };
        let standby = decided.active.map(Slot::other);
        let has_standby = standby.is_some_and(|slot| roll.is_there(Process::Worker(slot)));
        if standby_is_needed && !has_standby && !is_late {
            return Next::On(self);
        }
        match (self.order, decided.active) {
            // Nobody else can prove it: the active worker does, before it is current.
            (Order::Apply { .. }, Some(active)) if !has_standby => {
                self.ask_next(now, vec![Process::Worker(active), Process::Master], roll, number)
            }
            (Order::Swap, _) if !has_standby => {
                let process = Process::Worker(standby.unwrap_or(Slot::One));
                Next::End(Outcome::Failed { process, reason: "it is not there".to_owned() })
            }
            (
                Order::Apply { .. }
                | Order::Follow { .. }
                | Order::Status
                | Order::EspStatus
                | Order::PolicyRefresh
                | Order::PurgeCache
                | Order::Swap,
                active,
            ) => self.ask_next(now, everyone(active), roll, number),
        }
    }

    /// Asks the first of `rest` that is there; who is down follows when it returns.
    fn ask_next(mut self, now: Timestamp, rest: Vec<Process>, roll: &Roll, number: u64) -> Next {
        let mut rest = rest.into_iter();
        while let Some(process) = rest.next() {
            if !roll.is_there(process) {
                // Without the master nothing can be put into service.
                if process == Process::Master && self.needs_master() {
                    return self.failed(now, process, "it is not there".to_owned(), roll);
                }
                continue;
            }
            self.until = now + limit_of(self.order);
            self.part = Part::Asking { process, number, rest: rest.collect() };
            return Next::Ask(self, process);
        }
        Next::End(Outcome::Done { said: self.said })
    }

    fn done(mut self, now: Timestamp, said: Said, roll: &Roll, number: u64) -> Next {
        self.said.push(said);
        let Part::Asking { rest, .. } = &mut self.part else { return Next::On(self) };
        let rest = std::mem::take(rest);
        self.ask_next(now, rest, roll, number)
    }

    fn died(mut self, now: Timestamp, process: Process, roll: &Roll, number: u64) -> Next {
        let needs_master = self.needs_master();
        let Part::Asking { rest, .. } = &mut self.part else { return Next::On(self) };
        // A worker that is last has nothing to refuse: it starts with what is current.
        let only_follows = rest.is_empty() && process != Process::Master;
        if only_follows || !needs_master {
            let rest = std::mem::take(rest);
            return self.ask_next(now, rest, roll, number);
        }
        self.failed(now, process, "it died".to_owned(), roll)
    }

    const fn needs_master(&self) -> bool {
        matches!(self.order, Order::Apply { .. } | Order::Swap)
    }

    fn failed(mut self, now: Timestamp, process: Process, reason: String, roll: &Roll) -> Next {
        if !matches!(self.order, Order::Apply { .. }) {
            return Next::End(Outcome::Failed { process, reason });
        }
        self.part = Part::Undoing { process, reason };
        self.until = now + UNDO_MAX;
        self.settle(now, roll)
    }

    /// Ends when the failure of an apply has no traces any more, or when that takes too long.
    fn settle(mut self, now: Timestamp, roll: &Roll) -> Next {
        let Part::Undoing { process, reason } = &self.part else { return Next::On(self) };
        let is_late = now >= self.until;
        let Some(decided) = roll.decided() else {
            // Only a master can say what serves, and one comes.
            if is_late {
                self.until = now + UNDO_MAX;
            }
            return Next::On(self);
        };
        let (process, mut reason) = (*process, reason.clone());
        if !roll.is_of_one_mind() {
            if !is_late {
                return Next::On(self);
            }
            reason.push_str("; not every process is back to what was served before");
        }
        Next::End(match self.order {
            // Its master had made it current: it is in service.
            Order::Apply { generation, .. } if decided.current == generation => {
                Outcome::Done { said: self.said }
            }
            Order::Apply { .. }
            | Order::Follow { .. }
            | Order::Status
            | Order::EspStatus
            | Order::PolicyRefresh
            | Order::PurgeCache
            | Order::Swap => Outcome::Failed { process, reason },
        })
    }
}

/// Standby, master, active. Workers of whom nobody knows which is which, in order.
fn everyone(active: Option<Slot>) -> Vec<Process> {
    let active = active.unwrap_or(Slot::Two);
    vec![Process::Worker(active.other()), Process::Master, Process::Worker(active)]
}
