//! `cargo xtask exchanges`: how many exchanges a manager finishes, and what each costs.

use mainstay_e2e::exchanges::{self, Backend};

use crate::{need, test};

/// Builds the program as it is shipped, and has many agents exchange with one manager.
pub fn run(options: &exchanges::Options) -> anyhow::Result<()> {
    if options.database == Backend::Postgres {
        need::programs(&[need::POSTGRES])?;
    }
    test::build()?;
    exchanges::run(options)
}
