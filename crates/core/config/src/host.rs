//! `host.toml`: what this machine gives to a gateway, as a [`Host`] that is known to be good.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mainstay_model::Slot;
use mainstay_supervise::Restart;
use toml::Spanned;

use crate::address::UNIX_PATH_BYTES_MAX;
use crate::admin;
pub use crate::admin::{Admin, Https};
use crate::alerts::{self, Alerts};
use crate::entry::Entry;
use crate::gateway;
use crate::ha;
pub use crate::ha::{Ha, TrialHa};
use crate::hooks;
pub use crate::hooks::{Hook, Hooks};
use crate::names::check_form;
use crate::problem::{Problem, Problems};
pub use crate::scalar::Percent;
use crate::section::Section;
use crate::sessions;
pub use crate::sessions::Sessions;

/// Every key at the top of the file.
pub(crate) const KEYS: [&str; 18] = [
    "id",
    "state",
    "run",
    "gateway",
    "nofile",
    "master",
    "worker",
    "admin",
    "ha",
    "broadcast",
    "sessions",
    "hooks",
    "pair",
    "restart",
    "upgrade",
    "alerts",
    "metrics",
    "trial",
];

/// Most of the machine's memory that all processes may have together.
pub const MEMORY_PERCENT_MAX: u8 = 80;

/// What one process may have.
const SHARES: RangeInclusive<Percent> = Percent::MIN..=Percent::new(MEMORY_PERCENT_MAX);
const MASTER_MEMORY: Percent = Percent::new(10);
const WORKER_MEMORY: Percent = Percent::new(25);

/// Most threads of a worker: its lanes and estates are numbered by a byte and travel in one
/// message.
pub const THREADS_MAX: usize = 64;

/// What is added to the run directory for its longest socket while it is made:
/// `/keepers/.<pid>.<pid>`, of seven digits each (`PID_MAX_LIMIT` is 4194304).
const RUN_SUFFIX_BYTES: usize = "/keepers/.4194304.4194304".len();

/// Processors that the kernel can name (`CPU_SETSIZE` in `sched_setaffinity(2)`).
const CPUS: RangeInclusive<usize> = 0..=1023;

const NOFILE: u64 = 262_144;
/// The most that the kernel takes (`fs.nr_open` can be no more).
const NOFILES: RangeInclusive<u64> = 256..=1_073_741_816;

/// Where the command channel is, if nothing else is said.
const COMMAND_CHANNEL: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 41114);

/// And the session channel.
const SESSION_CHANNEL: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8181);

const DURATIONS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(24);
const UPGRADE_TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);
/// A thread that is merely busy must never look as if it hung.
const HANG_TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_hours(24);

/// What this machine gives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Host {
    /// Names this gateway among others; none: as the machine is called.
    pub id: Option<String>,
    /// Directory of what must survive the machine's end.
    pub state: PathBuf,
    /// Directory of sockets and process ids.
    pub run: PathBuf,
    /// The gateway's configuration.
    pub gateway: PathBuf,
    /// Descriptor limit to ask for, capped at what the system allows.
    pub nofile: u64,
    pub master: Master,
    /// By slot; both have the same number of threads.
    pub workers: [Worker; 2],
    pub admin: Admin,
    pub ha: Ha,
    pub broadcast: Broadcast,
    pub sessions: Sessions,
    pub hooks: Hooks,
    pub pair: Pair,
    pub restart: Restart,
    pub upgrade: Upgrade,
    pub alerts: Alerts,
    /// None: no metrics.
    pub metrics: Option<Metrics>,
    pub trial: Trial,
}

/// How the program of every process is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// How long one process may take to make way, and the next one to be ready in its place.
    pub timeout: Duration,
}

/// Faults for drills. None by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trial {
    /// A worker that is asked for this path dies by its own fault.
    pub abort_path: Option<String>,
    /// A worker that is asked for this path takes memory without end.
    pub hoard_path: Option<String>,
    pub upgrade: TrialUpgrade,
    pub ha: TrialHa,
}

/// What becomes of an upgrade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrialUpgrade {
    #[default]
    Works,
    /// It fails when the first process is replaced, and goes back.
    Fails,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// Share of the machine's memory.
    pub memory: Percent,
    /// Where it runs; empty: anywhere.
    pub cpus: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Share of the machine's memory.
    pub memory: Percent,
    /// From 1 to [`THREADS_MAX`].
    pub threads: usize,
    /// Where it runs: thread `i` on `cpus[i % cpus.len()]`, the others on all; empty: anywhere.
    pub cpus: Vec<usize>,
}

/// Where broadcast is reached, beside the Unix sockets in the run directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// The command channel.
    pub command: LocalAddress,
    /// The session channel.
    pub session: LocalAddress,
}

/// An address of this machine alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalAddress {
    /// The Unix socket is enough.
    Unix,
    /// A loopback address.
    Tcp(SocketAddr),
}

/// How the two workers stand in for each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// How long connections wait while no worker is ready.
    pub hold_timeout: Duration,
    /// How long a thread may stand still before its process is killed.
    pub hang_timeout: Duration,
    /// How long a stopping process may finish its work.
    pub drain_timeout: Duration,
    /// Whether connections outlive the process that carries them.
    pub adoption: Adoption,
    /// How long what a process left waits for a worker that takes it over.
    pub keep_timeout: Duration,
}

/// Whether connections outlive the process that carries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    On,
    /// They die with it, as elsewhere: for comparison, and for a kernel that cannot.
    Off,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Where Prometheus finds `/metrics`.
    pub address: SocketAddr,
}

/// Reads the whole file and reports every problem in it, not just the first.
pub fn parse(text: &str) -> Result<Host, Vec<Problem>> {
    let problems = Problems::default();
    let mut file = Section::file(text, "host.toml", &problems)?;

    let id = read_id(&mut file);
    let state = read_path(&mut file, "state", usize::MAX);
    let run = read_path(&mut file, "run", UNIX_PATH_BYTES_MAX - RUN_SUFFIX_BYTES);
    let gateway = read_path(&mut file, "gateway", usize::MAX);
    let nofile = file.integer("nofile", NOFILE, &NOFILES);
    let (master, workers) = read_processes(&mut file);
    let admin = admin::read(&mut file);
    let ha = ha::read(&mut file);
    let broadcast = read_broadcast(&mut file);
    let sessions = sessions::read(&mut file);
    let hooks = hooks::read(&mut file);
    let pair = read_pair(&mut file);
    let restart = read_restart(&mut file);
    let upgrade = read_upgrade(&mut file);
    let alerts = alerts::read(&mut file, &state);
    let metrics = read_metrics(&mut file);
    let trial = read_trial(&mut file);
    file.finish_file("gateway.toml", &gateway::KEYS);
    problems.check(Host {
        id,
        state,
        run,
        gateway,
        nofile,
        master,
        workers,
        admin,
        ha,
        broadcast,
        sessions,
        hooks,
        pair,
        restart,
        upgrade,
        alerts,
        metrics,
        trial,
    })
}

/// A name that is a label of metrics and a word in log lines.
fn read_id(file: &mut Section<'_>) -> Option<String> {
    let text = file.optional("id").and_then(Entry::text)?;
    check_form("id", &text, file);
    Some(text.get_ref().to_string())
}

/// An absolute path: the processes have no working directory that an operator could know.
fn read_path(file: &mut Section<'_>, key: &'static str, bytes_max: usize) -> PathBuf {
    let Some(text) = file.text(key) else { return PathBuf::new() };
    let path = text.get_ref().as_ref();
    if !Path::new(path).is_absolute() || path.contains('\0') {
        let sentence = format!("{key:?} must be an absolute path, not {path:?}");
        file.problems().add(text.span(), sentence);
    } else if path.len() > bytes_max {
        let sentence = format!(
            "{key:?} must be at most {bytes_max} bytes long: sockets in it have longer paths"
        );
        file.problems().add(text.span(), sentence);
    }
    PathBuf::from(path)
}

/// The processes, and what must be true of them together.
fn read_processes(file: &mut Section<'_>) -> (Master, [Worker; 2]) {
    let mut section = file.table("master", "[master]");
    let share = section.placed("memory", MASTER_MEMORY, |entry| entry.percent(&SHARES));
    let cpus = read_cpus(&mut section);
    section.finish();

    let mut sections = file.tables("worker", "[[worker]]").unwrap_or_default();
    if sections.is_empty() {
        sections = Slot::ALL.map(|_| file.absent("[[worker]]")).into();
    }
    let span = sections.last().map_or(0..0, Section::span);
    let workers: Vec<WorkerFile> = sections.into_iter().map(read_worker).collect();
    match <[WorkerFile; 2]>::try_from(workers) {
        Ok(workers) => {
            check_shares(file, share.as_ref(), &workers);
            check_threads(file, &workers);
            let memory = share.map_or(MASTER_MEMORY, Spanned::into_inner);
            (Master { memory, cpus }, workers.map(Worker::from))
        }
        Err(workers) => {
            let sentence = format!(
                "[[worker]] must be there twice or not at all: this is number {}",
                workers.len()
            );
            file.problems().add(span, sentence);
            let stand_in = Worker { memory: WORKER_MEMORY, threads: 1, cpus: Vec::new() };
            (Master { memory: MASTER_MEMORY, cpus }, [stand_in.clone(), stand_in])
        }
    }
}

/// A worker as it is written: what was a problem is not there.
#[derive(Debug)]
struct WorkerFile {
    memory: Option<Spanned<Percent>>,
    threads: Option<Spanned<usize>>,
    cpus: Vec<usize>,
}

impl From<WorkerFile> for Worker {
    fn from(file: WorkerFile) -> Self {
        Self {
            memory: file.memory.map_or(WORKER_MEMORY, Spanned::into_inner),
            threads: file.threads.map_or(1, Spanned::into_inner),
            cpus: file.cpus,
        }
    }
}

fn read_worker(mut section: Section<'_>) -> WorkerFile {
    let memory = section.placed("memory", WORKER_MEMORY, |entry| entry.percent(&SHARES));
    let threads = section.placed("threads", 1, |entry| entry.integer(&(1..=THREADS_MAX)));
    let cpus = read_cpus(&mut section);
    section.finish();
    WorkerFile { memory, threads, cpus }
}

fn read_cpus(section: &mut Section<'_>) -> Vec<usize> {
    let cpus = section.optional("cpus").and_then(Entry::array).unwrap_or_default();
    cpus.into_iter().filter_map(|cpu| cpu.integer(&CPUS)).collect()
}

fn check_shares(
    file: &Section<'_>,
    master: Option<&Spanned<Percent>>,
    [one, two]: &[WorkerFile; 2],
) {
    let (Some(master), Some(one), Some(two)) = (master, &one.memory, &two.memory) else { return };
    let shares = [master, one, two];
    let sum: u32 = shares.iter().map(|share| u32::from(share.get_ref().percent())).sum();
    let last = shares.iter().map(|share| share.span()).max_by_key(|span| span.start);
    if sum > u32::from(MEMORY_PERCENT_MAX) {
        let sentence = format!(
            "master and workers may have {MEMORY_PERCENT_MAX}% of memory together, not {sum}%"
        );
        file.problems().add(last.unwrap_or(0..0), sentence);
    }
}

fn check_threads(file: &Section<'_>, [one, two]: &[WorkerFile; 2]) {
    let (Some(one), Some(two)) = (&one.threads, &two.threads) else { return };
    if one.get_ref() != two.get_ref() {
        let sentence = format!(
            "both workers must have the same number of threads: one has {}, two has {}",
            one.get_ref(),
            two.get_ref()
        );
        file.problems().add(two.span(), sentence);
    }
}

fn read_broadcast(file: &mut Section<'_>) -> Broadcast {
    let mut section = file.table("broadcast", "[broadcast]");
    let command = read_local(&mut section, "command", COMMAND_CHANNEL);
    let session = read_local(&mut section, "session", SESSION_CHANNEL);
    section.finish();
    Broadcast { command, session }
}

/// `"unix"`, or an address that no other machine reaches.
fn read_local(section: &mut Section<'_>, key: &'static str, default: SocketAddr) -> LocalAddress {
    let Some(text) = section.optional(key).and_then(Entry::text) else {
        return LocalAddress::Tcp(default);
    };
    match text.get_ref().as_ref() {
        "unix" => LocalAddress::Unix,
        address => match address.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => LocalAddress::Tcp(address),
            Ok(_) | Err(_) => {
                let sentence = format!(
                    "{key:?} must be \"unix\" or a loopback address such as {default:?}, not {address:?}",
                    default = default.to_string()
                );
                section.problems().add(text.span(), sentence);
                LocalAddress::Unix
            }
        },
    }
}

fn read_pair(file: &mut Section<'_>) -> Pair {
    let mut section = file.table("pair", "[pair]");
    let pair = Pair {
        hold_timeout: section.duration("hold_timeout", Duration::from_secs(5), &DURATIONS),
        hang_timeout: section.duration("hang_timeout", Duration::from_secs(1), &HANG_TIMEOUTS),
        drain_timeout: section.duration("drain_timeout", Duration::from_secs(30), &DURATIONS),
        adoption: section.choice(
            "adoption",
            Adoption::On,
            &[("on", Adoption::On), ("off", Adoption::Off)],
        ),
        keep_timeout: section.duration("keep_timeout", Duration::from_secs(60), &DURATIONS),
    };
    section.finish();
    pair
}

fn read_restart(file: &mut Section<'_>) -> Restart {
    let mut section = file.table("restart", "[restart]");
    let delay_min =
        section.placed("delay_min", Duration::from_millis(10), |entry| entry.duration(&DURATIONS));
    // If that was a problem, every longer delay is right.
    let delay_min = delay_min.map_or(*DURATIONS.start(), Spanned::into_inner);
    let delay_max = section.duration(
        "delay_max",
        Duration::from_secs(5).max(delay_min),
        &(delay_min..=*DURATIONS.end()),
    );
    let stable_after = section.duration("stable_after", Duration::from_secs(10), &DURATIONS);
    section.finish();
    Restart { delay_min, delay_max, stable_after }
}

fn read_upgrade(file: &mut Section<'_>) -> Upgrade {
    let mut section = file.table("upgrade", "[upgrade]");
    let timeout = section.duration("timeout", Duration::from_secs(30), &UPGRADE_TIMEOUTS);
    section.finish();
    Upgrade { timeout }
}

fn read_trial(file: &mut Section<'_>) -> Trial {
    let Some(mut section) = file.optional("trial").and_then(|entry| entry.table("[trial]")) else {
        return Trial::default();
    };
    let abort_path = read_trial_path(&mut section, "abort_path");
    let hoard_path = read_trial_path(&mut section, "hoard_path");
    let upgrade = section.choice(
        "upgrade",
        TrialUpgrade::Works,
        &[("works", TrialUpgrade::Works), ("fails", TrialUpgrade::Fails)],
    );
    let ha = section.choice(
        "ha",
        TrialHa::Works,
        &[("works", TrialHa::Works), ("fails", TrialHa::Fails)],
    );
    section.finish();
    Trial { abort_path, hoard_path, upgrade, ha }
}

fn read_trial_path(section: &mut Section<'_>, key: &'static str) -> Option<String> {
    let text = section.optional(key).and_then(Entry::text)?;
    let path = text.get_ref().to_string();
    if path.starts_with('/') {
        return Some(path);
    }
    let sentence = format!("{key} {path:?} must begin with '/'");
    section.problems().add(text.span(), sentence);
    None
}

fn read_metrics(file: &mut Section<'_>) -> Option<Metrics> {
    let mut section = file.optional("metrics")?.table("[metrics]")?;
    let text = section.text("address");
    let address = text.and_then(|text| {
        let address = text.get_ref().parse().ok();
        if address.is_none() {
            let sentence =
                format!("address {:?} must be \"IP:PORT\" or \"[IPv6]:PORT\"", text.get_ref());
            section.problems().add(text.span(), sentence);
        }
        address
    });
    section.finish();
    Some(Metrics { address: address? })
}

#[cfg(test)]
mod tests;
