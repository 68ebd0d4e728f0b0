//! What the supervisor reads: `host.toml`, and of `gateway.toml` the listeners.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use mainstay_config::listeners::{self, Listener};
use mainstay_config::{Host, Problem, host};

/// What this gateway is told to be.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Absolute: the other processes work in another directory.
    pub(crate) file: PathBuf,
    pub(crate) host: Host,
    pub(crate) listeners: Vec<Listener>,
}

/// Reads both files. Problems go to standard error, one line each, for whoever started us.
pub(crate) fn read(file: &Path) -> anyhow::Result<Settings> {
    let file = std::path::absolute(file)
        .with_context(|| format!("cannot make {} absolute", file.display()))?;
    let host = read_one(&file, host::parse)?;
    let listeners = read_one(&host.gateway, listeners::parse)?;
    Ok(Settings { file, host, listeners })
}

fn read_one<T>(
    path: &Path,
    parse: impl FnOnce(&str) -> Result<T, Vec<Problem>>,
) -> anyhow::Result<T> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let problems = match parse(&text) {
        Ok(value) => return Ok(value),
        Err(problems) => problems,
    };
    let mut output = io::stderr().lock();
    for problem in &problems {
        writeln!(output, "{}", problem.locate(path, &text))
            .context("cannot write to standard error")?;
    }
    let count = problems.len();
    bail!("{} has {count} problem{}", path.display(), if count == 1 { "" } else { "s" })
}
