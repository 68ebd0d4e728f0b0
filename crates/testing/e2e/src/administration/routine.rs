//! What operators do every day, one after the other, under load.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::{Operator, Options};
use crate::gateway::binary;
use crate::latency::proportional_bytes;
use crate::torture::percentile;
use crate::traffic::Traffic;

/// Answers between two acts, so that each meets every kind of traffic.
const ANSWERS: u64 = 50;

/// How much more memory there may be in the end than when all traffic ran for a while: what
/// connections happen to hold at an instant differs.
const MEMORY_SLACK_BYTES: u64 = 16_000_000;

/// Performs all of it.
pub(super) fn perform(
    options: &Options,
    operator: &mut Operator<'_>,
    traffic: &Traffic,
    report: &mut String,
) -> anyhow::Result<()> {
    traffic.wait_answered(ANSWERS)?;
    // The first apply and the first swap pay for what is made once.
    operator.change()?;
    expect(operator, &["apply"], traffic)?;
    let before = (operator.gateway.processes().len(), proportional_bytes(operator.gateway)?);
    writeln!(report, "{:12} {:>6} {:>10} {:>10}", "", "done", "p50 ms", "most ms")?;
    for (name, count) in [
        ("applies", options.applies),
        ("rollbacks", options.rollbacks),
        ("swaps", options.swaps),
        ("upgrades", options.upgrades),
    ] {
        let mut times = Vec::new();
        let newest = operator.wait_of_one_mind()?.to_string();
        for number in 0..count {
            operator.change()?;
            let command = match (name, number % 2) {
                ("applies", _) => vec!["apply".to_owned()],
                ("rollbacks", 0) => vec!["rollback".to_owned()],
                // There and back again: only so many are kept.
                ("rollbacks", _) => vec!["rollback".to_owned(), newest.clone()],
                ("upgrades", _) => vec!["upgrade".to_owned(), copy_program(operator, number)?],
                _ => vec!["swap".to_owned()],
            };
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            times.push(expect(operator, &command, traffic)?);
        }
        let [p50, most] = [50, 100].map(|share| percentile(&times, share).as_secs_f64() * 1e3);
        writeln!(report, "{name:12} {count:>6} {p50:>10.1} {most:>10.1}")?;
    }
    operator.wait_of_one_mind()?;
    let after = (operator.gateway.processes().len(), proportional_bytes(operator.gateway)?);
    let [mb_before, mb_after] = [before.1, after.1].map(|bytes| bytes / 1_000_000);
    writeln!(report, "processes before and after: {}, {}", before.0, after.0)?;
    writeln!(report, "memory before and after: {mb_before} MB, {mb_after} MB")?;
    anyhow::ensure!(before.0 == after.0, "a process is left over, or missing");
    anyhow::ensure!(after.1 <= before.1 + MEMORY_SLACK_BYTES, "memory has grown");
    Ok(())
}

/// Does one thing that must succeed; returns how long it took.
fn expect(
    operator: &Operator<'_>,
    command: &[&str],
    traffic: &Traffic,
) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let answer = match command {
        ["apply"] => operator.apply(&[])?,
        _ => operator.command(command)?,
    };
    let took = start.elapsed();
    anyhow::ensure!(answer.code == Some(0), "{command:?}: {answer:?}");
    traffic.wait_answered(ANSWERS).context("after an act")?;
    operator.wait_of_one_mind()?;
    Ok(took)
}

/// The program under another name, which is another one to everybody.
fn copy_program(operator: &Operator<'_>, number: u32) -> anyhow::Result<String> {
    let path = operator.gateway.path().join(format!("program-{number}"));
    fs::copy(binary()?, &path)?;
    Ok(path.to_str().context("a path that is text")?.to_owned())
}
