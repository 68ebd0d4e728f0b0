//! The end of an exchange, and what follows on its connection.

use std::os::fd::AsFd;

use mainstay_adopt::{Cursors, Flow, Span, Window};
use mainstay_config::gateway::Accept;
use mainstay_http::{Download, Exchange, Mark, Next, Phase, Sink, Upload};
use mainstay_ledger::{Counter, Direction};
use mainstay_os::end_writing;
use tracing::debug;

use crate::connection::{Connection, Gone, Progress, Raw};
use crate::lane::Lane;
use crate::pool::Socket;
use crate::settings::{Listener, Tenure};
use crate::splice::Content;

impl Lane {
    /// Ends what has come to its end, once everything that was made for the client is out.
    pub(crate) fn turn_over(&mut self, connection: &mut Connection) -> Result<Progress, Gone> {
        if connection.record.streams.response.output() > 0 {
            return Ok(Progress::None);
        }
        let tunnel = connection.record.exchange.phase == Phase::Tunnel;
        if tunnel {
            self.end_halves(connection);
        }
        match connection.record.exchange.next() {
            Next::Wait => Ok(Progress::None),
            Next::NextRequest => {
                self.next_request(connection)?;
                Ok(Progress::Made)
            }
            Next::Close if tunnel && connection.record.streams.request.output() > 0 => {
                Ok(Progress::None)
            }
            Next::Close if client_may_be_sending(connection) => self.linger(connection),
            Next::Close => Err(Gone::Complete),
            Next::Linger => self.linger(connection),
        }
    }

    /// Passes on the end of one direction of a tunnel, when its last byte is out.
    fn end_halves(&mut self, connection: &mut Connection) {
        let record = &connection.record;
        let exchange = &record.exchange;
        if exchange.download == Download::Complete && !connection.ends.to_client {
            connection.ends.to_client = true;
            note_failure(end_writing(connection.client.as_fd()));
        }
        let request_out = record.streams.request.output() == 0;
        if exchange.upload == Upload::Complete && request_out && !connection.ends.to_upstream {
            connection.ends.to_upstream = true;
            let socket = connection.upstream.and_then(|link| self.upstreams.socket(link.index));
            if let Some(socket) = socket {
                note_failure(end_writing(socket));
            }
        }
    }

    /// Makes the connection ready for another request.
    fn next_request(&mut self, connection: &mut Connection) -> Result<(), Gone> {
        self.log_exchange(connection, Gone::Complete);
        let kept = self.part_from_upstream(connection);
        self.unbind(connection);
        let record = connection.change();
        let (head, response) = (record.head.place, record.streams.response.window.place);
        record.exchange = Exchange::WAITING;
        record.exchanges = record.exchanges.saturating_add(1);
        record.head = Span::EMPTY;
        record.streams.request.ahead = Span::EMPTY;
        record.streams.response = Flow::EMPTY;
        // What of the body no server took is not the next request's.
        record.streams.request.window.start = record.streams.request.window.ready;
        record.begun = 0;
        self.release(head);
        self.release(response);
        self.tidy(connection, Direction::Request);
        connection.raw = Raw::New;
        connection.moved = self.now;
        connection.since = self.now;
        self.commit(connection);
        self.keep_upstream(kept);
        match (self.is_stopping(), client_may_be_sending(connection)) {
            (false, _) => Ok(()),
            (true, false) => Err(Gone::Complete),
            (true, true) => self.linger(connection).map(drop),
        }
    }

    /// Keeps a socket for another exchange, once the ledger does not speak of it any more.
    fn keep_upstream(&mut self, index: Option<u32>) {
        if let Some(index) = index {
            drop(self.upstreams.keep(index, self.now));
        }
    }

    /// Takes the upstream side off a connection: closes it, or returns it to be kept for
    /// another exchange.
    fn part_from_upstream(&mut self, connection: &mut Connection) -> Option<u32> {
        let exchange = connection.record.exchange;
        let clean = exchange.upstream_persists == Mark::Yes
            && exchange.download == Download::Complete
            && exchange.upload == Upload::Complete
            && exchange.sink == Sink::Upstream
            && connection.record.streams.request.output() == 0
            && connection.record.streams.response.window.is_empty()
            // Bytes that nobody asked for would be taken for the next response.
            && connection.upstream.is_some_and(|link| !link.is.ended && !link.is.readable);
        if !clean {
            self.drop_upstream(connection);
            return None;
        }
        let link = connection.upstream.take()?;
        let socket: &mut Socket = self.upstreams.get_mut(link.index)?;
        socket.cursors = connection.record.streams.upstream;
        let record = connection.change();
        record.upstream_fd = -1;
        record.upstream_id = 0;
        record.streams.upstream = Cursors::default();
        Some(link.index)
    }

    /// Ends our side, and gives the client time to read what was said: closing while it
    /// still sends would make the kernel reset the connection and lose it (RFC 9112, 9.6).
    fn linger(&mut self, connection: &mut Connection) -> Result<Progress, Gone> {
        self.log_exchange(connection, Gone::Complete);
        let kept = self.part_from_upstream(connection);
        self.unbind(connection);
        let record = connection.change();
        let head = record.head.place;
        let window = record.streams.request.window.place;
        record.exchange.phase = Phase::Lingering;
        record.head = Span::EMPTY;
        record.streams.request.ahead = Span::EMPTY;
        record.streams.request.window = Window::EMPTY;
        record.begun = 0;
        self.release(head);
        self.release(window);
        self.tidy(connection, Direction::Response);
        connection.moved = self.now;
        connection.since = self.now;
        // Reads are to tell the end from here on, whatever was known before.
        connection.client_is.readable = true;
        note_failure(end_writing(connection.client.as_fd()));
        self.commit(connection);
        self.keep_upstream(kept);
        Ok(Progress::Made)
    }

    /// Ends a connection that another process may hold a copy of: one that a master handed over
    /// and had not closed when it died is still open in its keeper. Its client would wait for the
    /// end, and an heir would take it for new.
    ///
    /// And a response whose only end is that of its connection: whoever reads it must not take
    /// what was cut off for whole.
    fn end_for_all(&self, connection: &Connection, gone: Gone) {
        if gone == Gone::SessionEnded && ends_with_connection(connection) {
            match mainstay_os::reset(&connection.client) {
                Ok(()) => return,
                Err(error) => debug!(%error, "cannot break a connection off"),
            }
        }
        let listener = self.settings.listeners.get(usize::from(connection.record.listener));
        // What waits at a listener that ends is handed over too.
        let was_handed_over = |listener: &Listener| {
            listener.accept == Accept::Master || listener.tenure == Tenure::Former
        };
        if listener.is_none_or(was_handed_over) {
            note_failure(mainstay_os::end(&connection.client));
        }
    }

    /// Closes a connection and forgets it.
    pub(crate) fn close(&mut self, mut connection: Box<Connection>, gone: Gone) {
        if connection.record.begun != 0 || connection.record.exchange.phase == Phase::Tunnel {
            self.log_exchange(&mut connection, gone);
        }
        let kept = self.part_from_upstream(&mut connection);
        self.unbind(&mut connection);
        let streams = connection.record.streams;
        let places = [
            connection.record.head.place,
            streams.request.ahead.place,
            streams.request.window.place,
            streams.response.ahead.place,
            streams.response.window.place,
        ];
        let slot = connection.slot;
        let pipe = connection.pipe.take();
        let content =
            if connection.record.pipe_id == 0 { Content::Nothing } else { Content::Something };
        self.end_for_all(&connection, gone);
        // The socket first: a slot that is free speaks of nothing, and a socket without a
        // slot would be taken for one that was just accepted.
        drop(connection);
        self.ledger.free(slot);
        self.keep_upstream(kept);
        if let Some(pipe) = pipe {
            self.pipes.give_back(pipe, content);
        }
        for (index, place) in places.iter().enumerate() {
            // The head is often what goes out ahead, too.
            if !places.iter().take(index).any(|earlier| earlier == place) {
                self.ledger.areas.free(*place);
            }
        }
        while let Some(place) = self.released.pop() {
            self.ledger.areas.free(place);
        }
        self.ledger.uncount(Counter::Connections, 1);
        self.resume_accepting();
    }
}

/// Whether our side of the connection ends as soon as what was made for the client is out.
pub(crate) fn ends_with_this(connection: &Connection) -> bool {
    let exchange = &connection.record.exchange;
    exchange.phase != Phase::Tunnel && matches!(exchange.next(), Next::Close | Next::Linger)
}

/// Whether the client takes the end of the connection for the end of the response.
fn ends_with_connection(connection: &Connection) -> bool {
    matches!(connection.record.exchange.download, Download::UntilClose | Download::Decoded)
}

/// Whether closing now might cut off what the client still sends.
fn client_may_be_sending(connection: &Connection) -> bool {
    connection.client_is.readable || connection.record.streams.request.window.raw_len() > 0
}

/// A peer that is gone will be noticed at the next read.
fn note_failure(result: std::io::Result<()>) {
    if let Err(error) = result {
        debug!(%error, "cannot end one direction of a connection");
    }
}
