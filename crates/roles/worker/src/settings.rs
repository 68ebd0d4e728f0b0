//! The configuration of one worker, read once at its start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use mainstay_config::gateway::AccessLog;
use mainstay_config::host::{Adoption, Worker};
use mainstay_config::{Gateway, Host, Problem};
use mainstay_generations::Generations;
use mainstay_model::{Generation, Slot};

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
    let proxy = mainstay_proxy::Settings::build(&gateway).context("cannot use gateway.toml")?;
    let proxy = proxy.with_abort_path(host.trial.abort_path.clone());
    Ok(Settings { slot: options.slot, host, worker, gateway, generation, proxy: Arc::new(proxy) })
}

fn parse<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T, Vec<Problem>>) -> anyhow::Result<T> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(|problem| problem.locate(path, &text)).collect();
        anyhow!("{}", lines.join("\n"))
    })
}
