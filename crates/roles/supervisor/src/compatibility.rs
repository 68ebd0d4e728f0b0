//! Whether another program can take the place of this one, with everything that is open.
//!
//! The program itself says which messages and which ledger it understands: before an upgrade
//! the supervisor runs it with the words `fits --host FILE`, and compares its answer with its own.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use mainstay_wire::frame::WIRE_VERSION;

use crate::settings::{self, Start};

/// What `mainstay fits` is given.
#[derive(Clone, Debug, clap::Args)]
pub struct FitOptions {
    /// The host.toml of the gateway
    #[arg(long, value_name = "FILE")]
    pub host: PathBuf,
}

/// Says what this program understands, if it understands the configuration of the gateway too.
pub fn fits(options: &FitOptions) -> anyhow::Result<ExitCode> {
    let settings = settings::read(&options.host)?;
    drop(settings::read_current(&settings.host, Start::Again)?);
    writeln!(io::stdout().lock(), "{}", understood()).context("cannot say what is understood")?;
    Ok(ExitCode::SUCCESS)
}

/// What two programs that can be exchanged have in common.
pub(crate) fn understood() -> String {
    format!("mainstay: messages {WIRE_VERSION}, ledger {}", mainstay_ledger::VERSION)
}
