//! A bad configuration on its way to many gateways: one of them is real and has clients, the others
//! are agents that say whatever they are offered is in service. What is offered passes every check
//! and fails its clients.
//!
//! # Invariants
//!
//! Nobody but the real gateway notices, so it alone has the rollout halt.

mod hurt;
mod others;

use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use mainstay_model::Generation;
use serde_json::{Value, json};

use crate::administrator::Administrator;
use crate::fleet::{AgentProcess, Fleet};
use crate::gateway::Accept;
use crate::{Gateway, Origin, Setup, wait};
use hurt::Hurt;
use others::Others;

/// How long the whole group may take for a version.
const PATIENCE: Duration = Duration::from_mins(5);

/// Rolls a bad configuration out to a fleet with one real gateway.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Agents beside the one of the real gateway
    #[arg(long, default_value_t = 1_000)]
    pub agents: u32,

    /// Hundredths of the group in the first wave; the real gateway is one of them
    #[arg(long, default_value_t = 10)]
    pub wave: u32,

    /// Seconds between two exchanges of an agent
    #[arg(long, default_value_t = 2)]
    pub poll: u32,
}

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    options: Options,
    /// In the first wave, as the manager chose them.
    wave: usize,
    /// Other agents that were offered it, up to a round of exchanges after the halt.
    offered: usize,
    state: String,
    /// Why it halted, as the manager says.
    reason: String,
    /// What the real gateway's agent said of it.
    message: String,
    /// From the order to the halt.
    halted_after: Duration,
    /// What the real gateway served before and afterwards.
    generations: [Generation; 2],
    hurt: Hurt,
    /// Whether everybody who had it was offered the former one after the order to roll back.
    is_back: bool,
}

/// Runs, prints what was seen, and fails if it is not what was promised.
#[expect(clippy::print_stdout, reason = "the report is what the command is for")]
pub fn run(options: &Options) -> anyhow::Result<()> {
    let seen = observe(options)?;
    println!("{seen}");
    seen.verdict()
}

/// Runs; returns what was seen.
pub fn observe(options: &Options) -> anyhow::Result<Seen> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?.quiet();
    let (fleet, _) = Fleet::at_free_address()?;
    fleet.edit("agents", &format!("poll = \"{}s\"\nrate_min = 100000", options.poll))?;
    let manager = fleet.serve()?;
    let token = fleet.token(&["--uses", "0"])?;
    let mut agent = AgentProcess::enroll(&fleet.root().join("agent"), &token)?;
    let host = gateway.path().join("host.toml");
    let settings = format!("managers = [\"https://{}\"]\nhost = {host:?}\n", manager.agents);
    agent.configure(&settings)?;
    agent.run()?;
    let others = Others::enrol(manager.agents, &token, options)?;
    let alice = Administrator::log_in(&fleet, manager.admin)?;
    let group = alice.ask("GET /v1/groups", None)?["items"][0]["id"].clone();
    let text = fs::read_to_string(gateway.path().join("gateway.toml"))?;
    let plan = Plan { alice: &alice, group };

    let good = plan.version("good", &format!("{text}\n# of the fleet\n"))?;
    let all = plan.roll_out(&good, &json!({ "waves": ["100%"], "watch_seconds": 0 }), &[])?;
    plan.wait(&all, &["done", "halted"])?;
    let before = gateway.wait_for("a status", |_| true)?.generation;
    let former = others.offers();
    others.forget();

    let clients = hurt::Clients::start(gateway.address("web"));
    let bad = plan.version("bad", &bad(&text)?)?;
    let uid = agent.status()?["agent"].as_str().context("a name")?.replace('-', "");
    let wave = format!("{}%", options.wave);
    let start = Instant::now();
    let rollout = plan.roll_out(&bad, &json!({ "waves": [wave], "watch_seconds": 5 }), &[&uid])?;
    let halted = plan.wait(&rollout, &["done", "halted"])?;
    let halted_after = start.elapsed();
    others.wait_for_a_round()?;
    let hurt = clients.stop();
    let members = alice.list(&format!("/v1/rollouts/{rollout}/members"))?;
    let real = members.iter().find(|member| member["agent"] == *uid).context("the real one")?;
    let after = gateway.wait_for("a status", |_| true)?.generation;
    let offered = others.offers().iter().filter(|offer| !former.contains(offer)).count();
    let order = json!({ "order": "roll-back" });
    alice.ask(&format!("POST /v1/rollouts/{rollout}/orders"), Some(&order))?;
    plan.wait(&rollout, &["rolled-back"])?;
    others.wait_for_a_round()?;
    let is_back = others.offers().iter().all(|offer| former.contains(offer));
    let seen = Seen {
        options: options.clone(),
        wave: members.iter().filter(|member| member["wave"] == 1).count(),
        offered,
        state: text_of(&halted["state"]),
        reason: text_of(&halted["reason"]),
        message: text_of(&real["message"]),
        halted_after,
        generations: [before, after],
        hurt,
        is_back,
    };
    others.stop()?;
    agent.stop()?;
    manager.stop()?;
    Ok(seen)
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The same, with a server that nobody can reach, and clients who are watched for long enough.
fn bad(text: &str) -> anyhow::Result<String> {
    let bad = text
        .replace("upstream = \"web\"", "upstream = \"dead\"")
        .replace("confirm = \"100ms\"", "failures_least = 20\nconfirm = \"20s\"");
    ensure!(bad.matches("dead").count() == 1 && bad.contains("20s"), "another gateway.toml");
    Ok(format!("{bad}\n[[upstream]]\nname = \"dead\"\nservers = [\"127.0.0.1:1\"]\n"))
}

/// What an administrator does.
struct Plan<'a> {
    alice: &'a Administrator,
    group: Value,
}

impl Plan<'_> {
    /// A version that the manager's own check has taken.
    fn version(&self, name: &str, text: &str) -> anyhow::Result<Value> {
        let made = self.alice.ask("POST /v1/configurations", Some(&json!({ "name": name })))?;
        let path = format!("POST /v1/configurations/{}/versions", made["id"]);
        let version = self.alice.ask(&path, Some(&json!({ "after": 0, "text": text })))?;
        Ok(version["id"].clone())
    }

    /// Begins; returns the rollout's number.
    fn roll_out(&self, version: &Value, plan: &Value, first: &[&str]) -> anyhow::Result<Value> {
        let wanted = json!({
            "group": self.group, "version": version, "plan": plan, "first": first, "start": true,
        });
        Ok(self.alice.ask("POST /v1/rollouts", Some(&wanted))?["id"].clone())
    }

    /// Waits until it is in one of these states.
    fn wait(&self, rollout: &Value, states: &[&str]) -> anyhow::Result<Value> {
        let mut last = Value::Null;
        let found = wait::until("the rollout", PATIENCE, || {
            last = self.alice.ask(&format!("GET /v1/rollouts/{rollout}"), None).ok()?;
            states.iter().any(|state| last["state"] == **state).then(|| last.clone())
        });
        found.with_context(|| last.to_string())
    }
}

impl Seen {
    /// An error if it is not what was promised.
    pub fn verdict(&self) -> anyhow::Result<()> {
        let Self { wave, offered, state, reason, message, generations: [before, after], .. } = self;
        ensure!(state == "halted", "the rollout is {state}: {reason}");
        ensure!(reason == "wave 1: 1 failed, 0 are allowed", "it halted because: {reason}");
        ensure!(*offered < *wave, "{offered} others were offered it, the wave was {wave}");
        ensure!(before == after, "generation {after} is in service, {before} was");
        ensure!(!message.is_empty(), "nothing was said of the failure");
        ensure!(self.hurt.failed > 0, "no client was hurt, so nothing was there to notice");
        ensure!(self.hurt.failed < self.hurt.asked, "{:?}", self.hurt);
        ensure!(self.hurt.is_served, "clients are not served any more");
        ensure!(self.is_back, "somebody was left with the bad version");
        Ok(())
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { options, hurt, generations: [before, after], .. } = self;
        let (group, wave) = (options.agents + 1, options.wave);
        writeln!(f, "{group} agents, one of a real gateway with clients; first wave {wave} %\n")?;
        writeln!(f, "| what | seen |\n| --- | --- |")?;
        writeln!(f, "| first wave, of {group} | {} |", self.wave)?;
        writeln!(f, "| offered the bad version, the real one too | {} |", self.offered + 1)?;
        let halted_ms = self.halted_after.as_millis();
        writeln!(f, "| {} after, ms | {halted_ms} |", self.state)?;
        writeln!(f, "| because | {} |", self.reason)?;
        writeln!(f, "| what the real gateway's agent said | {} |", self.message)?;
        writeln!(f, "| generation of the real gateway before, afterwards | {before}, {after} |")?;
        writeln!(f, "| its clients' requests that failed | {} of {} |", hurt.failed, hurt.asked)?;
        writeln!(f, "| for, ms | {} |", hurt.lasted.as_millis())?;
        writeln!(
            f,
            "| everybody has the former version after the order to roll back | {} |",
            self.is_back
        )
    }
}
