//! Two managers on one database, and what an operator does with their certificate.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::fleet::{Fleet, Manager, Pair};
use crate::wait;

/// How long anything that takes a beat of a manager may take.
const SOON: Duration = Duration::from_secs(30);

/// What a manager logs that shows another certificate.
const SWITCHED: &str = "another certificate is shown";

#[derive(Debug)]
pub(super) struct Managers {
    first: (Fleet, Manager),
    second: (Fleet, Manager),
    pub(super) token: String,
}

impl Managers {
    pub(super) fn serve() -> anyhow::Result<Self> {
        let pair = Pair::make()?;
        // All agents are on one machine, and most of them do not wait for their poll.
        pair.edit("agents", "rate_min = 100000")?;
        let (first, second) = pair.serve()?;
        let Pair { first: one, second: two, token, .. } = pair;
        Ok(Self { first: (one, first), second: (two, second), token })
    }

    /// The first is where agents go.
    pub(super) fn both(&self) -> [SocketAddr; 2] {
        [self.first.1.agents, self.second.1.agents]
    }

    /// Where agents of the test are put.
    pub(super) fn directory(&self, name: &str) -> std::path::PathBuf {
        self.first.0.root().join(name)
    }

    pub(super) fn make_next(&self) -> anyhow::Result<()> {
        self.first.0.command(&["certificate", "next"]).map(drop)
    }

    /// With agents away, as long as the second manager serves.
    pub(super) fn switch_first(&self) -> anyhow::Result<()> {
        self.first.0.command(&["certificate", "switch"])?;
        self.until_switched(&self.first.1)
    }

    fn until_switched(&self, manager: &Manager) -> anyhow::Result<()> {
        let shown = wait::until("the next certificate", SOON, || {
            manager.log().contains(SWITCHED).then_some(())
        });
        Ok(shown?)
    }

    fn replace_at_second(&self) -> anyhow::Result<crate::cli::Answer> {
        let bundle = self.directory("bundle-of-next").display().to_string();
        self.first.0.command(&["bundle", "export", &bundle])?;
        self.second.0.attempt(&["bundle", "import", &bundle, "--replace"])
    }

    /// How many agents it would leave alone, if it is refused for that.
    pub(super) fn try_to_switch_second(&self) -> anyhow::Result<Option<usize>> {
        let answer = self.replace_at_second()?;
        if answer.code == Some(0) {
            return Ok(None);
        }
        ensure!(answer.err.contains("would find no manager"), "{}", answer.err);
        let (before, _) = answer.err.split_once(" agent").context("it names no agents")?;
        let count = before.rsplit(|c: char| !c.is_ascii_digit()).next();
        Ok(count.and_then(|count| count.parse().ok()))
    }

    pub(super) fn switch_second(&self) -> anyhow::Result<()> {
        let mut last = String::new();
        let replaced = wait::until("every agent to say that it holds the next", SOON, || {
            let answer = self.replace_at_second().ok()?;
            last = answer.err;
            (answer.code == Some(0)).then_some(())
        });
        replaced.context(last)?;
        self.until_switched(&self.second.1)
    }

    pub(super) fn withdraw_former(&self) -> anyhow::Result<()> {
        let shown = self.first.0.command(&["certificate", "show"])?;
        let former =
            shown.lines().find(|line| line.contains(':') && !line.contains("this manager"));
        let former = former.and_then(|line| line.split_whitespace().next());
        let former = former.context("there is no former certificate")?;
        self.first.0.command(&["certificate", "withdraw", former]).map(drop)
    }

    /// Until so many of all agents have said that they hold the last of the certificates; returns
    /// both as they are then.
    pub(super) fn until_next_is_held_by(
        &self,
        holders: usize,
        all: usize,
    ) -> anyhow::Result<(usize, usize)> {
        let mut last = String::new();
        let read = || {
            last = self.first.0.command(&["certificate", "show"]).ok()?;
            let words: Vec<&str> = last.lines().next_back()?.split_whitespace().collect();
            let of = words.iter().position(|word| *word == "of")?;
            let found = (words[of - 1].parse().ok()?, words[of + 1].parse().ok()?);
            (found == (holders, all)).then_some(found)
        };
        wait::until("agents to say that they hold the next one", SOON, read).context(last)
    }

    /// The certificate of the managers and its key, as they are now.
    pub(super) fn identity(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.first.0.directory().join("server-cert.pem"))?)
    }
}
