//! Which agents find a manager when managers show other certificates than before.
//!
//! An agent speaks to who shows a certificate that it holds. One that holds none of those that are
//! shown is an *orphan*: nobody can offer it another, and somebody has to visit its host. So no
//! manager changes what it shows while that makes one.
//!
//! # Invariants
//!
//! 1. What is not known counts against the change.
//!
//! # Not here
//!
//! The comparison itself, at the agent: `mainstay-trust`.

use std::collections::BTreeSet;

/// The SHA-256 of a certificate.
pub type Sha256 = [u8; 32];

/// The certificates that an agent holds, as far as its managers know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// It has not said.
    Unsaid,
    /// These; none if it needs none, because it speaks plain HTTP.
    These(BTreeSet<Sha256>),
}

/// What the managers that serve show, before and after a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub before: BTreeSet<Sha256>,
    pub after: BTreeSet<Sha256>,
}

impl Change {
    /// Whether an agent finds no manager after it.
    #[must_use]
    pub fn orphans(&self, holds: &Holds) -> bool {
        match holds {
            // It found one by something that was shown, and nobody knows by what.
            Holds::Unsaid => !self.before.is_subset(&self.after),
            Holds::These(held) => !held.is_empty() && held.is_disjoint(&self.after),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Sha256 = [1; 32];
    const NEW: Sha256 = [2; 32];

    fn set(of: &[Sha256]) -> BTreeSet<Sha256> {
        of.iter().copied().collect()
    }

    #[test]
    fn an_agent_that_holds_nothing_that_is_shown_is_an_orphan() {
        let these = |of: &[Sha256]| Holds::These(set(of));
        // Who holds what; whether it is an orphan when one of two managers switches, and both.
        let rows = [
            (these(&[OLD]), false, true),
            (these(&[OLD, NEW]), false, false),
            (these(&[NEW]), false, false),
            (these(&[]), false, false),
            (Holds::Unsaid, false, true),
        ];
        for (holds, one, both) in rows {
            let change = Change { before: set(&[OLD]), after: set(&[OLD, NEW]) };
            assert_eq!(change.orphans(&holds), one, "{holds:?}");
            let change = Change { before: set(&[OLD, NEW]), after: set(&[NEW]) };
            assert_eq!(change.orphans(&holds), both, "{holds:?}");
        }
    }
}
