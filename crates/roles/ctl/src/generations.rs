//! `mainstay generations`: which configurations are kept, and which one serves.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use mainstay_wire::command::Generations;

use crate::api::{Admin, Answer, Api, Question};

/// How long the master may take.
const LIMIT: Duration = Duration::from_secs(5);

/// What `mainstay generations` is given.
#[derive(Debug, clap::Args)]
pub struct GenerationsOptions {
    /// As JSON
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub admin: Admin,
}

/// Prints them, newest first.
pub fn generations(options: &GenerationsOptions) -> anyhow::Result<ExitCode> {
    let question = Question::get("/v1/generations");
    let generations = match Api::of(&options.admin)?.ask(&question, LIMIT)? {
        Answer::Done(text) => {
            serde_json::from_str(&text).context("cannot understand the master")?
        }
        Answer::Problem(reason) => bail!("{reason}"),
    };
    let text = if options.json {
        serde_json::to_string(&generations).context("cannot write JSON")? + "\n"
    } else {
        render(&generations)
    };
    io::stdout().lock().write_all(text.as_bytes()).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

fn render(generations: &Generations) -> String {
    let line = |generation: &mainstay_model::Generation| {
        let mark = if *generation == generations.current { "  in service" } else { "" };
        format!("{generation}{mark}\n")
    };
    generations.kept.iter().rev().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_in_service_is_marked() {
        let kept = [1, 7, 12].map(|number: u64| number.to_string().parse().unwrap()).to_vec();
        let current = kept[1];
        assert_eq!(render(&Generations { kept, current }), "12\n7  in service\n1\n");
    }
}
