//! The master's own keeper: it holds what was accepted and not handed over.
//!
//! The master carries no connection, so its ledger is a header and nothing else. A socket
//! that it accepted is found in the descriptor table and offered as fresh.

use anyhow::Context as _;
use mainstay_config::{Host, host};
use mainstay_ledger::{Adoption, Kept, KeptSetup, Layout};

/// Descriptors that it may come to hold while it hands over.
const DESCRIPTORS: u64 = 4096;

/// Makes the keeper. Before any thread exists.
pub(crate) fn start(host: &Host) -> anyhow::Result<Kept> {
    let adoption = match host.pair.adoption {
        host::Adoption::On => Adoption::On,
        host::Adoption::Off => Adoption::Off,
    };
    Kept::start(KeptSetup {
        name: "master",
        layout: Layout::HEADER_ONLY,
        configuration: 0,
        directory: host.run.join("keepers"),
        patience: host.pair.keep_timeout,
        adoption,
        descriptors: DESCRIPTORS,
    })
    .context("cannot be kept")
}
