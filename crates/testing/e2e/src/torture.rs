//! Kills a gateway's processes at random instants while clients of every kind look on.
//!
//! The promise is that they see nothing: no failed request, no closed connection, no wrong
//! byte, and no request that is executed twice or lost. Everything random follows a seed; the
//! instants at which the kernel acts on it do not, so a seed repeats the story, not the race.

mod killer;
mod options;
mod peers;

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};

use crate::gateway::{Gateway, Setup};
use crate::luck::Luck;
use crate::report;
use crate::traffic::{Plan, Target, Traffic};
use crate::{Origin, wait};
pub use killer::{Kill, Sort};
use killer::{Killer, Shape};
pub use options::{Adoption, Options, Ways};
pub use peers::{Peer, Running};

/// What a run did and what the clients saw.
#[derive(Clone, Debug)]
pub struct Report {
    pub seed: u64,
    pub elapsed: Duration,
    pub kills: Vec<Kill>,
    pub traffic: report::Report,
    /// Mainstay and others after the same kills, by name.
    pub peers: Vec<(&'static str, report::Report)>,
}

/// Runs, prints the report, and fails if a client saw anything at all.
#[expect(clippy::print_stdout, reason = "the report is what the command is for")]
pub fn run(options: &Options) -> anyhow::Result<Report> {
    let report = observe(options)?;
    println!("{report}");
    report.verdict()?;
    Ok(report)
}

/// Runs, and reports whatever the clients saw.
pub fn observe(options: &Options) -> anyhow::Result<Report> {
    let seed = options.seed.unwrap_or_else(seed_by_the_clock);
    announce(&format!("seed {seed}"));
    let mut report = torture(options, seed)?;
    if let Some(seconds) = options.peers {
        report.peers = side_by_side(options, seed, seconds)?;
    }
    Ok(report)
}

fn torture(options: &Options, seed: u64) -> anyhow::Result<Report> {
    let (origin, luck) = (Origin::start()?, Luck::new(seed));
    let mut gateway = Gateway::start(&setup(options, &origin))?.quiet();
    let traffic = Traffic::start(plan(options), &targets(options, &gateway), &luck.fork(1));
    let recorder = traffic.recorder().clone();
    let mut killer = Killer {
        gateway: &gateway,
        recorder: &recorder,
        luck: luck.fork(2),
        only: &options.only,
        shape: if options.one_process { Shape::OneProcess } else { Shape::Pair },
        kills: Vec::new(),
        gone: Vec::new(),
    };
    let ended = kill_until_done(options, &mut killer);
    let (kills, elapsed) = (killer.kills, recorder.elapsed());
    let report = Report { seed, elapsed, kills, traffic: traffic.stop(&origin), peers: Vec::new() };
    if let Err(error) = ended {
        let path = gateway.keep_files().display().to_string();
        return Err(error.context(format!("{report}the files are in {path}")));
    }
    if report.verdict().is_err() {
        announce(&format!("the files are in {}", gateway.keep_files().display()));
    }
    Ok(report)
}

fn kill_until_done(options: &Options, killer: &mut Killer<'_>) -> anyhow::Result<()> {
    const NEWS: Duration = Duration::from_secs(10);
    let (start, pause) = (Instant::now(), wait::Stop::default());
    let (mut active, mut news) = (0, start + NEWS);
    let mean = Duration::from_millis(options.interval_ms);
    while start.elapsed().as_secs() < options.seconds || active < options.kills {
        pause.pause(killer.luck.duration(mean / 4..mean * 7 / 4));
        killer.strike()?;
        active += u64::from(killer.kills.last().is_some_and(|kill| kill.sort.hits_active()));
        if Instant::now() > news {
            news += NEWS;
            let (at, kills) = (killer.recorder.elapsed().as_secs(), killer.kills.len());
            let faults = killer.recorder.faults();
            announce(&format!("{at} s: {kills} kills, {active} of the active, {faults} failures"));
        }
    }
    killer.wait_whole(Instant::now())?;
    Ok(())
}

fn setup(options: &Options, origin: &Origin) -> Setup {
    let setup = Setup::pair_with_all(origin, options.accept.accepts())
        .with_threads(options.worker_threads)
        .with_core_dumps();
    let setup = if options.one_process { setup.as_one_process() } else { setup };
    match options.adoption {
        Adoption::On => setup,
        Adoption::Off => setup.with_host("pair", "adoption", "off"),
    }
}

const fn plan(options: &Options) -> Plan {
    Plan {
        transfer_bytes: options.transfer_mb * 1_000_000,
        transfer_time: Duration::from_secs(options.transfer_seconds),
        idle: options.idle,
        idle_time: Duration::from_secs(20),
        threads: options.threads,
    }
}

fn targets(options: &Options, gateway: &Gateway) -> Vec<Target> {
    options.accept.accepts().iter().map(|&accept| gateway.target(accept)).collect()
}

/// How often a worker is killed when others are compared.
const PEER_KILL_INTERVAL: Duration = Duration::from_millis(500);

/// The same traffic, and the same number of killed workers, for each in turn.
fn side_by_side(
    options: &Options,
    seed: u64,
    seconds: u64,
) -> anyhow::Result<Vec<(&'static str, report::Report)>> {
    let kills = Duration::from_secs(seconds).div_duration_f64(PEER_KILL_INTERVAL).round();
    announce(&format!("side by side: {kills} kills of a worker in {seconds} s each"));
    let options = Options {
        accept: Ways::Active,
        adoption: Adoption::On,
        only: vec![Sort::Active],
        one_process: false,
        transfer_seconds: options.transfer_seconds.min(seconds.div_ceil(2)),
        ..options.clone()
    };
    let luck = Luck::new(seed).fork(3);
    let mut reports = Vec::new();
    {
        let origin = Origin::start()?;
        let gateway = Gateway::start(&setup(&options, &origin))?.quiet();
        let traffic = Traffic::start(plan(&options), &targets(&options, &gateway), &luck);
        kill_in_time(seconds, || {
            let active = mainstay_model::Process::Worker(gateway.active()?);
            let victim = gateway.kill(active, rustix::process::Signal::KILL)?;
            gateway.wait_ready_without(&[victim.pid()]).map(|_| ())
        })?;
        reports.push(("Mainstay", traffic.stop(&origin)));
    }
    for peer in Peer::ALL {
        if peer.program().is_none() {
            announce(&format!("{} is not installed, so it is left out", peer.name()));
            continue;
        }
        let origin = Origin::start()?;
        let mut running = Running::start(peer, &origin)?;
        let traffic = Traffic::start(plan(&options), &[running.target()], &luck);
        if running.target().tcp.is_none() {
            announce(&format!("{} has no module for plain TCP: no tunnels", peer.name()));
        }
        let mut choice = luck.fork(4);
        kill_in_time(seconds, || running.kill_worker(choice.draw()))
            .with_context(|| format!("while {} was tortured", peer.name()))?;
        reports.push((peer.name(), traffic.stop(&origin)));
    }
    Ok(reports)
}

fn kill_in_time(seconds: u64, mut kill: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let (start, pause) = (Instant::now(), wait::Stop::default());
    let mut due = PEER_KILL_INTERVAL;
    while due <= Duration::from_secs(seconds) {
        pause.pause(due.saturating_sub(start.elapsed()));
        kill()?;
        due += PEER_KILL_INTERVAL;
    }
    Ok(())
}

fn seed_by_the_clock() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::from(since.subsec_nanos()) ^ since.as_secs()
}

#[expect(clippy::print_stderr, reason = "whoever waits for minutes wants to see something")]
fn announce(text: &str) {
    eprintln!("{text}");
}

impl Report {
    /// How often the worker that serves was killed.
    pub fn kills_of_active(&self) -> usize {
        self.kills.iter().filter(|kill| kill.sort.hits_active()).count()
    }

    /// An error if a client saw anything.
    pub fn verdict(&self) -> anyhow::Result<()> {
        let (total, traffic) = (self.traffic.total(), &self.traffic);
        if !traffic.is_clean() {
            let (faults, twice, lost) = (total.faults(), traffic.twice.len(), traffic.lost.len());
            bail!(
                "seed {}: {faults} failures, {twice} executed twice, {lost} lost in {} kills",
                self.seed,
                self.kills.len()
            );
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seed, seconds) = (self.seed, self.elapsed.as_secs_f64());
        let (all, active) = (self.kills.len(), self.kills_of_active());
        writeln!(f, "seed {seed}: {all} kills in {seconds:.1} s, {active} of the active worker")?;
        writeln!(f)?;
        let mut sorts: BTreeMap<Sort, Vec<Option<Duration>>> = BTreeMap::new();
        for kill in &self.kills {
            sorts.entry(kill.sort).or_default().push(kill.whole_after);
        }
        writeln!(f, "{:24} {:>6} {:>16} {:>10}", "kills", "number", "whole after p50", "p99 ms")?;
        for (sort, times) in sorts {
            let known: Vec<Duration> = times.iter().flatten().copied().collect();
            let [p50, p99] = [50, 99].map(|share| percentile(&known, share).as_secs_f64() * 1e3);
            writeln!(f, "{sort:24} {:>6} {p50:>16.0} {p99:>10.0}", times.len())?;
        }
        writeln!(f, "\n{}", self.traffic)?;
        if self.peers.is_empty() { Ok(()) } else { write_side_by_side(f, &self.peers) }
    }
}

type Row = (&'static str, fn(&report::Report) -> u64);

fn write_side_by_side(
    f: &mut fmt::Formatter<'_>,
    peers: &[(&'static str, report::Report)],
) -> fmt::Result {
    let rows: [Row; 7] = [
        ("answered and right", |report| report.total().done),
        ("failed", |report| report.total().failed),
        ("closed connections", |report| report.total().closed),
        ("wrong", |report| report.total().wrong),
        ("too late", |report| report.total().too_late),
        ("lost", |report| report.lost.len() as u64),
        ("executed twice", |report| report.twice.len() as u64),
    ];
    write!(f, "{:24}", "same clients, same kills")?;
    peers.iter().try_for_each(|(name, _)| write!(f, "{name:>12}"))?;
    writeln!(f)?;
    for (name, value) in rows {
        write!(f, "{name:24}")?;
        peers.iter().try_for_each(|(_, report)| write!(f, "{:>12}", value(report)))?;
        writeln!(f)?;
    }
    Ok(())
}

/// The value below which `share` percent of the values are; zero if there are none.
pub(crate) fn percentile(values: &[Duration], share: usize) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort();
    let rank = (sorted.len() * share).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or_default()
}
