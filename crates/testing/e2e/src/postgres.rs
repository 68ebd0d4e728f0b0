//! Debian's PostgreSQL, with a directory of its own, for as long as a test takes.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::Signal;

use crate::children::{self, Child};
use crate::wait;

/// The user that it runs as: it refuses to be root.
const USER: &str = "postgres";

/// How long it may take to be there.
const START: Duration = Duration::from_secs(30);

/// A server.
#[derive(Debug)]
pub struct Postgres {
    directory: tempfile::TempDir,
    child: Child,
    port: u16,
}

impl Postgres {
    /// Makes a server, and waits until it takes connections. Commits are on the disk, as it is
    /// configured by default.
    pub fn start() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let (uid, gid) = owner()?;
        chown(directory.path(), Some(uid), Some(gid))?;
        let data = directory.path().join("data");
        let init = ["--auth=trust", "--no-locale", "--encoding=UTF8", "--username=postgres"];
        let mut make = as_user("initdb")?;
        finish(make.args(init).arg("--pgdata").arg(&data))?;
        // Free a moment ago; if somebody takes it meanwhile, the start fails and says so.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = File::create(directory.path().join("log"))?;
        let mut serve = as_user("postgres")?;
        serve.arg("-D").arg(&data).arg("-k").arg(directory.path());
        serve.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        serve.args(["-c", "max_connections=200"]);
        serve.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = children::spawn(&mut serve).context("cannot start PostgreSQL")?;
        let server = Self { directory, child, port };
        wait::until("PostgreSQL to take connections", START, || server.run("SELECT 1").ok())
            .with_context(|| {
                fs::read_to_string(server.directory.path().join("log")).unwrap_or_default()
            })?;
        Ok(server)
    }

    /// Makes a database; its address.
    pub fn create(&self, name: &str) -> anyhow::Result<String> {
        self.run(&format!("CREATE DATABASE {name}"))?;
        Ok(format!("postgres://{USER}@127.0.0.1:{}/{name}", self.port))
    }

    fn run(&self, statement: &str) -> anyhow::Result<String> {
        let mut ask = Command::new(program("psql")?);
        ask.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", USER, "-qAt"]);
        finish(ask.args(["-c", statement]))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let process = self.child.process();
        // A fast shutdown: it waits for nobody.
        process.signal(Signal::INT).ok();
        if self.child.wait(Duration::from_secs(10)).is_none() {
            process.signal(Signal::KILL).ok();
            self.child.wait(Duration::from_secs(10));
        }
    }
}

/// One of its programs, of the newest version that is installed.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .context("PostgreSQL is not installed")?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin").join(name)))
        })
        .filter(|(_, path)| path.is_file())
        .collect();
    versions.sort();
    versions.pop().map(|(_, path)| path).with_context(|| format!("{name} is not installed"))
}

fn as_user(name: &str) -> anyhow::Result<Command> {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--"]).arg(program(name)?);
    command.current_dir("/");
    Ok(command)
}

/// The numbers of the user and its group.
fn owner() -> anyhow::Result<(u32, u32)> {
    let text = fs::read_to_string(Path::new("/etc/passwd"))?;
    let line = text.lines().find(|line| line.split(':').next() == Some(USER));
    let fields: Vec<&str> = line.with_context(|| format!("no user {USER}"))?.split(':').collect();
    match fields.as_slice() {
        [_, _, uid, gid, ..] => Ok((uid.parse()?, gid.parse()?)),
        _ => bail!("the line of {USER} in /etc/passwd is too short"),
    }
}

fn finish(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}
