//! An agent of the real binary, in a directory of its own.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::Value;

use crate::children::{self, Child};
use crate::cli;
use crate::gateway::binary;
use crate::wait;

/// How long an agent may take for anything that is waited for.
const DEADLINE: Duration = Duration::from_secs(30);

/// An agent that runs, or has run. It is killed when it is dropped.
#[derive(Debug)]
pub struct AgentProcess {
    directory: PathBuf,
    child: Option<Child>,
}

impl AgentProcess {
    /// Joins with a token, in this directory; nothing runs yet.
    pub fn enroll(directory: &Path, token: &str) -> anyhow::Result<Self> {
        let agent = Self { directory: directory.to_owned(), child: None };
        agent.command(&["enroll", token])?;
        Ok(agent)
    }

    /// A copy of its disk in another machine, which has another fingerprint; nothing runs there yet.
    pub fn copy_to(&self, directory: &Path) -> anyhow::Result<Self> {
        let copy = self.duplicate_to(directory)?;
        let path = directory.join("state.json");
        let mut state: Value = serde_json::from_slice(&fs::read(&path)?)?;
        // Both are on one machine here, so what the other one has is said in its place.
        let other = "A".repeat(43);
        state["fingerprint"] = serde_json::json!({ "taken_from": "drawn", "kept": other });
        fs::write(path, state.to_string())?;
        Ok(copy)
    }

    /// A copy of its disk on this machine; nothing runs there yet.
    pub fn duplicate_to(&self, directory: &Path) -> anyhow::Result<Self> {
        fs::create_dir(directory)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), directory.join(entry.file_name()))?;
            }
        }
        Ok(Self { directory: directory.to_owned(), child: None })
    }

    /// Where it has its files.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Runs `mainstay agent` for this directory, and returns what it printed.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let answer = self.attempt(arguments)?;
        ensure!(answer.code == Some(0), "{arguments:?} failed: {}\n{}", answer.err, self.log());
        Ok(answer.out.trim_end().to_owned())
    }

    /// The same, however it ends.
    pub fn attempt(&self, arguments: &[&str]) -> anyhow::Result<cli::Answer> {
        let directory = self.directory.display().to_string();
        let mut all = vec!["agent"];
        all.extend(arguments);
        all.extend(["--directory", &directory]);
        cli::mainstay(&all)
    }

    /// Its settings from here on; a running agent sees them.
    pub fn configure(&self, text: &str) -> anyhow::Result<()> {
        // In one step, so that it never sees half of them.
        let new = self.directory.join("agent.toml.new");
        fs::write(&new, text)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
        Ok(fs::rename(new, self.directory.join("agent.toml"))?)
    }

    /// Starts it, and waits until it can be asked.
    pub fn run(&mut self) -> anyhow::Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let mut command = Command::new(binary()?);
        command.args(["agent", "run", "--directory"]).arg(&self.directory);
        command.env("MAINSTAY_LOG_FORMAT", "json").stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(log);
        self.child = Some(children::spawn(&mut command)?);
        self.wait_for("an agent that runs", |status| status["running"] == true).map(drop)
    }

    fn log_path(&self) -> PathBuf {
        self.directory.with_extension("log")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// What it says of itself.
    pub fn status(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.command(&["status", "--json"])?).context("the status is JSON")
    }

    /// Waits until it says something of itself.
    pub fn wait_for(
        &self,
        what: &str,
        mut holds: impl FnMut(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let mut last = Value::Null;
        let found = wait::until(what, DEADLINE, || {
            last = self.status().ok()?;
            holds(&last).then(|| last.clone())
        });
        found.with_context(|| format!("{last:#}\n{}", self.log()))
    }

    /// Kills it.
    pub fn kill(&mut self) {
        if let Some(child) = self.child.take() {
            child.process().signal(Signal::KILL).ok();
            child.wait(DEADLINE);
        }
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let child = self.child.take().context("it does not run")?;
        child.process().signal(Signal::TERM)?;
        let status = child.wait(DEADLINE).context("the agent does not end")?;
        ensure!(status.exit_status() == Some(0), "it ended with {status:?}: {}", self.log());
        Ok(())
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        self.kill();
    }
}
