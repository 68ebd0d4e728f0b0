//! The agents: those of this process, and those of their own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use mainstay_opamp::message::{
    AgentDescription, AgentToServer, ConnectionSettingsStatus, ConnectionSettingsStatuses,
    KeyValue, ServerToAgent,
};
use mainstay_trust::certificate;
use mainstay_trust::digest::sha256;
use serde_json::json;

use super::Options;
use super::managers::Managers;
use crate::fleet::{Agent, AgentProcess};
use crate::wait::{self, Stop};

/// How long all agents may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Agents of this process that exchange at a time.
const THREADS: usize = 8;

/// Between two exchanges of the one that goes on all the while.
const BREATH: Duration = Duration::from_millis(10);

/// An agent of this process: it takes what it is offered, and goes on down its list when a manager
/// shows what it does not hold.
struct Member {
    agent: Agent,
    /// The hash of what it was offered last.
    settings: Vec<u8>,
    pins: Vec<String>,
}

impl Member {
    fn enrol(managers: &Managers) -> anyhow::Result<Self> {
        let [first, _] = managers.both();
        let (_, token) = Agent::new(&managers.token)?;
        let agent = Agent::enroll_at(&managers.token, first)?;
        let pins = token.certificates.iter().map(|der| hex(&sha256(der))).collect();
        Ok(Self { agent, settings: Vec::new(), pins })
    }

    /// What the real one says, as far as pins go.
    fn message(&self) -> AgentToServer {
        let contact = json!({ "pins": self.pins }).to_string();
        AgentToServer {
            agent_description: Some(AgentDescription {
                identifying_attributes: vec![KeyValue::text("service.name", "mainstay")],
                non_identifying_attributes: vec![KeyValue::text("mainstay.contact", contact)],
            }),
            connection_settings_status: Some(ConnectionSettingsStatus {
                last_connection_settings_hash: self.settings.clone(),
                status: ConnectionSettingsStatuses::Applied.into(),
                error_message: String::new(),
            }),
            ..self.agent.batch(Vec::new())
        }
    }

    fn take(&mut self, message: &ServerToAgent) -> anyhow::Result<()> {
        let Some(offer) = &message.connection_settings else { return Ok(()) };
        let tls = offer.opamp.as_ref().and_then(|opamp| opamp.tls.as_ref());
        let pem = &tls.context("an offer without pins")?.ca_pem_contents;
        self.agent.take_pins(pem)?;
        self.settings.clone_from(&offer.hash);
        let pins = certificate::from_pem(pem.as_bytes())?;
        self.pins = pins.iter().map(|der| hex(&sha256(der))).collect();
        Ok(())
    }

    /// At this manager, without another try.
    fn exchange_at(&mut self, manager: SocketAddr) -> anyhow::Result<()> {
        let told = self.agent.carry_out(manager, &self.message())?;
        self.take(&told.message)
    }

    /// At the first of the list that shows what it holds. Any other failure is one.
    fn exchange(&mut self, list: &[SocketAddr]) -> anyhow::Result<()> {
        for (place, manager) in list.iter().enumerate() {
            match self.exchange_at(*manager) {
                Ok(()) => return Ok(()),
                Err(error) if is_not_pinned(&error) && place + 1 < list.len() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn is_not_pinned(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("NotPinned")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A process of the real binary, and the list that it has.
struct Process {
    agent: AgentProcess,
    settings: String,
}

impl Process {
    fn enrol(managers: &Managers, name: &str) -> anyhow::Result<Self> {
        let mut agent = AgentProcess::enroll(&managers.directory(name), &managers.token)?;
        let list = managers.both().map(|address| format!("\"https://{address}\""));
        let settings = format!(
            "managers = [{}]\nfailback_interval = \"1s\"\nretry_max = \"1s\"\n",
            list.join(", ")
        );
        agent.configure(&settings)?;
        agent.run()?;
        Ok(Self { agent, settings })
    }

    /// How many certificates it holds.
    fn holds(&self) -> anyhow::Result<usize> {
        let pins = self.agent.status()?["pins"].as_array().map(Vec::len);
        pins.context("it does not say what it holds")
    }

    /// An exchange from now on succeeds, with this one alone.
    fn is_served_by(&mut self, manager: SocketAddr) -> anyhow::Result<()> {
        self.agent.stop()?;
        self.agent.configure(&format!("managers = [\"https://{manager}\"]\n"))?;
        self.agent.run()?;
        let served = |status: &serde_json::Value| {
            status["last_exchange_unix"].is_u64() && status["last_error"].is_null()
        };
        self.agent.wait_for("an exchange", served)?;
        self.agent.configure(&self.settings)
    }
}

/// All of them; who is away is at the end of each part.
pub(super) struct Agents {
    members: Vec<Member>,
    processes: Vec<Process>,
    away: (usize, usize),
}

/// Does something with each, a few at a time.
fn each(
    members: &mut [Member],
    work: impl Fn(&mut Member) -> anyhow::Result<()> + Sync,
) -> Vec<anyhow::Error> {
    let part = members.len().div_ceil(THREADS).max(1);
    thread::scope(|scope| {
        let threads: Vec<_> = members
            .chunks_mut(part)
            .map(|part| {
                let work = &work;
                scope.spawn(move || part.iter_mut().filter_map(|one| work(one).err()).collect())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_else(died)).collect()
    })
}

fn died(_panic: Box<dyn std::any::Any + Send>) -> Vec<anyhow::Error> {
    panic!("a thread of agents died")
}

/// The first error, if there is one.
fn all_well(errors: Vec<anyhow::Error>) -> anyhow::Result<()> {
    let count = errors.len();
    match errors.into_iter().next() {
        None => Ok(()),
        Some(error) => Err(error.context(format!("{count} agents failed"))),
    }
}

impl Agents {
    pub(super) fn enrol(managers: &Managers, options: &Options) -> anyhow::Result<Self> {
        let processes = (0..options.processes)
            .map(|number| Process::enrol(managers, &format!("agent-{number}")))
            .collect::<anyhow::Result<_>>()?;
        let members = (options.processes..options.agents)
            .map(|_| Member::enrol(managers))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { members, processes, away: (0, 0) })
    }

    /// A part of them is cut off; how many.
    pub(super) fn leave(&mut self, percent: u8) -> anyhow::Result<usize> {
        let all = self.members.len() + self.processes.len();
        let away = (all * usize::from(percent)).div_ceil(100);
        // One at least is a process, if there is one that can stay as well.
        let processes = usize::from(self.processes.len() > 1 && away > 0);
        self.away = (away - processes, processes);
        let staying = self.processes.len() - processes;
        for process in &mut self.processes[staying..] {
            process.agent.kill();
        }
        Ok(away)
    }

    fn present(&mut self) -> (&mut [Member], &mut [Process]) {
        let members = self.members.len() - self.away.0;
        let processes = self.processes.len() - self.away.1;
        (&mut self.members[..members], &mut self.processes[..processes])
    }

    pub(super) fn exchange_present(&mut self, list: &[SocketAddr]) -> anyhow::Result<()> {
        let (members, _) = self.present();
        all_well(each(members, |member| member.exchange(list)))
    }

    /// Nobody is away.
    pub(super) fn exchange_all(&mut self, list: &[SocketAddr]) -> anyhow::Result<()> {
        ensure!(self.away == (0, 0), "agents are away");
        self.exchange_present(list)
    }

    /// Until everybody who is there holds so many certificates, and has said so.
    pub(super) fn until_present_hold(
        &mut self,
        managers: &Managers,
        count: usize,
    ) -> anyhow::Result<()> {
        let list = managers.both();
        let (members, processes) = self.present();
        let mut failed = None;
        let all = wait::until("every agent to hold what it is offered", PATIENCE, || {
            let missing: Vec<&mut Member> =
                members.iter_mut().filter(|member| member.pins.len() != count).collect();
            if missing.is_empty() {
                return Some(());
            }
            let tried: anyhow::Result<()> =
                missing.into_iter().try_for_each(|member| member.exchange(&list));
            failed = tried.err();
            failed.is_some().then_some(())
        });
        all?;
        if let Some(error) = failed {
            return Err(error);
        }
        for process in processes.iter() {
            let holds = || (process.holds().ok()? == count).then_some(());
            wait::until("a process to hold what it is offered", PATIENCE, holds)?;
        }
        // And this time they say what they hold.
        all_well(each(members, |member| member.exchange(&list)))
    }

    /// The same, when nobody is away.
    pub(super) fn until_all_hold(
        &mut self,
        managers: &Managers,
        count: usize,
    ) -> anyhow::Result<()> {
        ensure!(self.away == (0, 0), "agents are away");
        self.until_present_hold(managers, count)
    }

    /// Whoever is away holds the former alone, and finds whom it can.
    pub(super) fn come_back(&mut self, managers: &Managers) -> anyhow::Result<()> {
        let [first, _] = managers.both();
        let (members, processes) = (self.members.len(), self.processes.len());
        let away = std::mem::take(&mut self.away);
        for member in &mut self.members[members - away.0..] {
            let error = member.exchange_at(first).err().context("it holds the former alone")?;
            ensure!(is_not_pinned(&error), "{error:#}");
        }
        for process in &mut self.processes[processes - away.1..] {
            process.agent.run()?;
        }
        self.until_all_hold(managers, 2)
    }

    /// Who is not served by each of the managers.
    pub(super) fn orphans(&mut self, managers: &Managers) -> usize {
        let mut orphans = 0;
        for manager in managers.both() {
            let failed = each(&mut self.members, |member| member.exchange_at(manager));
            let processes = self.processes.iter_mut();
            let processes = processes.filter_map(|one| one.is_served_by(manager).err()).count();
            orphans = orphans.max(failed.len() + processes);
        }
        orphans
    }
}

/// One agent that exchanges with the first manager all the while, each time with one try.
pub(super) struct Pulse {
    stop: Arc<Stop>,
    holds: Arc<Mutex<usize>>,
    thread: JoinHandle<(u64, Vec<anyhow::Error>)>,
}

impl Pulse {
    pub(super) fn start(managers: &Managers) -> anyhow::Result<Self> {
        let mut member = Member::enrol(managers)?;
        let [first, _] = managers.both();
        let (stop, holds) = (Arc::new(Stop::default()), Arc::new(Mutex::new(1)));
        let (until, said) = (Arc::clone(&stop), Arc::clone(&holds));
        let thread = thread::spawn(move || {
            let (mut exchanges, mut errors) = (0, Vec::new());
            while !until.pause(BREATH) {
                exchanges += 1;
                errors.extend(member.exchange_at(first).err());
                *said.lock().unwrap() = member.pins.len();
            }
            (exchanges, errors)
        });
        Ok(Self { stop, holds, thread })
    }

    /// Until it holds so many certificates.
    pub(super) fn until_it_holds(&self, count: usize) -> anyhow::Result<()> {
        let holds = || (*self.holds.lock().unwrap() == count).then_some(());
        Ok(wait::until("the one that exchanges all the while", PATIENCE, holds)?)
    }

    /// How many exchanges there were, and how many failed.
    pub(super) fn stop(self) -> anyhow::Result<(u64, u64)> {
        let held = self.until_it_holds(1);
        self.stop.stop();
        let (exchanges, errors) = self.thread.join().ok().context("its thread died")?;
        held.with_context(|| format!("{errors:?}"))?;
        Ok((exchanges, errors.len() as u64))
    }
}
