//! A process with a keeper: the first thing that a role makes.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use mainstay_os::{
    Event, Interest, Keeper, MemoryError, Poller, SharedFile, make_keeper, reserve_descriptors,
    watch_fatal_signals,
};

use crate::keeper::{KeeperSetup, keep, offer};
use crate::lane::{Ledger, LedgerState};
use crate::layout::Layout;

/// What a kept process is made with.
#[derive(Clone, Debug)]
pub struct KeptSetup {
    /// The role: `master` or `worker`.
    pub name: &'static str,
    pub layout: Layout,
    /// The number of what it serves by; 0 for nothing.
    pub configuration: u64,
    /// Where heirs look for estates.
    pub directory: PathBuf,
    /// How long an estate waits for an heir.
    pub patience: Duration,
    pub adoption: Adoption,
    /// Descriptors that the process may come to hold.
    pub descriptors: u64,
}

/// Whether connections outlive their process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    On,
    /// There is no keeper: connections die with their process, as elsewhere.
    Off,
}

/// Why a process could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    #[error("cannot make the ledger")]
    Ledger { source: MemoryError },

    #[error("cannot make an event")]
    Event { source: io::Error },

    #[error("cannot make room for descriptors")]
    Descriptors { source: io::Error },

    #[error("cannot make the keeper")]
    Keeper { source: io::Error },

    #[error("cannot watch for fatal signals")]
    Signals { source: io::Error },
}

/// A process's ledger and its keeper.
#[derive(Debug)]
pub struct Kept {
    ledger: Ledger,
    keeper: Option<Keeper>,
    /// Shared with the keeper, and so to stay open.
    setup: KeeperSetup,
    configuration: u64,
}

impl Kept {
    /// Makes the ledger and the keeper. To be called before any thread exists.
    pub fn start(setup: KeptSetup) -> Result<Self, KeepError> {
        reserve_descriptors(setup.descriptors)
            .map_err(|source| KeepError::Descriptors { source })?;
        let pid = std::process::id();
        let file = SharedFile::create(setup.name, setup.layout.bytes())
            .map_err(|source| KeepError::Ledger { source })?;
        let ledger = Ledger::create(&file, setup.layout, pid, setup.configuration)
            .map_err(|source| KeepError::Ledger { source })?;
        let event = || Event::new().map_err(|source| KeepError::Event { source });
        let keeping = KeeperSetup {
            name: setup.name,
            directory: setup.directory,
            pid,
            ledger: file,
            doom: event()?,
            orphaned: event()?,
            patience: setup.patience,
        };
        let keeper = match setup.adoption {
            Adoption::On => Some(
                make_keeper(|parent| keep(parent, &keeping))
                    .map_err(|source| KeepError::Keeper { source })?,
            ),
            Adoption::Off => None,
        };
        watch_fatal_signals(ledger.header().fatal_note(), &keeping.doom)
            .map_err(|source| KeepError::Signals { source })?;
        Ok(Self { ledger, keeper, setup: keeping, configuration: setup.configuration })
    }

    /// The ledger, to give out its lanes.
    pub const fn ledger(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// The ledger's file, for those who observe it.
    pub const fn file(&self) -> &SharedFile {
        &self.setup.ledger
    }

    /// What it serves by.
    pub const fn configuration(&self) -> u64 {
        self.configuration
    }

    /// Serves by another from here on; 0 while some of its records are of the one and some of
    /// the other.
    pub fn serve_by(&mut self, configuration: u64) {
        self.configuration = configuration;
        self.ledger.header().set_configuration(configuration);
    }

    /// Raised by the keeper when this process is past doing anything.
    pub const fn orphaned(&self) -> &Event {
        &self.setup.orphaned
    }

    /// The keeper's number; 0 without one.
    pub fn keeper_pid(&self) -> u32 {
        self.keeper.as_ref().map_or(0, Keeper::pid)
    }

    /// Has `poller` tell, under `token`, when the keeper is gone.
    pub fn watch(&self, poller: &Poller, token: u64) -> io::Result<()> {
        match &self.keeper {
            Some(keeper) => poller.add(keeper, token, Interest::ReadLevel),
            None => Ok(()),
        }
    }

    /// Ends that, once the keeper is known to be gone.
    pub fn unwatch(&self, poller: &Poller) -> io::Result<()> {
        match &self.keeper {
            Some(keeper) => poller.remove(keeper),
            None => Ok(()),
        }
    }

    /// Whether there was a keeper and it is gone.
    pub fn has_lost_keeper(&self) -> io::Result<bool> {
        match &self.keeper {
            Some(keeper) => keeper.pidfd().has_exited(),
            None => Ok(false),
        }
    }

    /// Nothing is left to adopt.
    pub fn close(&self) {
        self.ledger.header().set_state(LedgerState::Closed);
    }

    /// Does the keeper's work in this process, which has lost its own: offers everything
    /// until it is taken. Its lanes have ended, and nobody here owns a descriptor any more.
    pub fn offer(&self) -> io::Result<()> {
        self.ledger.header().set_state(LedgerState::Orphaned);
        offer(&self.setup)?;
        self.close();
        Ok(())
    }
}
