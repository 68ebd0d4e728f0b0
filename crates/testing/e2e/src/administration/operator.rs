//! Whoever administers a gateway, and checks afterwards what became of it.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use mainstay_model::Generation;

use crate::caller::Caller;
use crate::cli::{Answer, mainstay};
use crate::gateway::{DEADLINE, Gateway, Look};
use crate::wait;

/// An operator of one gateway.
#[derive(Debug)]
pub struct Operator<'a> {
    pub gateway: &'a Gateway,
    /// The first generation.
    text: String,
    file: PathBuf,
    changes: u32,
}

impl<'a> Operator<'a> {
    pub fn of(gateway: &'a Gateway) -> anyhow::Result<Self> {
        let first = gateway.path().join("state/generations/1/gateway.toml");
        let file = gateway.path().join("next.toml");
        Ok(Self { gateway, text: fs::read_to_string(first)?, file, changes: 0 })
    }

    /// Writes another text than was ever applied.
    pub fn change(&mut self) -> anyhow::Result<()> {
        self.changes += 1;
        fs::write(&self.file, format!("{}\n# change {}\n", self.text, self.changes))?;
        Ok(())
    }

    /// Writes this text.
    pub fn write(&self, change: impl FnOnce(&str) -> String) -> anyhow::Result<()> {
        Ok(fs::write(&self.file, change(&self.text))?)
    }

    /// Runs `mainstay apply` of what was written, with these options.
    pub fn apply(&self, options: &[&str]) -> anyhow::Result<Answer> {
        let file = self.file.to_str().context("a path that is text")?;
        let run = self.run()?;
        mainstay(&[&["apply", file, "--run", &run], options].concat())
    }

    /// Runs another command.
    pub fn command(&self, command: &[&str]) -> anyhow::Result<Answer> {
        mainstay(&[command, &["--run", &self.run()?]].concat())
    }

    fn run(&self) -> anyhow::Result<String> {
        let run = self.gateway.path().join("run");
        Ok(run.to_str().context("a path that is text")?.to_owned())
    }

    /// Waits until one generation serves everywhere, and says which.
    pub fn wait_of_one_mind(&self) -> anyhow::Result<Generation> {
        let current = self.gateway.path().join("state/generations/current");
        let agreed = wait::until("one generation everywhere", DEADLINE, || {
            let status = self.gateway.status().filter(Look::is_ready)?;
            let link = fs::read_link(&current).ok()?;
            let serves = format!("serves generation {}\"", status.generation);
            let said = Caller::connect(self.gateway).ok()?.ask(r#"{"command":"status"}"#).ok()?;
            let agree = link.to_str() == Some(&*status.generation.to_string())
                && said.matches(&serves).count() == 3
                && said.matches("serves generation").count() == 3;
            agree.then_some(status.generation)
        });
        agreed.with_context(|| self.gateway.log_tail())
    }
}

/// What `mainstay apply` said, as far as it can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// This generation is in service.
    InService(Generation),
    /// The one that it had begun with, if any, is not.
    NotApplied(Option<Generation>),
}

impl Said {
    pub(super) fn by(answer: &Answer) -> anyhow::Result<Self> {
        let generation = |line: &str| -> Option<Generation> {
            let (_, rest) = line.split_once("generation ")?;
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest.get(..digits)?.parse().ok()
        };
        match answer.code {
            Some(0) => {
                let last = answer.out.lines().last().and_then(generation);
                Ok(Self::InService(last.with_context(|| format!("no outcome: {answer:?}"))?))
            }
            Some(1 | 3) => {
                let begun =
                    answer.out.lines().find(|line| line.ends_with("valid, and prepared for"));
                Ok(Self::NotApplied(begun.and_then(generation)))
            }
            Some(_) | None => anyhow::bail!("neither applied nor refused: {answer:?}"),
        }
    }

    /// Whether that is so, now that this one serves and that one served before.
    pub(super) fn is_true(self, serves: Generation, before: Generation) -> bool {
        match self {
            Self::InService(said) => said == serves,
            Self::NotApplied(begun) => begun != Some(serves) && serves == before,
        }
    }
}
