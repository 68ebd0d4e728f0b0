//! What a process left: its connections, found by its ledger and in its descriptor table.
//!
//! # Invariants
//!
//! 1. A descriptor is taken for a connection's only if the socket behind it has the cookie
//!    that the ledger noted: its number may have been closed and opened again since.
//! 2. A socket that was accepted, or handed over, and not noted yet is found too: it is
//!    bound to the address of a listener and is not listening itself.
//! 3. A socket that was being adopted and not noted yet is not ours: the keeper that offered
//!    it has it still. It is known by the ledgers that were open here.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};

use mainstay_http::Phase;
use mainstay_os::{
    Channel, ChannelError, Endpoint, Inheritance, SharedFile, close_listener, cookie,
    local_endpoint, peer_address, refuse_more,
};
use mainstay_wire::estate::Item;
use mainstay_wire::frame::MESSAGE_BYTES_MAX;
use rustix::net::{AddressFamily, SocketType, sockopt};

use crate::observer::Observer;
use crate::record::Record;

/// Which connections are offered first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
}

/// What was found in a descriptor table.
#[derive(Debug)]
pub(crate) struct Findings {
    /// In the order in which it is to be offered.
    pub(crate) left: Vec<Left>,
    /// Everything else. To be held until all is settled: closing some hundreds of idle upstream
    /// connections takes longer than everything that clients wait for.
    pub(crate) rest: Vec<OwnedFd>,
}

/// Takes everything out of an inheritance, and finds out what it is.
pub(crate) fn scan(observer: &Observer, inheritance: &mut Inheritance) -> Findings {
    let mut left = noted(observer, inheritance);
    left.sort_by_key(|left| left.urgency);
    let mut rest = Vec::new();
    left.extend(fresh(inheritance, &mut rest));
    Findings { left, rest }
}

/// The connections of the ledger.
fn noted(observer: &Observer, inheritance: &mut Inheritance) -> Vec<Left> {
    let mut left = Vec::new();
    for lane in 0..observer.lanes() {
        for slot in 0..observer.slots_touched(lane) {
            let Some(record) = observer.record(lane, slot) else { continue };
            let Some(client) = take_checked(inheritance, record.client_fd, record.id) else {
                continue;
            };
            let upstream = take_checked(inheritance, record.upstream_fd, record.upstream_id);
            let lane = u16::try_from(lane).expect("far fewer lanes");
            let slot = u32::try_from(slot).expect("far fewer slots");
            let item = match upstream {
                Some(_) => Item::Both { lane, slot },
                None => Item::Client { lane, slot },
            };
            let urgency = urgency(&record, &client);
            left.push(Left { urgency, id: record.id, item, client, upstream });
        }
    }
    left
}

/// A client waits when its exchange is under way, or when it has sent what nobody has read.
fn urgency(record: &Record, client: &OwnedFd) -> Urgency {
    let idle = record.exchange.phase == Phase::Waiting && record.streams.request.is_empty();
    match rustix::io::ioctl_fionread(client) {
        Ok(0) if idle => Urgency::Idle,
        _ => Urgency::Waiting,
    }
}

fn take_checked(inheritance: &mut Inheritance, number: i32, id: u64) -> Option<OwnedFd> {
    let descriptor = inheritance.take(number)?;
    if cookie(&descriptor).ok() == Some(id) {
        return Some(descriptor);
    }
    // The number was closed and opened again: it is another connection's.
    inheritance.give_back(descriptor);
    None
}

/// The connections that nothing was noted of. What is none goes to `rest`.
fn fresh(inheritance: &mut Inheritance, rest: &mut Vec<OwnedFd>) -> Vec<Left> {
    let mut found = Found::default();
    let numbers: Vec<_> = inheritance.numbers().collect();
    for number in numbers {
        if let Some(descriptor) = inheritance.take(number) {
            found.sort(descriptor);
        }
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
fn note_failure(attempted: &str, result: std::io::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "keeper could not {attempted}");
    }
}

/// The number of a descriptor, for the order of an offer.
pub(crate) fn borrow(left: &Left) -> impl Iterator<Item = std::os::fd::BorrowedFd<'_>> {
    std::iter::once(left.client.as_fd()).chain(left.upstream.as_ref().map(AsFd::as_fd))
}
