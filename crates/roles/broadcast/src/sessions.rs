//! Who is logged in: from the session channel into the journal and every process, and back to
//! the caller.
//!
//! What is to happen is decided by [`Register`] (what a line comes to) and [`Replication`] (in
//! which order it goes where); here that is carried out.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::time::Duration;

use anyhow::Context as _;
use mainstay_config::Host;
use mainstay_journal::{Journal, Limits, Opened};
use mainstay_message::running;
use mainstay_model::{Process, Timestamp};
use mainstay_os::{Pidfd, now, wall_now};
use mainstay_session::{Answer, Effect, Event, Member, Register, Replication};
use mainstay_wire::broadcast::ToPeer;
use mainstay_wire::session::{Figures, Place, Reply, ToRegister, ToReplica, Update};
use tracing::{info, warn};

use crate::token::Token;
use crate::turn::Broadcast;

/// How often the master is told what is counted.
const FIGURES_INTERVAL: Duration = Duration::from_secs(1);

/// Who is logged in, and who knows.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(crate) register: Register,
    pub(crate) replication: Replication,
    pub(crate) journal: Journal,
    pub(crate) epoch: u64,
    /// Processes that have a table or may, by their numbers: one is gone when it is dead.
    holders: BTreeMap<u32, Pidfd>,
    /// What callers wait for.
    tickets: BTreeMap<u64, Waiting>,
    tickets_seen: u64,
    /// What the master was told to show, and when it is told again.
    told: Figures,
    tell_at: Timestamp,
}

/// A caller who waits until every process has what it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    caller: u32,
    sessions: u64,
}

impl Sessions {
    /// Reads the journal, and finds out who may have a table of it.
    pub(crate) fn open(host: &Host) -> anyhow::Result<Self> {
        let began = now();
        let limits = Limits { tail_bytes: host.sessions.journal_bytes };
        let Opened { journal, table, place } = Journal::open(&host.state.join("sessions"), limits)?;
        let mut holders = BTreeMap::new();
        let mut living = Vec::new();
        for process in Process::KEPT {
            let Some(pid) = running(&host.run, process) else { continue };
            // Gone already: it accepts nobody.
            let Ok(pidfd) = Pidfd::open(pid) else { continue };
            holders.insert(pid, pidfd);
            living.push(Member { process, pid });
        }
        info!(
            sessions = table.len(),
            number = place.number,
            millis = now().since(began).as_millis(),
            "sessions were read"
        );
        Ok(Self {
            register: Register::new(table, host.sessions.max),
            replication: Replication::new(place, living, host.sessions.confirm_timeout),
            journal,
            epoch: place.epoch,
            holders,
            tickets: BTreeMap::new(),
            tickets_seen: 0,
            told: Figures::default(),
            tell_at: began,
        })
    }
}

impl Broadcast {
    pub(crate) fn watch_sessions(&self) -> anyhow::Result<()> {
        self.watch(self.sessions.journal.as_fd(), Token::Journal)?;
        for (pid, pidfd) in &self.sessions.holders {
            self.watch(pidfd, Token::HolderEnd(*pid))?;
        }
        Ok(())
    }

    /// A process says something about its table.
    pub(crate) fn hear_replica(&mut self, member: Member, said: ToRegister) -> anyhow::Result<()> {
        match said {
            ToRegister::At { held } => {
                // Another master knows nothing yet.
                self.sessions.told = Figures::default();
                let pid = member.pid;
                if !self.sessions.holders.contains_key(&pid) {
                    let Ok(pidfd) = Pidfd::open(pid) else { return Ok(()) };
                    self.watch(&pidfd, Token::HolderEnd(pid))?;
                    self.sessions.holders.insert(pid, pidfd);
                }
                self.step_sessions(Event::Came { member, held })
            }
            ToRegister::Applied { number } => self.step_sessions(Event::Applied { member, number }),
            ToRegister::Used { uses } => match self.sessions.register.used(&uses) {
                Some(update) => self.change_sessions(None, vec![update]),
                None => Ok(()),
            },
        }
    }

    /// Looks whether a process that may have a table is dead.
    pub(crate) fn bury_holder(&mut self, pid: u32) -> anyhow::Result<()> {
        let Some(pidfd) = self.sessions.holders.get(&pid) else { return Ok(()) };
        if !pidfd.has_exited().context("cannot look at a process")? {
            return Ok(());
        }
        self.poller.remove(pidfd).context("cannot stop watching a process")?;
        self.sessions.holders.remove(&pid);
        self.step_sessions(Event::Died { pid })
    }

    /// What the journal has done meanwhile. One that cannot write is the end of us: what is
    /// told to nobody but us is not to be lost silently.
    pub(crate) fn look_at_journal(&mut self) -> anyhow::Result<()> {
        match self.sessions.journal.look()? {
            Some(number) => self.step_sessions(Event::Committed { number }),
            None => Ok(()),
        }
    }

    /// Numbers these updates and brings them everywhere. A caller who is named is answered when
    /// they are there, and everything before them.
    pub(crate) fn change_sessions(
        &mut self,
        caller: Option<(u32, u64)>,
        updates: Vec<Update>,
    ) -> anyhow::Result<()> {
        let sessions = &mut self.sessions;
        updates.iter().for_each(|update| sessions.register.apply(update));
        let ticket = caller.map(|(caller, count)| {
            sessions.tickets_seen += 1;
            sessions.tickets.insert(sessions.tickets_seen, Waiting { caller, sessions: count });
            sessions.tickets_seen
        });
        self.step_sessions(Event::Wanted { ticket, updates })
    }

    /// Removes what has run out, and tells those who have waited long enough.
    pub(crate) fn tick_sessions(&mut self, now: Timestamp) -> anyhow::Result<()> {
        if self.sessions.replication.wake_at().is_some_and(|at| at <= now) {
            self.step_sessions(Event::Tick)?;
        }
        self.tell_figures(now)?;
        while let Some(update) = self.sessions.register.expire(wall_now()) {
            self.change_sessions(None, vec![update])?;
        }
        Ok(())
    }

    /// Tells the master what it may show of the journal, if that is news and it is time to.
    fn tell_figures(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let sessions = &mut self.sessions;
        if now < sessions.tell_at || !self.peers.has(Process::Master) {
            return Ok(());
        }
        sessions.tell_at = now + FIGURES_INTERVAL;
        let journal = sessions.journal.figures();
        let figures = Figures {
            sessions_max: self.host.sessions.max as u64,
            number: sessions.replication.last(),
            journal_bytes: journal.tail_bytes,
            commits: journal.commits,
            commit_micros: journal.commit_micros,
        };
        if figures == sessions.told {
            return Ok(());
        }
        sessions.told = figures;
        self.tell(Process::Master, &ToPeer::Figures(figures))
    }

    /// Tells the machine what happened, and does what it asks for.
    pub(crate) fn step_sessions(&mut self, event: Event) -> anyhow::Result<()> {
        for effect in self.sessions.replication.step(now(), event) {
            match effect {
                Effect::Write { number, update } => self.sessions.journal.append(number, update),
                Effect::Apply { to, first, updates, then } => {
                    let message = ToReplica::Apply { first, updates, then };
                    self.tell_member(to, &ToPeer::Sessions(message), &[])?;
                }
                Effect::Load { to, place } => self.have_load(to, place)?,
                Effect::Answer { ticket, answer } => self.answer_ticket(ticket, &answer),
            }
        }
        Ok(())
    }

    fn have_load(&mut self, to: Member, place: Place) -> anyhow::Result<()> {
        let files = self.sessions.journal.files().context("cannot share the journal")?;
        let count = u16::try_from(files.len()).context("the journal has too many files")?;
        info!(process = %to.process, pid = to.pid, number = place.number, "process reads the journal");
        let descriptors: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
        let message = ToPeer::Sessions(ToReplica::Load { place, files: count });
        self.tell_member(to, &message, &descriptors)
    }

    fn answer_ticket(&mut self, ticket: u64, answer: &Answer) {
        let Some(Waiting { caller, sessions }) = self.sessions.tickets.remove(&ticket) else {
            return;
        };
        let reply = match answer {
            Answer::Confirmed => Reply::Done { sessions },
            Answer::Unconfirmed { missing } => {
                let reason = if missing.is_empty() {
                    "the disk has not taken it yet".to_owned()
                } else {
                    let names: Vec<_> = missing.iter().map(Process::to_string).collect();
                    format!("not heard from: {}", names.join(", "))
                };
                warn!(reason, "a change of sessions is not confirmed");
                Reply::Unconfirmed { reason }
            }
        };
        self.reply(caller, &reply);
    }

    /// When the next session runs out, in terms of the machine's clock.
    pub(crate) fn sessions_due(&self, now: Timestamp) -> Option<Timestamp> {
        let expiry = self.sessions.register.expires_at().map(|at| now + at.since(wall_now()));
        [expiry, self.sessions.replication.wake_at()].into_iter().flatten().min()
    }
}
