//! Birth and death of the processes: who ended, who is due, who stands still.

use anyhow::Context as _;
use mainstay_model::{Chain, Process, Timestamp};
use mainstay_os::now;
use mainstay_supervise::{Verdict, tree};
use mainstay_wire::event::Event;
use tracing::{error, info, warn};

use crate::children::{Asked, Child, Life, Origin, State, Word};
use crate::ending::{Ending, Left, reap};
use crate::token::{Token, place};
use crate::turn::{Phase, Supervisor};

impl Supervisor {
    /// Finds out who ended, and when they are started again.
    pub(crate) fn bury(&mut self) -> anyhow::Result<Left> {
        let reaped = reap().context("cannot wait for children")?;
        let now = now();
        self.end_check(&reaped.endings)?;
        let mut failures = Vec::new();
        for child in &mut self.children {
            let Some(life) = child.life() else { continue };
            let ending = match (reaped.endings.get(&life.pid), life.origin) {
                (Some(ending), _) => *ending,
                // Its end is reaped in the next turn, with its reason.
                (None, Origin::Ours) => continue,
                (None, Origin::Orphan) => {
                    if !life.pidfd.has_exited().context("cannot look at a process")? {
                        continue;
                    }
                    Ending::Unknown
                }
            };
            // A descriptor that is closed is not watched any more: nobody shares our table.
            let (process, pid, asked) = (child.process, life.pid, life.asked);
            let delay = match ending {
                Ending::Exited(0) => child.left(now),
                // It was told to, and how exactly it ended only its parent heard.
                Ending::Unknown if asked == Asked::Yes => child.left(now),
                Ending::Exited(_) | Ending::Killed { .. } | Ending::Unknown => child.ended(now),
            };
            if ending != Ending::Exited(0) {
                failures.push((process, pid));
            }
            if !matches!(self.phase, Phase::Gathering(_) | Phase::Running) {
                child.state = State::Ended;
                info!(%process, pid, %ending, "process ended");
                continue;
            }
            let wait_ms = delay.wait.as_millis();
            match (ending, delay.verdict) {
                (Ending::Exited(0) | Ending::Unknown, _) if asked == Asked::Yes => {
                    info!(%process, pid, "process handed its work over");
                }
                (Ending::Exited(0), _) => {
                    info!(%process, pid, "process made way, another is started");
                }
                (_, Verdict::Accident) => {
                    warn!(%process, pid, %ending, wait_ms, "process ended, it is started again");
                    self.telling.note(&Event::died(process, pid, ending.to_string()));
                }
                (_, Verdict::CrashLoop) => {
                    error!(
                        %process, pid, %ending, wait_ms,
                        "process ends again and again, it is started once more"
                    );
                    let ending = ending.to_string();
                    self.telling.note(&Event::CrashLooped { process, pid, ending });
                }
            }
        }
        for (process, pid) in failures {
            self.upgrade_met_death(process, pid);
        }
        Ok(reaped.left)
    }

    /// Starts whose time has come.
    pub(crate) fn start_due(&mut self, now: Timestamp) -> anyhow::Result<()> {
        if self.phase != Phase::Running {
            return Ok(());
        }
        for process in tree::start_order() {
            let place = place(process);
            let file = self.settings.file.clone();
            let state = self.settings.host.state.clone();
            let zero = self.zero;
            let Some(child) = self.child_mut(place) else { continue };
            if !matches!(child.state, State::Due(at) if at <= now) {
                continue;
            }
            match child.start(zero, &file, &state) {
                Ok(pid) => {
                    info!(%process, pid, "process started");
                    self.directory
                        .note(process, pid)
                        .with_context(|| format!("cannot write the file of {process}"))?;
                    self.watch_child(place)?;
                    if matches!(process, Process::Worker(_)) {
                        // The master says anew that all is well, when this one is ready too.
                        self.pair.is_whole = false;
                    }
                }
                Err(error) => {
                    let delay = child.ended(now);
                    let wait_ms = delay.wait.as_millis();
                    error!(%process, error = %Chain(&error), wait_ms, "cannot start a process");
                    let ending = format!("it cannot be started: {}", Chain(&error));
                    self.telling.note(&match delay.verdict {
                        Verdict::Accident => Event::died(process, 0, ending),
                        Verdict::CrashLoop => Event::CrashLooped { process, pid: 0, ending },
                    });
                }
            }
        }
        Ok(())
    }

    /// Watches the end and the channel of the process at `place`.
    pub(crate) fn watch_child(&self, place: u32) -> anyhow::Result<()> {
        let child = usize::try_from(place).ok().and_then(|place| self.children.get(place));
        let Some(life) = child.and_then(Child::life) else { return Ok(()) };
        self.watch(&life.pidfd, Token::End(place))?;
        match &life.channel {
            Some(channel) => self.watch(channel, Token::Channel(place)),
            None => Ok(()),
        }
    }

    /// Until when a process must speak.
    pub(crate) fn patience(&self, process: Process, life: &Life) -> Option<Timestamp> {
        match life.word {
            Word::Awaited { until } => Some(until),
            Word::Welcomed { heard } if matches!(process, Process::Master | Process::Broadcast) => {
                Some(heard + self.settings.host.pair.hang_timeout.saturating_mul(2))
            }
            Word::Introduced | Word::Welcomed { .. } | Word::Condemned => None,
        }
    }

    /// Kills who did not speak in time.
    pub(crate) fn expire(&mut self, now: Timestamp) -> anyhow::Result<()> {
        self.guests.retain(|guest| guest.until > now);
        for index in 0..self.children.len() {
            let Some(child) = self.children.get(index) else { continue };
            let process = child.process;
            let Some(life) = child.life() else { continue };
            if self.patience(process, life).is_none_or(|until| until > now) {
                continue;
            }
            let pid = life.pid;
            let reason = if let Word::Awaited { .. } = life.word {
                warn!(%process, pid, "process did not say hello, it is killed");
                "it did not say hello"
            } else {
                warn!(%process, pid, "process stands still, it is killed");
                "it stood still"
            };
            let reason = reason.to_owned();
            self.telling.note(&Event::ProcessHung { process, pid, reason });
            self.condemn(process)?;
        }
        Ok(())
    }

    /// Kills a process; its end is awaited.
    pub(crate) fn condemn(&mut self, process: Process) -> anyhow::Result<()> {
        let Some(life) = self.child_mut(place(process)).and_then(Child::life_mut) else {
            return Ok(());
        };
        life.word = Word::Condemned;
        life.pidfd.kill().with_context(|| format!("cannot kill {process}"))
    }
}
