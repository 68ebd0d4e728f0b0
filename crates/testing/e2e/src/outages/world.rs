//! Hosts, managers, databases and agents, all of the real binaries.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use mainstay_database::AgentUid;
use mainstay_model::InstanceUid;
use rustix::process::Signal;
use tempfile::TempDir;

use super::databases::{self, Databases};
use crate::fleet::{AgentProcess, Fleet, Launched, Records};
use crate::network::{Cable, Host, Network};
use crate::wait;

/// Managers.
pub(super) const MANAGERS: usize = 3;

/// The last numbers of the addresses of agents and managers.
const AGENTS: u8 = 1;
const NUMBERS: [u8; MANAGERS] = [11, 12, 13];

/// Where managers serve agents.
const PORT: u16 = 4320;

/// How long everything may take to be as it should, once nothing is hurt any more.
const SETTLE: Duration = Duration::from_secs(120);

/// What agents are told, beside their managers: to be back soon, so that there is much to do.
const AGENT: &str = "failback_interval = \"15s\"\nretry_max = \"2s\"\n";

#[derive(Debug)]
pub(super) struct World {
    root: Option<TempDir>,
    path: PathBuf,
    agents_at: Host,
    front: Network,
    back: Network,
    managers: Vec<ManagerAt>,
    pub(super) databases: Databases,
    pub(super) agents: Vec<AgentAt>,
}

/// A manager and its host.
#[derive(Debug)]
struct ManagerAt {
    host: Host,
    fleet: Fleet,
    running: Option<Launched>,
}

/// An agent, and the log of a gateway that is not there.
#[derive(Debug)]
pub(super) struct AgentAt {
    pub(super) process: AgentProcess,
    pub(super) uid: AgentUid,
    log: PathBuf,
}

/// A network of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Agents and managers.
    Front,
    /// Managers and databases.
    Back,
}

impl World {
    /// A fleet that is whole, whose agents run.
    pub(super) fn make(agents: usize) -> anyhow::Result<Self> {
        crate::limits::raise_descriptor_limit();
        let (front, back) = (Network::new("front", 1)?, Network::new("back", 2)?);
        let agents_at = Host::new()?;
        let hosts = [Host::new()?, Host::new()?, Host::new()?];
        let database_hosts = [Host::new()?, Host::new()?];
        let of_managers: Vec<(&Host, u8)> = hosts.iter().zip(NUMBERS).collect();
        front.connect(&[&[(&agents_at, AGENTS)], &of_managers[..]].concat())?;
        let of_databases: Vec<(&Host, u8)> =
            database_hosts.iter().zip(databases::NUMBERS).collect();
        back.connect(&[of_managers, of_databases].concat())?;
        let databases = Databases::start(database_hosts, &back)?;
        let managers = managers(hosts, &front, &back)?;
        let root = tempfile::Builder::new().prefix("outages-").tempdir()?;
        let path = root.path().to_owned();
        let root = Some(root);
        let mut world =
            Self { root, path, agents_at, front, back, managers, databases, agents: Vec::new() };
        for manager in 0..MANAGERS {
            world.start_manager(manager)?;
        }
        world.enroll(agents)?;
        Ok(world)
    }

    fn enroll(&mut self, count: usize) -> anyhow::Result<()> {
        let first = self.managers.first().context("a manager")?;
        let token = first.host.within(|| first.fleet.token(&["--uses", "0"]))?;
        for number in 0..count {
            let agent = self.agents_at.within(|| join(&self.path, number, &token))?;
            agent.process.configure(&self.settings(number, &agent))?;
            self.agents.push(agent);
            self.start_agent(number)?;
        }
        Ok(())
    }

    /// Each manager is the first of a third of the agents.
    fn settings(&self, number: usize, agent: &AgentAt) -> String {
        let list: Vec<String> = (0..MANAGERS)
            .map(|place| format!("\"{}\"", self.url((number + place) % MANAGERS)))
            .collect();
        let host = agent.log.with_file_name("host.toml");
        format!("managers = [{}]\nhost = \"{}\"\n{AGENT}", list.join(", "), host.display())
    }

    /// Where agents find a manager.
    pub(super) fn url(&self, manager: usize) -> String {
        let number = NUMBERS.get(manager).copied().unwrap_or_default();
        format!("https://{}:{PORT}", self.front.address(number))
    }

    fn manager(&mut self, manager: usize) -> anyhow::Result<&mut ManagerAt> {
        self.managers.get_mut(manager).context("there is no such manager")
    }

    pub(super) fn start_manager(&mut self, manager: usize) -> anyhow::Result<()> {
        let at = self.manager(manager)?;
        at.running = Some(at.host.within(|| at.fleet.launch())?);
        Ok(())
    }

    pub(super) fn kill_manager(&mut self, manager: usize) -> anyhow::Result<()> {
        drop(self.manager(manager)?.running.take().context("it does not run")?);
        Ok(())
    }

    /// Has it stand still, or go on.
    pub(super) fn signal_manager(&mut self, manager: usize, signal: Signal) -> anyhow::Result<()> {
        let running = self.manager(manager)?.running.as_ref().context("it does not run")?;
        Ok(running.process().signal(signal)?)
    }

    /// The cable between a manager and one of its networks.
    pub(super) fn cable(&self, manager: usize, side: Side, cable: Cable) -> anyhow::Result<()> {
        let number = *NUMBERS.get(manager).context("there is no such manager")?;
        match side {
            Side::Front => self.front.set(number, cable),
            Side::Back => self.back.set(number, cable),
        }
    }

    pub(super) fn start_agent(&mut self, agent: usize) -> anyhow::Result<()> {
        let at = self.agents.get_mut(agent).context("there is no such agent")?;
        self.agents_at.within(|| at.process.run())
    }

    pub(super) fn kill_agent(&mut self, agent: usize) -> anyhow::Result<()> {
        self.agents.get_mut(agent).context("there is no such agent")?.process.kill();
        Ok(())
    }

    /// The logs that agents read, open to be added to.
    pub(super) fn logs(&self) -> anyhow::Result<Vec<File>> {
        let open = |agent: &AgentAt| OpenOptions::new().create(true).append(true).open(&agent.log);
        Ok(self.agents.iter().map(open).collect::<Result<_, _>>()?)
    }

    /// What the database has.
    pub(super) fn records(&self) -> anyhow::Result<Records> {
        Records::at(&self.databases.primary()?.address().parse()?)
    }

    /// Waits until every line that was written is in the database.
    pub(super) fn settle(&self, written: u64) -> anyhow::Result<()> {
        let primary = self.databases.primary()?;
        let sql = format!("SELECT count(*) FROM event WHERE kind = '{}'", super::writer::KIND);
        let mut there = String::new();
        wait::until("every event to be in the database", SETTLE, || {
            there = primary.ask(&sql);
            (there.parse() == Ok(written)).then_some(())
        })
        .with_context(|| format!("{there} of {written} are there\n{}", self.late()))?;
        Ok(())
    }

    /// Who has something left to deliver.
    fn late(&self) -> String {
        let status = |agent: &AgentAt| agent.process.status().ok();
        let late = self.agents.iter().filter_map(status).filter(|status| status["queued"] != 0);
        late.take(3).map(|status| format!("{status:#}\n")).collect()
    }

    /// Leaves what agents and managers wrote behind, and says where the agents' is.
    pub(super) fn keep_files(&mut self) -> &Path {
        if let Some(root) = self.root.take() {
            self.path = root.keep();
        }
        for manager in &mut self.managers {
            manager.fleet.keep_files();
        }
        &self.path
    }
}

fn managers(
    hosts: [Host; MANAGERS],
    front: &Network,
    back: &Network,
) -> anyhow::Result<Vec<ManagerAt>> {
    let addresses = NUMBERS.map(|number| format!("{}:{PORT}", front.address(number)));
    let database = Databases::location(back);
    let mut arguments = vec!["--database", database.as_str()];
    arguments.extend(addresses.iter().flat_map(|address| ["--manager", address.as_str()]));
    let mut managers: Vec<ManagerAt> = Vec::with_capacity(MANAGERS);
    for (host, address) in hosts.into_iter().zip(&addresses) {
        let fleet = match managers.first() {
            None => {
                let fleet = host.within(|| Fleet::init(&arguments))?;
                fleet.edit("agents", "poll = \"2s\"")?;
                fleet
            }
            Some(first) => {
                let bundle = first.fleet.root().join("bundle");
                if !bundle.exists() {
                    first.fleet.command(&["bundle", "export", &bundle.display().to_string()])?;
                }
                host.within(|| Fleet::import(&bundle))?
            }
        };
        fleet.listen_at(address.parse()?)?;
        managers.push(ManagerAt { host, fleet, running: None });
    }
    Ok(managers)
}

/// An agent that has joined. Its gateway is a directory with a log.
fn join(root: &Path, number: usize, token: &str) -> anyhow::Result<AgentAt> {
    let gateway = root.join(format!("gateway-{number}"));
    fs::create_dir(&gateway)?;
    let at = gateway.display();
    let log = gateway.join("events.log");
    let host = format!("state = \"{at}\"\nrun = \"{at}/run\"\ngateway = \"{at}/gateway.toml\"\n");
    fs::write(gateway.join("host.toml"), host)?;
    let process = AgentProcess::enroll(&root.join(format!("agent-{number}")), token)?;
    let status = process.status()?;
    let uid = status["agent"].as_str().context("the agent has a name")?.to_owned();
    let uid: [u8; 16] = *InstanceUid::try_from(uid)?.as_bytes();
    Ok(AgentAt { process, uid: AgentUid(uid), log })
}
