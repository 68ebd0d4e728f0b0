//! A gateway with a demo application, on loopback, in a temporary directory: what Mainstay is
//! for, to be tried in a minute.
//!
//! The application runs in this process; the gateway is a child, started as an operator would
//! start it. Both end with this process, and the directory goes.

#![forbid(unsafe_code)]

mod application;
mod download;
mod files;
mod gateway;
mod request;
mod websocket;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use mainstay_os::{Interest, Poller, Signals, now};
use mainstay_wire::command::{ProcessStatus, State, Status};

use crate::gateway::Gateway;

/// How long the gateway may take until both workers are ready.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// How often the gateway is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// A supervisor that lived this long is started again when it dies.
const STABLE_AFTER: Duration = Duration::from_secs(1);

/// How long the gateway may take to end, beyond its own limit.
const END_LIMIT: Duration = Duration::from_secs(10);

const SIGNALS: u64 = 0;
const GATEWAY: u64 = 1;

/// What quickstart is told on its command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The port to listen on, on 127.0.0.1
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub port: u16,
}

/// Runs until it is interrupted.
///
/// # Errors
///
/// If the gateway does not start, or ends by itself.
pub fn run(options: &Options) -> anyhow::Result<()> {
    // Before any thread, so that every thread leaves the signals to us.
    let signals = Signals::take_over().context("cannot wait for signals")?;
    let address = free_address(options.port)?;
    let application = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .context("cannot listen for the demo application")?;
    let server = application.local_addr().context("cannot listen for the demo application")?;
    let directory = tempfile::Builder::new()
        .prefix("mainstay-quickstart-")
        .tempdir()
        .context("cannot make a temporary directory")?;
    let host_file = files::write(directory.path(), address, server)?;
    let run_directory = files::run_directory(directory.path());
    application::start(application, run_directory.clone())?;

    let poller = Poller::new(4).context("cannot make a poller")?;
    poller.add(&signals, SIGNALS, Interest::ReadLevel).context("cannot watch for signals")?;
    let mut demonstration = Demonstration {
        gateway: Gateway::start(&host_file)?,
        poller,
        signals,
        host_file,
        run: run_directory,
    };
    demonstration.watch_gateway()?;
    let result = demonstration.run(address);
    demonstration.end()?;
    result
}

/// A gateway that is shown.
struct Demonstration {
    gateway: Gateway,
    poller: Poller,
    signals: Signals,
    host_file: PathBuf,
    run: PathBuf,
}

/// What happened while we waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happened {
    Nothing,
    /// We are to end.
    Interrupted,
    SupervisorEnded,
}

/// The address to listen on, if nobody else does: said here, it is said clearly.
fn free_address(port: u16) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .with_context(|| format!("port {port} is not free; choose another with --port"))?;
    listener.local_addr().context("cannot choose a port")
}

impl Demonstration {
    /// Says what to try, and whenever another process serves, until it is interrupted.
    fn run(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let Some(status) = self.wait_until_ready()? else { return Ok(()) };
        print(&introduction(address, &self.run, &status)?)?;
        let mut serving = find(&status, State::Active).map(|process| process.pid);
        let mut started = now();
        loop {
            match self.wait()? {
                Happened::Nothing => {}
                Happened::Interrupted => return Ok(()),
                // A service manager would do the same; everyone else just goes on.
                Happened::SupervisorEnded if now().since(started) > STABLE_AFTER => {
                    self.gateway.reap()?;
                    self.gateway = Gateway::start(&self.host_file)?;
                    self.watch_gateway()?;
                    started = now();
                }
                Happened::SupervisorEnded => bail!("the gateway ended; its log says why"),
            }
            let Some(status) = gateway::status(&self.run) else { continue };
            let Some(active) = find(&status, State::Active) else { continue };
            if serving != Some(active.pid) {
                serving = Some(active.pid);
                let (process, pid) = (active.process, active.pid);
                print(&format!("\n  {process} serves now; again:  kill -9 {pid}\n\n"))?;
            }
        }
    }

    /// Waits for both workers; `None` if it was interrupted.
    fn wait_until_ready(&mut self) -> anyhow::Result<Option<Status>> {
        let limit = now() + READY_LIMIT;
        while now() < limit {
            if let Some(status) = gateway::status(&self.run)
                && find(&status, State::Active).is_some()
                && find(&status, State::Standby).is_some()
            {
                return Ok(Some(status));
            }
            match self.wait()? {
                Happened::Nothing => {}
                Happened::Interrupted => return Ok(None),
                Happened::SupervisorEnded => {
                    bail!("the gateway ended before it was ready; its log says why")
                }
            }
        }
        bail!("the gateway was not ready within {} seconds", READY_LIMIT.as_secs())
    }

    /// Ends the gateway. Interrupted again, it ends at once.
    fn end(&mut self) -> anyhow::Result<()> {
        if !self.gateway.has_ended()? {
            self.gateway.terminate()?;
        }
        let limit = now() + END_LIMIT;
        while now() < limit {
            match self.wait()? {
                Happened::Nothing => {}
                Happened::Interrupted => self.gateway.terminate()?,
                Happened::SupervisorEnded => return self.gateway.reap(),
            }
        }
        bail!("the gateway did not end")
    }

    fn wait(&mut self) -> anyhow::Result<Happened> {
        self.poller.wait(Some(LOOK_INTERVAL)).context("cannot wait for events")?;
        if self.signals.next().context("cannot read a signal")?.is_some() {
            return Ok(Happened::Interrupted);
        }
        let ended = self.gateway.has_ended()?;
        Ok(if ended { Happened::SupervisorEnded } else { Happened::Nothing })
    }

    fn watch_gateway(&self) -> anyhow::Result<()> {
        self.poller
            .add(&self.gateway, GATEWAY, Interest::ReadLevel)
            .context("cannot watch the gateway")
    }
}

fn find(status: &Status, state: State) -> Option<&ProcessStatus> {
    status.processes.iter().find(|process| process.state == state)
}

/// What to try.
fn introduction(address: SocketAddr, run: &Path, status: &Status) -> anyhow::Result<String> {
    let active = find(status, State::Active).context("no worker serves")?;
    let (process, pid) = (active.process, active.pid);
    let program = std::env::current_exe().context("cannot tell how this program is called")?;
    let (program, run) = (program.display(), run.display());
    let digest = download::digest();
    Ok(format!(
        "
  A gateway listens at  http://{address}/
  Open it in a browser: the page asks again each second, and shows which worker serves.

  Kill the worker that serves ({process}) while the page is open, or while this runs:
    kill -9 {pid}

  A download of half a minute, to be killed under; its sum must be
  {digest}
    curl -s http://{address}/download | sha256sum

  A thousand requests, one after the other, and what came of them:
    for i in $(seq 1000); do curl -s -o /dev/null -w '%{{http_code}}\\n' http://{address}/; done | sort | uniq -c

  Every process, and what it does:
    {program} status --run {run}

  Ctrl-C ends it all.

"
    ))
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).context("cannot write to standard output")?;
    output.flush().context("cannot write to standard output")
}
