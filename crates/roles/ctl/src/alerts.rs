//! `mainstay alerts`: what stands, and what happened last.
//!
//! The supervisor is asked, not the master: it knows, and a master that is away is one of the
//! things to be shown.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use mainstay_message::{receive, send_within};
use mainstay_model::{Process, Timestamp};
use mainstay_os::{Channel, now, unix_millis};
use mainstay_wire::control::ToSupervisor;
use mainstay_wire::event::{Change, Record, Report};
use rustix::event::PollFlags;
use serde_json::{Value, json};

use crate::ask::{ATTEMPT_INTERVAL, forget_events, wait, watch};
use crate::place::Place;
use crate::table::show_seconds;

/// How long an answer may take, the next supervisor's start included.
const LIMIT: Duration = Duration::from_secs(2);

/// What `mainstay alerts` is given.
#[derive(Debug, clap::Args)]
pub struct AlertsOptions {
    /// Print JSON, for programs
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub place: Place,
}

/// Prints them.
pub fn alerts(options: &AlertsOptions) -> anyhow::Result<ExitCode> {
    let report = ask(&options.place.run()?)?;
    let text = if options.json {
        to_json(&report).to_string() + "\n"
    } else {
        render(&report, unix_millis())
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever read it has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        printed => printed.context("cannot print the alerts").map(|()| ExitCode::SUCCESS),
    }
}

/// Asks the supervisor; one that died and is not there again is waited for.
fn ask(run: &Path) -> anyhow::Result<Report> {
    let until = now() + LIMIT;
    let watch = watch(run)?;
    loop {
        let failure = match attempt(run, until) {
            Ok(report) => return Ok(report),
            Err(failure) => failure,
        };
        let left = until.since(now());
        if left.is_zero() {
            return Err(failure);
        }
        wait(&watch, PollFlags::IN, left.min(ATTEMPT_INTERVAL))
            .and_then(|_| forget_events(&watch))
            .with_context(|| format!("cannot watch {}", run.display()))?;
    }
}

fn attempt(run: &Path, until: Timestamp) -> anyhow::Result<Report> {
    let channel = Channel::connect(&run.join("supervisor.sock"))
        .with_context(|| format!("no supervisor listens in {}", run.display()))?;
    send_within(&channel, &ToSupervisor::Alerts, &[], until.since(now()))
        .context("cannot ask the supervisor")?;
    loop {
        match receive::<Report>(&channel) {
            Ok(Some((report, _))) => return Ok(report),
            Ok(None) => {}
            Err(error) => return Err(error).context("the supervisor did not answer"),
        }
        let left = until.since(now());
        if left.is_zero() {
            bail!("the supervisor in {} does not answer", run.display());
        }
        wait(&channel, PollFlags::IN, left).context("cannot wait for the supervisor")?;
    }
}

/// As programs read it: processes by the names that people read, times as they are.
fn to_json(report: &Report) -> Value {
    let one = |record: &Record| {
        json!({
            "number": record.number,
            "unix_ms": record.unix_ms,
            "change": record.change,
            "event": record.kind,
            "alert": record.alert,
            "severity": record.severity,
            "process": record.process.map(|process| process.to_string()),
            "since_unix_ms": record.since_unix_ms,
            "suppressed": record.suppressed,
            "summary": record.summary,
            "details": record.details,
        })
    };
    let all = |records: &[Record]| records.iter().map(one).collect::<Vec<Value>>();
    json!({ "standing": all(&report.standing), "latest": all(&report.latest) })
}

fn render(report: &Report, now_ms: u64) -> String {
    let mut text = match report.standing.len() {
        0 => "no alert stands\n".to_owned(),
        1 => "1 alert stands\n".to_owned(),
        count => format!("{count} alerts stand\n"),
    };
    for record in &report.standing {
        let since = show_seconds(now_ms.saturating_sub(record.since_unix_ms) / 1_000);
        let severity = record.severity.name();
        let again = match record.suppressed {
            0 => String::new(),
            count => format!(", {count} times more since it was told"),
        };
        text.push_str(&format!("  {severity:<8}  for {since:<8}  {}{again}\n", record.summary));
    }
    if !report.latest.is_empty() {
        text.push_str("\nlatest first:\n");
    }
    for record in report.latest.iter().rev() {
        let ago = show_seconds(now_ms.saturating_sub(record.unix_ms) / 1_000);
        let change = record.change.name();
        let which = if record.change == Change::Cleared && record.kind != record.alert {
            let process = record.process.map(|process: Process| format!(" of {process}"));
            format!(" (ends {}{})", record.alert.name(), process.unwrap_or_default())
        } else {
            String::new()
        };
        text.push_str(&format!("  {ago:>8} ago  {change:<10}  {}{which}\n", record.summary));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mainstay_model::Slot;
    use mainstay_wire::event::{Kind, Severity};

    use super::*;

    fn record(number: u64) -> Record {
        Record {
            number,
            unix_ms: 1_000_000,
            change: Change::Raised,
            kind: Kind::CrashLooped,
            alert: Kind::CrashLooped,
            severity: Severity::Critical,
            process: Some(Process::Worker(Slot::Two)),
            since_unix_ms: 1_000_000,
            suppressed: 0,
            summary: "worker two dies again and again, last of SIGABRT".to_owned(),
            details: BTreeMap::new(),
        }
    }

    #[test]
    fn what_stands_comes_first() {
        let cleared = Record {
            unix_ms: 1_065_000,
            change: Change::Cleared,
            kind: Kind::ProcessUp,
            alert: Kind::ProcessDied,
            summary: "worker two does its work again".to_owned(),
            ..record(2)
        };
        let report = Report {
            standing: vec![Record { suppressed: 3, ..record(1) }],
            latest: vec![record(1), cleared],
        };
        insta::assert_snapshot!(render(&report, 1_070_000), @r#"
        1 alert stands
          critical  for 1m 10s    worker two dies again and again, last of SIGABRT, 3 times more since it was told

        latest first:
                5s ago  cleared     worker two does its work again (ends process_died of worker two)
            1m 10s ago  raised      worker two dies again and again, last of SIGABRT
        "#);
        insta::assert_snapshot!(render(&Report::default(), 1_070_000), @"no alert stands");
        let json = to_json(&report);
        assert_eq!(json["standing"][0]["process"], "worker two");
        assert_eq!(json["latest"][1]["alert"], "process_died");
    }
}
