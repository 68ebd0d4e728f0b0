//! Processes that an earlier supervisor left: found by their files in the run directory, and
//! met at `supervisor.sock`.
//!
//! Whoever comes in must be whom the kernel says: its Hello names the number that the kernel
//! gives for the other end of the socket.

use std::io;
use std::time::Duration;

use anyhow::Context as _;
use mainstay_message::receive;
use mainstay_model::{Chain, Process, Timestamp};
use mainstay_os::{BindError, Channel, Pidfd};
use mainstay_wire::control::ToSupervisor;
use tracing::{info, warn};

use crate::arrangement::zero_of;
use crate::children::{Child, Origin, State, Word};
use crate::hello::Hello;
use crate::token::{Token, place};
use crate::turn::{Phase, Supervisor};

/// How long listening sockets are awaited from orphans.
const LISTENERS_LIMIT: Duration = Duration::from_secs(1);

/// How long an orphan may take to say Hello. One that does not is killed.
const HELLO_LIMIT: Duration = Duration::from_secs(2);

/// How long an orphan may hold an address that it did not give. Then it is killed: what it
/// leaves is kept, and the next of its kind takes it.
const HOLDERS_LIMIT: Duration = Duration::from_millis(1_500);

/// How long a keeper may hold an address that is needed. Then it is killed: a gateway that
/// does not start serves nobody.
const KEEPERS_LIMIT: Duration = Duration::from_secs(3);

/// How long an address may be in use by what an earlier gateway left.
const ADDRESS_LIMIT: Duration = Duration::from_secs(4);

/// Most connections at the door that have not said Hello.
const GUESTS_MAX: usize = 16;

/// Someone at the door.
#[derive(Debug)]
pub(crate) struct Guest {
    number: u32,
    channel: Channel,
    pub(crate) until: Timestamp,
}

/// How far the search for listening sockets has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gathering {
    since: Timestamp,
    remains: Remains,
}

/// Whether an earlier gateway left anything that may hold an address: a process, or the
/// keeper of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remains {
    Some,
    None,
}

impl Supervisor {
    /// Finds the processes that still run.
    pub(crate) fn find_orphans(&mut self, now: Timestamp) -> anyhow::Result<Gathering> {
        let remains = if self.directory.was_abandoned() || !self.has_no_keepers() {
            Remains::Some
        } else {
            Remains::None
        };
        for process in Process::SUPERVISED {
            if let Some(pid) = self.directory.dead(process) {
                self.found_dead(process, pid);
            }
            let Some(pid) = self.directory.running(process) else { continue };
            let Ok(pidfd) = Pidfd::open(pid) else { continue };
            // Again, now that the number cannot go to another process unseen.
            if self.directory.running(process) != Some(pid) {
                continue;
            }
            info!(%process, pid, "process found running");
            if process == Process::Master {
                self.zero = zero_of(pid);
            }
            let Some(child) = self.child_mut(place(process)) else { continue };
            child.adopt(pid, pidfd, Word::Awaited { until: now + HELLO_LIMIT });
            self.watch_child(place(process))?;
        }
        Ok(Gathering { since: now, remains })
    }

    /// Tells of the supervisor before this one. Who became this program is the same one.
    pub(crate) fn meet_former(&mut self, former: Option<u32>) {
        let own = std::process::id();
        if let Some(former) = former.filter(|&former| former != own) {
            self.found_dead(Process::Supervisor, former);
            self.note_up(Process::Supervisor, own, Origin::Orphan);
        }
    }

    /// Binds what no orphan has, when that is clear; then everyone who is missing is started.
    pub(crate) fn gather(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let Phase::Gathering(Gathering { since, remains }) = self.phase else { return Ok(()) };
        let is_awaited = |child: &Child| {
            child.life().is_some_and(|life| matches!(life.word, Word::Awaited { .. }))
        };
        if !self.listeners.is_complete()
            && self.children.iter().any(is_awaited)
            && now < since + LISTENERS_LIMIT
        {
            return Ok(());
        }
        match self.listeners.bind_missing() {
            Ok(()) => self.phase = Phase::Running,
            Err(error)
                if error.source.kind() == io::ErrorKind::AddrInUse
                    && remains == Remains::Some
                    && now < since + ADDRESS_LIMIT =>
            {
                if now >= since + HOLDERS_LIMIT {
                    self.end_orphans(&error)?;
                }
                if now >= since + KEEPERS_LIMIT {
                    warn!(error = %Chain(&error), "what an earlier gateway left is ended");
                    self.end_keepers();
                }
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Kills who holds an address that none of them gave.
    fn end_orphans(&mut self, reason: &BindError) -> anyhow::Result<()> {
        for process in Process::SUPERVISED {
            let Some(life) = self.child_mut(place(process)).and_then(Child::life_mut) else {
                continue;
            };
            if life.word != Word::Condemned {
                let reason = Chain(reason);
                warn!(%process, pid = life.pid, %reason, "process is ended for its listeners");
                self.condemn(process)?;
            }
        }
        Ok(())
    }

    /// Lets in whoever is at the door.
    pub(crate) fn let_in(&mut self, now: Timestamp) -> anyhow::Result<()> {
        while let Some(channel) = self.door.accept().context("cannot accept at the door")? {
            if self.guests.len() >= GUESTS_MAX {
                warn!("too many connections at supervisor.sock, one was closed");
                continue;
            }
            self.guests_seen = self.guests_seen.wrapping_add(1);
            let number = self.guests_seen;
            self.watch(&channel, Token::Guest(number))?;
            self.guests.push(Guest { number, channel, until: now + HELLO_LIMIT });
        }
        Ok(())
    }

    /// Reads the Hello of someone at the door.
    pub(crate) fn hear_guest(&mut self, number: u32) -> anyhow::Result<()> {
        let Some(index) = self.guests.iter().position(|guest| guest.number == number) else {
            return Ok(());
        };
        let Some(guest) = self.guests.get(index) else { return Ok(()) };
        let word = match receive(&guest.channel) {
            Ok(None) => return Ok(()),
            Ok(Some(word)) => Some(word),
            Err(error) => {
                info!(error = %Chain(&error), "connection at supervisor.sock is closed");
                None
            }
        };
        let guest = self.guests.remove(index);
        self.poller.remove(&guest.channel).context("cannot stop watching")?;
        let hello = match word {
            Some((ToSupervisor::Hello { wire, process, pid, listeners }, sockets)) => {
                Hello::new((wire, process, pid), listeners, sockets)
            }
            Some((ToSupervisor::Upgrade, program)) => {
                return self.asked_to_upgrade(guest.channel, program);
            }
            Some((ToSupervisor::Arrange, _)) => {
                self.asked_to_arrange(guest.channel);
                return Ok(());
            }
            Some((ToSupervisor::Alerts, _)) => {
                self.answer_alerts(&guest.channel);
                return Ok(());
            }
            Some((
                ToSupervisor::Alive
                | ToSupervisor::Pair { .. }
                | ToSupervisor::Event { .. }
                | ToSupervisor::Listen { .. }
                | ToSupervisor::Settled { .. }
                | ToSupervisor::StandIn,
                _,
            ))
            | None => return Ok(()),
        };
        match guest.channel.peer_pid() {
            Ok(pid) if pid == hello.pid && hello.process != Process::Supervisor => {
                self.take_in(guest.channel, hello)
            }
            Ok(pid) => {
                warn!(pid, ?hello, "connection at supervisor.sock is not what it says");
                Ok(())
            }
            Err(error) => {
                warn!(error = %Chain(&error), "cannot tell who is at supervisor.sock");
                Ok(())
            }
        }
    }

    /// Gives an orphan its place back.
    fn take_in(&mut self, channel: Channel, hello: Hello) -> anyhow::Result<()> {
        let (process, pid) = (hello.process, hello.pid);
        let phase = self.phase;
        let Some(child) = self.child_mut(place(process)) else { return Ok(()) };
        match &child.state {
            State::Alive(life) if life.pid == pid => {}
            // Its file was never written: the supervisor died in between.
            State::Due(_) if matches!(phase, Phase::Gathering(_) | Phase::Running) => {
                let Ok(pidfd) = Pidfd::open(pid) else { return Ok(()) };
                info!(%process, pid, "process found running");
                child.adopt(pid, pidfd, Word::Introduced);
                if process == Process::Master {
                    self.zero = zero_of(pid);
                }
                self.directory.note(process, pid).context("cannot write the file of a process")?;
                self.watch_child(place(process))?;
            }
            State::Alive(_) | State::Due(_) | State::Ended => {
                warn!(%process, pid, "process is one too many, it is killed");
                return match Pidfd::open(pid) {
                    Ok(pidfd) => pidfd.kill().context("cannot kill a process"),
                    Err(_) => Ok(()),
                };
            }
        }
        self.watch(&channel, Token::Channel(place(process)))?;
        if let Some(life) = self.child_mut(place(process)).and_then(Child::life_mut) {
            life.channel = Some(channel);
        }
        self.introduce(process, hello);
        Ok(())
    }
}
