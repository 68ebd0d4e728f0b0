//! `mainstay apply FILE`: puts a configuration into service, or says why not.
//!
//! The file is checked here first, so that what is wrong with it is said with its place and costs
//! the gateway nothing.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use mainstay_config::gateway;
use mainstay_message::{MessageError, receive, send_within};
use mainstay_os::{Channel, ChannelError, now};
use mainstay_wire::command::{Command, Reply};
use rustix::event::PollFlags;

use crate::ask::wait;
use crate::place::Place;

/// How long an apply may take: each of its parts has a shorter limit in the master.
const LIMIT: Duration = Duration::from_secs(60);

/// How long the master may take to hear the question.
const SEND_LIMIT: Duration = Duration::from_secs(5);

/// What `mainstay apply` is given.
#[derive(Debug, clap::Args)]
pub struct ApplyOptions {
    /// The gateway.toml to serve from here on
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    #[command(flatten)]
    pub place: Place,
}

/// Applies, and tells what came of it.
pub fn apply(options: &ApplyOptions) -> anyhow::Result<ExitCode> {
    let path = &options.file;
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    if let Err(problems) = gateway::parse(&text) {
        let mut output = io::stderr().lock();
        for problem in &problems {
            writeln!(output, "{}", problem.locate(path, &text))
                .context("cannot write to standard error")?;
        }
        return Ok(ExitCode::FAILURE);
    }
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let run = options.place.run()?;
    match ask(&run, &file)? {
        Reply::Applied { generation } => {
            writeln!(io::stdout().lock(), "generation {generation} is in service")
                .context("cannot write to standard output")?;
            Ok(ExitCode::SUCCESS)
        }
        Reply::Refused { reason } => bail!("not applied: {reason}"),
        Reply::Status(_) => bail!("the master answered something else"),
    }
}

/// Asks once: an apply whose answer was lost is not to be done twice.
fn ask(run: &std::path::Path, file: &File) -> anyhow::Result<Reply> {
    const LOST: &str =
        "the master ended before it answered; `mainstay status` tells the generation";
    let channel = Channel::connect(&run.join("admin.sock"))
        .with_context(|| format!("no gateway runs in {}", run.display()))?;
    send_within(&channel, &Command::Apply, &[file.as_fd()], SEND_LIMIT)
        .context("cannot ask the master")?;
    let deadline = now() + LIMIT;
    loop {
        match receive(&channel) {
            Ok(Some((reply, _))) => return Ok(reply),
            Ok(None) => {}
            Err(MessageError::Channel { source: ChannelError::Closed }) => bail!(LOST),
            Err(error) => return Err(error).context("cannot hear the master"),
        }
        let left = deadline.since(now());
        if left.is_zero() {
            bail!("no answer in {LIMIT:?}; `mainstay status` tells the generation");
        }
        wait(&channel, PollFlags::IN, left).context("cannot wait for the master's answer")?;
    }
}
