//! `cargo xtask torture`: kills real processes under load, and counts what clients see.

use mainstay_e2e::torture;

use crate::{need, test};

/// Builds the gateway as it is shipped, and hurts it.
pub fn run(options: &torture::Options) -> anyhow::Result<()> {
    if options.peers.is_some() {
        need::programs(&test::PEERS)?;
    }
    test::build()?;
    torture::run(options)?;
    Ok(())
}
