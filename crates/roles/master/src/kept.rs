//! The master's own keeper: it holds what was accepted and not handed over.
//!
//! The master carries no connection, so its ledger is a header and nothing else. A socket
//! that it accepted is found in the descriptor table and offered as fresh.

use anyhow::Context as _;
use mainstay_config::Host;
use mainstay_ledger::{Header, KeeperSetup, Layout, Ledger, LedgerState, keep};
use mainstay_os::{Event, Keeper, SharedFile, make_keeper, watch_fatal_signals};

/// A master that is kept.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) keeper: Keeper,
    header: Header,
    /// What the keeper waits for; its descriptors are shared and must stay open.
    _setup: KeeperSetup,
}

impl Kept {
    /// Makes the keeper. Before any thread exists.
    pub(crate) fn start(host: &Host) -> anyhow::Result<Self> {
        let pid = std::process::id();
        let ledger = SharedFile::create("mainstay-master", Layout::HEADER_ONLY.bytes())
            .context("cannot make the ledger's file")?;
        let header = Ledger::create(&ledger, Layout::HEADER_ONLY, pid)
            .context("cannot make the ledger")?
            .header();
        let setup = KeeperSetup {
            directory: host.run.join("keepers"),
            pid,
            ledger,
            doom: Event::new().context("cannot make an event")?,
            orphaned: Event::new().context("cannot make an event")?,
            patience: host.pair.hold_timeout,
        };
        let keeper =
            make_keeper(|parent| keep(parent, &setup)).context("cannot make the keeper")?;
        watch_fatal_signals(header.fatal_note(), &setup.doom)
            .context("cannot watch for fatal signals")?;
        Ok(Self { keeper, header, _setup: setup })
    }

    /// Nothing is left to keep.
    pub(crate) fn close(&self) {
        self.header.set_state(LedgerState::Closed);
    }
}
