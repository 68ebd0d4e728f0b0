//! What a latency run can be told.

use clap::{Args, ValueEnum};

/// Measures how long connections wait for the heir, and what connections cost.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Kills for each figure
    #[arg(long, default_value_t = 50)]
    pub rounds: u32,

    /// Open connections while a worker is killed
    #[arg(long, default_value_t = 1_000)]
    pub connections: usize,

    /// Of those, how many wait for an answer at each kill, and how many send a request just after
    #[arg(long, default_value_t = 20)]
    pub probes: usize,

    /// Idle connections that are adopted at once, and whose memory is counted
    #[arg(long, default_value_t = 10_000)]
    pub idle: usize,

    /// Measure this only
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Figure>,
}

/// Something that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Figure {
    /// From the kill to the first byte from the heir
    Failover,
    /// Adoption of many idle connections
    Adoption,
    /// How long a kill of the master holds up new connections
    Master,
    /// What idle and busy connections cost
    Memory,
}

impl Options {
    /// Whether `figure` is asked for.
    pub(super) fn wants(&self, figure: Figure) -> bool {
        self.only.is_empty() || self.only.contains(&figure)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { rounds: 50, connections: 1_000, probes: 20, idle: 10_000, only: Vec::new() }
    }
}
