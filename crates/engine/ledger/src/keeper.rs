//! The process that outlives its process: waits for the death, and offers what is left.
//!
//! ```text
//!  waiting ── the process is gone, or dumps core and nothing else of it runs ──▶ orphaned
//!     │ closed: nothing to adopt                                                   │
//!     ▼                                                                            ▼
//!   ends ◀────────────── everything was taken, or nobody came in time ────── offering
//! ```
//!
//! # Invariants
//!
//! 1. Nothing is offered before the process is past doing anything.
//! 2. A connection leaves the estate only when an heir has it in its ledger.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mainstay_model::Chain;
use mainstay_os::{
    ChannelListener, Dumping, Event, Inheritance, Interest, Pidfd, Poller, SharedFile,
    remove_if_there,
};
use rustix::io::Errno;
use tracing::{debug, error};

use crate::estate::Estate;
use crate::lane::{Header, Ledger, LedgerState};
use crate::layout::header;
use crate::observer::Observer;
use crate::scan::Search;

/// What a keeper is given, before its process has a second thread.
#[derive(Debug)]
pub struct KeeperSetup {
    /// The role of the process that is kept: heirs tell estates apart by it.
    pub name: &'static str,
    /// Where heirs look for estates.
    pub directory: PathBuf,
    /// The number of the process that is kept.
    pub pid: u32,
    pub ledger: SharedFile,
    /// Raised by the process when a fatal signal has struck it.
    pub doom: Event,
    /// To be raised when the process is past doing anything.
    pub orphaned: Event,
    /// How long the estate waits for an heir.
    pub patience: Duration,
}

/// How often a process that is dying is looked at.
const DYING_INTERVAL: Duration = Duration::from_micros(250);

/// Keeps: the whole life of a keeper process. Returns its exit code.
pub fn keep(parent: &Pidfd, setup: &KeeperSetup) -> i32 {
    match wait_and_offer(parent, setup) {
        Ok(()) => 0,
        Err(error) => {
            error!(pid = setup.pid, error = %Chain(&error), "keeper failed");
            1
        }
    }
}

fn wait_and_offer(parent: &Pidfd, setup: &KeeperSetup) -> io::Result<()> {
    let header = Ledger::open_header(&setup.ledger).map_err(io::Error::other)?;
    wait_for_the_end(parent, setup, header)?;
    if header.read(header::STATE) == LedgerState::Closed as u64 {
        return Ok(());
    }
    header.set_state(LedgerState::Orphaned);
    // Before anything else: the master is to choose the heir while the estate is sorted.
    setup.orphaned.raise()?;
    offer(setup)
}

/// Offers what is left in this process's descriptor table. Its owner is past doing anything:
/// a dead process, or this one when its lanes have ended.
pub(crate) fn offer(setup: &KeeperSetup) -> io::Result<()> {
    // An heir may come to the door while the estate is sorted.
    let path = setup.directory.join(format!("{}.{}", setup.name, setup.pid));
    let listener = ChannelListener::bind(&path)?;
    let result = sort_and_settle(setup, &listener, &path);
    remove_if_there(&path)?;
    result
}

fn sort_and_settle(setup: &KeeperSetup, listener: &ChannelListener, path: &Path) -> io::Result<()> {
    let in_use =
        [setup.ledger.as_fd(), setup.doom.as_fd(), setup.orphaned.as_fd(), listener.as_fd()];
    let mut inheritance = Inheritance::open(&in_use)?;
    let observer = Observer::open(&setup.ledger).map_err(io::Error::other)?;
    write_log(&observer, &mut inheritance);
    let search = Search::new(&setup.ledger, &observer, inheritance);
    debug!(pid = setup.pid, connections = search.found(), "keeper offers connections");
    Estate::new(setup, search, path.to_owned()).settle(listener, setup.patience)
}

/// Waits until the process is past doing anything.
fn wait_for_the_end(parent: &Pidfd, setup: &KeeperSetup, header: Header) -> io::Result<()> {
    const PARENT: u64 = 0;
    const DOOM: u64 = 1;
    let mut poller = Poller::new(2)?;
    poller.add(parent, PARENT, Interest::ReadLevel)?;
    poller.add(&setup.doom, DOOM, Interest::Read)?;
    let mut limit = None;
    loop {
        poller.wait(limit)?;
        if parent.has_exited()? {
            return Ok(());
        }
        let thread = header.read(header::FATAL_THREAD);
        if thread == 0 {
            continue;
        }
        // A fatal signal struck: either the process ends soon, or it dumps core, which may
        // take seconds in which nothing else of it runs.
        let thread = u32::try_from(thread).unwrap_or(0);
        if Dumping::of(setup.pid, thread).unwrap_or(Dumping::No) == Dumping::Alone {
            return Ok(());
        }
        limit = Some(DYING_INTERVAL);
    }
}

/// Writes the lines of the access log that the process did not get to.
fn write_log(observer: &Observer, inheritance: &mut Inheritance) {
    for lane in 0..observer.lanes() {
        let Some((number, lines)) = observer.unwritten_log(lane) else { continue };
        let Some(file) = inheritance.take(number) else { continue };
        let mut rest = lines.as_slice();
        while !rest.is_empty() {
            match rustix::io::write(&file, rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(errno) => {
                    error!(error = %io::Error::from(errno), "access log lines were lost");
                    break;
                }
            }
        }
    }
}
