//! The proxies that are compared: how each is configured, started and stopped.
//!
//! All get the best settings that their manuals offer for this work and one thread; all write
//! an access log with comparable fields, as cheaply as they can; all set the same request
//! fields (`X-Forwarded-For`, `X-Forwarded-Proto`, a request id).

mod haproxy;
mod mainstay;
mod nginx;

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process};

use super::cost::{self, Cost};

/// How long a contestant may take to answer its first request.
const START_LIMIT: Duration = Duration::from_secs(15);

/// How long it may take to end after a signal, before the next and harder one.
const STOP_LIMIT: Duration = Duration::from_secs(3);

/// One of the proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Contestant {
    Nginx,
    Haproxy,
    Mainstay,
}

/// What a contestant is given.
pub(super) struct Setup<'a> {
    pub(super) program: PathBuf,
    /// Its own, and empty.
    pub(super) folder: &'a Path,
    /// Address and port of the backend.
    pub(super) backend: &'a str,
    /// The processor that it stays on.
    pub(super) cpu: usize,
}

/// A contestant that answers requests.
pub(super) struct Running {
    child: Child,
    address: String,
    log: PathBuf,
}

impl Contestant {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Mainstay => "mainstay",
        }
    }

    pub(super) const fn version_option(self) -> &'static str {
        match self {
            Self::Nginx | Self::Haproxy => "-v",
            Self::Mainstay => "--version",
        }
    }

    /// Starts it and waits until it answers.
    pub(super) fn start(self, setup: &Setup<'_>) -> anyhow::Result<Running> {
        let address = free_address()?;
        let arguments = match self {
            Self::Nginx => nginx::configure(setup, &address)?,
            Self::Haproxy => haproxy::configure(setup, &address)?,
            Self::Mainstay => mainstay::configure(setup, &address)?,
        };
        let log = setup.folder.join("output.txt");
        let output = File::create(&log).context("cannot make the file for the output")?;
        let errors = output.try_clone().context("cannot use one file for both outputs")?;
        // A session of its own, so that all of its processes can be found. Its leader is this
        // very child: both programs only prepare, and then become the contestant.
        let child = Command::new("setsid")
            .args(["taskset", "-c", &setup.cpu.to_string()])
            .arg(&setup.program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .context("cannot start")?;
        let running = Running { child, address, log };
        running.wait_until_it_answers()?;
        Ok(running)
    }
}

impl Running {
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn cost(&self) -> anyhow::Result<Cost> {
        Cost::of(self.child.id())
    }

    fn wait_until_it_answers(&self) -> anyhow::Result<()> {
        let answered = wait(START_LIMIT, || answers(&self.address));
        if answered {
            return Ok(());
        }
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        anyhow::bail!("no answer within {START_LIMIT:?}; it said: {said}")
    }

    /// Ends it, politely first, and every process that belongs to it.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        self.end()
    }

    fn end(&mut self) -> anyhow::Result<()> {
        let leader = self.child.id();
        for signal in [Signal::TERM, Signal::TERM, Signal::KILL] {
            let left = cost::processes(leader)?;
            let receivers = if signal == Signal::KILL { left } else { vec![leader] };
            for pid in receivers {
                send(pid, signal)?;
            }
            let is_gone = wait(STOP_LIMIT, || {
                let reaped = self.child.try_wait().is_ok_and(|status| status.is_some());
                reaped && cost::processes(leader).is_ok_and(|left| left.is_empty())
            });
            if is_gone {
                return Ok(());
            }
        }
        anyhow::bail!("process {leader} or a child of it does not end")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            println!("{error}");
        }
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

fn send(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("strange process id")?;
    match kill_process(pid, signal) {
        // It was quicker.
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(errno) => Err(io::Error::from(errno)).context("cannot send a signal"),
    }
}

/// Asks again and again until the answer is yes or time is up.
fn wait(limit: Duration, mut ask: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if ask() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn answers(address: &str) -> bool {
    let ask = || -> io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /1k HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// An address that nobody listens on.
fn free_address() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot find a free port")?;
    let address = listener.local_addr().context("cannot find a free port")?;
    Ok(address.to_string())
}
