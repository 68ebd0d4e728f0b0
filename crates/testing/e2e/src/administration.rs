//! Administers a gateway under load: applies, rollbacks, swaps and upgrades, one after the other; then an
//! apply with a kill in each of its steps; then configurations that are valid and bad, and ones
//! with ten thousand routes.
//!
//! What is promised: clients see nothing of it; afterwards one generation serves everywhere; and
//! whoever asked was told the truth.

mod hurt;
mod matrix;
mod operator;
mod routes;
mod routine;

use std::fmt::Write as _;

use crate::Origin;
use crate::gateway::{Accept, Gateway, Setup};
use crate::luck::Luck;
use crate::traffic::{Plan, Traffic};

pub use operator::Operator;

/// Administers a gateway under load, and kills its processes while it is administered.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Applies without a kill
    #[arg(long, default_value_t = 100)]
    pub applies: u32,

    /// Rollbacks without a kill
    #[arg(long, default_value_t = 20)]
    pub rollbacks: u32,

    /// Swaps without a kill
    #[arg(long, default_value_t = 20)]
    pub swaps: u32,

    /// Upgrades of every process without a kill
    #[arg(long, default_value_t = 5)]
    pub upgrades: u32,

    /// How often each process is killed in each step of an apply
    #[arg(long, default_value_t = 8)]
    pub kills: u32,

    /// What the traffic follows
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl Options {
    /// Short enough for a test.
    pub const SHORT: Self =
        Self { applies: 5, rollbacks: 2, swaps: 2, upgrades: 1, kills: 1, seed: 1 };
}

/// Runs, prints what was seen, and fails if a client saw anything or an answer was not true.
#[expect(clippy::print_stdout, reason = "the report is what the command is for")]
pub fn run(options: &Options) -> anyhow::Result<()> {
    println!("{}", observe(options)?);
    Ok(())
}

/// Runs; returns the report, or what was wrong.
pub fn observe(options: &Options) -> anyhow::Result<String> {
    let origin = Origin::start()?;
    let mut gateway = Gateway::start(&Setup::pair_with_all(&origin, &Accept::ALL))?.quiet();
    let mut report = format!("seed {}\n", options.seed);
    let seen = administer(options, &origin, &gateway, &mut report);
    if let Err(error) = seen {
        let files = gateway.keep_files().display().to_string();
        return Err(error.context(format!("{report}the files are in {files}")));
    }
    Ok(report)
}

fn administer(
    options: &Options,
    origin: &Origin,
    gateway: &Gateway,
    report: &mut String,
) -> anyhow::Result<()> {
    let targets = Accept::ALL.map(|accept| gateway.target(accept));
    let traffic = Traffic::start(Plan::SMALL, &targets, &Luck::new(options.seed));
    let mut operator = Operator::of(gateway)?;
    let routine = routine::perform(options, &mut operator, &traffic, report);
    let matrix = routine.and_then(|()| matrix::perform(options, &mut operator, &traffic, report));
    let seen = traffic.stop(origin);
    writeln!(report, "\n{seen}")?;
    matrix?;
    anyhow::ensure!(seen.is_clean(), "clients saw something of it");
    hurt::perform(&operator, report)?;
    routes::perform(&operator, report)
}
