//! `mainstay ha disable` and `mainstay ha enable`: from a pair to one process and back.
//!
//! host.toml says what the gateway is, for now and for its next start. So it is changed first,
//! with everything else in it left as it is, then the supervisor of a gateway that runs is asked
//! to become that. If that comes to nothing, host.toml says again what it said.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use mainstay_config::Host;
use mainstay_config::host::{self, Ha};
use mainstay_message::send_within;
use mainstay_model::Chain;
use mainstay_os::memory_share;
use mainstay_wire::control::ToSupervisor;

use crate::ask::{AskError, find};
use crate::host_file::{self, replace};
use crate::steps::{self, Told};
use crate::text;

/// How long the supervisor may take to hear the question.
const SEND_LIMIT: Duration = Duration::from_secs(5);

/// How long a supervisor that is away is waited for.
const RETURN_LIMIT: Duration = Duration::from_secs(5);

/// `mainstay ha …`
#[derive(Debug, clap::Subcommand)]
pub enum HaCommand {
    /// Become one process that does everything, with nothing closed
    Disable(HaOptions),
    /// Become a pair of workers with a master and broadcast, with nothing closed
    Enable(HaOptions),
}

/// Which gateway, and who has said yes.
#[derive(Debug, clap::Args)]
pub struct HaOptions {
    /// The host.toml of the gateway, which is changed
    #[arg(long, value_name = "FILE", default_value = "/etc/mainstay/host.toml")]
    pub host: PathBuf,

    /// Do not ask
    #[arg(long)]
    pub yes: bool,

    /// Longest time between two steps, in seconds; each step has the limit of `[upgrade]` in
    /// host.toml
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub patience: u64,
}

/// Changes host.toml, and the gateway if it runs.
pub fn ha(command: &HaCommand) -> anyhow::Result<ExitCode> {
    let (wanted, options) = match command {
        HaCommand::Disable(options) => (Ha::Disabled, options),
        HaCommand::Enable(options) => (Ha::Enabled, options),
    };
    let path = options
        .host
        .canonicalize()
        .with_context(|| format!("cannot find {}", options.host.display()))?;
    let before = text::read(&path).with_context(|| path.display().to_string())?;
    let host = parse(&path, &before)?;
    let after = host_file::with_ha(&before, wanted)?;
    // What is written must be what was shown.
    parse(&path, &after).context("host.toml would not be valid any more")?;
    say(&describe(&path, &host, wanted)?)?;
    if !options.yes && !is_confirmed()? {
        say("nothing was changed\n")?;
        return Ok(ExitCode::FAILURE);
    }
    if after != before {
        replace(&path, &after)?;
    }
    let undo = || if after == before { Ok(()) } else { restore(&path, &before, &after) };
    match change(&host.run, options) {
        Ok(Changed::Now) => say(&format!("this gateway is {} now\n", name(wanted)))?,
        Ok(Changed::Later) => {
            say(&format!("no supervisor runs: the next one to start is {}\n", name(wanted)))?;
        }
        Ok(Changed::Not { reason }) => {
            undo()?;
            bail!("not changed: {reason}");
        }
        Err(error) => return Err(error),
    }
    Ok(ExitCode::SUCCESS)
}

/// What became of a gateway.
#[derive(Debug)]
enum Changed {
    Now,
    /// It does not run.
    Later,
    Not {
        reason: String,
    },
}

fn change(run: &Path, options: &HaOptions) -> anyhow::Result<Changed> {
    // A gateway that has ended in order leaves no such file; else its supervisor may be back soon.
    let is_there = run.join("supervisor.pid").exists();
    let limit = if is_there { RETURN_LIMIT } else { Duration::ZERO };
    let channel = match find(run, "supervisor.sock", limit) {
        Ok(channel) => channel,
        Err(AskError::NotRunning { .. }) => return Ok(Changed::Later),
        Err(error) => return Ok(Changed::Not { reason: Chain(&error).to_string() }),
    };
    send_within(&channel, &ToSupervisor::Arrange, &[], SEND_LIMIT)
        .context("cannot ask the supervisor; it reads host.toml when it starts again")?;
    match steps::follow(&channel, Duration::from_secs(options.patience))? {
        Told::Done { .. } => Ok(Changed::Now),
        Told::Failed { reason } => Ok(Changed::Not { reason }),
        Told::Nothing => {
            bail!("the supervisor ended in the middle of it; the next one goes on with it")
        }
    }
}

/// Has host.toml say again what it said, if nobody has changed it since.
fn restore(path: &Path, before: &str, after: &str) -> anyhow::Result<()> {
    if text::read(path).is_ok_and(|text| text == after) {
        replace(path, before)?;
    }
    Ok(())
}

fn parse(path: &Path, text: &str) -> anyhow::Result<Host> {
    host::parse(text).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(|problem| problem.locate(path, text)).collect();
        anyhow::anyhow!("{}", lines.join("\n"))
    })
}

fn is_confirmed() -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("there is no terminal to ask at; say --yes if this is to be done");
    }
    say("Go on? [y/N] ")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    let said = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    said.context("cannot write to standard output")
}

const fn name(ha: Ha) -> &'static str {
    match ha {
        Ha::Enabled => "a pair",
        Ha::Disabled => "one process",
    }
}

/// What is and what will be.
fn describe(path: &Path, host: &Host, wanted: Ha) -> anyhow::Result<String> {
    let share = |percent| memory_share(percent).context("cannot tell how much memory there is");
    let mut text = String::new();
    for (title, ha) in [("now", host.ha), ("then", wanted)] {
        text.push_str(&format!("{title}: {}\n", name(ha)));
        for (process, percent, work) in processes(host, ha) {
            let memory = match percent {
                Some(percent) => format!("{percent}% of memory, {} MiB", share(percent)? >> 20),
                None => "no share of memory".to_owned(),
            };
            text.push_str(&format!("  {process:<11} {memory:<28} {work}\n"));
        }
    }
    let verb = if host.ha == wanted { "says so already" } else { "is changed to say so" };
    text.push_str(&format!("{} {verb}; open connections go on\n", path.display()));
    Ok(text)
}

/// Name, share of memory and work of every process.
fn processes(host: &Host, ha: Ha) -> Vec<(&'static str, Option<u8>, &'static str)> {
    let [one, two] = &host.workers;
    match ha {
        Ha::Enabled => vec![
            ("master", Some(host.master.memory.percent()), "decides who serves"),
            ("broadcast", None, "carries orders and sessions"),
            ("worker one", Some(one.memory.percent()), "serves, or stands by"),
            ("worker two", Some(two.memory.percent()), "serves, or stands by"),
        ],
        Ha::Disabled => vec![(
            "master",
            Some(host.one_process().memory.percent()),
            "does all of it; when it dies, clients wait for the next one",
        )],
    }
}
