//! A fleet whose only manager is away for a while: how many agents are let in at a time when it is
//! back, and when the last of them is served.
//!
//! The manager is the real one. Agents are in this process; when each of them asks is decided by the
//! code that decides it in a real agent (`mainstay-fleet`), with a real agent's settings.

mod herd;
mod pulse;

use std::fmt;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::administrator::Administrator;
use crate::fleet::Fleet;
use crate::limits;
use crate::wait::{self, Stop};
use herd::{Herd, Tally};
use pulse::Pulse;

/// How many a manager lets in a second while agents join.
const JOINING: &str = "rate_min = 1000000";

/// Exchanges are counted when they are committed, so those of a little more than a second may be
/// counted within one.
const BUNCHED: f64 = 1.1;

/// How many polls may pass before the run is given up.
const POLLS_MAX: u32 = 8;

/// Ends a manager for a while, and counts how its agents come back.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Agents of the manager
    #[arg(long, default_value_t = 10_000)]
    pub agents: u32,

    /// Seconds between two exchanges of an agent
    #[arg(long, default_value_t = 30)]
    pub poll: u32,

    /// Seconds for which the manager is away
    #[arg(long, default_value_t = 60)]
    pub outage: u64,

    /// Exchanges a second that a manager lets in however small its fleet is
    #[arg(long, default_value_t = 500)]
    pub rate_min: u32,

    /// Connections at a time
    #[arg(long, default_value_t = 64)]
    pub connections: u32,
}

impl Options {
    const fn poll(&self) -> Duration {
        Duration::from_secs(self.poll as u64)
    }

    /// Exchanges in a second while all is well.
    fn usual(&self) -> f64 {
        f64::from(self.agents) / f64::from(self.poll)
    }
}

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    options: Options,
    /// In a second before the outage, as the manager counts.
    before: f64,
    /// The most in one second after it, as the manager counts.
    most: f64,
    tally: Tally,
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
    limits::raise_descriptor_limit();
    let (fleet, address) = Fleet::at_free_address()?;
    fleet.edit("agents", &format!("poll = \"{}s\"\n{JOINING}", options.poll))?;
    let joining = fleet.serve()?;
    let herd = Herd::enrol(address, &fleet.token(&["--uses", "0"])?, options)?;
    joining.stop()?;
    let settings = fleet.directory().join("manager.toml");
    let text = fs::read_to_string(&settings)?;
    fs::write(&settings, text.replace(JOINING, &format!("rate_min = {}", options.rate_min)))?;

    let manager = fleet.serve()?;
    let herd = herd.let_go();
    // Nobody ends it early.
    let time = Stop::default();
    time.pause(options.poll());
    let pulse = Pulse::of(Administrator::stranger(&fleet, manager.admin)?);
    time.pause(options.poll());
    let before = pulse.stop()?.usual();
    manager.kill();
    time.pause(Duration::from_secs(options.outage));
    let manager = fleet.serve()?;
    herd.manager_is_back();
    let pulse = Pulse::of(Administrator::stranger(&fleet, manager.admin)?);
    // Who is not back by then is counted.
    drop(wait::until("all agents to be back", options.poll() * POLLS_MAX, || {
        (herd.left() == 0).then_some(())
    }));
    // Whether they stay in step is seen in one more.
    time.pause(options.poll());
    let most = pulse.stop()?.most();
    let tally = herd.stop().context("an exchange went wrong")?;
    manager.stop()?;
    Ok(Seen { options: options.clone(), before, most, tally })
}

impl Seen {
    /// An error if it is not what was promised.
    pub fn verdict(&self) -> anyhow::Result<()> {
        let Self { options, most, tally, .. } = self;
        ensure!(tally.left == 0, "{} are not back", tally.left);
        let twice = (2.0 * options.usual()).max(f64::from(options.rate_min));
        ensure!(
            *most <= twice * BUNCHED,
            "{most:.0} were let in within a second, {twice:.0} are twice as usual"
        );
        let polls = options.poll() * 2;
        ensure!(tally.last <= polls, "the last was back after {:?}", tally.last);
        Ok(())
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { options, before, most, tally } = self;
        let Options { agents, poll, outage, .. } = options;
        let usual = options.usual();
        writeln!(f, "{agents} agents, polls of {poll} s, the manager away for {outage} s\n")?;
        writeln!(f, "| what | promised | seen |\n| --- | ---: | ---: |")?;
        writeln!(f, "| exchanges in a second before | {usual:.0} | {before:.0} |")?;
        let twice = (2.0 * usual).max(f64::from(options.rate_min));
        writeln!(f, "| most in a second afterwards | {twice:.0} | {most:.0} |")?;
        writeln!(f, "| half are back after, s | | {:.1} |", tally.half.as_secs_f64())?;
        let last = tally.last.as_secs_f64();
        writeln!(f, "| the last is back after, s | {} | {last:.1} |", poll * 2)?;
        writeln!(f, "| sent away until then | | {} |", tally.sent_away)?;
        writeln!(f, "| not back | 0 | {} |", tally.left)
    }
}
