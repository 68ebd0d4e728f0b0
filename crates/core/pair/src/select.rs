//! Choosing the worker that serves: the active one if it is ready, else the other one if
//! that is ready, else none.
//!
//! Source: DESIGN 4.

use std::fmt;

use mainstay_model::Slot;

#[cfg(test)]
mod tests;

/// The two workers of a gateway: the health of each, and which one is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    active: Slot,
    one: Health,
    two: Health,
}

/// What the master knows about a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It has not announced itself, or it failed since.
    Down,
    /// It announced itself, and nothing has failed since.
    Ready,
}

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The active worker.
    Serve(Slot),
    /// The active worker is down: the standby became active.
    FailOver { from: Slot, to: Slot },
    /// No worker is ready.
    Refuse,
}

impl Pair {
    /// Two workers that have not announced themselves.
    #[must_use]
    pub const fn new(active: Slot) -> Self {
        Self { active, one: Health::Down, two: Health::Down }
    }

    /// The slot that the role of the active worker points to, whatever its health.
    pub const fn active(self) -> Slot {
        self.active
    }

    /// Chooses a worker, moving the active role if the active worker is down.
    ///
    /// Choosing again with no event in between serves from the slot just chosen, so one death
    /// is one failover.
    #[must_use]
    pub const fn select(self) -> (Self, Selection) {
        let active = self.active;
        let standby = active.other();
        match (self.health(active), self.health(standby)) {
            (Health::Ready, _) => (self, Selection::Serve(active)),
            (Health::Down, Health::Ready) => (
                Self { active: standby, ..self },
                Selection::FailOver { from: active, to: standby },
            ),
            (Health::Down, Health::Down) => (self, Selection::Refuse),
        }
    }

    /// The pair once `slot` announced itself, or failed.
    #[must_use]
    pub const fn with_health(self, slot: Slot, health: Health) -> Self {
        match slot {
            Slot::One => Self { one: health, ..self },
            Slot::Two => Self { two: health, ..self },
        }
    }

    /// What the master knows about the worker in `slot`.
    pub const fn health(self, slot: Slot) -> Health {
        match slot {
            Slot::One => self.one,
            Slot::Two => self.two,
        }
    }
}

impl Selection {
    /// The worker that serves, if one does.
    pub const fn slot(self) -> Option<Slot> {
        match self {
            Self::Serve(slot) | Self::FailOver { to: slot, .. } => Some(slot),
            Self::Refuse => None,
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serve(slot) => write!(f, "serve {slot}"),
            Self::FailOver { to, .. } => write!(f, "fail over to {to}"),
            Self::Refuse => f.write_str("refuse"),
        }
    }
}
