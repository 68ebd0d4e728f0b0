//! What the supervisor reads: `host.toml`, and what of `gateway.toml` it needs itself, which is
//! the listeners.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use mainstay_config::listeners::{self, Listener};
use mainstay_config::{Host, Problem, gateway, host};
use mainstay_generations::Generations;
use mainstay_model::Generation;

/// What this gateway is told to be.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Absolute: the other processes work in another directory.
    pub(crate) file: PathBuf,
    pub(crate) host: Host,
}

/// What it serves.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) generation: Generation,
    pub(crate) listeners: Vec<Listener>,
}

/// Reads host.toml. Problems go to standard error, one line each, for whoever started us.
pub(crate) fn read(file: &Path) -> anyhow::Result<Settings> {
    let file = std::path::absolute(file)
        .with_context(|| format!("cannot make {} absolute", file.display()))?;
    let host = read_one(&file, host::parse)?;
    Ok(Settings { file, host })
}

/// How this supervisor came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// The gateway starts.
    Anew,
    /// A gateway ran that was not ended in order, and may run still.
    Again,
}

/// Finds out what is to be served. A gateway that starts anew serves the gateway.toml that
/// host.toml names, which becomes a generation, if that was changed after the current one was
/// made; else it goes on with the current one. One that ran goes on with what it served,
/// whatever became of that file.
pub(crate) fn read_current(host: &Host, start: Start) -> anyhow::Result<Current> {
    let generations = Generations::of(&host.state);
    let current = generations.current()?;
    if let Some(generation) = current {
        let file = generations.file(generation);
        if start == Start::Again || is_older(&host.gateway, &file) {
            return Ok(Current { generation, listeners: read_one(&file, listeners::parse)? });
        }
    }
    // Read once: what is checked is what is kept.
    let text = read_text(&host.gateway)?;
    // Every problem, before any process reads it.
    drop(parse_one(&host.gateway, &text, gateway::parse)?);
    let listeners = parse_one(&host.gateway, &text, listeners::parse)?;
    if let Some(generation) = current
        && read_text(&generations.file(generation))? == text
    {
        return Ok(Current { generation, listeners });
    }
    let generation = generations.stage(&text)?;
    generations.make_current(generation)?;
    Ok(Current { generation, listeners })
}

/// What is current now: the master moves it.
pub(crate) fn read_again(host: &Host) -> anyhow::Result<Current> {
    let generations = Generations::of(&host.state);
    let generation = generations.current()?.context("there is no generation to serve")?;
    Ok(Current { generation, listeners: read_listeners(host, generation)? })
}

/// The listeners of a generation.
pub(crate) fn read_listeners(host: &Host, generation: Generation) -> anyhow::Result<Vec<Listener>> {
    let file = Generations::of(&host.state).file(generation);
    read_one(&file, listeners::parse)
}

/// Whether a file was changed before another. One that is not there was changed long ago.
fn is_older(file: &Path, other: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|status| status.modified()).ok();
    changed(file) <= changed(other)
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn read_one<T>(
    path: &Path,
    parse: impl FnOnce(&str) -> Result<T, Vec<Problem>>,
) -> anyhow::Result<T> {
    parse_one(path, &read_text(path)?, parse)
}

fn parse_one<T>(
    path: &Path,
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, Vec<Problem>>,
) -> anyhow::Result<T> {
    let problems = match parse(text) {
        Ok(value) => return Ok(value),
        Err(problems) => problems,
    };
    let mut output = io::stderr().lock();
    for problem in &problems {
        writeln!(output, "{}", problem.locate(path, text))
            .context("cannot write to standard error")?;
    }
    let count = problems.len();
    bail!("{} has {count} problem{}", path.display(), if count == 1 { "" } else { "s" })
}
