//! What a process left: its connections, found by its ledger and in its descriptor table.
//!
//! # Invariants
//!
//! 1. A descriptor is taken for a connection's only if the socket behind it has the cookie
//!    that the ledger noted, or the pipe the inode: its number may have been closed and opened
//!    again since.
//! 2. A socket that was accepted, or handed over, and not noted yet is found too: it is
//!    bound to the address of a listener and is not listening itself.
//! 3. A socket that was being adopted and not noted yet is not ours: the keeper that offered
//!    it has it still. It is known by the ledgers that were open here.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use mainstay_http::Phase;
use mainstay_model::Chain;
use mainstay_os::{
    Channel, ChannelError, Endpoint, Inheritance, SharedFile, close_listener, cookie,
    local_endpoint, peer_address, pipe_id, refuse_more,
};
use mainstay_wire::estate::{Item, With};
use mainstay_wire::frame::MESSAGE_BYTES_MAX;
use rustix::net::{AddressFamily, SocketType, sockopt};
use tracing::{debug, error};

use crate::lane::Ledger;
use crate::observer::Observer;
use crate::record::Record;

/// Which connections are offered first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Somebody waits.
    Waiting,
    /// Nobody does yet.
    Idle,
    /// After everything with a record: a connection that another keeper offers with its record
    /// must not begin anew.
    Fresh,
}

/// One connection that was left, with its descriptors.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) urgency: Urgency,
    pub(crate) id: u64,
    pub(crate) item: Item,
    pub(crate) client: OwnedFd,
    pub(crate) upstream: Option<OwnedFd>,
    pub(crate) pipe: Option<OwnedFd>,
}

/// The search for what a process left: the most urgent first, each looked at when its turn
/// comes, so that the first can be offered while the others are still to be found.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    /// To note in it which connections without a record are this estate's.
    ledger: &'a SharedFile,
    inheritance: Inheritance,
    /// In the order in which they are to be offered.
    noted: VecDeque<Noted>,
    /// `None` before they were looked for.
    fresh: Option<VecDeque<Left>>,
    /// Everything else. To be held until all is settled: closing some hundreds of idle upstream
    /// connections takes longer than everything that clients wait for.
    rest: Vec<OwnedFd>,
}

/// A record that was found, and whose descriptors were not looked at yet.
#[derive(Clone, Copy, Debug)]
struct Noted {
    urgency: Urgency,
    lane: u16,
    slot: u32,
    id: u64,
    client_fd: i32,
    upstream_id: u64,
    upstream_fd: i32,
    pipe_id: u64,
    pipe_fd: i32,
}

impl<'a> Search<'a> {
    /// Reads the ledger. No descriptor was taken before but what is no connection's.
    pub(crate) fn new(
        ledger: &'a SharedFile,
        observer: &Observer,
        inheritance: Inheritance,
    ) -> Self {
        let (mut waiting, mut idle) = (VecDeque::new(), VecDeque::new());
        for lane in 0..observer.lanes() {
            for slot in 0..observer.slots_touched(lane) {
                let Some(record) = observer.record(lane, slot) else { continue };
                let urgency = urgency(&record, &inheritance);
                let queue = if urgency == Urgency::Waiting { &mut waiting } else { &mut idle };
                queue.push_back(Noted {
                    urgency,
                    lane: u16::try_from(lane).expect("far fewer lanes"),
                    slot: u32::try_from(slot).expect("far fewer slots"),
                    id: record.id,
                    client_fd: record.client_fd,
                    upstream_id: record.upstream_id,
                    upstream_fd: record.upstream_fd,
                    pipe_id: record.pipe_id,
                    pipe_fd: record.pipe_fd,
                });
            }
        }
        waiting.append(&mut idle);
        Self { ledger, inheritance, noted: waiting, fresh: None, rest: Vec::new() }
    }

    /// Whether nothing was left. May look for it first.
    pub(crate) fn is_over(&mut self) -> bool {
        self.noted.is_empty() && self.fresh().is_empty()
    }

    /// How many were found, or were noted and not looked at yet.
    pub(crate) fn found(&self) -> usize {
        let fresh = self.fresh.as_ref().map_or(0, VecDeque::len);
        self.noted.len() + fresh
    }

    /// The most urgent connection that is left.
    pub(crate) fn next(&mut self) -> Option<Left> {
        while let Some(noted) = self.noted.pop_front() {
            if let Some(left) = self.look_at(noted) {
                return Some(left);
            }
        }
        self.fresh().pop_front()
    }

    /// Takes the descriptors of a record, if they are what it says.
    fn look_at(&mut self, noted: Noted) -> Option<Left> {
        let Noted { urgency, lane, slot, id, .. } = noted;
        let client = self.take_checked(noted.client_fd, |socket| cookie(socket), id)?;
        let upstream =
            self.take_checked(noted.upstream_fd, |socket| cookie(socket), noted.upstream_id);
        let pipe = self.take_checked(noted.pipe_fd, |pipe| pipe_id(pipe), noted.pipe_id);
        let with = match (&upstream, &pipe) {
            (None, None) => With::Nothing,
            (Some(_), None) => With::Upstream,
            (None, Some(_)) => With::Pipe,
            (Some(_), Some(_)) => With::UpstreamAndPipe,
        };
        Some(Left { urgency, id, item: Item::Noted { lane, slot, with }, client, upstream, pipe })
    }

    fn take_checked(
        &mut self,
        number: i32,
        id_of: impl Fn(&OwnedFd) -> io::Result<u64>,
        id: u64,
    ) -> Option<OwnedFd> {
        let descriptor = self.inheritance.take(number)?;
        if id_of(&descriptor).ok() == Some(id) {
            return Some(descriptor);
        }
        // The number was closed and opened again: it is another connection's.
        self.inheritance.give_back(descriptor);
        None
    }

    /// The connections that nothing was noted of: what is in the table still when all that was
    /// noted has been taken.
    fn fresh(&mut self) -> &mut VecDeque<Left> {
        let fresh = self.fresh.take().unwrap_or_else(|| self.find_fresh().into());
        self.fresh.insert(fresh)
    }

    /// Looks for them, and writes down which are this estate's.
    fn find_fresh(&mut self) -> Vec<Left> {
        let mut fresh = sort(&mut self.inheritance, &mut self.rest);
        let ids = fresh.iter().map(|left| left.id);
        let noted = Ledger::note_fresh(self.ledger, ids).unwrap_or_else(|error| {
            error!(error = %Chain(&error), "cannot note new connections");
            0
        });
        if noted < fresh.len() {
            error!(closed = fresh.len() - noted, "too many new connections were left");
            fresh.truncate(noted);
        }
        fresh
    }
}

/// A client waits when its exchange is under way, or when it has sent what nobody has read.
fn urgency(record: &Record, inheritance: &Inheritance) -> Urgency {
    let idle = record.exchange.phase == Phase::Waiting && record.streams.request.is_empty();
    if idle && !inheritance.is_readable(record.client_fd) {
        Urgency::Idle
    } else {
        Urgency::Waiting
    }
}

/// Finds the connections among descriptors that no record speaks of. What is none goes to
/// `rest`.
fn sort(inheritance: &mut Inheritance, rest: &mut Vec<OwnedFd>) -> Vec<Left> {
    let mut found = Found::default();
    for descriptor in inheritance.take_rest() {
        found.sort(descriptor);
    }
    let Found { listeners, candidates, others } = found;
    let mut fresh = Vec::new();
    for client in candidates {
        let accepted = was_accepted(&client, &listeners);
        match cookie(&client) {
            Ok(id) if accepted && !others.contains(&id) => fresh.push(Left {
                urgency: Urgency::Fresh,
                id,
                item: Item::Fresh,
                client,
                upstream: None,
                pipe: None,
            }),
            _ => rest.push(client),
        }
    }
    fresh
}

/// What descriptors turned out to be.
#[derive(Debug, Default)]
struct Found {
    listeners: Vec<Endpoint>,
    /// Sockets that may be clients'.
    candidates: Vec<OwnedFd>,
    /// What other processes' ledgers know of.
    others: BTreeSet<u64>,
}

impl Found {
    /// Finds out what one descriptor is: a listener, a candidate for a connection, a channel
    /// with messages that nobody received, another's ledger, or nothing that matters.
    fn sort(&mut self, descriptor: OwnedFd) {
        let Ok(kind) = sockopt::socket_type(&descriptor) else {
            if let Ok(ledger) = Observer::open(&SharedFile::from_descriptor(descriptor)) {
                self.others.extend(ledger.ids());
            }
            return;
        };
        let listens = sockopt::socket_acceptconn(&descriptor).unwrap_or(false);
        if kind == SocketType::SEQPACKET {
            if listens {
                // Whoever connects now would wait for a dead process.
                note_failure("close a channel's address", close_listener(&descriptor));
            } else {
                for sent in undelivered(descriptor) {
                    self.sort(sent);
                }
            }
        } else if kind == SocketType::STREAM {
            if listens {
                self.listeners.extend(local_endpoint(&descriptor).ok().flatten());
            } else {
                self.candidates.push(descriptor);
            }
        }
    }
}

/// Descriptors that were sent to the process and never received.
fn undelivered(channel: OwnedFd) -> Vec<OwnedFd> {
    // First nobody can send more, then what is there is taken out.
    note_failure("close a channel for sending", refuse_more(&channel));
    let Ok(channel) = Channel::from_descriptor(channel) else { return Vec::new() };
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    let mut found = Vec::new();
    loop {
        match channel.receive(&mut buffer) {
            Ok(Some(message)) => found.extend(message.descriptors),
            // The descriptors of a message that is too long are closed with it; no message
            // of ours is.
            Err(ChannelError::TooLong { .. } | ChannelError::DescriptorLost) => {}
            Ok(None) | Err(_) => return found,
        }
    }
}

/// Whether a socket came out of a listener's queue.
fn was_accepted(socket: &OwnedFd, listeners: &[Endpoint]) -> bool {
    if sockopt::socket_type(socket) != Ok(SocketType::STREAM) {
        return false;
    }
    if sockopt::socket_acceptconn(socket).unwrap_or(true) {
        return false;
    }
    // A connection that its client has already reset has no peer any more.
    let connected = match sockopt::socket_domain(socket) {
        Ok(AddressFamily::UNIX) => true,
        _ => peer_address(socket).is_ok(),
    };
    let Ok(Some(local)) = local_endpoint(socket) else { return false };
    connected && listeners.iter().any(|listener| listener.covers(&local))
}

/// A keeper goes on whatever fails: each connection that it can save counts.
fn note_failure(attempted: &str, result: io::Result<()>) {
    if let Err(error) = result {
        debug!(%error, "keeper could not {attempted}");
    }
}

/// The number of a descriptor, for the order of an offer.
pub(crate) fn borrow(left: &Left) -> impl Iterator<Item = std::os::fd::BorrowedFd<'_>> {
    let others = [&left.upstream, &left.pipe];
    std::iter::once(left.client.as_fd()).chain(others.into_iter().flatten().map(AsFd::as_fd))
}
