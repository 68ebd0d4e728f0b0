//! Clients of every kind, each on a thread of its own, that run until they are told to stop.
//!
//! They are paced: a test machine has few cores, and what is looked for is what happens to a
//! connection when a process dies, not how many fit. Each thread follows a stream of random
//! numbers of its own, so a seed gives the same sizes and pauses again.
//!
//! # Invariants
//!
//! A client never repeats a request and never forgives: whatever it did not expect is noted as
//! a failure, and only then does it connect anew and go on.
//!
//! # Not here
//!
//! Killing anything: [`crate::torture`].

mod exchange;
mod idle;
mod transfer;
mod tunnel;
mod websocket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::Origin;
use crate::gateway::DEADLINE;
use crate::luck::Luck;
use crate::report::{Kind, Recorder, Report};
use crate::socket::Broken;
use crate::wait;
use crate::wait::Stop;

/// Where traffic goes, and what is spoken there.
#[derive(Clone, Debug)]
pub struct Target {
    /// For reports: the listener, or the name of another proxy.
    pub name: String,
    pub http: SocketAddr,
    /// Where bytes are tunnelled to the echo; none if this one cannot.
    pub tcp: Option<SocketAddr>,
    pub trailers: Trailers,
}

/// What becomes of trailer fields on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trailers {
    Passed,
    /// By proxies that may (RFC 9110, 6.5.1), and do.
    Dropped,
}

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Size of a download or upload.
    pub transfer_bytes: u64,
    /// How long one of them is made to last.
    pub transfer_time: Duration,
    /// Idle connections to each target.
    pub idle: usize,
    /// How long one of those is idle at most.
    pub idle_time: Duration,
    /// Threads of each other kind, to each target.
    pub threads: u64,
}

impl Plan {
    /// Traffic of every kind, small enough for a test.
    pub const SMALL: Self = Self {
        transfer_bytes: 5_000_000,
        transfer_time: Duration::from_secs(3),
        idle: 16,
        idle_time: Duration::from_secs(3),
        threads: 1,
    };
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            transfer_bytes: 100_000_000,
            transfer_time: Duration::from_secs(20),
            idle: 32,
            idle_time: Duration::from_secs(20),
            threads: 2,
        }
    }
}

/// Traffic that is running.
#[derive(Debug)]
pub struct Traffic {
    recorder: Arc<Recorder>,
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Waits for so many more answers.
    pub fn wait_answered(&self, more: u64) -> anyhow::Result<()> {
        let wanted = self.recorder().answered() + more;
        let answered = || (self.recorder().answered() >= wanted).then_some(());
        Ok(wait::until(&format!("{more} more answers"), DEADLINE, answered)?)
    }

    /// Starts every kind of traffic to every target.
    pub fn start(plan: Plan, targets: &[Target], luck: &Luck) -> Self {
        Self::start_kinds(&Kind::ALL, plan, targets, luck)
    }

    /// Starts some kinds of traffic to every target.
    pub fn start_kinds(kinds: &[Kind], plan: Plan, targets: &[Target], luck: &Luck) -> Self {
        let (recorder, stop) = (Arc::new(Recorder::default()), Arc::new(Stop::default()));
        let mut threads = Vec::new();
        for target in targets {
            for kind in kinds {
                for _ in 0..threads_of(*kind, &plan) {
                    let number = threads.len() as u64;
                    let job = Job {
                        kind: *kind,
                        target: target.clone(),
                        number,
                        plan,
                        luck: luck.fork(number),
                        recorder: Arc::clone(&recorder),
                        stop: Arc::clone(&stop),
                        doing: String::new(),
                        requests: 0,
                    };
                    let name = format!("traffic {number}");
                    let thread = thread::Builder::new().name(name).stack_size(512 * 1024);
                    threads.push(thread.spawn(move || job.run()).unwrap());
                }
            }
        }
        Self { recorder, stop, threads }
    }

    /// Where the traffic notes what it sees.
    pub const fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// Lets every client finish what it is at, and says what they saw.
    pub fn stop(self, origin: &Origin) -> Report {
        self.stop.stop();
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.recorder.report(origin)
    }
}

const fn threads_of(kind: Kind, plan: &Plan) -> u64 {
    match kind {
        Kind::KeepAlive
        | Kind::OneShot
        | Kind::Post
        | Kind::ChunkedPost
        | Kind::WebSocket
        | Kind::Pipeline
        | Kind::Tunnel => plan.threads,
        // Each of these moves megabytes a second, or is many connections.
        Kind::Download | Kind::ChunkedDownload | Kind::Upload | Kind::ChunkedUpload => {
            plan.threads.div_ceil(2)
        }
        Kind::Idle => 1,
    }
}

/// One thread's work.
struct Job {
    kind: Kind,
    target: Target,
    /// Different for each thread of a run.
    number: u64,
    plan: Plan,
    luck: Luck,
    recorder: Arc<Recorder>,
    stop: Arc<Stop>,
    /// What it is at, for the failure that may come of it.
    doing: String,
    requests: u64,
}

impl Job {
    fn run(mut self) {
        let run = match self.kind {
            Kind::KeepAlive => exchange::keep_alive,
            Kind::OneShot => exchange::one_shot,
            Kind::Post | Kind::ChunkedPost => exchange::post,
            Kind::Pipeline => exchange::pipeline,
            Kind::Download | Kind::ChunkedDownload => transfer::download,
            Kind::Upload | Kind::ChunkedUpload => transfer::upload,
            Kind::WebSocket => websocket::messages,
            Kind::Tunnel if self.target.tcp.is_none() => return,
            Kind::Tunnel => tunnel::tunnel,
            Kind::Idle => return idle::run(&mut self),
        };
        while !self.stop.is_over() {
            if let Err(broken) = run(&mut self) {
                self.note(&broken);
            }
        }
    }

    /// Notes a failure, and lets the world turn before the next attempt.
    fn note(&self, broken: &Broken) {
        self.recorder.broken(self.kind, &self.target.name, broken, &self.doing);
        self.stop.pause(Duration::from_millis(20));
    }

    /// Notes a success that began at `start`.
    fn done(&self, bytes: u64, start: Instant) {
        self.recorder.done(self.kind, bytes, start.elapsed());
    }

    /// Pauses for a while of `mean` on the average; false once it is over.
    fn rest(&mut self, mean: Duration) -> bool {
        let length = self.luck.duration(mean / 2..mean * 3 / 2);
        !self.stop.pause(length)
    }

    /// An id that no other request of the run has.
    fn next_id(&mut self) -> String {
        self.requests += 1;
        format!("{}-{}", self.number, self.requests)
    }
}

/// Spreads bytes evenly over a time, but hurries once the traffic is to stop.
struct Pace {
    start: Instant,
    bytes: u64,
    time: Duration,
}

impl Pace {
    fn new(plan: &Plan) -> Self {
        let bytes = plan.transfer_bytes.max(1);
        Self { start: Instant::now(), bytes, time: plan.transfer_time }
    }

    /// Pauses until byte `at` is due.
    fn keep(&self, stop: &Stop, at: u64) {
        let share = u128::from(at) * self.time.as_micros() / u128::from(self.bytes);
        let due = Duration::from_micros(u64::try_from(share).unwrap_or(u64::MAX));
        let ahead = due.saturating_sub(self.start.elapsed());
        // Short pauses cost more than they give.
        if ahead > Duration::from_millis(5) {
            stop.pause(ahead);
        }
    }
}

#[cfg(test)]
mod tests;
