//! `cargo xtask crowd`: how a large fleet comes back after an outage.

use mainstay_e2e::crowd;

use crate::test;

/// Builds the program as it is shipped, and ends its manager for a while.
pub fn run(options: &crowd::Options) -> anyhow::Result<()> {
    test::build()?;
    crowd::run(options)
}
