//! Offering what a process left to one heir after another, until everything is taken.
//!
//! An heir that dies before it answers leaves open offers. Whether it had committed them is
//! asked of its own ledger, which came with its claim: so a connection is never offered to
//! two, and never lost between two.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::Duration;

use mainstay_message::{MessageError, receive, send};
use mainstay_model::Chain;
use mainstay_os::{
    Channel, ChannelError, ChannelListener, Interest, Pidfd, Poller, SharedFile, now,
    remove_if_there,
};
use mainstay_wire::estate::{OFFER_DESCRIPTORS_MAX, OFFERS_OPEN_MAX, ToHeir, ToKeeper};
use tracing::{debug, warn};

use crate::keeper::KeeperSetup;
use crate::lane::LedgerState;
use crate::observer::Observer;
use crate::scan::{Left, Search, borrow};

const LISTENER: u64 = 0;
const HEIR: u64 = 1;
const HEIR_END: u64 = 2;

/// How often an heir that is suspected dead is looked at.
const HEIR_INTERVAL: Duration = Duration::from_millis(1);

/// What is left, and what of it is offered and not answered.
#[derive(Debug)]
pub(crate) struct Estate<'a> {
    setup: &'a KeeperSetup,
    search: Search<'a>,
    /// What was found and is to be offered, or offered again.
    left: VecDeque<Left>,
    open: BTreeMap<u32, Vec<Left>>,
    offers: u32,
    path: PathBuf,
}

/// An heir that is taking.
#[derive(Debug)]
struct Heir {
    channel: Channel,
    process: Pidfd,
    ledger: Observer,
}

impl<'a> Estate<'a> {
    pub(crate) fn new(setup: &'a KeeperSetup, search: Search<'a>, path: PathBuf) -> Self {
        Self { setup, search, left: VecDeque::new(), open: BTreeMap::new(), offers: 0, path }
    }

    /// Serves heirs until everything is taken, or nobody came for `patience`.
    pub(crate) fn settle(
        mut self,
        listener: &ChannelListener,
        patience: Duration,
    ) -> io::Result<()> {
        let mut poller = Poller::new(4)?;
        poller.add(listener, LISTENER, Interest::ReadLevel)?;
        let mut give_up = now() + patience;
        while !self.is_settled() {
            let Some(channel) = listener.accept()? else {
                let left = give_up.since(now());
                if left.is_zero() {
                    warn!(
                        pid = self.setup.pid,
                        connections = self.left.len() + self.search.found(),
                        "nobody came for what a process left, its connections are closed"
                    );
                    return Ok(());
                }
                poller.wait(Some(left))?;
                continue;
            };
            match self.serve(channel) {
                Ok(()) => {}
                Err(error) => debug!(error = %Chain(&error), "an heir gave up"),
            }
            give_up = now() + patience;
        }
        self.send_away(listener)
    }

    /// Nothing is left: whoever came to the door meanwhile is told so.
    fn send_away(&mut self, listener: &ChannelListener) -> io::Result<()> {
        remove_if_there(&self.path)?;
        while let Some(channel) = listener.accept()? {
            if let Err(error) = self.serve(channel) {
                debug!(error = %Chain(&error), "an heir went away by itself");
            }
        }
        Ok(())
    }

    fn is_settled(&mut self) -> bool {
        self.open.is_empty() && self.left.is_empty() && self.search.is_over()
    }

    /// Serves one heir until everything is taken or it is past doing anything.
    fn serve(&mut self, channel: Channel) -> io::Result<()> {
        let heir = self.receive_claim(channel)?;
        let mut poller = Poller::new(4)?;
        poller.add(&heir.channel, HEIR, Interest::ReadLevel)?;
        poller.add(&heir.process, HEIR_END, Interest::ReadLevel)?;
        let estate = ToHeir::Estate { pid: self.setup.pid };
        let mut result =
            send(&heir.channel, &estate, &[self.setup.ledger.as_fd()]).map_err(io::Error::other);
        while result.is_ok() && !self.is_settled() {
            result = self.exchange(&heir, &mut poller);
            if has_ended(&heir)? {
                break;
            }
        }
        if self.is_settled() {
            // First, so that the heir does not come a second time.
            remove_if_there(&self.path)?;
            return send(&heir.channel, &ToHeir::Settled, &[]).map_err(io::Error::other);
        }
        // Only when it is past doing anything does its ledger tell what it has; and what it
        // had answered for, it may have finished with.
        while !has_ended(&heir)? {
            poller.wait(Some(HEIR_INTERVAL))?;
        }
        if let Err(error) = self.receive_answers(&heir) {
            // The end of its channel: everything that it said was read.
            debug!(error = %Chain(&error), "an heir is gone");
        }
        self.take_back(&heir.ledger);
        result
    }

    /// Waits for the first message of a process that connected.
    fn receive_claim(&self, channel: Channel) -> io::Result<Heir> {
        let mut poller = Poller::new(1)?;
        poller.add(&channel, HEIR, Interest::ReadLevel)?;
        poller.wait(Some(self.setup.patience))?;
        let received = receive(&channel).map_err(io::Error::other)?;
        let (claim, descriptors) =
            received.ok_or_else(|| io::Error::from(io::ErrorKind::TimedOut))?;
        let ToKeeper::Claim { pid } = claim else {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        };
        let ledger = descriptors.into_iter().next();
        let ledger = ledger.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        let file = SharedFile::from_descriptor(ledger);
        let ledger = Observer::open(&file).map_err(io::Error::other)?;
        Ok(Heir { process: Pidfd::open(pid)?, channel, ledger })
    }

    /// One round: offers as far as offers may be open, then waits for an answer.
    fn exchange(&mut self, heir: &Heir, poller: &mut Poller) -> io::Result<()> {
        while self.open.len() < OFFERS_OPEN_MAX {
            let batch = self.next_batch();
            if batch.is_empty() {
                break;
            }
            match self.offer(heir, batch) {
                Ok(()) => {}
                Err(MessageError::Channel { source: ChannelError::Full })
                    if !self.open.is_empty() =>
                {
                    break;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        if self.open.is_empty() {
            return Ok(());
        }
        poller.wait(Some(self.setup.patience))?;
        self.receive_answers(heir)
    }

    fn receive_answers(&mut self, heir: &Heir) -> io::Result<()> {
        while let Some((message, _)) = receive(&heir.channel).map_err(io::Error::other)? {
            match message {
                // The heir holds them; our copies are closed here.
                ToKeeper::Taken { offer } => drop(self.open.remove(&offer)),
                ToKeeper::Claim { .. } => return Err(io::Error::from(io::ErrorKind::InvalidData)),
            }
        }
        Ok(())
    }

    /// The next connections to be offered together: of one urgency, and as many as fit.
    fn next_batch(&mut self) -> Vec<Left> {
        let mut batch: Vec<Left> = Vec::new();
        let mut descriptors = 0;
        while let Some(next) = self.left.pop_front().or_else(|| self.search.next()) {
            descriptors += next.item.descriptors();
            if descriptors > OFFER_DESCRIPTORS_MAX
                || batch.last().is_some_and(|last| last.urgency != next.urgency)
            {
                self.left.push_front(next);
                break;
            }
            batch.push(next);
        }
        batch
    }

    /// Sends one offer.
    fn offer(&mut self, heir: &Heir, batch: Vec<Left>) -> Result<(), MessageError> {
        let items = batch.iter().map(|left| left.item).collect();
        let offer = self.offers;
        let borrowed: Vec<BorrowedFd<'_>> = batch.iter().flat_map(borrow).collect();
        match send(&heir.channel, &ToHeir::Offer { offer, items }, &borrowed) {
            Ok(()) => {
                self.offers = self.offers.wrapping_add(1);
                self.open.insert(offer, batch);
                Ok(())
            }
            Err(error) => {
                self.put_back(batch);
                Err(error)
            }
        }
    }

    /// Takes back the offers that a dead heir did not answer, but for what it had committed.
    fn take_back(&mut self, heir: &Observer) {
        let open = std::mem::take(&mut self.open);
        if open.is_empty() {
            return;
        }
        let committed = heir.records();
        let untaken = open.into_values().flatten().filter(|left| !committed.contains(&left.id));
        self.put_back(untaken.collect());
    }

    /// Before everything else that is left: it was more urgent.
    fn put_back(&mut self, batch: Vec<Left>) {
        for left in batch.into_iter().rev() {
            self.left.push_front(left);
        }
    }
}

/// Whether an heir is past doing anything: gone, or dumping core.
fn has_ended(heir: &Heir) -> io::Result<bool> {
    Ok(heir.process.has_exited()? || heir.ledger.state() == LedgerState::Orphaned)
}
