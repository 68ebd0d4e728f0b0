//! `cargo xtask bench`: processor time for each request, and latency, beside nginx and
//! HAProxy on the same work.
//!
//! # How it measures
//!
//! 1. The load generator and the backend run on one processor, the proxy on another, all of
//!    its processes together (master, workers, keepers, supervisor) and with one thread that
//!    serves. Every contestant writes an access log and adds the same request fields.
//! 2. The figure is processor time over completed requests. The time is the kernel's own sum
//!    for every thread (`schedstat`), split into user and system in the ratio of `stat`.
//! 3. In every round each contestant starts anew, warms up, and is measured, one after the
//!    other. Ratios are made inside a round and their median is reported: what disturbs the
//!    machine disturbs a round, not one contestant.
//! 4. Latency is measured at half the rate of the slowest contestant, the same for all, by a
//!    client that keeps to its schedule: a late request counts from when it was due.
//!
//! A round with a failed request, or in which a process appeared or went, is not counted as a
//! result; it ends the run.

pub mod backend;
pub mod client;
mod contestant;
mod cost;
mod machine;
mod numbers;
mod report;
mod scenario;
mod wrk;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::Context as _;
use clap::Args;

use self::contestant::{Contestant, Setup};
use self::numbers::median;
use self::report::{Report, Sample};
use self::scenario::Scenario;
use crate::{need, shell, test};

/// How long the load runs before it counts.
const WARM_UP_SECONDS: u32 = 1;

/// What to measure.
#[derive(Debug, Args)]
pub struct Options {
    /// How often each contestant is measured in each scenario
    #[arg(long, default_value_t = 5)]
    rounds: u32,

    /// How long one measurement takes
    #[arg(long, default_value_t = 5)]
    seconds: u32,

    /// The contestants, in the order in which they take turns
    #[arg(long, value_enum, value_delimiter = ',', default_value = "nginx,haproxy,mainstay")]
    only: Vec<Contestant>,

    /// The scenarios
    #[arg(long, value_enum, value_delimiter = ',', default_value = scenario::ALL)]
    scenarios: Vec<Scenario>,

    /// The rate of the latency test; without it, half of the slowest peak at `ka1k`
    #[arg(long)]
    rate: Option<u32>,

    /// The processor of the load generator and the backend
    #[arg(long, default_value_t = 0)]
    load_cpu: usize,

    /// The processor of the proxy
    #[arg(long, default_value_t = 1)]
    proxy_cpu: usize,

    /// Measure this build of Mainstay instead of a fresh one
    #[arg(long)]
    mainstay: Option<PathBuf>,

    /// Write the report into this file too
    #[arg(long)]
    markdown: Option<PathBuf>,
}

/// Installs, builds, measures, reports; fails if a target is missed.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let known = [("nginx", "nginx-light"), ("haproxy", "haproxy"), ("wrk", "wrk")];
    need::programs(&known)?;
    let bench = Bench::build(options)?;
    let mut report = Report::new(machine::describe(&bench.programs(options))?, command());

    for scenario in &options.scenarios {
        if *scenario == Scenario::Latency {
            report.rate = Some(rate(options, &report)?);
        }
        for round in 1..=options.rounds {
            for contestant in &options.only {
                let sample = bench
                    .measure(*contestant, *scenario, report.rate)
                    .with_context(|| format!("{contestant} failed at {scenario}"))?;
                println!("{scenario:<10} round {round:>2}  {contestant:<8}  {sample}");
                report.add(*scenario, *contestant, sample);
            }
        }
    }

    let text = report.markdown();
    println!("\n{text}");
    if let Some(path) = &options.markdown {
        std::fs::write(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let missed = report.missed();
    anyhow::ensure!(missed == 0, "{missed} targets missed");
    Ok(())
}

/// Half of the slowest contestant's peak, for all of them.
fn rate(options: &Options, report: &Report) -> anyhow::Result<u32> {
    if let Some(rate) = options.rate {
        return Ok(rate);
    }
    let peaks = options.only.iter().filter_map(|contestant| {
        let samples = report.samples(Scenario::Keepalive1k, *contestant);
        median(samples.filter_map(Sample::requests_per_second))
    });
    let slowest = peaks.min_by(f64::total_cmp).context("needs the scenario ka1k, or --rate")?;
    Ok(numbers::whole(slowest / 2.0))
}

/// The line that repeats this run.
fn command() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    format!("cargo xtask {}", arguments.join(" "))
}

/// What stays the same from one measurement to the next.
struct Bench<'a> {
    options: &'a Options,
    /// This program, built with optimization: backend and client.
    xtask: PathBuf,
    /// The gateway, built as it is shipped.
    mainstay: PathBuf,
    folder: tempfile::TempDir,
}

impl<'a> Bench<'a> {
    fn build(options: &'a Options) -> anyhow::Result<Self> {
        let release = shell::target_folder()?.join("release");
        shell::run(&mut shell::cargo(&["build", "--release", "--package", "xtask"]))?;
        let mainstay = match &options.mainstay {
            Some(program) => program.clone(),
            None if options.only.contains(&Contestant::Mainstay) => test::build()?,
            None => PathBuf::new(),
        };
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        Ok(Self { options, xtask: release.join("xtask"), mainstay, folder })
    }

    fn programs(&self, options: &Options) -> Vec<(Contestant, PathBuf)> {
        options.only.iter().map(|contestant| (*contestant, self.program(*contestant))).collect()
    }

    fn program(&self, contestant: Contestant) -> PathBuf {
        match contestant {
            Contestant::Mainstay => self.mainstay.clone(),
            other => shell::find(other.name()).unwrap_or_else(|| PathBuf::from(other.name())),
        }
    }

    /// One contestant in one scenario, from its start to its end.
    fn measure(
        &self,
        contestant: Contestant,
        scenario: Scenario,
        rate: Option<u32>,
    ) -> anyhow::Result<Sample> {
        let folder = tempfile::tempdir_in(self.folder.path()).context("cannot make a folder")?;
        let setup = |backend| Setup {
            program: self.program(contestant),
            folder: folder.path(),
            backend,
            cpu: self.options.proxy_cpu,
        };
        if scenario == Scenario::Latency {
            let mut client = self.client(rate.context("no rate for the latency test")?)?;
            let proxy = contestant.start(&setup(&client.line))?;
            let latency = client.ask(proxy.address())?;
            proxy.stop()?;
            return latency.parse().context("the client failed").map(Sample::Latency);
        }
        let backend = Helper::start(self.pinned("bench-backend"), "the backend")?;
        let proxy = contestant.start(&setup(&backend.line))?;
        let cpu = self.options.load_cpu;
        let load = wrk::Load { address: proxy.address(), scenario, cpu, folder: folder.path() };
        load.run(WARM_UP_SECONDS)?;
        let proxy_cpu = self.options.proxy_cpu;
        let (busy, before) = (cost::busy_micros(proxy_cpu)?, proxy.cost()?);
        let done = load.run(self.options.seconds)?;
        let spent = proxy.cost()?.since(&before)?;
        let others_micros = cost::busy_micros(proxy_cpu)? - busy - spent.micros;
        proxy.stop()?;
        Ok(Sample::Cost { spent, done, others_micros })
    }

    fn client(&self, rate: u32) -> anyhow::Result<Helper> {
        let mut client = self.pinned("bench-client");
        client.args(["--rate", &rate.to_string()]);
        client.args(["--seconds", &self.options.seconds.to_string()]);
        Helper::start(client, "the client")
    }

    fn pinned(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.xtask);
        command.args([subcommand, "--cpu", &self.options.load_cpu.to_string()]);
        command
    }
}

/// A process that says a line when it is ready, and is killed when this is dropped.
struct Helper {
    child: Child,
    output: BufReader<ChildStdout>,
    /// What it said.
    line: String,
}

impl Helper {
    fn start(mut command: Command, name: &str) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        let mut helper = Self { child, output, line: String::new() };
        helper.line = helper.listen().with_context(|| format!("{name} says nothing"))?;
        Ok(helper)
    }

    /// Tells it one line and returns the next that it says.
    fn ask(&mut self, line: &str) -> anyhow::Result<String> {
        let input = self.child.stdin.as_mut().context("no input")?;
        writeln!(input, "{line}").context("cannot tell it anything")?;
        self.listen()
    }

    fn listen(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).context("cannot read what it says")?;
        anyhow::ensure!(!line.is_empty(), "it ended");
        Ok(line.trim().to_owned())
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It may be gone already; then there is nothing to end.
        let ended = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = ended {
            println!("cannot end a helper: {error}");
        }
    }
}

/// Keeps the calling thread on one processor.
fn pin(cpu: usize) -> anyhow::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set)
        .with_context(|| format!("cannot stay on processor {cpu}"))
}

/// Writes one file of a contestant's configuration.
fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
