//! What a manager does with a request once it knows what the request is: serve it, repeat an
//! answer, have the host register anew, or have it become another agent.
//!
//! | the chain says | a registered agent asks to register anew | otherwise |
//! | --- | --- | --- |
//! | next, ahead | it keeps its name | it is served |
//! | repeat | the last answer again | the last answer again |
//! | stale | it keeps its name | it is told to register anew |
//! | another host | by the policy for clones | by the policy for clones |
//!
//! # Invariants
//!
//! 1. Registering anew never makes a second agent: who has the key and the host keeps the name.
//! 2. Of two hosts with one identity, the one that enrolled keeps it; the other is never served
//!    under that name.
//! 3. Who is blocked gets nothing, whatever it brings.
//!
//! # Not here
//!
//! Whether an enrolment token still counts: that is decided where its uses are counted, in one
//! transaction of the database.

use crate::chain;

/// What the operators think of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Served.
    Active,
    /// Waits for somebody to approve it.
    Pending,
    /// Refused: blocked by hand.
    Blocked,
}

/// What a signed request of a registered agent wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Exchange,
    /// `reregister`.
    RegisterAnew,
}

/// What happens to clones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clones {
    /// They may enrol under a name of their own, at once.
    #[default]
    Invite,
    /// They may once somebody has approved them.
    Approve,
    /// They are sent away.
    Refuse,
}

/// What a manager does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Carries the request out.
    Serve,
    /// Takes the report, and gives no configuration and takes no events: nobody has approved
    /// the agent yet.
    Hold,
    /// Sends the last answer again.
    Repeat,
    /// Gives the agent a new chain under its old name.
    Register,
    /// Says that the agent has to register anew.
    MustRegister,
    /// Gives the host a name of its own and a secret to enrol with; records the fork.
    Invite,
    /// Gives the host a name of its own; it waits for an operator. Records the fork.
    InviteLater,
    /// Refuses it as a second holder; records the fork.
    RefuseClone,
    /// Refuses it as blocked.
    Blocked,
}

/// What a manager does with a request.
#[must_use]
pub const fn answer(
    verdict: chain::Verdict,
    wish: Wish,
    standing: Standing,
    clones: Clones,
) -> Answer {
    use chain::Verdict::{Ahead, Next, OtherHost, Repeat, Stale};
    match (standing, verdict, wish) {
        (Standing::Blocked, Next | Ahead | Repeat | OtherHost | Stale, _) => Answer::Blocked,
        (Standing::Active | Standing::Pending, OtherHost, _) => match clones {
            Clones::Invite => Answer::Invite,
            Clones::Approve => Answer::InviteLater,
            Clones::Refuse => Answer::RefuseClone,
        },
        (Standing::Active | Standing::Pending, Repeat, _) => Answer::Repeat,
        (Standing::Active | Standing::Pending, Next | Ahead | Stale, Wish::RegisterAnew) => {
            Answer::Register
        }
        (Standing::Active | Standing::Pending, Stale, Wish::Exchange) => Answer::MustRegister,
        (Standing::Active, Next | Ahead, Wish::Exchange) => Answer::Serve,
        (Standing::Pending, Next | Ahead, Wish::Exchange) => Answer::Hold,
    }
}

#[cfg(test)]
mod tests {
    use chain::Verdict;

    use super::*;

    const VERDICTS: [Verdict; 5] =
        [Verdict::Next, Verdict::Ahead, Verdict::Repeat, Verdict::OtherHost, Verdict::Stale];

    #[test]
    fn what_is_done_follows_from_what_it_is() {
        use Answer::{Hold, Invite, MustRegister, Register, Serve};
        for (verdict, wish, standing, expected) in [
            (Verdict::Next, Wish::Exchange, Standing::Active, Serve),
            (Verdict::Ahead, Wish::Exchange, Standing::Active, Serve),
            (Verdict::Next, Wish::Exchange, Standing::Pending, Hold),
            (Verdict::Repeat, Wish::Exchange, Standing::Active, Answer::Repeat),
            (Verdict::Repeat, Wish::RegisterAnew, Standing::Active, Answer::Repeat),
            (Verdict::Stale, Wish::Exchange, Standing::Active, MustRegister),
            (Verdict::Stale, Wish::RegisterAnew, Standing::Active, Register),
            (Verdict::Next, Wish::RegisterAnew, Standing::Pending, Register),
            (Verdict::OtherHost, Wish::Exchange, Standing::Active, Invite),
            (Verdict::OtherHost, Wish::RegisterAnew, Standing::Active, Invite),
        ] {
            let answered = answer(verdict, wish, standing, Clones::Invite);
            assert_eq!(answered, expected, "{verdict:?} {wish:?} {standing:?}");
        }
    }

    #[test]
    fn a_clone_is_never_served_and_the_blocked_get_nothing() {
        for clones in [Clones::Invite, Clones::Approve, Clones::Refuse] {
            for wish in [Wish::Exchange, Wish::RegisterAnew] {
                for standing in [Standing::Active, Standing::Pending] {
                    let answered = answer(Verdict::OtherHost, wish, standing, clones);
                    let apart = [Answer::Invite, Answer::InviteLater, Answer::RefuseClone];
                    assert!(apart.contains(&answered), "{answered:?}");
                }
                for verdict in VERDICTS {
                    let answered = answer(verdict, wish, Standing::Blocked, clones);
                    assert_eq!(answered, Answer::Blocked);
                }
            }
        }
    }
}
