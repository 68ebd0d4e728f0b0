//! `mainstay apply FILE` and `mainstay rollback`: put a configuration into service, and show how
//! far that has come.
//!
//! The file is checked here first, so that what is wrong with it is said with its place and costs
//! the gateway nothing. It is asked once: an apply whose answer was lost is not to be done twice.
//! A master that dies on the way takes its answer with it; its successor is asked what serves.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use mainstay_config::apply::CONFIRMS;
use mainstay_config::{gateway, read_duration};
use mainstay_model::Generation;
use mainstay_wire::command::{Difference, HookSaid, Progress, Reply, Status, Step};

use crate::api::{Admin, Answer, Api, Ended, Question};
use crate::text;

/// How long an apply may take beside the time for which it is watched: each of its parts has a
/// shorter limit in the master.
const LIMIT: Duration = Duration::from_secs(300);

/// How long the successor of a master may take to say what serves.
const SUCCESSOR_LIMIT: Duration = Duration::from_secs(15);

/// It went back by itself: clients had been served by the new generation, and are served by the
/// former one again.
const WENT_BACK: u8 = 3;

/// What a script may want to know.
const EXIT_CODES: &str = "\
Exit codes:
  0  it is in service; with --dry-run: it is valid
  1  refused, or failed before clients were served by it
  2  the command line is wrong
  3  clients were served by it and hurt, and the former generation serves again";

/// What `mainstay apply` is given.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct ApplyOptions {
    /// The gateway.toml to serve from here on
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Check the file, show what it would change, and stop there
    #[arg(long)]
    pub dry_run: bool,

    /// Watch clients for so long after the swap, whatever the file says: "10s", "500ms", "0s"
    #[arg(long, value_name = "DURATION", value_parser = confirm)]
    pub confirm: Option<Duration>,

    #[command(flatten)]
    pub admin: Admin,
}

/// What `mainstay rollback` is given.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct RollbackOptions {
    /// The generation to serve again; the one before the current, if none is named
    #[arg(value_name = "GENERATION")]
    pub generation: Option<Generation>,

    #[command(flatten)]
    pub admin: Admin,
}

/// As gateway.toml has it.
fn confirm(text: &str) -> Result<Duration, String> {
    match read_duration(text) {
        Some(confirm) if CONFIRMS.contains(&confirm) => Ok(confirm),
        Some(_) | None => Err("a duration from \"0s\" to \"1h\", such as \"10s\"".to_owned()),
    }
}

/// Applies, and tells what came of it.
pub fn apply(options: &ApplyOptions) -> anyhow::Result<ExitCode> {
    let path = &options.file;
    let text = text::read(path).with_context(|| path.display().to_string())?;
    if let Err(problems) = gateway::parse(&text) {
        let mut output = io::stderr().lock();
        for problem in &problems {
            writeln!(output, "{}", problem.locate(path, &text))
                .context("cannot write to standard error")?;
        }
        return Ok(ExitCode::FAILURE);
    }
    let mut query = Vec::new();
    if options.dry_run {
        query.push("dry_run=true".to_owned());
    }
    if let Some(confirm) = options.confirm {
        query.push(format!("confirm={}ms", confirm.as_millis()));
    }
    let question = Question::post(format!("/v1/apply?{}", query.join("&")), text);
    put_into_service(&options.admin, &question)
}

/// Goes back, and tells what came of it.
pub fn rollback(options: &RollbackOptions) -> anyhow::Result<ExitCode> {
    let path = match options.generation {
        Some(generation) => format!("/v1/rollback?generation={generation}"),
        None => "/v1/rollback".to_owned(),
    };
    put_into_service(&options.admin, &Question::post(path, ""))
}

/// What was said of an apply.
#[derive(Debug, Default)]
struct Said {
    begun: Option<Generation>,
    /// Clients were served by it.
    reached_clients: bool,
    outcome: Option<Reply>,
}

fn put_into_service(admin: &Admin, question: &Question) -> anyhow::Result<ExitCode> {
    let api = Api::of(admin)?;
    let mut said = Said::default();
    let ended = api.follow(question, LIMIT, |line| {
        hear(&mut said, serde_json::from_str(line).context("cannot understand the master")?)
    })?;
    match (ended, said.outcome) {
        (Ended::Problem(reason), _) => bail!("not applied: {reason}"),
        (Ended::Whole | Ended::CutOff, Some(outcome)) => conclude(outcome),
        (Ended::Whole | Ended::CutOff, None) => {
            let Said { begun, reached_clients, .. } = said;
            let current = serves(&api)?;
            if begun == Some(current) {
                say(&format!("generation {current} is in service; the master died on the way"))?;
                return Ok(ExitCode::SUCCESS);
            }
            if reached_clients {
                return went_back("the master died on the way", current);
            }
            bail!("not applied: the master died on the way; generation {current} is in service")
        }
    }
}

/// Shows what happens, and keeps what it is concluded from.
fn hear(said: &mut Said, reply: Reply) -> anyhow::Result<()> {
    match reply {
        Reply::Difference(Difference { from, lines }) => {
            if lines.is_empty() {
                say(&format!("nothing differs from generation {from}"))?;
            }
            lines.iter().try_for_each(|line| say(line))
        }
        Reply::Progress(progress) => {
            said.begun = Some(progress.generation);
            said.reached_clients |= progress.step == Step::Watch;
            say(&describe(&progress))
        }
        Reply::Hook(HookSaid { hook, end, output }) => {
            say(&format!("           hook {hook}: {end}"))?;
            output.lines().try_for_each(|line| say(&format!("           | {line}")))
        }
        outcome => {
            said.outcome = Some(outcome);
            Ok(())
        }
    }
}

fn conclude(outcome: Reply) -> anyhow::Result<ExitCode> {
    match outcome {
        Reply::Applied { generation } => {
            say(&format!("generation {generation} is in service"))?;
            Ok(ExitCode::SUCCESS)
        }
        Reply::Compared => {
            say("valid, and not applied")?;
            Ok(ExitCode::SUCCESS)
        }
        Reply::Refused { reason } => bail!("not applied: {reason}"),
        Reply::WentBack { generation, reason } => went_back(&reason, generation),
        Reply::Status(_)
        | Reply::Generations(_)
        | Reply::Difference(_)
        | Reply::HandedOver
        | Reply::Progress(_)
        | Reply::Hook(_) => bail!("the master answered something else"),
    }
}

/// What is in service, as the next master says.
fn serves(api: &Api) -> anyhow::Result<Generation> {
    match api.ask(&Question::get("/v1/status"), SUCCESSOR_LIMIT)? {
        Answer::Done(text) => {
            let status: Status = serde_json::from_str(&text).context("cannot read the status")?;
            Ok(status.generation)
        }
        Answer::Problem(reason) => bail!("{reason}"),
    }
}

fn went_back(reason: &str, serves: Generation) -> anyhow::Result<ExitCode> {
    writeln!(io::stderr().lock(), "went back: {reason}; generation {serves} is in service")
        .context("cannot write to standard error")?;
    Ok(ExitCode::from(WENT_BACK))
}

fn describe(progress: &Progress) -> String {
    let Progress { generation, step, after_ms } = progress;
    let doing = match step {
        Step::Prepare => format!("generation {generation}: valid, and prepared for"),
        Step::Connect => "what it needs of the network is made".to_owned(),
        Step::Open => "its new listeners are opened".to_owned(),
        Step::Prove => "the standby loads and proves it".to_owned(),
        Step::Load => "the one process loads and proves it".to_owned(),
        Step::Swap => "active and standby change places".to_owned(),
        Step::Watch => "clients are watched".to_owned(),
        Step::Follow => "it is current, the former active follows".to_owned(),
        Step::Keep => "it is current".to_owned(),
        Step::Finish => "it is in service everywhere".to_owned(),
        Step::GoBack => "it is hurt, the former active serves again".to_owned(),
        Step::Unwind => "whoever had loaded it comes back".to_owned(),
        Step::Disconnect => "what was made of the network is taken back".to_owned(),
    };
    format!("{after_ms:>6} ms  {doing}")
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(io::stdout().lock(), "{line}").context("cannot write to standard output")
}
