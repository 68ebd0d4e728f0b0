//! Exchanges in numbers: how many a manager finishes in a second on one processor, with a whole
//! handshake and a signature each, committed with fsync; what each costs; how long it takes at half
//! of that; and what memory many agents take.

mod load;

use std::fmt;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use mainstay_postgres::Server;

use crate::fleet::Fleet;
use crate::torture::percentile;
use load::{Load, Schedule};

/// What /proc counts processor time in (`sysconf(_SC_CLK_TCK)`, the same on every Linux).
const TICK: Duration = Duration::from_millis(10);

/// Measures exchanges of agents with one manager on one processor.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Agents that are registered, and take turns
    #[arg(long, default_value_t = 10_000)]
    pub agents: u32,

    /// How long each measurement takes
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,

    /// Rounds of each measurement; the medians are shown
    #[arg(long, default_value_t = 5)]
    pub rounds: u32,

    /// Connections at a time
    #[arg(long, default_value_t = 64)]
    pub connections: usize,

    /// Events in each exchange
    #[arg(long, default_value_t = 0)]
    pub events: u64,

    /// The database
    #[arg(long, value_enum, default_value_t = Backend::Sqlite)]
    pub database: Backend,

    /// The manager's processor; the agents, and PostgreSQL, are on the others
    #[arg(long, default_value_t = 1)]
    pub cpu: usize,
}

/// Where the fleet is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Backend {
    Sqlite,
    Postgres,
}

impl Backend {
    /// What is promised: exchanges in a second.
    const fn promised(self) -> f64 {
        match self {
            Self::Sqlite => 2_000.0,
            Self::Postgres => 1_000.0,
        }
    }
}

/// At half of the peak rate.
const P99: Duration = Duration::from_millis(50);
/// With ten thousand agents.
const MEMORY_MB: f64 = 256.0;

/// Runs, prints what was seen, and fails if it is not what was promised.
#[expect(clippy::print_stdout, reason = "the report is what the command is for")]
pub fn run(options: &Options) -> anyhow::Result<()> {
    let seen = observe(options)?;
    println!("{seen}");
    seen.verdict()
}

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    options: Options,
    rate: f64,
    cpu: Duration,
    half: Vec<Duration>,
    memory_mb: f64,
    failed: u64,
}

/// Runs; returns what was seen.
pub fn observe(options: &Options) -> anyhow::Result<Seen> {
    let postgres = match options.database {
        Backend::Sqlite => None,
        Backend::Postgres => Some(Server::with(&["fsync=on", "shared_buffers=128MB"])),
    };
    let location = postgres.as_ref().map(Server::address);
    let chosen = location.iter().flat_map(|location| ["--database", location.as_str()]);
    let fleet = Fleet::init(&chosen.collect::<Vec<_>>())?;
    fleet.set_first("threads = 1")?;
    // The processor is to be the limit.
    fleet.edit("agents", "rate_min = 100000")?;
    let manager = fleet.serve()?;
    pin(manager.process().pid(), options.cpu)?;
    let token = fleet.token(&["--uses", "0"])?;
    let mut load = Load::enrol(manager.agents, &token, options)?;
    let mut intervals = Vec::new();
    let mut costs = Vec::new();
    let mut failed = 0;
    for _ in 0..options.rounds {
        let before = cpu_time(manager.process().pid())?;
        let done = load.perform(manager.agents, options, Schedule::AsFastAsPossible)?;
        let used = cpu_time(manager.process().pid())? - before;
        let count = u32::try_from(done.times.len().max(1))?;
        intervals.push(done.took / count);
        costs.push(used / count);
        failed += done.failed;
    }
    let rate = 1.0 / percentile(&intervals, 50).as_secs_f64();
    let done = load.perform(manager.agents, options, Schedule::Rate(rate / 2.0))?;
    failed += done.failed;
    Ok(Seen {
        options: options.clone(),
        rate,
        cpu: percentile(&costs, 50),
        half: done.times,
        memory_mb: memory_mb(manager.process().pid())?,
        failed,
    })
}

impl Seen {
    /// An error if it is not what was promised.
    pub fn verdict(&self) -> anyhow::Result<()> {
        let promised = self.options.database.promised();
        ensure!(self.failed == 0, "{} exchanges failed", self.failed);
        ensure!(self.rate >= promised, "{:.0} exchanges in a second", self.rate);
        let p99 = percentile(&self.half, 99);
        ensure!(p99 <= P99, "p99 was {p99:?}");
        ensure!(self.memory_mb <= MEMORY_MB, "{:.0} MB", self.memory_mb);
        Ok(())
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { agents, events, database, connections, .. } = &self.options;
        let ms = |share| percentile(&self.half, share).as_secs_f64() * 1e3;
        writeln!(
            f,
            "{database:?}, {agents} agents, {connections} connections at a time, {events} events each\n"
        )?;
        writeln!(f, "| what | promised | seen |\n| --- | ---: | ---: |")?;
        let promised = database.promised();
        writeln!(f, "| exchanges in a second | {promised} | {:.0} |", self.rate)?;
        writeln!(f, "| processor time of the manager for each, µs | | {} |", self.cpu.as_micros())?;
        writeln!(f, "| at half of that, ms | p99 50 | p50 {:.2}, p99 {:.2} |", ms(50), ms(99))?;
        writeln!(f, "| memory of the manager, MB | {MEMORY_MB} | {:.0} |", self.memory_mb)?;
        writeln!(f, "| exchanges that failed | 0 | {} |", self.failed)
    }
}

/// Keeps a process, with all its threads, on one processor.
pub(crate) fn pin(pid: u32, cpu: usize) -> anyhow::Result<()> {
    let mut command = Command::new("taskset");
    let output = command.args(["-a", "-c", "-p", &cpu.to_string(), &pid.to_string()]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Processor time of a process so far.
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, after) = text.rsplit_once(')').context("a stat line")?;
    // Fields 14 and 15 of the line; the one behind the name is 3.
    let ticks =
        after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    Ok(TICK * u32::try_from(ticks.sum::<u64>())?)
}

/// The most memory that a process ever had.
fn memory_mb(pid: u32) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("a peak")?;
    let kb: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kb / 1024.0)
}
