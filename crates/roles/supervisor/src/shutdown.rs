//! The end of a gateway: everyone is asked, and killed when the limit has passed.
//!
//! A keeper deaf to signals waits for an heir of what its process left. When the gateway ends
//! there will be none, so keepers that do not end by themselves are killed last.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, bail};
use mainstay_model::{Chain, Timestamp};
use mainstay_os::{Channel, Pidfd};
use mainstay_supervise::tree;
use mainstay_wire::event::Event;
use tracing::{info, warn};

use crate::children::{Life, State, Word};
use crate::ending::Left;
use crate::turn::{Haste, Phase, Supervisor};

/// What a process may take beyond the limit it was given.
const GRACE: Duration = Duration::from_secs(1);

/// How long keepers may take to see that nothing is left.
const KEEPERS_LIMIT: Duration = Duration::from_millis(300);

/// How long the kernel may take to end what was killed.
const CLOSING_LIMIT: Duration = Duration::from_secs(3);

/// How long a process whose channel ended may take to come back or end.
const RETURN_LIMIT: Duration = Duration::from_secs(10);

impl Supervisor {
    /// A request to end: the first lets everyone finish, the second does not.
    pub(crate) fn asked_to_end(&mut self, now: Timestamp) {
        match self.phase {
            Phase::Gathering(_) | Phase::Running => {
                self.give_up_upgrade();
                self.give_up_change();
                let limit = self.settings.host.pair.drain_timeout;
                info!(limit_ms = limit.as_millis(), "stopping, open connections may finish");
                self.telling.note(&Event::SystemStopped);
                self.phase = Phase::Stopping { until: now + limit + GRACE, haste: Haste::Drain };
                for child in &mut self.children {
                    if matches!(child.state, State::Due(_)) {
                        child.state = State::Ended;
                    }
                }
                for process in tree::stop_order() {
                    self.ask_to_stop(process, now + limit);
                }
            }
            Phase::Stopping { .. } => {
                info!("stopping at once");
                self.phase = Phase::Stopping { until: now, haste: Haste::AtOnce };
                self.kill_all();
            }
            Phase::Closing { .. } => {}
        }
    }

    /// Brings a stopping gateway on its way; says how it ended when it has.
    pub(crate) fn close(&mut self, now: Timestamp, left: Left) -> Option<Haste> {
        match self.phase {
            Phase::Gathering(_) | Phase::Running => None,
            Phase::Stopping { until, haste } => {
                if self.children.iter().all(|child| child.life().is_none()) {
                    let keepers_until = match haste {
                        Haste::Drain => now + KEEPERS_LIMIT,
                        Haste::AtOnce => now,
                    };
                    let until = now + CLOSING_LIMIT;
                    self.phase = Phase::Closing { keepers_until, until, haste };
                } else if now >= until {
                    self.kill_all();
                }
                None
            }
            Phase::Closing { keepers_until, until, haste } => {
                if (left == Left::None && self.has_no_keepers()) || now >= until {
                    return Some(haste);
                }
                if now >= keepers_until {
                    self.end_keepers();
                    end_children();
                }
                None
            }
        }
    }

    /// The last act.
    pub(crate) fn end(&mut self, haste: Haste) -> anyhow::Result<()> {
        self.listeners.remove_names();
        self.telling.end();
        self.directory.clear().context("cannot clear the run directory")?;
        match haste {
            Haste::Drain => {
                info!("stopped");
                Ok(())
            }
            Haste::AtOnce => bail!("asked twice to stop, and stopped at once"),
        }
    }

    fn kill_all(&mut self) {
        for child in &mut self.children {
            let process = child.process;
            let Some(life) = child.life_mut() else { continue };
            if life.word == Word::Condemned {
                continue;
            }
            life.word = Word::Condemned;
            warn!(%process, pid = life.pid, "process has not stopped, it is killed");
            if let Err(error) = life.pidfd.kill() {
                warn!(%process, error = %Chain(&error), "cannot kill a process");
            }
        }
    }

    /// Whether no keeper waits for an heir.
    pub(crate) fn has_no_keepers(&self) -> bool {
        fs::read_dir(self.directory.keepers()).is_ok_and(|mut entries| entries.next().is_none())
    }

    /// Kills every keeper that waits for an heir. Whom to kill is asked of its socket.
    pub(crate) fn end_keepers(&self) {
        for entry in fs::read_dir(self.directory.keepers()).into_iter().flatten().flatten() {
            let path = entry.path();
            let keeper = Channel::connect(&path).and_then(|channel| channel.peer_pid());
            if let Ok(pid) = keeper {
                kill(pid);
            }
            if let Err(error) = fs::remove_file(&path) {
                warn!(error = %Chain(&error), "cannot remove the socket of a keeper");
            }
        }
    }
}

impl Life {
    /// The channel ended: either the process is ending, or it comes back through the door.
    pub(crate) fn lost_channel(&mut self, now: Timestamp) {
        self.channel = None;
        if self.word != Word::Condemned {
            self.word = Word::Awaited { until: now + RETURN_LIMIT };
        }
    }
}

/// Kills what is our child still: keepers that have no socket yet.
fn end_children() {
    let pid = std::process::id();
    let children = fs::read_to_string(format!("/proc/self/task/{pid}/children"));
    for child in children.unwrap_or_default().split_ascii_whitespace() {
        if let Ok(pid) = child.parse() {
            kill(pid);
        }
    }
}

fn kill(pid: u32) {
    // Gone already is as good.
    if let Ok(pidfd) = Pidfd::open(pid)
        && let Err(error) = pidfd.kill()
    {
        warn!(pid, error = %Chain(&error), "cannot kill a keeper");
    }
}
