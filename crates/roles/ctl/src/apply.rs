//! `mainstay apply FILE` and `mainstay rollback`: put a configuration into service, and show how
//! far that has come.
//!
//! The file is checked here first, so that what is wrong with it is said with its place and costs
//! the gateway nothing. A master that dies on the way takes its answer with it, and its keeper
//! holds the connection open; so its end is watched, and its successor is asked what serves.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use mainstay_config::apply::CONFIRMS;
use mainstay_config::{gateway, read_duration};
use mainstay_message::{MessageError, receive, send_within};
use mainstay_model::Generation;
use mainstay_os::{Channel, ChannelError, Pidfd, now};
use mainstay_wire::command::{Command, Difference, HookSaid, Progress, Reply, Step};
use rustix::event::{PollFd, PollFlags, poll};

use crate::ask;
use crate::place::Place;
use crate::text;

/// How long an apply may take beside the time for which it is watched: each of its parts has a
/// shorter limit in the master.
const LIMIT: Duration = Duration::from_secs(300);

/// How long the master may take to hear the question.
const SEND_LIMIT: Duration = Duration::from_secs(5);

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
    pub place: Place,
}

/// What `mainstay rollback` is given.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct RollbackOptions {
    /// The generation to serve again; the one before the current, if none is named
    #[arg(value_name = "GENERATION")]
    pub generation: Option<Generation>,

    #[command(flatten)]
    pub place: Place,
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
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let millis = |confirm: Duration| u64::try_from(confirm.as_millis()).unwrap_or(u64::MAX);
    let confirm_ms = options.confirm.map(millis);
    let command = if options.dry_run { Command::Compare } else { Command::Apply { confirm_ms } };
    put_into_service(&options.place.run()?, &command, Some(&file))
}

/// Goes back, and tells what came of it.
pub fn rollback(options: &RollbackOptions) -> anyhow::Result<ExitCode> {
    let command = Command::Rollback { generation: options.generation };
    put_into_service(&options.place.run()?, &command, None)
}

/// How a conversation with a master ended.
enum Ended {
    Answered(Reply),
    /// It died; so far it had come.
    Died(Begun),
}

/// What was begun.
#[derive(Clone, Copy, Debug, Default)]
struct Begun {
    generation: Option<Generation>,
    /// Clients were served by it.
    reached_clients: bool,
}

fn put_into_service(
    run: &Path,
    command: &Command,
    file: Option<&File>,
) -> anyhow::Result<ExitCode> {
    match converse(run, command, file)? {
        Ended::Answered(Reply::Applied { generation }) => {
            say(&format!("generation {generation} is in service"))?;
            Ok(ExitCode::SUCCESS)
        }
        Ended::Answered(Reply::Compared) => {
            say("valid, and not applied")?;
            Ok(ExitCode::SUCCESS)
        }
        Ended::Answered(Reply::Refused { reason }) => bail!("not applied: {reason}"),
        Ended::Answered(Reply::WentBack { generation, reason }) => went_back(&reason, generation),
        Ended::Answered(
            Reply::Status(_)
            | Reply::Generations(_)
            | Reply::Difference(_)
            | Reply::HandedOver
            | Reply::Progress(_)
            | Reply::Hook(_),
        ) => {
            bail!("the master answered something else")
        }
        Ended::Died(begun) => {
            let current = match ask::ask(run, &Command::Status, SUCCESSOR_LIMIT)? {
                Reply::Status(status) => status.generation,
                Reply::Generations(_)
                | Reply::Difference(_)
                | Reply::Progress(_)
                | Reply::Hook(_)
                | Reply::Applied { .. }
                | Reply::HandedOver
                | Reply::Compared
                | Reply::WentBack { .. }
                | Reply::Refused { .. } => bail!("the master answered something else"),
            };
            if begun.generation == Some(current) {
                say(&format!("generation {current} is in service; the master died on the way"))?;
                return Ok(ExitCode::SUCCESS);
            }
            if begun.reached_clients {
                return went_back("the master died on the way", current);
            }
            bail!("not applied: the master died on the way; generation {current} is in service")
        }
    }
}

fn went_back(reason: &str, serves: Generation) -> anyhow::Result<ExitCode> {
    writeln!(io::stderr().lock(), "went back: {reason}; generation {serves} is in service")
        .context("cannot write to standard error")?;
    Ok(ExitCode::from(WENT_BACK))
}

/// Asks once: an apply whose answer was lost is not to be done twice.
fn converse(run: &Path, command: &Command, file: Option<&File>) -> anyhow::Result<Ended> {
    let channel = Channel::connect(&run.join("admin.sock"))
        .with_context(|| format!("no gateway runs in {}", run.display()))?;
    let pid = channel.peer_pid().context("cannot tell who the master is")?;
    let master = Pidfd::open(pid).context("cannot watch the master")?;
    let descriptors: Vec<_> = file.iter().map(|file| file.as_fd()).collect();
    send_within(&channel, command, &descriptors, SEND_LIMIT).context("cannot ask the master")?;
    let mut begun = Begun::default();
    let mut deadline = now() + LIMIT;
    loop {
        // Before the channel is read: what it said before it died counts.
        let is_dead = master.has_exited().context("cannot look at the master")?;
        loop {
            match receive(&channel) {
                Ok(Some((Reply::Progress(progress), _))) => {
                    begun.generation = Some(progress.generation);
                    begun.reached_clients |= progress.step == Step::Watch;
                    deadline = now() + LIMIT;
                    say(&describe(&progress))?;
                }
                Ok(Some((Reply::Difference(Difference { from, lines }), _))) => {
                    if lines.is_empty() {
                        say(&format!("nothing differs from generation {from}"))?;
                    }
                    lines.iter().try_for_each(|line| say(line))?;
                }
                Ok(Some((Reply::Hook(HookSaid { hook, end, output }), _))) => {
                    say(&format!("           hook {hook}: {end}"))?;
                    output.lines().try_for_each(|line| say(&format!("           | {line}")))?;
                }
                Ok(Some((reply, _))) => return Ok(Ended::Answered(reply)),
                Ok(None) => break,
                Err(MessageError::Channel { source: ChannelError::Closed }) => {
                    return Ok(Ended::Died(begun));
                }
                Err(error) => return Err(error).context("cannot hear the master"),
            }
        }
        if is_dead {
            return Ok(Ended::Died(begun));
        }
        if deadline.since(now()).is_zero() {
            bail!("nothing was heard for {LIMIT:?}; `mainstay status` tells the generation");
        }
        wait_for_either(&channel, &master)?;
    }
}

/// Waits until the master says something or dies, or for a second.
fn wait_for_either(channel: &Channel, master: &Pidfd) -> anyhow::Result<()> {
    const TICK: rustix::time::Timespec = rustix::time::Timespec { tv_sec: 1, tv_nsec: 0 };
    let mut descriptors = [PollFd::new(channel, PollFlags::IN), PollFd::new(master, PollFlags::IN)];
    match poll(&mut descriptors, Some(&TICK)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(errno).context("cannot wait for the master"),
    }
}

fn describe(progress: &Progress) -> String {
    let Progress { generation, step, after_ms } = progress;
    let doing = match step {
        Step::Prepare => format!("generation {generation}: valid, and prepared for"),
        Step::Connect => "what it needs of the network is made".to_owned(),
        Step::Open => "its new listeners are opened".to_owned(),
        Step::Prove => "the standby loads and proves it".to_owned(),
        Step::Swap => "active and standby change places".to_owned(),
        Step::Watch => "clients are watched".to_owned(),
        Step::Follow => "it is current, the former active follows".to_owned(),
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
