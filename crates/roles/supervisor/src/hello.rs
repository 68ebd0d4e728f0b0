//! What is said on the control channels.

use std::os::fd::OwnedFd;

use mainstay_message::{MessageError, receive, send};
use mainstay_model::{Chain, Process, Timestamp};
use mainstay_os::{ChannelError, now};
use mainstay_supervise::Course;
use mainstay_wire::control::{ToProcess, ToSupervisor};
use mainstay_wire::frame::WIRE_VERSION;
use tracing::{debug, info, warn};

use crate::children::{Child, Life, Word};
use crate::token::place;
use crate::turn::{Phase, Supervisor};
use crate::upgrade::PairWord;

/// A process's first message.
#[derive(Debug)]
pub(crate) struct Hello {
    pub(crate) wire: u32,
    pub(crate) process: Process,
    pub(crate) pid: u32,
    /// The listening sockets it holds, by name.
    pub(crate) listeners: Vec<(String, OwnedFd)>,
}

impl Hello {
    /// The parts of [`ToSupervisor::Hello`].
    pub(crate) fn new(
        (wire, process, pid): (u32, Process, u32),
        listeners: Vec<String>,
        sockets: Vec<OwnedFd>,
    ) -> Self {
        Self { wire, process, pid, listeners: listeners.into_iter().zip(sockets).collect() }
    }
}

impl Supervisor {
    /// Reads all that the process at `place` has said.
    pub(crate) fn hear_child(&mut self, place: u32) {
        loop {
            let Some(child) = self.child_mut(place) else { return };
            let process = child.process;
            let Some(life) = child.life_mut() else { return };
            let Some(channel) = &life.channel else { return };
            match receive(channel) {
                Ok(None) => return,
                Ok(Some((message, descriptors))) => {
                    life.heard(now());
                    self.take_word(process, message, descriptors);
                }
                Err(MessageError::Channel { source: ChannelError::Closed }) => {
                    // It is ending, or closed the channel and comes back through the door.
                    life.lost_channel(now());
                    return;
                }
                Err(error) => {
                    warn!(%process, error = %Chain(&error), "cannot understand a process");
                    self.dismiss(process);
                    return;
                }
            }
        }
    }

    fn take_word(&mut self, process: Process, message: ToSupervisor, descriptors: Vec<OwnedFd>) {
        match message {
            ToSupervisor::Hello { wire, process: said, pid, listeners } => {
                self.introduce(process, Hello::new((wire, said, pid), listeners, descriptors));
            }
            // Asking for alerts is an operator's way in, and does no harm here.
            ToSupervisor::Alive | ToSupervisor::Alerts => {}
            ToSupervisor::Event { number, unix_ms, event } => {
                self.take_event(process, number, (unix_ms, &event));
            }
            ToSupervisor::Listen { generation } if process == Process::Master => {
                self.listen_for(generation);
            }
            ToSupervisor::Settled { listeners, next } if process == Process::Master => {
                self.settle_listeners(next, listeners.into_iter().zip(descriptors));
            }
            ToSupervisor::Listen { .. } | ToSupervisor::Settled { .. } => {
                warn!(%process, "process speaks of listeners, which are the master's to speak of");
            }
            ToSupervisor::Pair { active, is_whole } => {
                self.pair = PairWord { active, is_whole };
            }
            ToSupervisor::StandIn => {
                info!(%process, "process waits for a worker that stands in for it");
                if let Some(life) = self.child_mut(place(process)).and_then(Child::life_mut) {
                    life.course = Course::Goes;
                }
            }
            ToSupervisor::Upgrade | ToSupervisor::Arrange => {
                warn!(%process, "process asks for what is an operator's to ask for");
            }
        }
    }

    /// Takes the Hello of a process whose channel is known.
    pub(crate) fn introduce(&mut self, process: Process, hello: Hello) {
        let Some(life) = self.child_mut(place(process)).and_then(Child::life_mut) else { return };
        if hello.wire != WIRE_VERSION || hello.process != process || hello.pid != life.pid {
            warn!(%process, ?hello, "process is not what was started, it is killed");
            self.dismiss(process);
            return;
        }
        if life.word != Word::Condemned {
            life.word = Word::Introduced;
        }
        for (name, socket) in hello.listeners {
            self.listeners.offer(&name, socket);
        }
    }

    /// Gives to whoever said Hello what it waits for.
    pub(crate) fn welcome_introduced(&mut self) {
        if matches!(self.phase, Phase::Gathering(_)) {
            return;
        }
        for process in Process::SUPERVISED {
            let is_introduced =
                |child: &mut Child| child.life().is_some_and(|life| life.word == Word::Introduced);
            if self.child_mut(place(process)).is_some_and(is_introduced) {
                self.welcome(process);
            }
        }
    }

    fn welcome(&mut self, process: Process) {
        if process == Process::Master {
            // It may have ended in the middle of an apply.
            self.settle_listeners(None, std::iter::empty());
        }
        let (names, sockets) = match process {
            Process::Master => self.listeners.all(),
            Process::Supervisor | Process::Broadcast | Process::Worker(_) => {
                (Vec::new(), Vec::new())
            }
        };
        let message = ToProcess::Welcome { generation: self.generation, listeners: names };
        let Some(child) =
            usize::try_from(place(process)).ok().and_then(|at| self.children.get_mut(at))
        else {
            return;
        };
        let Some(life) = child.life_mut() else { return };
        let Some(channel) = &life.channel else { return };
        if let Err(error) = send(channel, &message, &sockets) {
            warn!(%process, error = %Chain(&error), "cannot welcome a process");
            self.dismiss(process);
            return;
        }
        life.word = Word::Welcomed { heard: now() };
        let (pid, origin) = (life.pid, life.origin);
        info!(%process, pid, "process is up");
        self.note_up(process, pid, origin);
        if process == Process::Master {
            self.told.clear();
            self.telling.forget_master();
            self.pair = PairWord::default();
        }
        if let Phase::Stopping { until, .. } = self.phase {
            self.ask_to_stop(process, until);
        }
    }

    /// Tells the master who runs, when that has changed.
    pub(crate) fn tell_master(&mut self) {
        let running = self.running();
        if self.told == running {
            return;
        }
        let Some(life) = self.child_mut(place(Process::Master)).and_then(Child::life_mut) else {
            return;
        };
        let (Word::Welcomed { .. }, Some(channel)) = (life.word, &life.channel) else { return };
        match send(channel, &ToProcess::Processes { processes: running.clone() }, &[]) {
            Ok(()) => self.told = running,
            // A master that does not read is one that stands still, and that is seen.
            Err(error) => debug!(error = %Chain(&error), "cannot tell the master who runs"),
        }
    }

    /// Asks a process to finish what is open and end.
    pub(crate) fn ask_to_stop(&mut self, process: Process, until: Timestamp) {
        let limit = until.since(now());
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let Some(life) = self.child_mut(place(process)).and_then(Child::life_mut) else { return };
        let Some(channel) = &life.channel else { return };
        if let Err(error) = send(channel, &ToProcess::Stop { limit_ms }, &[]) {
            warn!(%process, error = %Chain(&error), "cannot ask a process to stop");
        }
    }

    /// Kills a process that cannot be talked to; it is started anew.
    fn dismiss(&mut self, process: Process) {
        if let Some(life) = self.child_mut(place(process)).and_then(Child::life_mut) {
            life.channel = None;
        }
        if let Err(error) = self.condemn(process) {
            warn!(%process, error = %Chain(error.as_ref()), "cannot end a process");
        }
    }
}

impl Life {
    fn heard(&mut self, now: Timestamp) {
        if let Word::Welcomed { heard } = &mut self.word {
            *heard = now;
        }
    }
}
