//! `cargo xtask pins`: the certificate of all managers exchanged, and managers that are none.

use mainstay_e2e::pins;

use crate::test;

/// Builds the program as it is shipped, and has a fleet go from one certificate to the next.
pub fn run(options: &pins::Options) -> anyhow::Result<()> {
    test::build()?;
    pins::run(options)
}
