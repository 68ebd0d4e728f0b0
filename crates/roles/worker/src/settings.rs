//! The configuration of one worker, read once at its start.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use mainstay_config::gateway::AccessLog;
use mainstay_config::host::{Adoption, Worker};
use mainstay_config::{Gateway, Host, Problem};
use mainstay_generations::Generations;
use mainstay_model::{Chain, Generation, Process, Slot};
use mainstay_os::host_name;
use mainstay_proxy::{Drills, Origin, open_log};
use tracing::warn;

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
    /// Connections that each lane has room for: as many as the configuration at the start allows,
    /// or the one before it, if that is more.
    pub(crate) capacity: usize,
    pub(crate) leases: Leases,
}

/// From which listeners a worker that serves accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leases {
    AsConfigured,
    /// It is a part of the one process, whose master's part accepts nothing.
    All,
}

/// An access log that is open, and where it is; `None` for no log.
pub(crate) type Log = Option<(PathBuf, File)>;

impl Settings {
    /// In whose name lines of the access log are.
    pub(crate) fn origin(&self) -> Origin {
        let index = Process::Worker(self.slot).index().unwrap_or_default();
        Origin { gateway: self.host.id.clone().unwrap_or_else(host_name), index }
    }

    /// Whether the configuration allows more connections than this process has room for.
    pub(crate) const fn is_outgrown(&self) -> bool {
        self.gateway.limits.connections > self.capacity
    }

    /// Where keepers offer estates.
    pub(crate) fn keepers(&self) -> PathBuf {
        self.host.run.join("keepers")
    }

    /// Where the access log goes.
    pub(crate) fn access_log(&self) -> Option<PathBuf> {
        access_log(&self.host, &self.gateway)
    }

    pub(crate) const fn adoption(&self) -> mainstay_ledger::Adoption {
        match self.host.pair.adoption {
            Adoption::On => mainstay_ledger::Adoption::On,
            Adoption::Off => mainstay_ledger::Adoption::Off,
        }
    }
}

impl Settings {
    /// Reads another generation, and opens everything that it needs: an access log for each lane.
    /// Of that, what a process is made with is its room for connections; more than there is room
    /// for are not taken.
    pub(crate) fn change_to(
        &mut self,
        generation: Generation,
        lanes: usize,
    ) -> anyhow::Result<Vec<Log>> {
        let gateway = read_generation(&self.host, generation)?;
        let former = Generations::of(&self.host.state).former(generation);
        // Which is the rule; a large one is not read twice.
        let proxy = if former.is_ok_and(|former| former == Some(self.generation)) {
            build(&self.host, generation, &gateway, Some(&self.gateway))?
        } else {
            build(&self.host, generation, &gateway, read_former(&self.host, generation).as_ref())?
        };
        let path = access_log(&self.host, &gateway);
        let open = |_| match &path {
            Some(path) => {
                let file = open_log(path)
                    .with_context(|| format!("cannot open the access log {}", path.display()))?;
                Ok(Some((path.clone(), file)))
            }
            None => Ok(None),
        };
        let logs = (0..lanes).map(open).collect::<anyhow::Result<Vec<Log>>>()?;
        self.generation = generation;
        self.gateway = gateway;
        self.proxy = proxy;
        Ok(logs)
    }
}

fn access_log(host: &Host, gateway: &Gateway) -> Option<PathBuf> {
    match &gateway.access_log {
        AccessLog::File(path) => Some(host.state.join(path)),
        AccessLog::Off => None,
    }
}

fn read_generation(host: &Host, generation: Generation) -> anyhow::Result<Gateway> {
    let file = Generations::of(&host.state).file(generation);
    parse(&file, mainstay_config::gateway::parse)
}

/// What was served before a generation. One that cannot be read is as good as none: clients of
/// listeners that are no more are then answered that there is nothing.
fn read_former(host: &Host, generation: Generation) -> Option<Gateway> {
    let former = Generations::of(&host.state).former(generation);
    let read = former
        .map_err(anyhow::Error::from)
        .and_then(|former| former.map(|former| read_generation(host, former)).transpose());
    read.unwrap_or_else(|error| {
        warn!(error = %Chain(error.as_ref()), "cannot read the former generation");
        None
    })
}

fn build(
    host: &Host,
    generation: Generation,
    gateway: &Gateway,
    former: Option<&Gateway>,
) -> anyhow::Result<Arc<mainstay_proxy::Settings>> {
    let proxy =
        mainstay_proxy::Settings::build(gateway, former).context("cannot use gateway.toml")?;
    let drills =
        Drills { abort: host.trial.abort_path.clone(), hoard: host.trial.hoard_path.clone() };
    Ok(Arc::new(proxy.with_drills(drills).with_configuration(generation.number())))
}

/// Reads both files.
pub(crate) fn read(options: &Options) -> anyhow::Result<Settings> {
    let host = parse(&options.host, mainstay_config::host::parse)?;
    let generations = Generations::of(&host.state);
    let generation = generations.current()?.context("there is no generation to serve")?;
    let gateway = read_generation(&host, generation)?;
    let former = read_former(&host, generation);
    let worker = host
        .workers
        .get(options.slot.index())
        .cloned()
        .context("the configuration has no such worker")?;
    let proxy = build(&host, generation, &gateway, former.as_ref())?;
    // Connections that were open when their number was lowered are still to be adopted.
    let before = former.map_or(0, |former| former.limits.connections);
    let capacity = gateway.limits.connections.max(before);
    let leases = Leases::AsConfigured;
    Ok(Settings { slot: options.slot, host, worker, gateway, generation, proxy, capacity, leases })
}

fn parse<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T, Vec<Problem>>) -> anyhow::Result<T> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(|problem| problem.locate(path, &text)).collect();
        anyhow!("{}", lines.join("\n"))
    })
}
