//! What a figure depends on and cannot be seen in it: the machine and the versions.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use super::contestant::Contestant;
use crate::shell;

/// One line for the machine, one for each program.
pub(super) fn describe(programs: &[(Contestant, PathBuf)]) -> anyhow::Result<Vec<String>> {
    let cpus = fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
    let model = field(&cpus, "model name").unwrap_or("unknown processor");
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let kernel =
        fs::read_to_string("/proc/sys/kernel/osrelease").context("cannot ask the kernel")?;
    let load = fs::read_to_string("/proc/loadavg").context("cannot read /proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    let mut lines =
        vec![format!("{count} × {model}, Linux {}, load {load} before the start", kernel.trim())];
    for (contestant, program) in programs {
        let mut command = Command::new(program);
        command.arg(contestant.version_option());
        let text = shell::output(&mut command)?;
        lines.push(text.lines().next().unwrap_or_default().trim().to_owned());
    }
    Ok(lines)
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}
