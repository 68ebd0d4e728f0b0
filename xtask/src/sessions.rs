//! `cargo xtask sessions`: who is logged in stays it, and who is logged out too, whoever dies.

use mainstay_e2e::sessions;

use crate::test;

/// Builds the gateway as it is shipped, and fills it with sessions.
pub fn run(options: &sessions::Options) -> anyhow::Result<()> {
    test::build()?;
    sessions::run(options)
}
