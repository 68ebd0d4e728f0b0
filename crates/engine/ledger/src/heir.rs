//! The heir's side: claiming an estate, and what it finds of each connection.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use mainstay_adopt::{Cursors, Flow, Irreconcilable, Known, Place, Span, Window, reconcile};
use mainstay_message::{MessageError, receive, send};
use mainstay_os::{Channel, Counts, SharedFile, Truth, counts};
use mainstay_wire::estate::{Item, ToHeir, ToKeeper, With};
use rustix::io::ioctl_fionread;

use crate::areas::{Areas, Direction};
use crate::layout::AREA_BYTES;
use crate::observer::{ObserveError, Observer};
use crate::record::{BodySent, Record};

/// A claim on what one process left.
#[derive(Debug)]
pub struct Claim {
    channel: Arc<Channel>,
    configuration: u64,
    pid: u32,
    ledger: Option<Arc<Observer>>,
    /// The same ledger, open as long as the claim is: if this process dies, its keeper knows
    /// by it which sockets are still the other keeper's.
    file: Option<SharedFile>,
}

/// What a keeper said.
#[derive(Debug)]
pub enum Offer {
    /// Connections to adopt, and the receipt to be given when they are committed, before
    /// anything is done with them.
    Connections { receipt: Receipt, left: Vec<Left> },
    /// Everything was taken.
    Settled,
}

/// Tells a keeper that everything of one offer is in our ledger.
#[derive(Debug)]
pub struct Receipt {
    channel: Arc<Channel>,
    offer: u32,
}

impl Receipt {
    /// Gives it. Until then the keeper may offer the same to another.
    pub fn give(self) -> Result<(), AdoptError> {
        send(&self.channel, &ToKeeper::Taken { offer: self.offer }, &[])
            .map_err(|source| AdoptError::Message { source })
    }
}

/// One connection that was left, with its descriptors.
#[derive(Debug)]
pub enum Left {
    /// It was accepted and nothing was noted of it.
    Fresh(OwnedFd),
    Noted(Box<Adoptee>),
}

/// One connection with a record in a dead process's ledger.
#[derive(Debug)]
pub struct Adoptee {
    pub record: Record,
    pub client: OwnedFd,
    pub upstream: Option<OwnedFd>,
    /// With the part of the response that is in the pipe of the record.
    pub pipe: Option<OwnedFd>,
    /// It was being worked on when the process died by its own fault.
    pub suspect: bool,
    pub configuration: Configuration,
    in_step: bool,
    lane: usize,
    ledger: Arc<Observer>,
    /// Buffers that its bytes were copied to.
    taken: Vec<Place>,
}

/// Whether a record means by its numbers what we mean by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Configuration {
    Ours,
    Another,
}

/// Why an estate, or one connection of it, could not be adopted.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    #[error("cannot connect to the keeper")]
    Connect { source: io::Error },

    #[error("cannot talk to the keeper")]
    Message { source: MessageError },

    #[error("cannot read the ledger that was left")]
    Ledger { source: ObserveError },

    #[error("the keeper's messages are out of order")]
    OutOfOrder,

    #[error("cannot ask the kernel what was read and written")]
    Counts { source: io::Error },

    #[error("the kernel keeps no counts of a socket that was being worked on")]
    Uncounted,

    #[error("cannot reconcile the ledger with the kernel")]
    Irreconcilable { source: Irreconcilable },

    #[error("bytes that the ledger speaks of are not in it")]
    BytesMissing,
}

impl Claim {
    /// Claims the estate behind `path` for the process whose ledger is `own`, and which serves
    /// by `configuration`.
    pub fn send(path: &Path, own: &SharedFile, configuration: u64) -> Result<Self, AdoptError> {
        let channel = Channel::connect(path).map_err(|source| AdoptError::Connect { source })?;
        send(&channel, &ToKeeper::Claim { pid: std::process::id() }, &[own.as_fd()])
            .map_err(|source| AdoptError::Message { source })?;
        Ok(Self { channel: Arc::new(channel), configuration, pid: 0, ledger: None, file: None })
    }

    /// Where messages of the keeper arrive.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// The process that left it; 0 before the keeper's first message.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// The next thing that the keeper said, if it said anything.
    pub fn receive(&mut self) -> Result<Option<Offer>, AdoptError> {
        loop {
            let received = receive::<ToHeir>(&self.channel);
            let received = received.map_err(|source| AdoptError::Message { source })?;
            let Some((message, descriptors)) = received else { return Ok(None) };
            match message {
                ToHeir::Estate { pid } => self.open(pid, descriptors)?,
                ToHeir::Offer { offer, items } => {
                    let left = self.sort(&items, descriptors)?;
                    let receipt = Receipt { channel: Arc::clone(&self.channel), offer };
                    return Ok(Some(Offer::Connections { receipt, left }));
                }
                ToHeir::Settled => return Ok(Some(Offer::Settled)),
            }
        }
    }

    fn open(&mut self, pid: u32, descriptors: Vec<OwnedFd>) -> Result<(), AdoptError> {
        let file = descriptors.into_iter().next().ok_or(AdoptError::OutOfOrder)?;
        let file = SharedFile::from_descriptor(file);
        let ledger = Observer::open(&file).map_err(|source| AdoptError::Ledger { source })?;
        self.file = Some(file);
        self.pid = pid;
        self.ledger = Some(Arc::new(ledger));
        Ok(())
    }

    fn sort(&self, items: &[Item], descriptors: Vec<OwnedFd>) -> Result<Vec<Left>, AdoptError> {
        let ledger = self.ledger.as_ref().ok_or(AdoptError::OutOfOrder)?;
        let mut descriptors = descriptors.into_iter();
        let mut left = Vec::with_capacity(items.len());
        for item in items {
            let client = descriptors.next().ok_or(AdoptError::OutOfOrder)?;
            let Item::Noted { lane, slot, with } = *item else {
                left.push(Left::Fresh(client));
                continue;
            };
            let mut next = || descriptors.next().ok_or(AdoptError::OutOfOrder);
            let (upstream, pipe) = match with {
                With::Nothing => (None, None),
                With::Upstream => (Some(next()?), None),
                With::Pipe => (None, Some(next()?)),
                With::UpstreamAndPipe => (Some(next()?), Some(next()?)),
            };
            let lane = usize::from(lane);
            let record = ledger.record(lane, slot as usize).ok_or(AdoptError::OutOfOrder)?;
            let in_step = ledger.in_step(lane) == Some(slot);
            left.push(Left::Noted(Box::new(Adoptee {
                record,
                client,
                upstream,
                pipe,
                suspect: in_step && ledger.died_in(lane),
                configuration: if ledger.configuration() == self.configuration {
                    Configuration::Ours
                } else {
                    Configuration::Another
                },
                in_step,
                lane,
                ledger: Arc::clone(ledger),
                taken: Vec::new(),
            })));
        }
        Ok(left)
    }
}

/// What the kernel may know of a socket. Where it knows nothing, what happened since the last
/// note cannot be found out, and is not guessed.
fn known(socket: &OwnedFd) -> Result<Vec<Known>, AdoptError> {
    let known =
        |counts: Counts| Known::Counts(Cursors { read: counts.read, written: counts.written });
    match counts(socket).map_err(|source| AdoptError::Counts { source })? {
        Truth::Known(counts) => Ok(vec![known(counts)]),
        Truth::Either(one, other) => Ok(vec![known(one), known(other)]),
        Truth::Unknown => Err(AdoptError::Uncounted),
    }
}

impl Adoptee {
    /// Brings the record up to the truth, and its bytes into `areas`, in buffers of the
    /// connection's own. On an error no buffer is taken.
    pub fn settle(&mut self, areas: &mut Areas) -> Result<(), AdoptError> {
        let settled = self.settle_parts(areas);
        if settled.is_err() {
            for place in self.taken.drain(..) {
                areas.free(place);
            }
        }
        settled
    }

    fn settle_parts(&mut self, areas: &mut Areas) -> Result<(), AdoptError> {
        if self.upstream.is_none() {
            self.record.upstream_id = 0;
            self.record.upstream_fd = -1;
        }
        if self.in_step {
            self.reconcile()?;
        }
        let mut record = self.record;
        record.head = self.span(areas, record.head, Direction::Request)?;
        let streams = &mut record.streams;
        // The head of the request is both what goes out first and what is kept of it.
        let ahead = streams.request.ahead;
        streams.request.ahead = if ahead.is_empty() {
            Span::EMPTY
        } else if ahead.place == self.record.head.place && ahead.end <= record.head.end {
            Span { place: record.head.place, ..ahead }
        } else {
            return Err(AdoptError::BytesMissing);
        };
        streams.request.window = self.window(areas, streams.request.window, Direction::Request)?;
        streams.response.ahead = self.span(areas, streams.response.ahead, Direction::Response)?;
        streams.response.window =
            self.window(areas, streams.response.window, Direction::Response)?;
        if streams.response.window.place != Place::PIPE {
            self.pipe = None;
        }
        (record.pipe_fd, record.pipe_id) = match &self.pipe {
            Some(pipe) => (pipe.as_raw_fd(), record.pipe_id),
            None => (-1, 0),
        };
        record.adoptions = record.adoptions.saturating_add(1);
        self.record = record;
        Ok(())
    }

    /// Asks the kernel what was done after the last note.
    fn reconcile(&mut self) -> Result<(), AdoptError> {
        let clients = known(&self.client)?;
        let upstreams = match &self.upstream {
            Some(upstream) => known(upstream)?,
            None => vec![Known::Nothing],
        };
        let room = |flow: &Flow| {
            let (place, offset) = flow.landing();
            u32::try_from(Areas::capacity(place)).unwrap_or(u32::MAX).saturating_sub(offset)
        };
        let before = self.record.streams;
        let mut result = Err(Irreconcilable::Behind);
        for &client in &clients {
            for &upstream in &upstreams {
                if result.is_err() {
                    result = reconcile(&mut self.record.streams, client, upstream, room);
                }
            }
        }
        result.map_err(|source| AdoptError::Irreconcilable { source })?;
        let sent = self.record.streams.upstream.written - before.upstream.written;
        if sent > before.request.ahead.len() as u64 {
            self.record.body_sent = BodySent::Something;
        }
        Ok(())
    }

    fn span(
        &mut self,
        areas: &mut Areas,
        span: Span,
        direction: Direction,
    ) -> Result<Span, AdoptError> {
        // What has gone out of a kept head is still part of it, so it moves as a whole.
        let kept = if direction == Direction::Request { 0 } else { span.start };
        if kept >= span.end {
            return Ok(Span::EMPTY);
        }
        if span.start > span.end {
            return Err(AdoptError::BytesMissing);
        }
        let place = self.bytes(areas, span.place, direction, (kept, span.end))?;
        Ok(Span { place, start: span.start - kept, end: span.end - kept })
    }

    fn window(
        &mut self,
        areas: &mut Areas,
        window: Window,
        direction: Direction,
    ) -> Result<Window, AdoptError> {
        let Window { place, start, ready, end } = window;
        if window.is_empty() {
            return Ok(Window::EMPTY);
        }
        if ready < start || ready > end {
            return Err(AdoptError::BytesMissing);
        }
        if place == Place::PIPE && direction == Direction::Response {
            // They are where they were, as many as the kernel says.
            let held = self.pipe.as_ref().and_then(|pipe| ioctl_fionread(pipe).ok());
            let held = held.filter(|&held| held == u64::from(end - start));
            held.ok_or(AdoptError::BytesMissing)?;
            return Ok(Window { place, start: 0, ready: ready - start, end: end - start });
        }
        let place = self.bytes(areas, place, direction, (start, end))?;
        Ok(Window { place, start: 0, ready: ready - start, end: end - start })
    }

    /// Copies bytes out of the ledger that was left into a new buffer.
    fn bytes(
        &mut self,
        areas: &mut Areas,
        place: Place,
        direction: Direction,
        range: (u32, u32),
    ) -> Result<Place, AdoptError> {
        let (start, end) = (range.0 as usize, range.1 as usize);
        if place.is_none() || place == Place::PIPE {
            return Err(AdoptError::BytesMissing);
        }
        let layout = self.ledger.layout();
        let area = if let Some(index) = place.as_small() {
            layout.small_buffer(self.lane, index as usize)
        } else if let Some(index) = place.as_large() {
            layout.large_buffer(self.lane, index as usize)
        } else if place == Place::OUT {
            layout.out(self.lane)
        } else {
            layout.scratch(self.lane, direction as usize)
        };
        if end > area.len() || end - start > AREA_BYTES {
            return Err(AdoptError::BytesMissing);
        }
        let to = areas.allocate(end - start);
        self.taken.push(to);
        let target = areas.at_mut(to, direction).get_mut(..end - start);
        let target = target.ok_or(AdoptError::BytesMissing)?;
        if self.ledger.copy(area.start + start, target) {
            Ok(to)
        } else {
            Err(AdoptError::BytesMissing)
        }
    }
}

#[cfg(test)]
mod tests;
