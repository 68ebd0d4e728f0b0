//! Sessions in numbers: a full table, logins and logouts all the time, tries with what was
//! logged out, random kills, and kills of everything at once.
//!
//! What is promised: whoever is logged in stays logged in; whoever was told that a logout is
//! done finds nobody who serves that session any more; a gateway with a full table is ready in
//! a moment.
//!
//! # Invariants
//!
//! 1. What was asked for and not answered counts for nothing until it was asked again: only an
//!    answer is a promise.

mod blackout;
mod book;
mod churn;
mod killer;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::Origin;
use crate::announcer::Announcer;
use crate::gateway::{Accept, Gateway, Setup};
use crate::luck::Luck;
use crate::torture::percentile;
use book::{Book, Census};

/// Fills the table of sessions, and logs out, tries and kills.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Sessions in the table
    #[arg(long, default_value_t = 100_000)]
    pub sessions: u32,

    /// Logouts that are timed while nothing is killed
    #[arg(long, default_value_t = 2_000)]
    pub logouts: u32,

    /// Tries with sessions that were logged out, at least, while processes are killed
    #[arg(long, default_value_t = 10_000)]
    pub tries: u64,

    /// Random kills
    #[arg(long, default_value_t = 200)]
    pub kills: u32,

    /// Between the gateway's being whole and the next kill, at most; in milliseconds
    #[arg(long, default_value_t = 2_000)]
    pub pause_ms: u64,

    /// Kills of everything at once
    #[arg(long, default_value_t = 5)]
    pub blackouts: u32,

    /// Threads of each worker
    #[arg(long, default_value_t = 2)]
    pub threads: u32,

    /// What ids and kills follow
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl Options {
    /// Short enough for a test.
    pub const SHORT: Self = Self {
        sessions: 1_000,
        logouts: 50,
        tries: 300,
        kills: 8,
        pause_ms: 200,
        blackouts: 2,
        threads: 2,
        seed: 1,
    };
}

/// How long an answer may take, for 99 of 100.
const ANSWER_P99: Duration = Duration::from_millis(10);
/// How soon a gateway is ready again.
const READY: Duration = Duration::from_secs(1);

/// Runs, prints what was seen, and fails if a promise was broken.
#[expect(clippy::print_stdout, reason = "the report is what the command is for")]
pub fn run(options: &Options) -> anyhow::Result<()> {
    let seen = observe(options)?;
    println!("{seen}");
    seen.verdict()?;
    seen.verdict_on_times()
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    seed: u64,
    sessions: u32,
    filled_in: Duration,
    /// Answers to logins and logouts while nothing was killed.
    calm: Vec<Duration>,
    churn: churn::Seen,
    kills: Vec<killer::Kill>,
    /// What was found after the kills, and after each kill of everything.
    census: Census,
    ready_after: Vec<Duration>,
}

/// Runs; returns what was seen, if all of it could be done.
pub fn observe(options: &Options) -> anyhow::Result<Seen> {
    let origin = Origin::start()?;
    let setup = Setup::pair(&origin, Accept::Active)
        .with_sessions()
        .with_threads(options.threads)
        // Room for those whose answers nobody heard.
        .with_host("sessions", "max", u64::from(options.sessions) + 10_000)
        .with_gateway("access_log", "path", "off");
    let mut gateway = Gateway::start(&setup)?.quiet();
    let mut seen = Seen { seed: options.seed, sessions: options.sessions, ..Seen::default() };
    if let Err(error) = perform(options, &mut gateway, &mut seen) {
        let files = gateway.keep_files().display().to_string();
        return Err(error.context(format!("{seen}the files are in {files}")));
    }
    if seen.verdict().is_err() {
        gateway.keep_files();
    }
    Ok(seen)
}

fn perform(options: &Options, gateway: &mut Gateway, seen: &mut Seen) -> anyhow::Result<()> {
    let luck = Luck::new(options.seed);
    let mut announcer = Announcer::new(gateway);
    let mut book = Book::new(luck.fork(1));

    let start = Instant::now();
    book.fill(options.sessions, gateway)?;
    seen.filled_in = start.elapsed();
    for _ in 0..options.logouts {
        seen.calm.push(book.replace_one(&mut announcer)?);
    }

    let pause = Duration::from_millis(options.pause_ms);
    let mut killer = killer::Killer::new(gateway, luck.fork(2), options.kills, pause);
    seen.churn = churn::perform(options.tries, gateway, &mut book, &mut killer)?;
    seen.kills = killer.kills;
    seen.census.add(book.census(gateway.address("web"))?);

    let mut luck = luck.fork(3);
    for _ in 0..options.blackouts {
        seen.ready_after.push(blackout::perform(gateway, &mut book, &mut luck)?);
        seen.census.add(book.census(gateway.address("web"))?);
    }
    Ok(())
}

impl Seen {
    /// An error if somebody was served who should not, or not served who should.
    pub fn verdict(&self) -> anyhow::Result<()> {
        let Census { lost, back, .. } = self.census;
        ensure!(self.churn.served == 0, "{} tries were served", self.churn.served);
        ensure!(self.churn.denied == 0, "{} requests were denied", self.churn.denied);
        ensure!(lost == 0, "{lost} sessions were lost");
        ensure!(back == 0, "{back} sessions came back");
        let broken = &self.churn.broken;
        ensure!(broken.is_empty(), "{} connections broke: {}", broken.len(), self.history());
        Ok(())
    }

    /// Who died when, and which connections broke when.
    fn history(&self) -> String {
        let kills = self.kills.iter().map(ToString::to_string);
        let broken = self.churn.broken.iter();
        let broken = broken.map(|(at, how)| format!("at {at:.3?} a connection: {how}"));
        kills.chain(broken).collect::<Vec<String>>().join("; ")
    }

    /// An error if something took longer than it may.
    fn verdict_on_times(&self) -> anyhow::Result<()> {
        for answers in [&self.calm, &self.churn.answers] {
            let p99 = percentile(answers, 99);
            ensure!(p99 <= ANSWER_P99, "answers took {p99:?}");
        }
        let ready = self.ready_after.iter().max().copied().unwrap_or_default();
        ensure!(ready <= READY, "it was ready after {ready:?}");
        Ok(())
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        let line = |times: &[Duration]| {
            let [p50, p99, most] = [50, 99, 100].map(|share| ms(percentile(times, share)));
            format!("p50 {p50:.2} ms, p99 {p99:.2} ms, longest {most:.1} ms of {}", times.len())
        };
        let (churn, census) = (&self.churn, &self.census);
        let whole: Vec<Duration> = self.kills.iter().map(|kill| kill.whole_after).collect();
        let mut kills = String::new();
        for victim in killer::Victim::ALL {
            let number = self.kills.iter().filter(|kill| kill.victim == victim).count();
            write!(kills, "{}{number} {victim}", if kills.is_empty() { "" } else { ", " })?;
        }
        writeln!(f, "sessions, seed {}\n", self.seed)?;
        writeln!(f, "| what | promised | seen |\n| --- | --- | --- |")?;
        let filled = self.filled_in.as_secs_f64();
        writeln!(
            f,
            "| sessions in the table | 100000 | {}, filled in {filled:.1} s |",
            self.sessions
        )?;
        writeln!(f, "| answer to a logout, nothing killed | p99 ≤ 10 ms | {} |", line(&self.calm))?;
        writeln!(
            f,
            "| the same while processes are killed | p99 ≤ 10 ms | {} |",
            line(&churn.answers)
        )?;
        writeln!(
            f,
            "| tries after a logout's answer that were served | 0 | {} of {} |",
            churn.served, churn.tries
        )?;
        writeln!(
            f,
            "| requests before it that were denied | 0 | {} of {} |",
            churn.denied, churn.uses
        )?;
        writeln!(f, "| connections that broke meanwhile | 0 | {} |", churn.broken.len())?;
        writeln!(f, "| random kills | 200 | {}: {kills} |", self.kills.len())?;
        writeln!(f, "| whole again after a kill | | {} |", line(&whole))?;
        writeln!(
            f,
            "| sessions lost | 0 | {} of {} that were tried |",
            census.lost, census.tried_in
        )?;
        writeln!(
            f,
            "| sessions back | 0 | {} of {} that were tried |",
            census.back, census.tried_out
        )?;
        writeln!(f, "| ready after everything was killed | ≤ 1 s | {} |", line(&self.ready_after))
    }
}
