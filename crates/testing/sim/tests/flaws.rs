//! The simulator can fail: every rule that is left out breaks an invariant that has a name.
//!
//! `flaws/` has a history for each rule, found by `cargo xtask sim gateway --seeds N --flaw
//! NAME`. Without the flaw the same actions do no harm, so it is the rule that matters.

use mainstay_sim::{Flaw, History, Invariant, agents, gateway, sessions};

#[test]
fn every_flaw_breaks_an_invariant() {
    for flaw in Flaw::ALL {
        let (text, invariant) = history(flaw);
        let mut history = History::from_lines(text).unwrap();
        assert_eq!(history.flaw, Some(flaw));

        let Err(broken) = gateway::replay(&history, |_, _| {}) else {
            panic!("{flaw:?} does no harm in its history");
        };
        assert_eq!(broken.invariant, invariant, "{flaw:?}: {broken}");

        history.flaw = None;
        if let Err(broken) = gateway::replay(&history, |_, _| {}) {
            panic!("the history of {flaw:?} does harm without it: {broken}");
        }
    }
}

/// The common ones are found by luck alone.
#[test]
fn luck_finds_a_lease_that_moves_too_early() {
    let found = (0..100)
        .find_map(|seed| gateway::run_flawed(seed, 500, Some(Flaw::LeaseMovesAtRevoke)).err());
    let broken = found.expect("a hundred seeds find it");
    assert!(matches!(broken.invariant, Invariant::OneLeaseHolder | Invariant::OneActiveWorker));
}

/// Luck finds what becomes of sessions without each rule, and the same actions do no harm with
/// it.
#[test]
fn luck_finds_every_flaw_of_sessions() {
    use sessions::{Flaw, Invariant};
    for flaw in Flaw::ALL {
        let found = (0..1_000).find_map(|seed| sessions::run(seed, 500, Some(flaw)).err());
        let broken = found.unwrap_or_else(|| panic!("a thousand seeds do not find {flaw:?}"));
        let expected: &[Invariant] = match flaw {
            Flaw::ChannelEndIsDeath | Flaw::NobodyWasThere | Flaw::FirstThreadAnswers => {
                &[Invariant::NobodyComesBack, Invariant::NoSessionLost]
            }
            Flaw::ServesWhatItRead => &[Invariant::NobodyComesBack, Invariant::NoSessionLost],
            Flaw::WrittenIsCommitted => {
                &[Invariant::ConfirmedIsOnTheDisk, Invariant::NobodyComesBack]
            }
        };
        assert!(expected.contains(&broken.invariant), "{flaw:?}: {broken}");
        let mut history = sessions::shorten(broken).history;
        assert_eq!(history.flaw, Some(flaw));
        history.flaw = None;
        if let Err(broken) = sessions::replay(&history) {
            panic!("the history of {flaw:?} does harm without it: {broken}");
        }
    }
}

/// The same of agents.
#[test]
fn luck_finds_every_flaw_of_agents() {
    use agents::{Flaw, Invariant};
    for flaw in Flaw::ALL {
        let found = (0..1_000).find_map(|seed| agents::run(seed, 500, Some(flaw)).err());
        let broken = found.unwrap_or_else(|| panic!("a thousand seeds do not find {flaw:?}"));
        let expected = match flaw {
            Flaw::WaitsForEver => Invariant::LeavesInTime,
            Flaw::FailbackIsHasty => Invariant::AtMostTwoSwitches,
            Flaw::ForgetsWhatIsDue => Invariant::FindsWhoIsThere,
            Flaw::EveryTestSucceeds => Invariant::FailbackLosesNothing,
        };
        assert_eq!(broken.invariant, expected, "{flaw:?}: {broken}");
        let mut history = agents::shorten(broken).history;
        history.flaw = None;
        if let Err(broken) = agents::replay(&history) {
            panic!("the history of {flaw:?} does harm without it: {broken}");
        }
    }
}

fn history(flaw: Flaw) -> (&'static str, Invariant) {
    match flaw {
        Flaw::LeaseMovesAtRevoke => {
            (include_str!("flaws/lease_moves_at_revoke.jsonl"), Invariant::OneActiveWorker)
        }
        Flaw::MasterDoesNotLearn => {
            (include_str!("flaws/master_does_not_learn.jsonl"), Invariant::OneActiveWorker)
        }
        Flaw::OldMasterIsForgotten => (
            include_str!("flaws/old_master_is_forgotten.jsonl"),
            Invariant::NoConnectionAtTwoWorkers,
        ),
        Flaw::SentStaysOpen => {
            (include_str!("flaws/sent_stays_open.jsonl"), Invariant::NoConnectionAtTwoWorkers)
        }
        Flaw::FailedBatchIsDropped => {
            (include_str!("flaws/failed_batch_is_dropped.jsonl"), Invariant::NoConnectionLost)
        }
        Flaw::LanesStayOpen => {
            (include_str!("flaws/lanes_stay_open.jsonl"), Invariant::NoConnectionAtADeadWorker)
        }
        Flaw::WorkBeforeAnswer => {
            (include_str!("flaws/work_before_answer.jsonl"), Invariant::NoConnectionServedTwice)
        }
        Flaw::HeirsLedgerIsForgotten => {
            (include_str!("flaws/heirs_ledger_is_forgotten.jsonl"), Invariant::NoConnectionLost)
        }
        Flaw::AnswersAreForgotten => {
            (include_str!("flaws/answers_are_forgotten.jsonl"), Invariant::NoConnectionServedTwice)
        }
        Flaw::MastersEstateFirst => {
            (include_str!("flaws/masters_estate_first.jsonl"), Invariant::NoConnectionLost)
        }
        Flaw::RevokedBeforeClaims => {
            (include_str!("flaws/revoked_before_claims.jsonl"), Invariant::NoConnectionAtTwoWorkers)
        }
        Flaw::SameConnectionTwice => {
            (include_str!("flaws/same_connection_twice.jsonl"), Invariant::NoConnectionLost)
        }
    }
}
