//! `cargo xtask rollout`: how far a bad configuration gets in a fleet.

use mainstay_e2e::rollout;

use crate::test;

/// Builds the program as it is shipped, and rolls a bad configuration out.
pub fn run(options: &rollout::Options) -> anyhow::Result<()> {
    test::build()?;
    rollout::run(options)
}
