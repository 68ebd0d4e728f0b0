//! `cargo xtask latency`: how long clients wait for an heir, and what connections cost.

use mainstay_e2e::latency;

use crate::test;

/// Builds the gateway as it is shipped, and measures it.
pub fn run(options: &latency::Options) -> anyhow::Result<()> {
    test::build()?;
    latency::run(options)?;
    Ok(())
}
