//! `cargo xtask handshakes`: what a new TLS connection costs a manager, beside nginx.

use mainstay_e2e::handshakes;

use crate::{need, test};

/// Builds the program as it is shipped, and compares.
pub fn run(options: &handshakes::Options) -> anyhow::Result<()> {
    need::programs(&[&test::PEERS[..1], &[need::OPENSSL]].concat())?;
    test::build()?;
    handshakes::run(options)
}
