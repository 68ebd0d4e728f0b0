//! What becomes of an attempt: of an answer, of a refusal, of silence.

use std::time::Duration;

use mainstay_fleet::endpoint::{Event, Failure, Purpose};
use mainstay_model::Chain;
use mainstay_opamp::events::Severity;
use mainstay_opamp::refusal::Refusal;
use mainstay_os::now;
use serde_json::json;
use tracing::{debug, error, info, warn};

use super::{Attempt, PAUSE, Registration, Running, luck};
use crate::contact::{Answered, ContactError};
use crate::exchange::Told;

impl Running {
    pub(super) fn attempted(
        &mut self,
        attempt: &Attempt,
        outcome: Result<Option<Answered>, ContactError>,
    ) -> anyhow::Result<()> {
        let answered = match outcome {
            Ok(answered) => answered,
            Err(error) => return self.failed(attempt.purpose, &error),
        };
        let Some(Answered { message, seen }) = answered else {
            return self.step(Event::Done { next: Duration::ZERO });
        };
        let told = match self.exchanges.take(&message) {
            Ok(told) => told,
            Err(error) => {
                warn!(error = %Chain(error.as_ref()), "an answer cannot be used");
                self.last_error = Some(Chain(error.as_ref()).to_string());
                self.figures.failures += 1;
                return self.step(Event::Failed(Failure::Garbled));
            }
        };
        self.figures.answered(now().since(attempt.begun));
        self.seen = seen;
        self.last_exchange_unix = Some(mainstay_os::unix_seconds());
        self.last_error = None;
        self.endpoints.set_poll(self.poll());
        let (mut next, mut candidate) = (self.next_poll()?, None);
        for told in told {
            match told {
                Told::More => next = Duration::ZERO,
                Told::Registered => self.registered(),
                Told::Renewed => self.renewed()?,
                Told::Renew => {
                    self.renew()?;
                    next = Duration::ZERO;
                }
                Told::Renamed => info!("joining under another name"),
                Told::Settings(offered) => candidate = Some(offered),
                Told::Offer => {
                    info!("a configuration is offered");
                    self.apply();
                }
            }
        }
        self.step(Event::Done { next })?;
        // What comes of them may want another exchange, so this one has to be over.
        candidate.map_or(Ok(()), |candidate| self.settings_offered(*candidate))
    }

    /// When the next exchange is due: agents that began together do not stay together.
    fn next_poll(&self) -> anyhow::Result<Duration> {
        let poll = self.poll();
        Ok(poll * 9 / 10 + luck()?.part_of(poll / 5))
    }

    /// Between two exchanges.
    pub(super) fn poll(&self) -> Duration {
        let said = self.exchanges.state.poll_s.map(Duration::from_secs);
        said.unwrap_or(self.settings.poll)
    }

    fn registered(&mut self) {
        let state = &self.exchanges.state;
        info!(database = state.database, group = state.group, "the agent is registered");
        self.registration = Registration::Settled;
        let said = json!({
            "database": state.database,
            "group": state.group,
            "manager": self.manager(self.endpoints.current()),
        });
        for caller in self.waiting.drain(..) {
            // Whoever went away needs no answer.
            drop(caller.answer.send(said.clone()));
        }
    }

    /// Managers want it to have another key.
    fn renew(&mut self) -> anyhow::Result<()> {
        info!("managers want this agent to have another key");
        self.exchanges.make_next_key()?;
        self.register_anew();
        Ok(())
    }

    fn renewed(&mut self) -> anyhow::Result<()> {
        let key = self.exchanges.keys().current.public().key_id();
        info!(key, "managers know another key of this agent");
        self.note("agent.key-replaced", Severity::Info, &json!({ "key": key }))
    }

    fn failed(&mut self, purpose: Purpose, error: &ContactError) -> anyhow::Result<()> {
        let text = Chain(error).to_string();
        match (purpose, error.refusal()) {
            (Purpose::Test, _) => debug!(error = text, "the first manager is not back"),
            (Purpose::Exchange, Some(refusal)) if !refusal.may_pass() => {
                error!(error = text, %refusal, "managers do not serve this agent");
            }
            (Purpose::Exchange, _) => warn!(error = text, "an exchange failed"),
        }
        self.last_error = Some(text);
        self.figures.failures += u64::from(purpose == Purpose::Exchange);
        if purpose == Purpose::Exchange
            && error.refusal() == Some(Refusal::Replayed)
            && self.registration == Registration::Settled
        {
            // The state was left behind: this disk was put back, or the database was. The manager
            // did answer, so it is no reason to go to another one.
            warn!("this state was left behind, registering anew");
            self.register_anew();
            return self.step(Event::Done { next: luck()?.part_of(PAUSE) });
        }
        self.step(Event::Failed(error.failure()))
    }
}
