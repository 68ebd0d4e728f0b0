//! New connections: from a leased listener, from the master, or found after a death with
//! nothing noted of them.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use mainstay_http::Exchange;
use mainstay_ledger::{Counter, Record};
use mainstay_model::ListenerId;
use mainstay_os::{ChannelError, Endpoint, Interest, accept, close_listener, cookie, peer_address};
use mainstay_wire::frame::DESCRIPTORS_MAX;
use mainstay_wire::lane::{HANDOFF_MAX, decode};
use tracing::{debug, warn};

use crate::connection::{Connection, Gone, Queued, Watch};
use crate::lane::Lane;
use crate::reload::NO_LISTENER;
use crate::settings::Serves;
use crate::token::Token;

/// Connections taken out of a listener's queue at a time. What is queued is safe whatever
/// happens to us; what was accepted has to be saved.
const ACCEPTS_MAX: usize = 32;

/// A listening socket that the configuration knows.
#[derive(Clone, Debug)]
pub struct Listening {
    /// Its place in the configuration.
    pub id: ListenerId,
    pub socket: Arc<OwnedFd>,
    /// What it is bound to.
    pub endpoint: Endpoint,
    pub lease: Lease,
}

/// Whether the lanes of the active worker accept from a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    Ours,
    /// The master accepts.
    None,
}

impl Listening {
    fn is(&self, socket: &Arc<OwnedFd>) -> bool {
        Arc::ptr_eq(&self.socket, socket)
    }
}

/// Whether a lane takes connections from the listeners that are leased to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepting {
    /// It was not told to.
    Off,
    On,
    /// It was told to, and has no room.
    Full,
}

/// What is left in a listener's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    /// Nothing, or nothing that this lane can take now.
    Over,
    /// As many were taken as are taken at a time.
    Unknown,
}

/// Whether a lane receives handoffs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handing {
    On,
    /// There is no room for another.
    Full,
    /// The channel has ended.
    Over,
}

impl Lane {
    /// Begins to accept from all listeners.
    pub(crate) fn start_accepting(&mut self) {
        if self.accepting == Accepting::On {
            return;
        }
        self.accepting = Accepting::On;
        self.watch_listeners();
    }

    fn leased(&self) -> impl Iterator<Item = &Listening> {
        self.listeners.iter().filter(|listening| listening.lease == Lease::Ours)
    }

    fn watch_listeners(&self) {
        for Listening { id, socket, .. } in self.leased() {
            let token = Token::Listener { id: id.0 }.pack();
            if let Err(error) = self.poller.add(socket.as_fd(), token, Interest::Accept) {
                warn!(listener = id.0, %error, "cannot watch a listener");
            }
        }
    }

    /// Takes what waits at listeners that are not among `staying`, and ends those of them that
    /// are in `ended`, for everyone. A lane that does not accept leaves that to the one that does.
    pub(crate) fn let_go(&mut self, staying: &[Listening], ended: &[Arc<OwnedFd>]) {
        let going: Vec<Listening> = self
            .leased()
            .filter(|listening| !staying.iter().any(|one| one.is(&listening.socket)))
            .cloned()
            .collect();
        for Listening { id, socket, .. } in going {
            if self.accepting != Accepting::On {
                return;
            }
            while self.accept_from(id.0) == Queue::Unknown {}
            let is_ended = ended.iter().any(|one| Arc::ptr_eq(one, &socket));
            if is_ended && let Err(error) = close_listener(socket.as_fd()) {
                warn!(listener = id.0, %error, "cannot close a listener");
            }
        }
    }

    /// The listening sockets are these from here on.
    pub(crate) fn take_up(&mut self, listeners: Vec<Listening>) {
        if self.accepting == Accepting::On {
            self.stop_accepting(Accepting::On);
        }
        self.listeners = listeners;
        if self.accepting == Accepting::On {
            self.watch_listeners();
        }
    }

    /// Accepts no more, until told to or until there is room again.
    pub(crate) fn stop_accepting(&mut self, state: Accepting) {
        if self.accepting == Accepting::On {
            for Listening { id, socket, .. } in self.leased() {
                if let Err(error) = self.poller.remove(socket.as_fd()) {
                    warn!(listener = id.0, %error, "cannot stop watching a listener");
                }
            }
        }
        self.accepting = state;
    }

    /// Takes what is queued, and has whoever comes later refused: for the end of the gateway.
    /// A lane that does not accept leaves the listeners to the one that does.
    pub(crate) fn close_listeners(&mut self) {
        if self.accepting == Accepting::On {
            for Listening { id, socket, .. } in self.leased().cloned().collect::<Vec<_>>() {
                while self.accept_from(id.0) == Queue::Unknown {}
                if let Err(error) = close_listener(socket.as_fd()) {
                    warn!(listener = id.0, %error, "cannot close a listener");
                }
            }
        }
        self.stop_accepting(Accepting::Off);
    }

    /// Goes on accepting if only the lack of room had ended it.
    pub(crate) fn resume_accepting(&mut self) {
        if self.accepting == Accepting::Full {
            self.start_accepting();
        }
        if self.handing == Handing::Full && self.ledger.room() >= HANDOFF_MAX {
            let token = Token::Handoffs.pack();
            match self.poller.add(&self.handoffs, token, Interest::ReadLevel) {
                Ok(()) => self.handing = Handing::On,
                Err(error) => warn!(%error, "cannot watch for handoffs"),
            }
        }
    }

    /// Accepts from one listener.
    pub(crate) fn accept_from(&mut self, id: u16) -> Queue {
        let found = self.listeners.iter().find(|listening| listening.id.0 == id);
        let Some(Listening { socket, .. }) = found.cloned() else { return Queue::Over };
        for _ in 0..ACCEPTS_MAX {
            if self.accepting != Accepting::On {
                return Queue::Over;
            }
            if self.ledger.room() == 0 {
                self.stop_accepting(Accepting::Full);
                return Queue::Over;
            }
            match accept(socket.as_fd()) {
                Ok(Some((client, peer))) => self.open(client, peer, ListenerId(id)),
                Ok(None) => return Queue::Over,
                Err(error) => {
                    // Out of descriptors, most likely: the queue holds, and it is tried again
                    // when a connection has ended, or in a second.
                    warn!(listener = id, %error, "cannot accept a connection");
                    self.stop_accepting(Accepting::Full);
                    return Queue::Over;
                }
            }
        }
        Queue::Unknown
    }

    /// Receives what the master has handed over.
    pub(crate) fn receive_handoffs(&mut self) {
        let mut buffer = [0; 2 * DESCRIPTORS_MAX];
        loop {
            if self.ledger.room() < HANDOFF_MAX {
                // What is queued stays queued, and holds the master back.
                if self.handing == Handing::On {
                    self.forget_handoffs(Handing::Full);
                }
                return;
            }
            let message = match self.handoffs.receive(&mut buffer) {
                Ok(Some(message)) => message,
                Ok(None) => return,
                Err(ChannelError::Closed) => {
                    // Nobody can hand over any more; looking again would never end.
                    self.forget_handoffs(Handing::Over);
                    return;
                }
                Err(error) => {
                    warn!(%error, "a handoff was lost");
                    return;
                }
            };
            let bytes = buffer.get(..message.bytes).unwrap_or_default();
            // Where it came in it tells itself: what the master's number meant may have changed
            // since it was sent.
            let numbers: Vec<_> = match decode(bytes, message.descriptors.len()) {
                Ok(numbers) => numbers.collect(),
                Err(error) => {
                    warn!(%error, "a handoff was refused");
                    continue;
                }
            };
            for (client, number) in message.descriptors.into_iter().zip(numbers) {
                let listener = match number {
                    ListenerId::OWN => ListenerId::OWN,
                    _ => self.listener_of(&client).unwrap_or(NO_LISTENER),
                };
                self.take_in(client, listener);
            }
        }
    }

    fn forget_handoffs(&mut self, state: Handing) {
        self.handing = state;
        if let Err(error) = self.poller.remove(&self.handoffs) {
            debug!(%error, "the lane's channel was not watched");
        }
    }

    /// Takes a connection that was left with nothing noted of it. It is worked on in its
    /// turn.
    pub(crate) fn take_over(&mut self, client: OwnedFd, listener: ListenerId) {
        match peer_address(&client) {
            Ok(peer) => {
                if let Some(mut connection) = self.begin(client, peer, listener) {
                    connection.queued = Queued::Yes;
                    self.runnable.push_back((connection.slot, connection.age));
                    self.install(connection);
                }
            }
            Err(error) => debug!(%error, "a connection ended before it was served"),
        }
    }

    /// Takes a connection that the master has accepted.
    fn take_in(&mut self, client: OwnedFd, listener: ListenerId) {
        match peer_address(&client) {
            Ok(peer) => self.open(client, peer, listener),
            // The client has gone since.
            Err(error) => debug!(%error, "a connection ended before it was served"),
        }
    }

    /// Begins to serve a connection.
    fn open(&mut self, client: OwnedFd, peer: Option<SocketAddr>, listener: ListenerId) {
        if let Some(connection) = self.begin(client, peer, listener) {
            self.note_id(connection.record.id);
            let slot = connection.slot;
            self.install(connection);
            self.work_on(slot, |_, _| Ok(()));
        }
    }

    /// A new connection, which is not in the ledger yet.
    fn begin(
        &mut self,
        client: OwnedFd,
        peer: Option<SocketAddr>,
        listener: ListenerId,
    ) -> Option<Box<Connection>> {
        let id = match cookie(&client) {
            Ok(id) => id,
            Err(error) => {
                debug!(%error, "a connection ended before it was served");
                return None;
            }
        };
        let Some(slot) = self.ledger.allocate() else {
            warn!(limit = self.ledger.capacity(), "no room for a connection, it is closed");
            return None;
        };
        let listening = self.settings.listeners.get(usize::from(listener.0));
        let tunnel =
            matches!(listening.map(|listening| listening.serves), Some(Serves::Tcp { .. }));
        let mut record = Record::FREE;
        record.id = id;
        record.client_fd = client.as_raw_fd();
        record.listener = listener.0;
        record.peer = peer.into();
        if tunnel {
            record.exchange = Exchange::TUNNEL;
            record.begun = self.now.micros();
        }
        self.ledger.count(Counter::Accepted, 1);
        let age = self.next_age(slot);
        let mut connection = Box::new(Connection::new(slot, age, record, client, self.now));
        // Its request is often here already.
        connection.client_is.readable = true;
        Some(connection)
    }

    /// Puts a connection in its slot, with its first commit, and watches it.
    pub(crate) fn install(&mut self, mut connection: Box<Connection>) {
        let slot = connection.slot;
        self.ledger.enter(slot);
        self.commit(&mut connection);
        self.ledger.count(Counter::Connections, 1);
        let token = Token::Client { slot, age: connection.age }.pack();
        let watched = self.poller.add(connection.client.as_fd(), token, Interest::Read);
        connection.watch = Watch::Reads;
        match watched {
            Ok(()) => self.put_back(connection),
            Err(error) => {
                warn!(%error, "cannot watch a connection, it is closed");
                self.close(connection, Gone::ClientLeft);
            }
        }
        self.ledger.leave();
    }
}
