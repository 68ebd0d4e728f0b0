//! `mainstay upgrade`: has the supervisor replace the program of every process.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use mainstay_message::send_within;
use mainstay_os::Channel;
use mainstay_wire::control::ToSupervisor;

use crate::place::Place;
use crate::steps::{self, Told};

/// How long the supervisor may take to hear the question.
const SEND_LIMIT: Duration = Duration::from_secs(5);

/// Which program, and how long its steps are awaited.
#[derive(Debug, clap::Args)]
pub struct UpgradeOptions {
    /// The new program; without it, the one that this command is
    #[arg(value_name = "PROGRAM")]
    pub program: Option<PathBuf>,

    #[command(flatten)]
    pub place: Place,

    /// Longest time between two steps, in seconds; the upgrade itself has the limits of
    /// [upgrade] in host.toml
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub patience: u64,
}

/// Asks for the upgrade, and shows its steps as they happen.
pub fn upgrade(options: &UpgradeOptions) -> anyhow::Result<ExitCode> {
    let run = options.place.run()?;
    let path = options.program.clone().unwrap_or_else(|| PathBuf::from("/proc/self/exe"));
    let program = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    let channel = Channel::connect(&run.join("supervisor.sock"))
        .with_context(|| format!("no supervisor listens in {}", run.display()))?;
    send_within(&channel, &ToSupervisor::Upgrade, &[program.as_fd()], SEND_LIMIT)
        .context("cannot ask the supervisor")?;
    let told = steps::follow(&channel, Duration::from_secs(options.patience))?;
    match told {
        Told::Done { version } => {
            writeln!(io::stdout(), "every process runs mainstay {version}")
                .context("cannot write to standard output")?;
            Ok(ExitCode::SUCCESS)
        }
        Told::Failed { reason } => bail!("not upgraded: {reason}"),
        Told::Nothing => {
            bail!("the supervisor ended in the middle of it; ask again when it is back")
        }
    }
}
