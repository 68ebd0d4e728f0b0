//! The gateway of this host, as it is looked at, listened to, and given a configuration.

use mainstay_fleet::endpoint::Event;
use mainstay_model::Chain;
use mainstay_opamp::events::Severity;
use mainstay_os::{now, unix_millis};
use mainstay_trust::digest::sha256;
use serde_json::json;
use tracing::{debug, info, warn};

use super::{Happening, Running, hex};
use crate::gateway::{Applied, Gateway, Look};
use crate::queue::Sampled;
use crate::state::Outcome;
use crate::{sample, tail};

impl Running {
    /// Puts what is new in the gateway's log into the queue; whether there was something.
    pub(super) fn read_log(&mut self) -> anyhow::Result<bool> {
        let Some(log) = self.gateway.as_ref().and_then(|gateway| gateway.log.clone()) else {
            return Ok(false);
        };
        let now_us = unix_millis().saturating_mul(1_000);
        match tail::read(&log, self.exchanges.queue.place(), now_us) {
            Ok(None) => Ok(false),
            Ok(Some((events, place))) => {
                let is_new = !events.is_empty();
                self.exchanges.queue.add(events, Some(place))?;
                Ok(is_new)
            }
            Err(error) => {
                debug!(%error, log = %log.display(), "the gateway's log cannot be read");
                Ok(false)
            }
        }
    }

    /// Has the gateway looked at, unless somebody does.
    pub(super) fn look(&mut self) {
        let Some(gateway) = self.gateway.clone() else {
            self.look = None;
            return;
        };
        if self.is_looking {
            return;
        }
        self.is_looking = true;
        let (happened, known) =
            (self.happened.clone(), self.look.as_ref().and_then(|look| look.clone().ok()));
        tokio::spawn(async move {
            let look = gateway.look(known.as_ref()).await;
            let look = look.map_err(|error| Chain(error.as_ref()).to_string());
            drop(happened.send(Happening::Looked(look)).await);
        });
    }

    pub(super) fn looked(&mut self, look: Result<Look, String>) -> anyhow::Result<()> {
        self.is_looking = false;
        let told = |look: &Option<Result<Look, String>>| match look {
            Some(Ok(look)) => Some(look.generation),
            Some(Err(_)) | None => None,
        };
        let look = Some(look);
        let is_new = told(&look) != told(&self.look);
        self.look = look;
        self.sample()?;
        self.watch_drift()?;
        if is_new { self.step(Event::Wanted) } else { Ok(()) }
    }

    /// Puts the gateway's figures into the queue, if it is time to.
    fn sample(&mut self) -> anyhow::Result<()> {
        let interval = self.settings.metrics_interval;
        let is_due = self.sampled_at.is_none_or(|at| now().since(at) >= interval);
        let Some(Ok(look)) = self.look.as_ref().filter(|_| is_due && !interval.is_zero()) else {
            return Ok(());
        };
        let sample = sample::event(look, unix_millis().saturating_mul(1_000));
        match self.exchanges.queue.add_sample(sample)? {
            Sampled::Queued => self.figures.samples += 1,
            Sampled::LeftOut => self.figures.samples_left_out += 1,
        }
        self.sampled_at = Some(now());
        Ok(())
    }

    /// Tells once when the gateway serves something else than what was applied here.
    fn watch_drift(&mut self) -> anyhow::Result<()> {
        let Some(Ok(look)) = &self.look else { return Ok(()) };
        let Some(offer) = &self.exchanges.state.offer else { return Ok(()) };
        if self.applying.is_some() {
            return Ok(());
        }
        let (serves, generation) = (sha256(&look.text), look.generation);
        let differs = offer.outcome == Outcome::Applied && offer.hash.0 != serves;
        let drift = differs.then_some(serves);
        if drift == self.drift {
            return Ok(());
        }
        self.drift = drift;
        let body = json!({"generation": generation, "serves_sha256": hex(&serves)});
        match drift {
            Some(_) => {
                warn!(generation, "the gateway serves something else than its fleet offered");
                self.note("agent.config-drifted", Severity::Warning, &body)
            }
            None => self.note("agent.config-drift-ended", Severity::Info, &body),
        }
    }

    /// Hands the configuration that was offered last to the gateway.
    pub(super) fn apply(&mut self) {
        if self.applying.is_some() {
            return;
        }
        let (Some(gateway), Some(text)) = (self.gateway.clone(), self.directory.offered()) else {
            return;
        };
        let happened = self.happened.clone();
        self.applying = Some(tokio::spawn(async move {
            let outcome = apply(&gateway, text).await;
            let outcome = outcome.map_err(|error| Chain(error.as_ref()).to_string());
            drop(happened.send(Happening::Applied(outcome)).await);
        }));
    }

    pub(super) fn applied(&mut self, outcome: Result<Applied, String>) -> anyhow::Result<()> {
        self.applying = None;
        let text = self.directory.offered().unwrap_or_default();
        let offered = self.exchanges.state.offer.as_ref().map(|offer| offer.hash.0.clone());
        let (outcome, message) = match outcome {
            Ok(Applied::InService { generation }) => {
                info!(generation, "the configuration of the fleet is in service");
                (Outcome::Applied, String::new())
            }
            Ok(Applied::Refused { reason }) => {
                warn!(reason, "the configuration of the fleet is not in service");
                (Outcome::Failed, reason)
            }
            Err(error) => {
                warn!(error, "the gateway is away, the configuration is tried again");
                return Ok(());
            }
        };
        if offered.as_deref() != Some(&sha256(&text)) {
            return Ok(());
        }
        self.exchanges.set_outcome(outcome, message)?;
        // What is in service now is read before anything is said of it.
        if let Some(Ok(look)) = &mut self.look
            && outcome == Outcome::Applied
        {
            look.text = text;
        }
        self.step(Event::Wanted)
    }
}

/// Unless it is in service already.
async fn apply(gateway: &Gateway, text: Vec<u8>) -> anyhow::Result<Applied> {
    let look = gateway.look(None).await?;
    if look.text == text {
        return Ok(Applied::InService { generation: look.generation });
    }
    gateway.apply(text).await
}
