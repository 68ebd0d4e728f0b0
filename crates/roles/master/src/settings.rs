//! What the master reads: `host.toml`, and of the current generation the listeners.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use mainstay_config::listeners::{self, Listener};
use mainstay_config::{Host, Problem, host};
use mainstay_generations::Generations;
use mainstay_model::Generation;
use tracing::error;

/// What this gateway is told to be.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) host: Host,
    pub(crate) generation: Generation,
    /// Those of the generation that was current when this process started.
    pub(crate) listeners: Vec<Planned>,
}

/// A listener of a generation, and how it is treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) listener: Listener,
    pub(crate) refusal: Refusal,
}

/// What a client gets when nobody is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It speaks HTTP: the 503 page.
    Page,
    /// What it speaks is not known: the connection is closed.
    Close,
}

/// Reads both files.
pub(crate) fn read(path: &Path) -> anyhow::Result<Settings> {
    let text = read_text(path)?;
    let host = parse(path, &text, host::parse)?;
    let generations = Generations::of(&host.state);
    let generation = generations.current()?.context("there is no generation to serve")?;
    let file = generations.file(generation);
    let text = read_text(&file)?;
    let listeners = parse(&file, &text, plan)?;
    Ok(Settings { host, generation, listeners })
}

/// The listeners of a configuration.
pub(crate) fn plan(text: &str) -> Result<Vec<Planned>, Vec<Problem>> {
    let (listeners, tunnels) = listeners::parse_with_tunnels(text)?;
    let planned = listeners.into_iter().enumerate().map(|(index, listener)| {
        let refusal = if tunnels.contains(&index) { Refusal::Close } else { Refusal::Page };
        Planned { listener, refusal }
    });
    Ok(planned.collect())
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn parse<T>(
    path: &Path,
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, Vec<Problem>>,
) -> anyhow::Result<T> {
    match parse(text) {
        Ok(value) => Ok(value),
        Err(problems) => {
            for problem in &problems {
                error!("{}", problem.locate(path, text));
            }
            bail!("{} is not valid", path.display())
        }
    }
}
