//! Managers behind a balancer that gives each connection to one of them: everything works as it
//! does without, and an agent has one address in its list. The real binary on every side.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

use mainstay_e2e::administrator::Administrator;
use mainstay_e2e::balancer::{Balancer, Kind};
use mainstay_e2e::fleet::{AgentProcess, Fleet, Manager, Records};
use mainstay_e2e::gateway::{Accept, DEADLINE};
use mainstay_e2e::socket::free_addresses;
use mainstay_e2e::{Gateway, Origin, Setup, wait};
use mainstay_model::{Process, Slot};
use rustix::process::Signal;
use serde_json::{Value, json};

/// What kind of event a sample of a gateway's figures is.
const METRICS: &str = "gateway.metrics";

/// Two managers on one database behind a balancer, a gateway, and its agent, whose list is the
/// balancer.
struct World {
    origin: Origin,
    kind: Kind,
    fleets: [Fleet; 2],
    addresses: [SocketAddr; 2],
    balancer: Balancer,
    url: String,
    managers: [Option<Manager>; 2],
    gateway: Gateway,
    agent: AgentProcess,
}

impl World {
    fn make(kind: Kind) -> anyhow::Result<Self> {
        let origin = Origin::start()?;
        let addresses = free_addresses()?;
        let balancer = Balancer::start(kind, &origin, &addresses)?;
        let first = Fleet::init(&["--manager", &balancer.address().to_string()])?;
        first.edit("agents", "poll = \"1s\"")?;
        let bundle = first.root().join("bundle");
        first.command(&["bundle", "export", &bundle.display().to_string()])?;
        let fleets = [first, Fleet::import(&bundle)?];
        for (fleet, address) in fleets.iter().zip(addresses) {
            fleet.listen_at(address)?;
        }
        let managers = [Some(fleets[0].serve()?), Some(fleets[1].serve()?)];
        let token = fleets[0].token(&["--uses", "0"])?;
        let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
        let agent = AgentProcess::enroll(&fleets[0].root().join("agent"), &token)?;
        let url = format!("https://{}", balancer.address());
        let host = gateway.path().join("host.toml");
        agent.configure(&format!(
            "managers = [\"{url}\"]\nhost = \"{}\"\nretry_max = \"500ms\"\n",
            host.display()
        ))?;
        let world =
            Self { origin, kind, fleets, addresses, balancer, url, managers, gateway, agent };
        Ok(world)
    }

    /// How many exchanges a manager has carried out since it was started.
    fn exchanges(&self, place: usize) -> u64 {
        let admin = self.managers[place].as_ref().unwrap().admin;
        let anybody = Administrator::stranger(&self.fleets[0], admin).unwrap();
        anybody.figure("mainstay_manager_exchanges_total").unwrap()
    }

    /// Waits until each manager that serves has carried out further exchanges of the agent.
    fn wait_for_all(&self) -> anyhow::Result<()> {
        for place in 0..2 {
            if self.managers[place].is_some() {
                let before = self.exchanges(place);
                wait::until("exchanges with each manager", DEADLINE, || {
                    (self.exchanges(place) > before).then_some(())
                })?;
            }
        }
        Ok(())
    }

    /// Every event of the agent is there once, in order, without a gap; how many of each kind.
    fn kinds(&self) -> anyhow::Result<BTreeMap<String, usize>> {
        let mut kinds = BTreeMap::new();
        for (index, event) in Records::of(&self.fleets[0])?.events()?.into_iter().enumerate() {
            let (_, number) = event.origin.unwrap();
            assert_eq!(number, index as u64 + 1, "{event:?}");
            *kinds.entry(event.kind).or_default() += 1;
        }
        Ok(kinds)
    }

    /// Waits until everything in the gateway's log has come to the database.
    fn wait_for_events(&self) -> anyhow::Result<()> {
        let log = self.gateway.path().join("state/events.log");
        let logged = || fs::read_to_string(&log).unwrap_or_default().lines().count();
        wait::until("every event of the gateway", DEADLINE, || {
            let kinds = self.kinds().ok()?;
            // Its figures are no lines of the log.
            let is_logged = |kind: &str| kind.starts_with("gateway.") && kind != METRICS;
            let told = kinds.iter().filter(|(kind, _)| is_logged(kind));
            let told: usize = told.map(|(_, count)| *count).sum();
            (told > 0 && told == logged()).then_some(())
        })?;
        Ok(())
    }

    /// Offers the text that is served with a line at its end, and waits until it is in service.
    fn offer(&self, name: &str, generation: u64) -> anyhow::Result<()> {
        let text = fs::read_to_string(self.gateway.path().join("gateway.toml"))?;
        Records::of(&self.fleets[0])?.offer(name, &format!("{text}\n# {name}\n"))?;
        let applied = |status: &Value| {
            status["offer"]["outcome"] == "applied" && status["generation"] == generation
        };
        self.agent.wait_for("the offered configuration", applied).map(drop)
    }

    /// Ends a worker of the gateway, which is something to tell.
    fn kill_worker(&self) -> anyhow::Result<()> {
        let victim = self.gateway.kill(Process::Worker(Slot::One), Signal::KILL)?;
        self.gateway.wait_ready_without(&[victim.pid()])?;
        Ok(())
    }

    fn restart(&mut self, place: usize) -> anyhow::Result<()> {
        if let Some(manager) = self.managers[place].take() {
            manager.stop()?;
        }
        self.managers[place] = Some(self.fleets[place].serve()?);
        Ok(())
    }
}

/// It keeps its name.
fn registered_anew(world: &World) -> anyhow::Result<()> {
    let uid = world.agent.status()?["agent"].clone();
    let said = world.agent.command(&["reregister"])?;
    assert!(said.contains(&world.url), "{said}");
    assert_eq!(world.agent.status()?["agent"], uid);
    Ok(())
}

/// Kills a manager while the agent has something to tell and to apply, and brings it back.
fn one_manager_is_killed(world: &mut World) -> anyhow::Result<()> {
    for (place, generation) in [(0, 3), (1, 4)] {
        world.kill_worker()?;
        world.managers[place].take().unwrap().kill();
        world.kill_worker()?;
        world.offer(&format!("without {place}"), generation)?;
        world.wait_for_events()?;
        world.restart(place)?;
        world.wait_for_all()?;
    }
    Ok(())
}

/// The managers' certificate is exchanged for another one, one manager after the other.
fn the_certificate_is_exchanged(world: &World) -> anyhow::Result<()> {
    let pins = world.fleets[0].root().join("agent/agent-cert.pem");
    let first = world.agent.status()?["pin"].clone();
    world.fleets[0].command(&["certificate", "next"])?;
    wait::until("both pins at the agent", DEADLINE, || {
        let held = fs::read_to_string(&pins).ok()?;
        (held.matches("BEGIN CERTIFICATE").count() == 2).then_some(())
    })?;
    world.fleets[0].command(&["certificate", "switch"])?;
    // The agent meets the one and the other by turns.
    world.agent.wait_for("the other certificate", |status| status["pin"] != first)?;
    world.agent.wait_for("the former certificate", |status| status["pin"] == first)?;
    let bundle = world.fleets[0].root().join("bundle");
    let bundle = bundle.display().to_string();
    world.fleets[0].command(&["bundle", "export", &bundle])?;
    // It is refused until the agent has said that it holds the other one.
    wait::until("the other certificate at both", DEADLINE, || {
        let import = ["bundle", "import", &bundle, "--replace"];
        let answer = world.fleets[1].attempt(&import).ok()?;
        (answer.code == Some(0)).then_some(())
    })?;
    // For its next start: the settings came along.
    world.fleets[1].listen_at(world.addresses[1])?;
    world.wait_for_all()?;
    world.agent.wait_for("the other certificate", |status| status["pin"] != first)?;
    world.wait_for_all()?;
    let status = world.agent.status()?;
    assert_ne!(status["pin"], first, "{status}");
    assert!(status["last_error"].is_null(), "{status}");
    Ok(())
}

/// A manager of another fleet, behind the same balancer, hears nothing.
fn the_pin_is_compared_through_it(world: &mut World) -> anyhow::Result<()> {
    world.managers = [None, None];
    let stranger = Fleet::init(&[])?;
    stranger.listen_at(world.addresses[0])?;
    let stranger = stranger.serve()?;
    let is_told = |status: &Value| {
        let error = status["last_error"].as_str().unwrap_or_default();
        error.contains("is not a manager of this fleet")
    };
    world.agent.wait_for("a stranger that is noticed", is_told)?;
    let tested = world.agent.attempt(&["test"])?;
    assert_eq!(tested.code, Some(1), "{tested:?}");
    assert!(!stranger.log().contains("exchange"), "{}", stranger.log());
    stranger.kill();
    world.restart(0)?;
    world.restart(1)?;
    world.agent.wait_for("managers again", |status| status["last_error"].is_null())?;
    world.wait_for_all()
}

/// Who has logged in through it is known at every manager.
fn administrators_are_served_through_it(world: &World) -> anyhow::Result<()> {
    let servers = world.managers.each_ref().map(|manager| manager.as_ref().unwrap().admin);
    let balancer = Balancer::start(world.kind, &world.origin, &servers)?;
    let alice = Administrator::log_in(&world.fleets[0], balancer.address())?;
    for number in 0..4 {
        assert_eq!(alice.ask("GET /v1/session", None)?["name"], "alice");
        let group = json!({ "name": format!("group-{number}") });
        alice.ask("POST /v1/groups", Some(&group))?;
    }
    // One row, though it was registered anew.
    assert_eq!(alice.list("/v1/agents")?.len(), 1);
    Ok(())
}

fn everything_works_through(kind: Kind) -> anyhow::Result<()> {
    let mut world = World::make(kind)?;
    world.agent.run()?;
    let status = world.agent.wait_for("the gateway", |status| status["generation"] == 1)?;
    assert_eq!(status["managers"], json!([world.url]));
    assert_eq!(world.agent.command(&["test"])?.matches("reached in").count(), 1);
    world.wait_for_all()?;
    world.offer("with both", 2)?;
    registered_anew(&world)?;
    one_manager_is_killed(&mut world)?;
    the_certificate_is_exchanged(&world)?;
    the_pin_is_compared_through_it(&mut world)?;
    administrators_are_served_through_it(&world)?;
    world.kill_worker()?;
    world.wait_for_events()?;
    world.agent.stop()?;
    let kinds = world.kinds()?;
    assert_eq!(kinds.get("agent.started"), Some(&1), "{kinds:?}");
    // There is nobody else to go to.
    assert_eq!(kinds.get("agent.manager-switched"), None, "{kinds:?}");
    drop(world.balancer);
    Ok(())
}

#[test]
fn everything_works_through_a_gateway_of_ours() -> anyhow::Result<()> {
    everything_works_through(Kind::Mainstay)
}

#[test]
fn everything_works_through_haproxy() -> anyhow::Result<()> {
    everything_works_through(Kind::Haproxy)
}
