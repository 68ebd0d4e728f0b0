//! What an operator proposes to serve, and whether it is valid.
//!
//! A child of ours checks it, with limits on its time and its memory: a text that the parser
//! dies of is then a refusal, and not a dead master. Only what is valid becomes a generation.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use mainstay_child::{End, Order, Outcome, Running};
use mainstay_config::listeners::OPEN_MAX;
use mainstay_config::{Problem, TEXT_BYTES_MAX, apply};
use mainstay_generations::Generations;
use mainstay_model::{Chain, Generation};
use mainstay_os::Channel;
use mainstay_wire::command::{self, Difference, Reply};
use tracing::info;

use crate::apply::Asker;
use crate::settings::{Planned, plan};
use crate::token::Token;
use crate::turn::Master;

/// How long a check may take. Ten thousand routes take a fiftieth of it.
const CHECK_MAX: Duration = Duration::from_secs(5);

/// How much of what is wrong is told.
const PROBLEMS_BYTES_MAX: usize = 32 * 1024;

/// A configuration that is being checked.
#[derive(Debug)]
pub(crate) struct Proposal {
    asker: Asker,
    subject: Subject,
    purpose: Purpose,
    child: Running,
}

/// What for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To serve it.
    Apply {
        /// For how long it is to be watched, if the operator says so.
        confirm: Option<Duration>,
    },
    /// To be told what it would change.
    Compare,
}

/// What can be put into service.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) generation: Generation,
    pub(crate) watch: apply::Watch,
    pub(crate) planned: Vec<Planned>,
}

/// What is proposed.
#[derive(Debug)]
enum Subject {
    /// The text of a file; it becomes a generation.
    New(String),
    Kept {
        generation: Generation,
        text: String,
    },
}

impl Master {
    /// Begins with a configuration that an operator sent. Whoever asked is answered now if that
    /// cannot begin, and at its end otherwise.
    pub(crate) fn propose(
        &mut self,
        operator: Channel,
        file: OwnedFd,
        purpose: Purpose,
    ) -> anyhow::Result<()> {
        let subject = self.may_begin().and_then(|()| read(file)).map(Subject::New);
        self.begin_check(Asker::Operator(operator), subject, purpose)
    }

    /// Goes back to a generation that is kept: the one before the current, if none is named.
    pub(crate) fn roll_back(
        &mut self,
        asker: Asker,
        generation: Option<Generation>,
    ) -> anyhow::Result<()> {
        let generations = Generations::of(&self.settings.host.state);
        let find = || -> anyhow::Result<Subject> {
            self.may_begin()?;
            let earlier = |kept: &Generation| *kept < self.generation;
            let before = || generations.kept().map(|kept| kept.into_iter().rev().find(earlier));
            let generation = match generation {
                Some(generation) => generation,
                None => before()?.context("no generation before the current one is kept")?,
            };
            let text = std::fs::read_to_string(generations.file(generation))
                .with_context(|| format!("there is no generation {generation}"))?;
            Ok(Subject::Kept { generation, text })
        };
        let subject = find();
        self.begin_check(asker, subject, Purpose::Apply { confirm: None })
    }

    /// Which generations are kept.
    pub(crate) fn kept_generations(&self) -> Reply {
        match Generations::of(&self.settings.host.state).kept() {
            Ok(kept) => Reply::Generations(command::Generations { kept, current: self.generation }),
            Err(error) => Reply::Refused { reason: Chain(&error).to_string() },
        }
    }

    /// What must be so before anything can be applied.
    fn may_begin(&self) -> anyhow::Result<()> {
        let is_free = self.applying.is_none() && self.proposal.is_none();
        anyhow::ensure!(is_free, "another apply is under way");
        anyhow::ensure!(
            !self.hook.as_ref().is_some_and(|hook| hook.is_for_another),
            "the hook network undoes what an earlier apply has left"
        );
        anyhow::ensure!(!self.phase.is_stopping(), "the gateway ends");
        anyhow::ensure!(
            self.broadcast.channel().is_some(),
            "broadcast, which carries it to the workers, is not there"
        );
        Ok(())
    }

    fn begin_check(
        &mut self,
        asker: Asker,
        subject: anyhow::Result<Subject>,
        purpose: Purpose,
    ) -> anyhow::Result<()> {
        let current = Generations::of(&self.settings.host.state).file(self.generation);
        let started = subject.and_then(|subject| {
            let (Subject::New(text) | Subject::Kept { text, .. }) = &subject;
            Ok((start_check(text, current)?, subject))
        });
        match started {
            Ok((child, subject)) => {
                self.watch(&child, Token::Check)?;
                self.proposal = Some(Proposal { asker, subject, purpose, child });
                Ok(())
            }
            Err(error) => self.refuse(&asker, Chain(error.as_ref()).to_string()),
        }
    }

    /// The check is over: what is valid begins to be applied.
    pub(crate) fn end_check(&mut self) -> anyhow::Result<()> {
        let outcome = self.proposal.as_ref().and_then(|proposal| proposal.child.outcome());
        let Some(outcome) = outcome else { return Ok(()) };
        let Some(Proposal { asker, subject, purpose, child }) = self.proposal.take() else {
            return Ok(());
        };
        self.poller.remove(&child).context("cannot stop watching a check")?;
        let accepted = judge(&outcome).and_then(|lines| {
            let examined = self.examine(&subject)?;
            asker.tell(&Reply::Difference(Difference { from: self.generation, lines }));
            Ok(examined)
        });
        let begun = accepted.and_then(|(mut watch, planned)| match purpose {
            Purpose::Apply { confirm } => {
                watch.confirm = confirm.unwrap_or(watch.confirm);
                let generation = self.stage(&subject)?;
                Ok(Some(Accepted { generation, watch, planned }))
            }
            Purpose::Compare => Ok(None),
        });
        match begun {
            Ok(Some(accepted)) => self.begin(asker, accepted),
            Ok(None) => {
                asker.tell(&Reply::Compared);
                Ok(())
            }
            Err(error) => self.refuse(&asker, Chain(error.as_ref()).to_string()),
        }
    }

    /// What the master can find wrong itself.
    fn examine(&self, subject: &Subject) -> anyhow::Result<(apply::Watch, Vec<Planned>)> {
        self.may_begin()?;
        let (Subject::New(text) | Subject::Kept { text, .. }) = subject;
        let located = |problems: Vec<Problem>| {
            let lines: Vec<String> = problems
                .iter()
                .map(|problem| problem.locate("gateway.toml".as_ref(), text))
                .collect();
            anyhow::anyhow!("{}", lines.join("\n"))
        };
        let planned = plan(text).map_err(located)?;
        let open = self.listeners.count_with(&planned);
        anyhow::ensure!(
            open <= OPEN_MAX,
            "{open} listeners would be open while it is applied, those that it removes included; \
             there may be {OPEN_MAX}"
        );
        Ok((apply::parse_watch(text).map_err(located)?, planned))
    }

    /// Makes a text a generation, if it is none yet.
    fn stage(&self, subject: &Subject) -> anyhow::Result<Generation> {
        let generations = Generations::of(&self.settings.host.state);
        let generation = match subject {
            Subject::Kept { generation, .. } => *generation,
            Subject::New(text) => {
                generations.discard_staged()?;
                generations.stage(text)?
            }
        };
        if generation != self.generation {
            generations.set_former(generation, self.generation)?;
        }
        Ok(generation)
    }
}

/// Starts `mainstay check` of this text, which also says what differs from the current one.
fn start_check(text: &str, current: PathBuf) -> anyhow::Result<Running> {
    let order = Order {
        // Not a path: after an upgrade of the package that is a different build.
        program: "/proc/self/exe".into(),
        arguments: vec!["check".into(), "-".into(), "--against".into(), current.into()],
        environment: Vec::new(),
        input: Some(written(text).context("cannot hand over a configuration")?),
        timeout: CHECK_MAX,
        output_bytes: PROBLEMS_BYTES_MAX,
    };
    Running::start(order).context("cannot check the configuration")
}

/// A file without a name that holds this text.
fn written(text: &str) -> std::io::Result<File> {
    use std::io::Write as _;
    let memory = rustix::fs::memfd_create(c"gateway.toml", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = File::from(memory);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

/// What is different, in lines, if it is valid.
fn judge(outcome: &Outcome) -> anyhow::Result<Vec<String>> {
    let said = outcome.output.trim_end();
    match outcome.end {
        // The first line says that it is valid.
        End::Exited(0) => Ok(said.lines().skip(1).map(str::to_owned).collect()),
        End::Exited(1) if !said.is_empty() => anyhow::bail!("{said}"),
        end => {
            info!(%end, said, "a check failed");
            anyhow::bail!("the configuration could not be checked: {end}")
        }
    }
}

/// The text of a file that an operator sent.
fn read(file: OwnedFd) -> anyhow::Result<String> {
    const LIMIT: u64 = TEXT_BYTES_MAX as u64;
    let mut file = File::from(file);
    let status = file.metadata().context("cannot examine the configuration")?;
    anyhow::ensure!(status.is_file(), "the configuration is not a regular file");
    anyhow::ensure!(
        status.len() <= LIMIT,
        "the configuration has {} bytes, the limit is {LIMIT}",
        status.len()
    );
    file.rewind().context("cannot read the configuration")?;
    let mut text = String::new();
    let mut limited = file.take(LIMIT);
    limited.read_to_string(&mut text).context("cannot read the configuration")?;
    Ok(text)
}
