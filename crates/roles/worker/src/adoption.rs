//! Finding what other processes left, and handing it to the lanes.
//!
//! Keepers appear in a directory. The active worker looks at it when it becomes active and
//! whenever something appears, so nobody has to tell it: not even a master has to live.
//!
//! What workers left comes before what masters left: a master that died in the middle of a
//! handoff left a copy of what its worker had received, and the worker's is the one that
//! counts. So before a master's estate is claimed, every lane takes in what was handed over to
//! it, and of the estate only what none of them knows is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use anyhow::Context as _;
use mainstay_ledger::{AdoptError, Claim, Kept, Left, Observer, Offer};
use mainstay_model::{Chain, Timestamp};
use mainstay_os::{Interest, Poller, cookie, remove_if_there};
use mainstay_proxy::Command;
use mainstay_wire::pair::Adopted;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tracing::debug;

use crate::control::token;
use crate::lanes::Lanes;

/// How the name of a worker's estate begins.
const WORKER: &[u8] = b"worker.";

/// The estates that are being taken over.
#[derive(Debug)]
pub(crate) struct Adoptions {
    directory: PathBuf,
    /// Tells when something appears in the directory.
    watch: OwnedFd,
    claims: BTreeMap<u64, Taking>,
    /// Which claim a lane's ticket belongs to.
    tickets: BTreeMap<u64, u64>,
    /// Numbers claims and tickets.
    count: u64,
    /// Masters' estates that wait for the lanes to take in what was handed over to them.
    waiting: Option<Waiting>,
    /// Masters' estates for which they have.
    ready: BTreeSet<OsString>,
}

#[derive(Debug)]
struct Waiting {
    /// Lanes that have not answered yet.
    lanes: usize,
    estates: BTreeSet<OsString>,
}

#[derive(Debug)]
struct Taking {
    name: OsString,
    claim: Claim,
    begun: Timestamp,
    adopted: Adopted,
    /// Parts that lanes have not reported on.
    open: u32,
    course: Course,
    /// Connections that were here before it was claimed.
    known: BTreeSet<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Offering,
    /// The keeper has nothing more, or is gone.
    Over,
}

impl Adoptions {
    pub(crate) fn new(directory: PathBuf, poller: &Poller) -> anyhow::Result<Self> {
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .context("cannot watch for estates")?;
        inotify::add_watch(&watch, &directory, WatchFlags::MOVED_TO)
            .with_context(|| format!("cannot watch {}", directory.display()))?;
        poller
            .add(&watch, token::ESTATES, Interest::ReadLevel)
            .context("cannot watch for estates")?;
        Ok(Self {
            directory,
            watch,
            claims: BTreeMap::new(),
            tickets: BTreeMap::new(),
            count: 0,
            waiting: None,
            ready: BTreeSet::new(),
        })
    }

    /// Takes note that something appeared.
    pub(crate) fn clear_watch(&self) {
        let mut buffer = [0_u8; 4096];
        // Which names appeared is of no interest: the directory is read whole.
        while matches!(rustix::io::read(&self.watch, &mut buffer), Ok(count) if count > 0) {}
    }

    /// Claims every estate that is there and not claimed yet.
    pub(crate) fn claim_all(
        &mut self,
        kept: &Kept,
        lanes: &Lanes,
        poller: &Poller,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        let claimed: BTreeSet<&OsString> =
            self.claims.values().map(|taking| &taking.name).collect();
        let mut found = Vec::new();
        let listing = std::fs::read_dir(&self.directory)
            .with_context(|| format!("cannot read {}", self.directory.display()))?;
        for entry in listing {
            let name = entry.context("cannot read the keepers' directory")?.file_name();
            // A name with a dot is not there yet.
            if !name.as_encoded_bytes().starts_with(b".") && !claimed.contains(&name) {
                found.push(name);
            }
        }
        // Masters' estates wait until no worker's is left.
        let workers = |name: &OsString| name.as_encoded_bytes().starts_with(WORKER);
        if found.iter().any(workers) || self.claims.values().any(|taking| workers(&taking.name)) {
            found.retain(workers);
        } else {
            let estates: BTreeSet<_> =
                found.extract_if(.., |name| !self.ready.contains(name)).collect();
            if !estates.is_empty() && self.waiting.is_none() {
                lanes.tell_all(|| Command::ReceiveHandoffs)?;
                self.waiting = Some(Waiting { lanes: lanes.count(), estates });
            }
        }
        for name in found {
            self.ready.remove(&name);
            let path = self.directory.join(&name);
            match Claim::send(&path, kept.file(), kept.configuration()) {
                Ok(claim) => {
                    self.count += 1;
                    let number = self.count;
                    poller
                        .add(claim.channel(), token::CLAIM + number, Interest::ReadLevel)
                        .context("cannot watch a keeper")?;
                    let known = if workers(&name) {
                        BTreeSet::new()
                    } else {
                        let own = Observer::open(kept.file());
                        own.context("cannot read the worker's own ledger")?.records()
                    };
                    let taking = Taking {
                        name,
                        claim,
                        begun: now,
                        adopted: Adopted::default(),
                        open: 0,
                        course: Course::Offering,
                        known,
                    };
                    self.claims.insert(number, taking);
                }
                Err(error) => self.forget_dead(&path, &error),
            }
        }
        Ok(())
    }

    /// A lane has taken in what was handed over to it. True if that was the last one that was
    /// asked: masters' estates can be claimed.
    pub(crate) fn lane_received(&mut self) -> bool {
        let Some(waiting) = &mut self.waiting else { return false };
        waiting.lanes -= 1;
        if waiting.lanes > 0 {
            return false;
        }
        self.ready.extend(self.waiting.take().into_iter().flat_map(|waiting| waiting.estates));
        true
    }

    /// An address that nobody listens at was left by a keeper that was killed.
    fn forget_dead(&self, path: &std::path::Path, error: &AdoptError) {
        debug!(path = %path.display(), error = %Chain(error), "an estate cannot be claimed");
        if let Err(error) = remove_if_there(path) {
            debug!(path = %path.display(), %error, "cannot remove a dead keeper's address");
        }
    }

    /// Takes what a keeper has sent. Returns the result when everything is taken over.
    pub(crate) fn receive(
        &mut self,
        number: u64,
        lanes: &mut Lanes,
        now: Timestamp,
    ) -> anyhow::Result<Option<Adopted>> {
        let Some(taking) = self.claims.get_mut(&number) else { return Ok(None) };
        loop {
            match taking.claim.receive() {
                Ok(None) => return Ok(None),
                Ok(Some(Offer::Connections { receipt, mut left })) => {
                    left.retain(|left| !is_known(left, &taking.known));
                    self.count += 1;
                    self.tickets.insert(self.count, number);
                    taking.open += 1;
                    lanes.tell_next(Command::Adopt { ticket: self.count, receipt, left })?;
                }
                Ok(Some(Offer::Settled)) => break,
                Err(error) => {
                    debug!(from_pid = taking.claim.pid(), error = %Chain(&error), "a keeper is gone");
                    break;
                }
            }
        }
        taking.course = Course::Over;
        Ok(self.finish(number, now))
    }

    /// What came of a part that a lane has adopted. Returns the result when that was the last.
    pub(crate) fn taken(&mut self, ticket: u64, part: Adopted, now: Timestamp) -> Option<Adopted> {
        let number = self.tickets.remove(&ticket)?;
        let taking = self.claims.get_mut(&number)?;
        taking.open -= 1;
        let adopted = &mut taking.adopted;
        adopted.connections += part.connections;
        adopted.fresh += part.fresh;
        adopted.closed += part.closed;
        adopted.suspects += part.suspects;
        self.finish(number, now)
    }

    /// Ends a claim whose keeper has nothing more and whose parts are all reported.
    fn finish(&mut self, number: u64, now: Timestamp) -> Option<Adopted> {
        let taking = self.claims.get(&number)?;
        if taking.course == Course::Offering || taking.open > 0 {
            return None;
        }
        let taking = self.claims.remove(&number)?;
        let mut adopted = taking.adopted;
        adopted.from_pid = taking.claim.pid();
        adopted.micros = u64::try_from(now.since(taking.begun).as_micros()).unwrap_or(u64::MAX);
        Some(adopted)
    }
}

/// Whether a connection of which nothing was noted is one of these.
fn is_known(left: &Left, known: &BTreeSet<u64>) -> bool {
    match left {
        Left::Fresh(client) => cookie(client).is_ok_and(|id| known.contains(&id)),
        Left::Noted(_) => false,
    }
}
