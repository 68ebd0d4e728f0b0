//! The roles of the binary, and what each is told on its command line.
//!
//! The list is the list of processes, and of what an operator can ask. `master`, `broadcast`
//! and `worker` are started by the supervisor alone and are left out of the help.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};
use mainstay_model::{Process, Slot};

use crate::log::Origin;

/// What `crates/mainstay/src/spelling.rs` understands.
const AGENT_SPELLINGS: &str = "\
Also understood:
  mainstay agent -v          as status -v
  mainstay agent -forcereg   as reregister";

/// An access gateway that stays up.
#[derive(Debug, Parser)]
#[command(name = "mainstay", version, about, max_term_width = 100)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) role: Role,
}

/// What this process is.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Run a gateway: the supervisor, which starts every other process
    Run(mainstay_supervisor::Options),
    /// Check configuration files and report every problem
    Check(mainstay_ctl::CheckOptions),
    /// Put a configuration into service, with nothing closed
    Apply(mainstay_ctl::ApplyOptions),
    /// Put an earlier configuration into service again
    Rollback(mainstay_ctl::RollbackOptions),
    /// Show which configurations are kept, and which one serves
    Generations(mainstay_ctl::GenerationsOptions),
    /// Have active and standby change places
    Swap(mainstay_ctl::OrderOptions),
    /// Forget every response that is kept
    Purge(mainstay_ctl::OrderOptions),
    /// What requests are decided by
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// The service that logs users in
    #[command(subcommand)]
    Esp(EspCommand),
    /// Who is logged in
    #[command(subcommand)]
    Session(mainstay_ctl::SessionCommand),
    /// Replace the program of every process, with nothing closed
    Upgrade(mainstay_ctl::UpgradeOptions),
    /// Change from a pair of workers to one process, or back
    #[command(subcommand)]
    Ha(mainstay_ctl::HaCommand),
    /// Show which alerts stand, and what happened last
    Alerts(mainstay_ctl::AlertsOptions),
    /// Show every process of a running gateway, and which worker serves
    Status(mainstay_ctl::StatusOptions),
    /// Try it: a gateway with a demo application, on loopback, until interrupted
    Quickstart(mainstay_quickstart::Options),
    /// Serve the agents of a fleet, and what goes with that
    #[command(subcommand)]
    Manager(mainstay_manager::Command),
    /// Speak for this host's gateway to the managers of a fleet, and what goes with that
    #[command(subcommand, after_help = AGENT_SPELLINGS)]
    Agent(mainstay_agent::Command),
    /// Decide which worker serves
    #[command(hide = true)]
    Master(mainstay_master::Options),
    /// Fan orders out to every process
    #[command(hide = true)]
    Broadcast(mainstay_broadcast::Options),
    /// Do everything in one process
    #[command(hide = true)]
    Gateway(WorkerOptions),
    /// Say what this program understands
    #[command(hide = true)]
    Fits(mainstay_supervisor::FitOptions),
    /// Serve connections
    #[command(hide = true)]
    Worker(WorkerOptions),
}

/// `mainstay policy …`
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Have every process read its policies again
    Refresh(mainstay_ctl::OrderOptions),
}

/// `mainstay esp …`
#[derive(Debug, Subcommand)]
pub(crate) enum EspCommand {
    /// Show how it is, as every process sees it
    Status(mainstay_ctl::OrderOptions),
}

/// What a worker is told.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct WorkerOptions {
    /// The host.toml of the gateway
    #[arg(long, value_name = "FILE")]
    host: PathBuf,
    /// Its place in the pair
    #[arg(long, value_enum)]
    slot: SlotName,
}

/// A [`Slot`] by the name that it has on a command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum SlotName {
    One,
    Two,
}

impl Role {
    /// In whose name it logs.
    pub(crate) fn origin(&self) -> Origin {
        let (process, host) = match self {
            Self::Run(options) => (Process::Supervisor, &options.host),
            Self::Master(options) => (Process::Master, &options.host),
            Self::Broadcast(options) => (Process::Broadcast, &options.host),
            Self::Worker(options) => (Process::Worker(options.slot.into()), &options.host),
            Self::Gateway(options) => (Process::Master, &options.host),
            Self::Check(_)
            | Self::Apply(_)
            | Self::Rollback(_)
            | Self::Generations(_)
            | Self::Swap(_)
            | Self::Purge(_)
            | Self::Policy(_)
            | Self::Esp(_)
            | Self::Alerts(_)
            | Self::Session(_)
            | Self::Status(_)
            | Self::Upgrade(_)
            | Self::Ha(_)
            | Self::Manager(_)
            | Self::Agent(_)
            | Self::Fits(_)
            | Self::Quickstart(_) => {
                return Origin { gateway: None, process: self.name(), index: None };
            }
        };
        Origin { gateway: Some(gateway_id(host)), process: self.name(), index: process.index() }
    }

    /// As the log calls it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Run(_) => Process::Supervisor.to_string(),
            Self::Master(_) | Self::Gateway(_) => Process::Master.to_string(),
            Self::Broadcast(_) => Process::Broadcast.to_string(),
            Self::Worker(options) => Process::Worker(options.slot.into()).to_string(),
            Self::Check(_) => "check".to_owned(),
            Self::Apply(_) => "apply".to_owned(),
            Self::Rollback(_) => "rollback".to_owned(),
            Self::Generations(_) => "generations".to_owned(),
            Self::Swap(_) => "swap".to_owned(),
            Self::Purge(_) => "purge".to_owned(),
            Self::Policy(_) => "policy".to_owned(),
            Self::Esp(_) => "esp".to_owned(),
            Self::Session(_) => "session".to_owned(),
            Self::Upgrade(_) => "upgrade".to_owned(),
            Self::Ha(_) => "ha".to_owned(),
            Self::Manager(_) => "manager".to_owned(),
            Self::Agent(_) => "agent".to_owned(),
            Self::Fits(_) => "fits".to_owned(),
            Self::Alerts(_) => "alerts".to_owned(),
            Self::Status(_) => "status".to_owned(),
            Self::Quickstart(_) => "quickstart".to_owned(),
        }
    }
}

/// What the gateway is called. If its host.toml cannot be read, the role says so next.
fn gateway_id(host: &Path) -> String {
    let text = std::fs::read_to_string(host).unwrap_or_default();
    let id = mainstay_config::host::parse(&text).ok().and_then(|host| host.id);
    id.unwrap_or_else(mainstay_os::host_name)
}

impl From<SlotName> for Slot {
    fn from(name: SlotName) -> Self {
        match name {
            SlotName::One => Self::One,
            SlotName::Two => Self::Two,
        }
    }
}

impl From<WorkerOptions> for mainstay_worker::Options {
    fn from(options: WorkerOptions) -> Self {
        Self { host: options.host, slot: options.slot.into() }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn what_the_supervisor_starts_is_understood() {
        let line = ["mainstay", "worker", "--slot", "two", "--host", "/etc/host.toml"];
        assert_eq!(CommandLine::parse_from(line).role.name(), "worker two");
        let line = ["mainstay", "master", "--host", "/etc/host.toml"];
        assert_eq!(CommandLine::parse_from(line).role.name(), "master");
    }

    #[test]
    fn the_help_names_what_an_operator_may_use() {
        let help = CommandLine::command().render_help().to_string();
        for shown in [
            "run",
            "check",
            "apply",
            "rollback",
            "generations",
            "swap",
            "session",
            "upgrade",
            "ha",
            "alerts",
            "status",
            "manager",
            "quickstart",
        ] {
            assert!(help.contains(&format!("\n  {shown} ")), "{shown} is not in {help}");
        }
        assert!(!help.contains("\n  worker "), "{help}");
    }
}
