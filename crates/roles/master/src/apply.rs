//! Applies: an operator's configuration on its way into service.
//!
//! The order of things is decided by [`mainstay_pair::Apply`]; here it is performed, and whoever
//! asked gets one answer. A master that dies in the middle leaves a staged generation that its
//! successor throws away, unless it had become current.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::OwnedFd;

use anyhow::Context as _;
use mainstay_config::{TEXT_BYTES_MAX, listeners};
use mainstay_generations::Generations;
use mainstay_message::send;
use mainstay_model::{Chain, Generation, Slot};
use mainstay_os::{Channel, now};
use mainstay_pair::{Apply, ApplyEffect, ApplyEvent, Event, Health, Lease, Outcome};
use mainstay_wire::command::Reply;
use mainstay_wire::pair::ToWorker;
use tracing::{debug, error, info, warn};

use crate::turn::Master;

/// An apply and who asked for it.
#[derive(Debug)]
pub(crate) struct Applying {
    pub(crate) apply: Apply,
    operator: Channel,
    /// What the standby said against it.
    reason: Option<String>,
}

impl Master {
    /// Begins to put a configuration into service. Whoever asked is answered now if that cannot
    /// begin, and at its end otherwise.
    pub(crate) fn begin_apply(&mut self, operator: Channel, file: OwnedFd) -> anyhow::Result<()> {
        match self.stage(file) {
            Ok((generation, standby)) => {
                info!(%generation, "apply begins");
                let (apply, first) = Apply::begin(now(), generation, standby);
                self.applying = Some(Applying { apply, operator, reason: None });
                self.perform_apply(vec![first])
            }
            Err(error) => {
                let reason = Chain(error.as_ref()).to_string();
                warn!(reason, "apply refused");
                answer(&operator, &Reply::Refused { reason });
                Ok(())
            }
        }
    }

    /// Everything that can be found wrong before any process has to do with it.
    fn stage(&self, file: OwnedFd) -> anyhow::Result<(Generation, Slot)> {
        anyhow::ensure!(self.applying.is_none(), "another apply is under way");
        anyhow::ensure!(!self.phase.is_stopping(), "the gateway ends");
        let text = read(file)?;
        let found = listeners::parse(&text).map_err(|problems| {
            let lines: Vec<String> = problems
                .iter()
                .map(|problem| problem.locate("gateway.toml".as_ref(), &text))
                .collect();
            anyhow::anyhow!("{}", lines.join("\n"))
        })?;
        let names: Vec<&String> = found.iter().map(|listener| &listener.name).collect();
        anyhow::ensure!(
            names.len() == self.settings.listeners.len()
                && names.iter().all(|&name| self.settings.listeners.contains_key(name)),
            "the listeners of a gateway that runs cannot be changed"
        );
        let standby = self.lease.as_ref().and_then(Lease::holder).map(Slot::other);
        let ready = |slot: &Slot| {
            self.lease.as_ref().is_some_and(|lease| lease.health(*slot) == Health::Ready)
        };
        let standby = standby.filter(ready).context("no standby is ready to serve it first")?;
        let generations = Generations::of(&self.settings.host.state);
        generations.discard_staged()?;
        Ok((generations.stage(&text)?, standby))
    }

    /// What an apply that is under way puts into service.
    pub(crate) fn applied_generation(&self) -> Option<Generation> {
        self.applying.as_ref().map(|applying| applying.apply.generation())
    }

    /// Something happened that an apply may wait for.
    pub(crate) fn step_apply(&mut self, event: ApplyEvent) -> anyhow::Result<()> {
        let Some(applying) = &mut self.applying else { return Ok(()) };
        let (apply, effects) = applying.apply.step(now(), event);
        if let Some(apply) = apply {
            applying.apply = apply;
        }
        self.perform_apply(effects)
    }

    /// A worker said that it cannot serve a generation.
    pub(crate) fn refuse_apply(&mut self, slot: Slot, reason: &str) -> anyhow::Result<()> {
        if let Some(applying) = &mut self.applying {
            applying.reason = Some(reason.to_owned());
        }
        self.step_apply(ApplyEvent::Refused(slot))
    }

    fn perform_apply(&mut self, effects: Vec<ApplyEffect>) -> anyhow::Result<()> {
        let generations = Generations::of(&self.settings.host.state);
        for effect in effects {
            match effect {
                ApplyEffect::Load { slot, generation } => {
                    self.tell(slot, &ToWorker::Load { generation })?;
                }
                ApplyEffect::Swap => self.swap_to_first()?,
                ApplyEffect::MakeCurrent(generation) => {
                    generations.make_current(generation)?;
                    self.generation = generation;
                    info!(%generation, "generation is current");
                }
                ApplyEffect::Discard => generations.discard_staged()?,
                ApplyEffect::BringBack(slot) => {
                    let generation = self.generation;
                    self.tell(slot, &ToWorker::Load { generation })?;
                }
                ApplyEffect::Answer(outcome) => self.end_apply(outcome),
            }
        }
        Ok(())
    }

    /// Makes the worker that has it active, unless a failover has done so already.
    fn swap_to_first(&mut self) -> anyhow::Result<()> {
        let first = self.applying.as_ref().map(|applying| applying.apply.first());
        match self.lease.as_ref().and_then(Lease::holder) {
            Some(holder) if Some(holder) == first => self.step_apply(ApplyEvent::Active(holder)),
            Some(_) | None => self.step(Event::SwapRequested),
        }
    }

    fn end_apply(&mut self, outcome: Outcome) {
        let Some(applying) = self.applying.take() else { return };
        let reason = match outcome {
            Outcome::Applied(generation) => {
                info!(%generation, "applied");
                answer(&applying.operator, &Reply::Applied { generation });
                return;
            }
            Outcome::Refused => {
                applying.reason.unwrap_or_else(|| "the standby cannot serve it".to_owned())
            }
            Outcome::Died(slot) => format!("worker {slot}, which was to serve it first, died"),
            Outcome::NotLoaded => "the standby took too long to load it".to_owned(),
            Outcome::NotSwapped => "active and standby did not change places in time".to_owned(),
        };
        error!(reason, "apply undone");
        answer(&applying.operator, &Reply::Refused { reason });
    }
}

/// An operator that is gone reads the log.
fn answer(operator: &Channel, reply: &Reply) {
    if let Err(error) = send(operator, reply, &[]) {
        debug!(error = %Chain(&error), "cannot answer an operator");
    }
}

/// The text of a file that an operator sent.
fn read(file: OwnedFd) -> anyhow::Result<String> {
    const LIMIT: u64 = TEXT_BYTES_MAX as u64;
    let mut file = File::from(file);
    let status = file.metadata().context("cannot examine the configuration")?;
    anyhow::ensure!(status.is_file(), "the configuration is not a regular file");
    anyhow::ensure!(
        status.len() <= LIMIT,
        "the configuration has {} bytes, the limit is {LIMIT}",
        status.len()
    );
    file.rewind().context("cannot read the configuration")?;
    let mut text = String::new();
    let mut limited = file.take(LIMIT);
    limited.read_to_string(&mut text).context("cannot read the configuration")?;
    Ok(text)
}
