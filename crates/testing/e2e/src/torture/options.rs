//! What a torture run can be told.

use clap::{Args, ValueEnum};

use super::killer::Sort;
use crate::gateway::{Accept, Switch};

/// Kills processes of a gateway at random instants under every kind of traffic.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Go on for at least so long
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,

    /// Repeat the choices of an earlier run; chosen by the clock if not given
    #[arg(long)]
    pub seed: Option<u64>,

    /// Go on until the active worker was killed at least so often
    #[arg(long, default_value_t = 0)]
    pub kills: u64,

    /// Which ways of accepting connections get traffic
    #[arg(long, value_enum, default_value_t = Ways::Both)]
    pub accept: Ways,

    /// Off shows that the test can fail
    #[arg(long, value_enum, default_value_t = Adoption::On)]
    pub adoption: Adoption,

    /// Then torture nginx and HAProxy for so many seconds each, and Mainstay again beside them
    #[arg(long, num_args = 0..=1, default_missing_value = "15")]
    pub peers: Option<u64>,

    /// Mean pause between the return of the pair and the next kill
    #[arg(long, default_value_t = 150)]
    pub interval_ms: u64,

    /// Kill in these ways only
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Sort>,

    /// A gateway that is one process
    #[arg(long)]
    pub one_process: bool,

    /// Threads in each worker
    #[arg(long, default_value_t = 1)]
    pub worker_threads: u32,

    /// Client threads of each kind of traffic, for each way of accepting
    #[arg(long, default_value_t = 2)]
    pub threads: u64,

    /// Idle connections, for each way of accepting
    #[arg(long, default_value_t = 32)]
    pub idle: usize,

    /// Size of each download and upload, in millions of bytes
    #[arg(long, default_value_t = 100)]
    pub transfer_mb: u64,

    /// How long each download and upload is made to last
    #[arg(long, default_value_t = 20)]
    pub transfer_seconds: u64,
}

/// Which ways of accepting connections take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ways {
    Active,
    Master,
    Both,
}

impl Ways {
    pub(super) const fn accepts(self) -> &'static [Accept] {
        match self {
            Self::Active => &[Accept::Active],
            Self::Master => &[Accept::Master],
            Self::Both => &Accept::ALL,
        }
    }
}

/// Whether the gateway carries on the connections of a dead worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Adoption {
    On,
    Off,
}

impl From<Adoption> for Switch {
    fn from(adoption: Adoption) -> Self {
        match adoption {
            Adoption::On => Self::On,
            Adoption::Off => Self::Off,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seconds: 60,
            seed: None,
            kills: 0,
            accept: Ways::Both,
            adoption: Adoption::On,
            peers: None,
            interval_ms: 150,
            only: Vec::new(),
            one_process: false,
            worker_threads: 1,
            threads: 2,
            idle: 32,
            transfer_mb: 100,
            transfer_seconds: 20,
        }
    }
}
