//! The configuration of one worker, read once at its start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use mainstay_config::gateway::AccessLog;
use mainstay_config::host::{Adoption, Worker};
use mainstay_config::{Gateway, Host, Problem};
use mainstay_generations::Generations;
use mainstay_model::{Generation, Slot};
use mainstay_proxy::Drills;

use crate::Options;

/// Everything that a worker is told by files.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) slot: Slot,
    pub(crate) host: Host,
    pub(crate) worker: Worker,
    pub(crate) gateway: Gateway,
    pub(crate) generation: Generation,
    pub(crate) proxy: Arc<mainstay_proxy::Settings>,
}

impl Settings {
    /// Where keepers offer estates.
    pub(crate) fn keepers(&self) -> PathBuf {
        self.host.run.join("keepers")
    }

    /// Where the access log goes.
    pub(crate) fn access_log(&self) -> Option<PathBuf> {
        match &self.gateway.access_log {
            AccessLog::File(path) => Some(self.host.state.join(path)),
            AccessLog::Off => None,
        }
    }

    pub(crate) const fn adoption(&self) -> mainstay_ledger::Adoption {
        match self.host.pair.adoption {
            Adoption::On => mainstay_ledger::Adoption::On,
            Adoption::Off => mainstay_ledger::Adoption::Off,
        }
    }
}

/// What a worker has to do to serve another generation.
#[derive(Debug)]
pub(crate) enum Change {
    /// Its threads go on with these.
    InPlace(Arc<mainstay_proxy::Settings>),
    /// What is fixed when a process starts is another.
    Replace,
}

impl Settings {
    /// Reads another generation.
    pub(crate) fn change_to(&mut self, generation: Generation) -> anyhow::Result<Change> {
        let file = Generations::of(&self.host.state).file(generation);
        let gateway = parse(&file, mainstay_config::gateway::parse)?;
        let places = |gateway: &Gateway| -> Vec<_> {
            let listeners = gateway.listeners.iter();
            listeners
                .map(|listener| (listener.name.clone(), listener.address.clone(), listener.accept))
                .collect()
        };
        anyhow::ensure!(
            places(&gateway) == places(&self.gateway),
            "the listeners of a gateway that runs cannot be changed"
        );
        let (old, new) = (&self.gateway, &gateway);
        if new.limits.connections != old.limits.connections
            || new.limits.pipes != old.limits.pipes
            || new.access_log != old.access_log
        {
            return Ok(Change::Replace);
        }
        let proxy = build(&self.host, &gateway)?;
        self.generation = generation;
        self.gateway = gateway;
        self.proxy = Arc::clone(&proxy);
        Ok(Change::InPlace(proxy))
    }
}

fn build(host: &Host, gateway: &Gateway) -> anyhow::Result<Arc<mainstay_proxy::Settings>> {
    let proxy = mainstay_proxy::Settings::build(gateway).context("cannot use gateway.toml")?;
    let drills =
        Drills { abort: host.trial.abort_path.clone(), hoard: host.trial.hoard_path.clone() };
    Ok(Arc::new(proxy.with_drills(drills)))
}

/// Reads both files.
pub(crate) fn read(options: &Options) -> anyhow::Result<Settings> {
    let host = parse(&options.host, mainstay_config::host::parse)?;
    let generations = Generations::of(&host.state);
    let generation = generations.current()?.context("there is no generation to serve")?;
    let gateway = parse(&generations.file(generation), mainstay_config::gateway::parse)?;
    let worker = host
        .workers
        .get(options.slot.index())
        .cloned()
        .context("the configuration has no such worker")?;
    let proxy = build(&host, &gateway)?;
    Ok(Settings { slot: options.slot, host, worker, gateway, generation, proxy })
}

fn parse<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T, Vec<Problem>>) -> anyhow::Result<T> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(|problem| problem.locate(path, &text)).collect();
        anyhow!("{}", lines.join("\n"))
    })
}
