//! A fleet's directory, and the managers that serve from it.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::children::{self, Child};
use crate::cli;
use crate::gateway::binary;
use crate::socket::free_addresses;
use crate::wait;

/// How long a manager may take to serve.
const START: Duration = Duration::from_secs(20);

/// How long a manager may take to end.
const END: Duration = Duration::from_secs(20);

/// The directory of a manager, and all that a test puts beside it.
#[derive(Debug)]
pub struct Fleet {
    temporary: Option<TempDir>,
    root: PathBuf,
    directory: PathBuf,
}

impl Fleet {
    /// Makes a fleet whose manager listens at ports that the kernel chooses. `arguments` are
    /// for `mainstay manager init`.
    pub fn init(arguments: &[&str]) -> anyhow::Result<Self> {
        let fleet = Self::new()?;
        let mut all = vec!["init", "--agents", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        all.extend(arguments);
        fleet.command(&all)?;
        Ok(fleet)
    }

    /// Makes a fleet of one manager that agents find at a free address, also after a restart.
    pub fn at_free_address() -> anyhow::Result<(Self, SocketAddr)> {
        let [address] = free_addresses()?;
        let fleet = Self::init(&["--manager", &address.to_string()])?;
        fleet.listen_at(address)?;
        Ok((fleet, address))
    }

    fn new() -> anyhow::Result<Self> {
        let temporary = tempfile::tempdir()?;
        let root = temporary.path().to_owned();
        let directory = root.join("manager");
        Ok(Self { temporary: Some(temporary), root, directory })
    }

    /// Leaves the directory behind when this value goes.
    pub fn keep_files(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            drop(temporary.keep());
        }
    }

    /// A further manager, of what `bundle export` wrote for it.
    pub fn import(bundle: &Path) -> anyhow::Result<Self> {
        let fleet = Self::new()?;
        fleet.command(&["bundle", "import", &bundle.display().to_string()])?;
        Ok(fleet)
    }

    /// A directory for whatever a test needs.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The manager's directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Adds to the settings; begin with a `[section]` that is not there, or use [`Self::edit`].
    pub fn configure(&self, text: &str) -> anyhow::Result<()> {
        let mut file = OpenOptions::new().append(true).open(self.settings())?;
        Ok(file.write_all(text.as_bytes())?)
    }

    /// Puts lines before every section of the settings.
    pub fn set_first(&self, lines: &str) -> anyhow::Result<()> {
        let text = fs::read_to_string(self.settings())?;
        Ok(fs::write(self.settings(), format!("{lines}\n{text}"))?)
    }

    /// Puts lines into a section of the settings.
    pub fn edit(&self, section: &str, lines: &str) -> anyhow::Result<()> {
        let text = fs::read_to_string(self.settings())?;
        let heading = format!("[{section}]\n");
        ensure!(text.contains(&heading), "there is no {heading}");
        // In place, so that nobody else may read it afterwards either.
        Ok(fs::write(self.settings(), text.replace(&heading, &format!("{heading}{lines}\n")))?)
    }

    /// Has agents served at this address, also after a restart.
    pub fn listen_at(&self, agents: SocketAddr) -> anyhow::Result<()> {
        let text = fs::read_to_string(self.settings())?;
        let (before, after) = text.split_once("[agents]\n").context("no [agents]")?;
        let former = after.lines().find(|line| line.starts_with("address"));
        let former = former.context("no address of agents")?;
        let after = after.replacen(former, &format!("address = \"{agents}\""), 1);
        let text = format!("{before}[agents]\n{after}");
        Ok(fs::write(self.settings(), text)?)
    }

    fn settings(&self) -> PathBuf {
        self.directory.join("manager.toml")
    }

    /// Runs `mainstay manager` for this directory, and returns what it printed.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let answer = self.attempt(arguments)?;
        ensure!(answer.code == Some(0), "{arguments:?} failed: {}", answer.err);
        Ok(answer.out.trim_end().to_owned())
    }

    /// The same, however it ends.
    pub fn attempt(&self, arguments: &[&str]) -> anyhow::Result<cli::Answer> {
        let directory = self.directory.display().to_string();
        let mut all = vec!["manager"];
        all.extend(arguments);
        all.extend(["--directory", &directory]);
        cli::mainstay(&all)
    }

    /// An enrolment token. `arguments` are for `token create`.
    pub fn token(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut all = vec!["token", "create"];
        all.extend(arguments);
        self.command(&all)
    }

    /// Starts a manager, and waits until it serves.
    pub fn serve(&self) -> anyhow::Result<Manager> {
        self.launch()?.served()
    }

    /// Starts a manager, which may wait for its database for long.
    pub fn launch(&self) -> anyhow::Result<Launched> {
        let log = self.root.join("manager.log");
        let before = fs::read_to_string(&log).unwrap_or_default().len();
        let out = OpenOptions::new().create(true).append(true).open(&log)?;
        let mut command = Command::new(binary()?);
        command.args(["manager", "serve", "--directory"]).arg(&self.directory);
        command.env("MAINSTAY_LOG_FORMAT", "json").stdin(Stdio::null());
        command.stdout(File::create(self.root.join("manager.out"))?).stderr(out);
        Ok(Launched { life: Life(children::spawn(&mut command)?), log, before })
    }
}

/// A manager's process. It is killed when it is dropped.
#[derive(Debug)]
struct Life(Child);

impl Drop for Life {
    fn drop(&mut self) {
        self.0.process().signal(Signal::KILL).ok();
        self.0.wait(END);
    }
}

/// A manager that was started. It is killed when it is dropped.
#[derive(Debug)]
pub struct Launched {
    life: Life,
    log: PathBuf,
    /// The length of the log when it was started.
    before: usize,
}

impl Launched {
    /// Waits until it serves.
    pub fn served(self) -> anyhow::Result<Manager> {
        let Self { life, log, before } = self;
        let line = wait::until("a manager that serves", START, || {
            let text = fs::read_to_string(&log).ok()?;
            text.get(before..)?.lines().find_map(served)
        });
        let line = line.with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        let address = |key: &str| -> anyhow::Result<SocketAddr> {
            Ok(line[key].as_str().context("the manager does not say where it serves")?.parse()?)
        };
        Ok(Manager { agents: address("agents")?, admin: address("admin")?, log, life })
    }

    /// Its process.
    pub const fn process(&self) -> &children::Process {
        self.life.0.process()
    }
}

/// The line with which a manager says that it serves.
fn served(line: &str) -> Option<Value> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["message"] == "agents are served").then_some(line)
}

/// A manager that serves. It is killed when it is dropped.
#[derive(Debug)]
pub struct Manager {
    /// Where agents are served.
    pub agents: SocketAddr,
    /// Where administrators are served.
    pub admin: SocketAddr,
    log: PathBuf,
    life: Life,
}

impl Manager {
    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(self) -> anyhow::Result<()> {
        self.process().signal(Signal::TERM)?;
        let status = self.life.0.wait(END).context("the manager does not end")?;
        ensure!(status.exit_status() == Some(0), "it ended with {status:?}: {}", self.log());
        Ok(())
    }

    /// Kills it.
    pub fn kill(self) {
        drop(self);
    }

    /// Its process.
    pub const fn process(&self) -> &children::Process {
        self.life.0.process()
    }
}
