//! `mainstay swap`, `purge`, `policy refresh` and `esp status`: orders to every process.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use mainstay_wire::broadcast::{Outcome, Said};

use crate::api::{Admin, Answer, Api, Question};

/// How long an order may take: three processes, each with a limit of its own, and a moment.
const LIMIT: Duration = Duration::from_secs(35);

/// What an order to every process is given.
#[derive(Debug, clap::Args)]
pub struct OrderOptions {
    #[command(flatten)]
    pub admin: Admin,
}

/// Has active and standby change places.
pub fn swap(options: &OrderOptions) -> anyhow::Result<ExitCode> {
    order(options, &Question::post("/v1/swap", ""))
}

/// Has every process forget what it keeps of responses.
pub fn purge(options: &OrderOptions) -> anyhow::Result<ExitCode> {
    order(options, &Question::post("/v1/purge", ""))
}

/// Has every process read again what requests are decided by.
pub fn policy_refresh(options: &OrderOptions) -> anyhow::Result<ExitCode> {
    order(options, &Question::post("/v1/policy-refresh", ""))
}

/// Asks every process how the service that logs users in is.
pub fn esp_status(options: &OrderOptions) -> anyhow::Result<ExitCode> {
    order(options, &Question::get("/v1/esp-status"))
}

fn order(options: &OrderOptions, question: &Question) -> anyhow::Result<ExitCode> {
    let text = match Api::of(&options.admin)?.ask(question, LIMIT)? {
        Answer::Done(text) => text,
        Answer::Problem(reason) => bail!("{reason}"),
    };
    match serde_json::from_str(&text).context("cannot understand the master")? {
        Outcome::Done { said } => {
            io::stdout()
                .lock()
                .write_all(render(&said).as_bytes())
                .context("cannot write to standard output")?;
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Failed { .. } | Outcome::Busy => bail!("the master answered something else"),
    }
}

fn render(said: &[Said]) -> String {
    let line = |Said { process, sentence }: &Said| {
        let sentence = if sentence.is_empty() { "done" } else { sentence };
        format!("{process}: {sentence}\n")
    };
    said.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use mainstay_model::{Process, Slot};

    use super::*;

    #[test]
    fn everyone_has_a_line() {
        let said = [(Process::Worker(Slot::Two), ""), (Process::Master, "worker two serves")]
            .map(|(process, sentence)| Said { process, sentence: sentence.to_owned() });
        assert_eq!(render(&said), "worker two: done\nmaster: worker two serves\n");
    }
}
