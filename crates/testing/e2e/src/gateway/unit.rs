//! What systemd does for the gateway in life: starts the supervisor, starts it again when it
//! was killed, adopts and buries its orphans, and stops everything in the end.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Signal, WaitStatus};

use crate::children;
use crate::wait::Stop;

/// The environment variable that marks every process of one gateway.
pub(super) const MARK: &str = "MAINSTAY_E2E_GATEWAY";

/// Between the death of the supervisor and its next start.
const RESTART_PAUSE: Duration = Duration::from_millis(20);

/// How a gateway's supervisor is started.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) binary: PathBuf,
    pub(super) dir: PathBuf,
}

impl Unit {
    /// Starts the supervisor and watches over it.
    pub(super) fn start(self) -> io::Result<Watch> {
        children::become_reaper()?;
        let state = Arc::new(State::default());
        let child = self.spawn()?;
        let thread = {
            let (state, unit) = (Arc::clone(&state), self.clone());
            thread::Builder::new().name("service manager".to_owned()).spawn(move || {
                unit.watch(child, &state);
            })?
        };
        Ok(Watch { unit: self, state, thread: Some(thread) })
    }

    fn spawn(&self) -> io::Result<children::Child> {
        let log = File::options().create(true).append(true).open(self.dir.join("log"))?;
        let mut command = Command::new(&self.binary);
        command
            .args(["run", "--host"])
            .arg(self.dir.join("host.toml"))
            .env(MARK, &self.dir)
            .env("NO_COLOR", "1")
            .current_dir(self.dir.join("state"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // A Ctrl-C at the harness is the harness's business.
            .process_group(0);
        children::spawn(&mut command)
    }

    fn watch(&self, first: children::Child, state: &State) {
        let mut child = first;
        loop {
            let status = loop {
                children::reap_orphans();
                if state.kill_now.is_over() {
                    child.process().signal(Signal::KILL).ok();
                }
                if let Some(status) = child.wait(Duration::from_millis(20)) {
                    break status;
                }
            };
            state.ends.lock().unwrap().push(status);
            if state.stopping.pause(RESTART_PAUSE) {
                return;
            }
            child = self.spawn().unwrap();
        }
    }
}

#[derive(Debug, Default)]
struct State {
    /// How each run of the supervisor ended.
    ends: Mutex<Vec<WaitStatus>>,
    /// Once over, the supervisor is not started again.
    stopping: Stop,
    /// Once over, the supervisor has no more time.
    kill_now: Stop,
}

/// A supervisor that is watched over.
#[derive(Debug)]
pub(super) struct Watch {
    unit: Unit,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// From now on the end of the supervisor is the end of the service.
    pub(super) fn expect_end(&self) {
        self.state.stopping.stop();
    }

    /// How each run of the supervisor ended so far.
    pub(super) fn ends(&self) -> Vec<WaitStatus> {
        self.state.ends.lock().unwrap().clone()
    }

    /// Ends what is still there, politely or not.
    pub(super) fn stop(&mut self, supervisor: Option<&children::Process>, patience: Duration) {
        self.expect_end();
        if let Some(supervisor) = supervisor {
            supervisor.signal(Signal::TERM).ok();
            supervisor.ends_within(patience);
        }
        self.state.kill_now.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        children::kill_marked(&format!("{MARK}={}", self.unit.dir.display()));
    }
}
