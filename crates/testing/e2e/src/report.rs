//! What a run counted, and what went wrong in it, in a form that a person reads first.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::socket::Broken;

/// A kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    KeepAlive,
    OneShot,
    Post,
    ChunkedPost,
    Download,
    ChunkedDownload,
    Upload,
    ChunkedUpload,
    WebSocket,
    Pipeline,
    Tunnel,
    Idle,
}

impl Kind {
    /// All of them, in the order of a table.
    pub const ALL: [Self; 12] = [
        Self::KeepAlive,
        Self::OneShot,
        Self::Post,
        Self::ChunkedPost,
        Self::Download,
        Self::ChunkedDownload,
        Self::Upload,
        Self::ChunkedUpload,
        Self::WebSocket,
        Self::Pipeline,
        Self::Tunnel,
        Self::Idle,
    ];

    /// For tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeepAlive => "keep-alive GET",
            Self::OneShot => "one-shot GET",
            Self::Post => "POST, length",
            Self::ChunkedPost => "POST, chunked",
            Self::Download => "download, length",
            Self::ChunkedDownload => "download, chunked",
            Self::Upload => "upload, length",
            Self::ChunkedUpload => "upload, chunked",
            Self::WebSocket => "WebSocket message",
            Self::Pipeline => "pipelined GET",
            Self::Tunnel => "TCP tunnel",
            Self::Idle => "idle, then GET",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a client calls a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// An error status, or no connection at all.
    Failed,
    /// A connection ended that should have lived, or before its answer was whole.
    Closed,
    /// A byte, a length or an order that is not what was sent.
    Wrong,
    /// Nothing happened for too long.
    TooLate,
}

impl From<&Broken> for Fault {
    fn from(broken: &Broken) -> Self {
        match broken {
            Broken::Closed | Broken::Reset => Self::Closed,
            Broken::WrongByte { .. }
            | Broken::WrongLength { .. }
            | Broken::WrongAnswer { .. }
            | Broken::Malformed { .. } => Self::Wrong,
            Broken::TimedOut => Self::TooLate,
            Broken::Refused | Broken::Status { .. } | Broken::Io { .. } => Self::Failed,
        }
    }
}

/// Counts of one kind of traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Requests, messages or tunnels that were answered and right.
    pub done: u64,
    /// Bytes of bodies and messages, both directions.
    pub bytes: u64,
    pub failed: u64,
    pub closed: u64,
    pub wrong: u64,
    pub too_late: u64,
    /// The longest that one of the short ones took.
    pub longest: Duration,
}

impl Count {
    /// Failures of every sort.
    pub const fn faults(&self) -> u64 {
        self.failed + self.closed + self.wrong + self.too_late
    }

    fn add(&mut self, other: &Self) {
        self.done += other.done;
        self.bytes += other.bytes;
        self.failed += other.failed;
        self.closed += other.closed;
        self.wrong += other.wrong;
        self.too_late += other.too_late;
        self.longest = self.longest.max(other.longest);
    }
}

/// One thing that a client saw and must not see.
#[derive(Clone, Debug)]
pub struct Failure {
    pub kind: Kind,
    /// Which listener it went through.
    pub target: String,
    /// Since the traffic began.
    pub at: Duration,
    /// The last thing that [`Recorder::mark`] noted, and how long before.
    pub after: Option<(String, Duration)>,
    pub fault: Fault,
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, target, at, after, fault, what } = self;
        write!(f, "{:9.3} s  {kind} through {target}: {fault:?}: {what}", at.as_secs_f64())?;
        match after {
            None => f.write_str(", before any kill"),
            Some((mark, since)) => write!(f, ", {:.1} ms after {mark}", since.as_secs_f64() * 1e3),
        }
    }
}

/// What some traffic saw.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub kinds: BTreeMap<Kind, Count>,
    /// The first of them; the counts know all.
    pub failures: Vec<Failure>,
    /// Requests that the origin executed more than once.
    pub twice: Vec<String>,
    /// Requests that were sent and never executed.
    pub lost: Vec<String>,
}

/// How many failures a report shows in full.
const SHOWN: usize = 20;

impl Report {
    /// All kinds together.
    pub fn total(&self) -> Count {
        let mut total = Count::default();
        self.kinds.values().for_each(|count| total.add(count));
        total
    }

    /// Whether nothing at all went wrong.
    pub fn is_clean(&self) -> bool {
        self.total().faults() == 0 && self.twice.is_empty() && self.lost.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:18} {:>9} {:>10} {:>7} {:>7} {:>7} {:>8} {:>11}",
            "traffic", "done", "MB", "failed", "closed", "wrong", "too late", "longest ms"
        )?;
        let rows = self.kinds.iter().map(|(kind, count)| (kind.name(), *count));
        for (name, count) in rows.chain([("total", self.total())]) {
            writeln!(
                f,
                "{name:18} {:>9} {:>10.1} {:>7} {:>7} {:>7} {:>8} {:>11.1}",
                count.done,
                megabytes(count.bytes),
                count.failed,
                count.closed,
                count.wrong,
                count.too_late,
                count.longest.as_secs_f64() * 1e3,
            )?;
        }
        writeln!(f, "executed twice: {}, lost: {}", self.twice.len(), self.lost.len())?;
        for failure in self.failures.iter().take(SHOWN) {
            writeln!(f, "  {failure}")?;
        }
        for id in self.twice.iter().take(SHOWN) {
            writeln!(f, "  executed twice: {id}")?;
        }
        self.lost.iter().take(SHOWN).try_for_each(|id| writeln!(f, "  lost: {id}"))
    }
}

/// Bytes in units of a million, for people.
pub(crate) fn megabytes(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let bytes = bytes as f64;
    bytes / 1e6
}

/// Where threads note what they see, while they run.
#[derive(Debug)]
pub struct Recorder {
    start: Instant,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    report: Report,
    last_mark: Option<(String, Instant)>,
    /// Ids of requests that were sent and must be executed once.
    sent: Vec<String>,
}

/// How many failures are kept in full.
const KEPT: usize = 1000;

impl Default for Recorder {
    fn default() -> Self {
        Self { start: Instant::now(), noted: Mutex::default() }
    }
}

impl Recorder {
    /// Notes something that later failures may come from: a kill.
    pub fn mark(&self, what: String) {
        self.noted.lock().unwrap().last_mark = Some((what, Instant::now()));
    }

    /// Since the traffic began.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// How many answers were right so far.
    pub fn answered(&self) -> u64 {
        self.noted.lock().unwrap().report.total().done
    }

    /// How many failures were noted so far.
    pub fn faults(&self) -> u64 {
        self.noted.lock().unwrap().report.total().faults()
    }

    /// Notes a request that must be executed once.
    pub(crate) fn sent(&self, id: String) {
        self.noted.lock().unwrap().sent.push(id);
    }

    /// Notes something that went right.
    pub(crate) fn done(&self, kind: Kind, bytes: u64, took: Duration) {
        let mut noted = self.noted.lock().unwrap();
        let count = noted.report.kinds.entry(kind).or_default();
        let longest = count.longest.max(took);
        *count = Count { done: count.done + 1, bytes: count.bytes + bytes, longest, ..*count };
    }

    /// Notes something that went wrong.
    pub(crate) fn broken(&self, kind: Kind, target: &str, broken: &Broken, doing: &str) {
        let (at, fault) = (self.elapsed(), Fault::from(broken));
        let mut noted = self.noted.lock().unwrap();
        let count = noted.report.kinds.entry(kind).or_default();
        match fault {
            Fault::Failed => count.failed += 1,
            Fault::Closed => count.closed += 1,
            Fault::Wrong => count.wrong += 1,
            Fault::TooLate => count.too_late += 1,
        }
        let after = noted.last_mark.clone().map(|(mark, when)| (mark, when.elapsed()));
        if noted.report.failures.len() < KEPT {
            let what = match std::error::Error::source(broken) {
                None => format!("{broken}, {doing}"),
                Some(source) => format!("{broken}: {source}, {doing}"),
            };
            let target = target.to_owned();
            noted.report.failures.push(Failure { kind, target, at, after, fault, what });
        }
    }

    /// What was seen so far; the origin says how often each request was executed.
    pub(crate) fn report(&self, origin: &crate::Origin) -> Report {
        let noted = self.noted.lock().unwrap();
        let mut report = noted.report.clone();
        report.twice = origin.executed_twice();
        report.lost = noted.sent.iter().filter(|id| origin.executed(id) == 0).cloned().collect();
        report
    }
}
