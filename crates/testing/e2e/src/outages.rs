//! A fleet on hosts of its own, hurt at random: managers that die, hang and are cut off from agents,
//! from the database or from both, agents that die, and a database whose primary dies.
//!
//! What is promised: every event is in the database once and in order, every agent is registered
//! once, and an agent that loses its manager speaks to the next one within a second if the manager
//! died, within five if it fell silent.
//!
//! ```text
//!    agents ──────┬─────────┬─────────┐  front
//!             manager 0  manager 1  manager 2
//!                 └────┬────┴────┬────┘  back
//!                  database   database
//! ```

mod databases;
mod faults;
mod switches;
mod verdict;
mod world;
mod writer;

use std::fmt;
use std::time::{Duration, Instant};

use crate::luck::Luck;
use crate::wait::Stop;
use faults::{Fault, Faults};
use switches::Switches;
use verdict::Kept;
use world::World;
use writer::Writer;

/// Hurts a fleet of three managers at random, and counts events and registrations.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Go on for so long
    #[arg(long, default_value_t = 600)]
    pub seconds: u64,

    /// Agents, each a process
    #[arg(long, default_value_t = 200)]
    pub agents: usize,

    /// How often the database's primary is killed and its standby promoted
    #[arg(long, default_value_t = 2)]
    pub promotions: u32,

    /// What the faults follow
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl Options {
    /// Short enough for a test.
    pub const SHORT: Self = Self { seconds: 20, agents: 12, promotions: 1, seed: 1 };
}

/// How often something is said while it goes on.
const NEWS: Duration = Duration::from_secs(30);

/// Runs, prints what was seen, and fails if it is not what was promised.
#[expect(clippy::print_stdout, reason = "the report is what the command is for")]
pub fn run(options: &Options) -> anyhow::Result<()> {
    let seen = observe(options, |news| println!("{news}"))?;
    println!("{seen}");
    seen.verdict()
}

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    options: Options,
    faults: Vec<Fault>,
    kept: Kept,
    switches: Switches,
}

/// Runs; returns what was seen. `say` is told now and then how far it is.
pub fn observe(options: &Options, mut say: impl FnMut(&str)) -> anyhow::Result<Seen> {
    say(&format!("seed {}", options.seed));
    let mut world = World::make(options.agents)?;
    say(&format!("{} agents have joined", options.agents));
    let luck = Luck::new(options.seed);
    let writer = Writer::start(world.logs()?, luck.fork(1))?;
    let mut faults = Faults::new(luck.fork(2), options);
    let hurt = hurt(options, &mut world, &mut faults, &mut say);
    let written = writer.stop()?;
    let settled = hurt.and_then(|()| {
        faults.repair_all(&mut world)?;
        world.settle(written.iter().sum())
    });
    if let Err(error) = settled {
        return Err(error.context(format!("the files are in {}", world.keep_files().display())));
    }
    let (kept, events) = verdict::judge(&world, &written)?;
    let switches = switches::judge(&events, &world, faults.all());
    Ok(Seen { options: options.clone(), faults: faults.into_all(), kept, switches })
}

fn hurt(
    options: &Options,
    world: &mut World,
    faults: &mut Faults,
    say: &mut impl FnMut(&str),
) -> anyhow::Result<()> {
    let (start, pause) = (Instant::now(), Stop::default());
    let mut news = start + NEWS;
    while start.elapsed().as_secs() < options.seconds {
        let next = faults.act(world, start.elapsed())?;
        pause.pause(next.saturating_duration_since(Instant::now()));
        if Instant::now() > news {
            news += NEWS;
            say(&format!("{} s: {} faults", start.elapsed().as_secs(), faults.all().len()));
        }
    }
    Ok(())
}

impl Seen {
    /// An error if it is not what was promised.
    pub fn verdict(&self) -> anyhow::Result<()> {
        self.kept.verdict(self.options.agents)?;
        self.switches.verdict()
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { seconds, agents, seed, .. } = self.options;
        writeln!(f, "{agents} agents, {seconds} s, seed {seed}\n")?;
        writeln!(f, "| fault | times |\n| --- | ---: |")?;
        for (name, times) in faults::tally(&self.faults) {
            writeln!(f, "| {name} | {times} |")?;
        }
        writeln!(f, "\n| what | promised | seen |\n| --- | ---: | ---: |")?;
        write!(f, "{}{}", self.kept, self.switches)
    }
}
