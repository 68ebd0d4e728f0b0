//! Connection settings that a manager offers: tried first, then used, or left alone.
//!
//! ```text
//!   offered ─▶ a manager is reached with them, nothing is said ─┬─▶ on the disk, in use
//!                                                               ├─▶ refused, the former stay
//!                                                               └─▶ nobody there: when offered again
//! ```
//!
//! An agent that has taken pins with which it finds nobody has to be visited. So it takes none with
//! which it has not found somebody.

use mainstay_fleet::endpoint::{Event, Failure};
use mainstay_model::Chain;
use mainstay_opamp::events::Severity;
use serde_json::json;
use tracing::{debug, info, warn};

use super::{Happening, Running};
use crate::contact::{Contact, ContactError};
use crate::directory;
use crate::exchange::Candidate;

/// What came of a trial.
pub(super) struct Trial {
    candidate: Candidate,
    outcome: Result<(), ContactError>,
}

impl Running {
    /// Tries what is offered, unless something is tried already: it will be offered again.
    pub(super) fn settings_offered(&mut self, mut candidate: Candidate) -> anyhow::Result<()> {
        if self.trial.is_some() {
            return Ok(());
        }
        let held = self.directory.pins()?;
        if held.is_empty() {
            // It speaks plain HTTP, and pins are of no use to it.
            candidate.pins = None;
        }
        let Some(pem) = &candidate.pins else { return self.settle(&candidate) };
        let pins = match directory::read_pins(pem.as_bytes()) {
            Ok(pins) => pins,
            Err(error) => return self.refuse(&candidate, Chain(&error).to_string()),
        };
        if held == pins {
            return self.settle(&candidate);
        }
        let place = self.endpoints.current();
        let Some(manager) = self.settings.managers.get(place).cloned() else { return Ok(()) };
        let (contact, limit) = (Contact::new(pins)?, self.settings.failover_after);
        let happened = self.happened.clone();
        self.trial = Some(tokio::spawn(async move {
            let outcome = contact.test(&manager, limit).await.map(drop);
            // If nobody listens any more, the process ends.
            drop(happened.send(Happening::Tried(Trial { candidate, outcome })).await);
        }));
        Ok(())
    }

    pub(super) fn tried(&mut self, Trial { candidate, outcome }: Trial) -> anyhow::Result<()> {
        self.trial = None;
        match outcome {
            Ok(()) => self.settle(&candidate),
            Err(error) if error.failure() == Failure::Untrusted => {
                self.refuse(&candidate, Chain(&error).to_string())
            }
            Err(error) => {
                debug!(error = %Chain(&error), "other pins could not be tried, they will be");
                Ok(())
            }
        }
    }

    /// They are used from now on.
    fn settle(&mut self, candidate: &Candidate) -> anyhow::Result<()> {
        let had = (self.directory.pins()?, self.exchanges.state.poll_s);
        self.exchanges.use_settings(candidate)?;
        let has = (self.directory.pins()?, self.exchanges.state.poll_s);
        if has == had {
            return Ok(());
        }
        if has.0 != had.0 {
            info!("other pins are used from now on");
            self.contact = Contact::new(has.0)?;
        }
        // Managers wait for every agent to say what it holds, and another interval begins now.
        self.step(Event::Wanted)
    }

    /// The former are used on. It is told once.
    fn refuse(&mut self, candidate: &Candidate, reason: String) -> anyhow::Result<()> {
        if self.exchanges.has_refused(candidate) {
            return Ok(());
        }
        warn!(reason, "pins that are offered do not fit the manager that offers them");
        let body = json!({ "reason": reason, "manager": self.manager(self.endpoints.current()) });
        self.exchanges.refuse_settings(candidate, reason)?;
        self.note("agent.pins-refused", Severity::Warning, &body)?;
        self.step(Event::Wanted)
    }
}
