//! `cargo xtask outages`: a fleet on hosts of its own, whose managers, networks and database fail.

use mainstay_e2e::outages;

use crate::{need, test};

/// Builds the program as it is shipped, and hurts a fleet of it.
pub fn run(options: &outages::Options) -> anyhow::Result<()> {
    need::programs(&[need::POSTGRES])?;
    test::build()?;
    outages::run(options)
}
