//! The load of the throughput scenarios: `wrk`, one thread, 64 connections.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use super::scenario::Scenario;
use super::write;
use crate::shell;

/// Makes wrk say its own counts, exactly, on one line.
const DONE: &str = "\
done = function(summary)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format('done %d %d %d\\n', summary.requests, summary.duration, failed))
end
";

/// What is sent, and where from.
pub(super) struct Load<'a> {
    pub(super) address: &'a str,
    pub(super) scenario: Scenario,
    pub(super) cpu: usize,
    pub(super) folder: &'a Path,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) requests: f64,
    pub(super) seconds: f64,
}

impl Load<'_> {
    /// Sends for `seconds`; fails if any request did.
    pub(super) fn run(&self, seconds: u32) -> anyhow::Result<Done> {
        let script = write(self.folder, "wrk.lua", &format!("{}{DONE}", self.scenario.script()))?;
        let mut command = Command::new("taskset");
        command.args(["-c", &self.cpu.to_string(), "wrk", "-t1", "-c64", "--timeout", "8s"]);
        command.arg(format!("-d{seconds}s")).arg("-s").arg(script);
        command.arg(format!("http://{}{}", self.address, self.scenario.path()));
        let output = shell::output(&mut command)?;
        read(&output).with_context(|| format!("wrk failed: {output}"))
    }
}

fn read(output: &str) -> anyhow::Result<Done> {
    let counts = output.lines().find_map(|line| line.strip_prefix("done ")).context("no counts")?;
    let counts: Vec<f64> = counts.split(' ').filter_map(|count| count.parse().ok()).collect();
    let [requests, micros, failed] = counts[..] else { anyhow::bail!("strange counts") };
    anyhow::ensure!(failed == 0.0, "{failed} requests failed");
    anyhow::ensure!(requests > 0.0, "no request was answered");
    Ok(Done { requests, seconds: micros / 1e6 })
}
