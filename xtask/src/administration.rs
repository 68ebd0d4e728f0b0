//! `cargo xtask administration`: applies, rollbacks and swaps under load, and kills in each step
//! of an apply.

use mainstay_e2e::administration;

use crate::test;

/// Builds the gateway as it is shipped, and administers it.
pub fn run(options: &administration::Options) -> anyhow::Result<()> {
    test::build()?;
    administration::run(options)
}
