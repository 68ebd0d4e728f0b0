//! A real gateway in a directory of its own: started, watched, hurt, and cleared away.

mod admin;
mod setup;
mod unit;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use mainstay_model::{Process, Slot};
use mainstay_wire::command::Status;
use rustix::process::{Signal, WaitStatus};
use tempfile::TempDir;

use crate::children;
use crate::traffic::{Target, Trailers};
use crate::wait;
pub use admin::Look;
use setup::Workers;
pub use setup::{Accept, Protocol, Setup, Switch, Value};
use unit::{Unit, Watch};

/// How long a gateway may take for anything that is waited for.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// How many lines of the log an error brings along.
const LOG_LINES: usize = 60;

/// A running gateway. Ends with its value, and leaves no process behind.
#[derive(Debug)]
pub struct Gateway {
    dir: Option<TempDir>,
    path: PathBuf,
    addresses: BTreeMap<String, SocketAddr>,
    watch: Watch,
    farewell: Farewell,
}

/// What a gateway says when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Farewell {
    /// The end of its log, which a test shows if it fails.
    Log,
    Nothing,
}

impl Gateway {
    /// Starts a gateway and waits until one worker serves and the other stands by.
    pub fn start(setup: &Setup) -> anyhow::Result<Self> {
        crate::limits::raise_descriptor_limit();
        let dir = tempfile::Builder::new().prefix("mainstay-").tempdir()?;
        let path = dir.path().to_owned();
        let addresses = setup.choose_ports()?;
        fs::create_dir(path.join("state"))?;
        fs::write(path.join("host.toml"), setup.host_toml(&path))?;
        fs::write(path.join("gateway.toml"), setup.gateway_toml(&addresses))?;
        if setup.core_dumps == Switch::On {
            for name in [".dumpcore", ".slavedumpcore"] {
                fs::write(path.join("state").join(name), "")?;
            }
        }
        let watch = Unit { binary: binary()?, dir: path.clone() }.start()?;
        let farewell = Farewell::Log;
        let gateway = Self { dir: Some(dir), path, addresses, watch, farewell };
        match setup.workers {
            Workers::Pair => gateway.wait_for("the pair to be ready", Look::is_ready)?,
            Workers::None => gateway.wait_for("the process to serve", Look::is_one_process)?,
        };
        Ok(gateway)
    }

    /// Starts it again in its directory, after its end.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.watch = Unit { binary: binary()?, dir: self.path.clone() }.start()?;
        self.wait_for("the pair to be ready again", Look::is_ready)?;
        Ok(())
    }

    /// The listeners of [`Setup::pair_with_all`] with this way of accepting, for traffic.
    pub fn target(&self, accept: Accept) -> Target {
        let name = accept.name();
        Target {
            name: format!("accept = {name}"),
            http: self.address(&format!("web-{name}")),
            tcp: Some(self.address(&format!("tunnel-{name}"))),
            trailers: Trailers::Passed,
        }
    }

    /// Makes another text the second generation, and current, as an apply does: `change` gets
    /// the first.
    pub fn make_second(&self, change: impl FnOnce(&str) -> String) -> anyhow::Result<()> {
        let generations = self.path.join("state/generations");
        let text = change(&fs::read_to_string(generations.join("1/gateway.toml"))?);
        fs::create_dir(generations.join("2"))?;
        fs::write(generations.join("2/gateway.toml"), text)?;
        fs::remove_file(generations.join("current"))?;
        std::os::unix::fs::symlink("2", generations.join("current"))?;
        Ok(())
    }

    /// Where the listener of this name listens.
    pub fn address(&self, listener: &str) -> SocketAddr {
        *self.addresses.get(listener).unwrap_or_else(|| panic!("no listener {listener}"))
    }

    /// Its directory, with `host.toml`, `gateway.toml`, `log`, `run` and `state`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says of itself now; none while its master does not answer.
    pub fn status(&self) -> Option<Status> {
        admin::status(&self.path.join("run/admin.sock"))
    }

    /// Waits for a status with which `enough` is content.
    pub fn wait_for(&self, name: &str, enough: impl Fn(&Status) -> bool) -> anyhow::Result<Status> {
        let mut last = None;
        let found = wait::until(name, DEADLINE, || {
            if self.watch.ends().len() > 200 {
                return Some(None);
            }
            last = self.status().or_else(|| last.take());
            last.clone().filter(|status| enough(status)).map(Some)
        });
        match found {
            Ok(Some(status)) => Ok(status),
            Ok(None) => {
                Err(anyhow!("the supervisor ends as often as it is started\n{}", self.log_tail()))
            }
            Err(late) => {
                Err(anyhow!(late).context(format!("last status: {last:#?}\n{}", self.log_tail())))
            }
        }
    }

    /// Waits until none of `gone` is left and the pair, or the one process, is whole again.
    pub fn wait_ready_without(&self, gone: &[u32]) -> anyhow::Result<Status> {
        self.wait_for("the pair to be ready again", |status| {
            (status.is_ready() || status.is_one_process()) && status.is_without(gone)
        })
    }

    /// The slot that serves, as soon as one does.
    pub fn active(&self) -> anyhow::Result<Slot> {
        let status = self.wait_for("a worker to serve", |status| status.active.is_some())?;
        Ok(status.active.unwrap())
    }

    /// The process as its pid file names it.
    pub fn process(&self, process: Process) -> anyhow::Result<children::Process> {
        let path = self.path.join("run").join(format!("{}.pid", process.file_stem()));
        children::Process::from_pid_file(&path)
            .with_context(|| format!("cannot find the {process}"))
    }

    /// The process as its pid file names it, once there is one.
    pub fn wait_process(&self, process: Process) -> anyhow::Result<children::Process> {
        Ok(wait::until(&format!("a pid of the {process}"), DEADLINE, || {
            self.process(process).ok()
        })?)
    }

    /// The keeper of a process, as the status names it.
    pub fn keeper(&self, process: Process) -> anyhow::Result<children::Process> {
        let status = self.status().context("cannot ask for the status")?;
        let keeper = status.process(process).and_then(|status| status.keeper_pid);
        let pid = keeper.with_context(|| format!("the {process} has no keeper"))?;
        Ok(children::Process::open(pid)?)
    }

    /// Sends a signal to a process, and says which it was.
    pub fn kill(&self, process: Process, signal: Signal) -> anyhow::Result<children::Process> {
        let victim = self.wait_process(process)?;
        victim.signal(signal)?;
        Ok(victim)
    }

    /// Sends a signal to the supervisor after which it is expected to end for good.
    pub fn terminate(&self, signal: Signal) -> anyhow::Result<children::Process> {
        self.watch.expect_end();
        self.kill(Process::Supervisor, signal)
    }

    /// Ends every process at once, as a loss of power does; [`Self::start_again`] follows.
    pub fn end_everything(&mut self) {
        self.watch.expect_end();
        for process in self.processes() {
            // One that has ended meanwhile is what is wanted.
            process.signal(Signal::KILL).ok();
        }
        self.watch.stop(None, Duration::ZERO);
    }

    /// How each run of the supervisor ended so far.
    pub fn supervisor_ends(&self) -> Vec<WaitStatus> {
        self.watch.ends()
    }

    /// Every process of this gateway that is alive, keepers included.
    pub fn processes(&self) -> Vec<children::Process> {
        children::marked(&format!("{}={}", unit::MARK, self.path.display()))
    }

    /// Everything its processes have logged.
    pub fn log(&self) -> String {
        self.log_from(0)
    }

    /// How much they have logged.
    pub fn log_bytes(&self) -> usize {
        fs::read(self.path.join("log")).unwrap_or_default().len()
    }

    /// What they have logged since [`Self::log_bytes`] was `start`.
    pub fn log_from(&self, start: usize) -> String {
        let bytes = fs::read(self.path.join("log")).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(start..).unwrap_or_default()).into_owned()
    }

    /// The last lines of the log, under a line that says so.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let start = lines.len().saturating_sub(LOG_LINES);
        format!("last lines of {}/log:\n{}", self.path.display(), lines[start..].join("\n"))
    }

    /// The same without its log at the end, for commands, whose output is for people.
    #[must_use]
    pub const fn quiet(mut self) -> Self {
        self.farewell = Farewell::Nothing;
        self
    }

    /// Leaves the directory behind when this value goes, and says where it is.
    pub fn keep_files(&mut self) -> &Path {
        if let Some(dir) = self.dir.take() {
            self.path = dir.keep();
        }
        &self.path
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if thread::panicking() {
            self.keep_files();
        }
        if self.farewell == Farewell::Log {
            #[expect(clippy::print_stderr, reason = "the log belongs to the failure of a test")]
            {
                eprintln!("{}", self.log_tail());
            }
        }
        let supervisor = self.process(Process::Supervisor).ok();
        self.watch.stop(supervisor.as_ref(), Duration::from_secs(2));
    }
}

/// The gateway's binary: `MAINSTAY_BIN`, or what was built beside the running program.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("MAINSTAY_BIN") {
        return Ok(PathBuf::from(path));
    }
    let program = std::env::current_exe()?;
    for profile in ["release", "debug"] {
        for dir in program.ancestors() {
            let path = dir.join(profile).join("mainstay");
            if path.is_file() {
                return Ok(path);
            }
        }
    }
    bail!("no mainstay beside {}: build it, or name it in MAINSTAY_BIN", program.display())
}
