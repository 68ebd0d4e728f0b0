//! Moving bytes: from a socket into a flow, and from a flow into a socket.
//!
//! The only reads and writes of a connection's sockets are here, so that the two rules that
//! an heir depends on are kept in one place: what a read lands in and what a write takes from
//! is in the ledger before the call.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd};

use mainstay_adopt::{Flow, Place, Span, Window};
use mainstay_http::Download;
use mainstay_ledger::{Areas, Direction};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};

use crate::connection::{Connection, Noted, Progress};
use crate::exchange::ends_with_this;
use crate::lane::Lane;
use crate::splice::FIRST_READ_BYTES;

/// Up to this length it costs less to copy two pieces to one place than to send them from two.
pub(crate) const JOINED_BYTES_MAX: usize = 4096;

/// What came of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    Bytes,
    /// Nothing now.
    Blocked,
    /// The peer has sent its last byte.
    Ended,
    /// The connection was reset, or is not there.
    Failed,
}

/// A write that cannot be made: the peer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WriteFailed;

impl Lane {
    /// Makes the ledger say what the record says.
    pub(crate) fn commit(&mut self, connection: &mut Connection) {
        if connection.noted == Noted::Behind {
            self.ledger.commit(connection.slot, &connection.record);
            connection.noted = Noted::Up;
            // Only now does nothing in the ledger speak of these any more.
            while let Some(place) = self.released.pop() {
                self.ledger.areas.free(place);
            }
        }
    }

    /// Gives a place back as soon as the ledger does not speak of it.
    pub(crate) fn release(&mut self, place: Place) {
        if place.is_own() {
            self.released.push(place);
        }
    }

    /// Reads once from the source of `direction`.
    pub(crate) fn fill(&mut self, connection: &mut Connection, direction: Direction) -> Filled {
        if direction == Direction::Response
            && let Some(filled) = self.fill_pipe(connection)
        {
            return filled;
        }
        self.make_room(connection, direction);
        self.commit(connection);
        let (place, offset) = flow(connection, direction).landing();
        let area = self.ledger.areas.at_mut(place, direction);
        let mut area = area.get_mut(offset as usize..).unwrap_or_default();
        if direction == Direction::Response
            && connection.record.exchange.download == Download::Head
            && self.pipes.are_used()
        {
            let limit = area.len().min(FIRST_READ_BYTES);
            area = area.get_mut(..limit).unwrap_or_default();
        }
        let room = area.len();
        if room == 0 {
            // Zero bytes would be taken for the end.
            return Filled::Blocked;
        }
        let result = match source(connection, &self.upstreams, direction) {
            Some(socket) => recv(socket, area, RecvFlags::DONTWAIT).map(|(count, _)| count),
            None => return Filled::Failed,
        };
        let Some(readiness) = connection.source(direction) else { return Filled::Failed };
        match result {
            Ok(0) => {
                readiness.readable = false;
                Filled::Ended
            }
            Ok(count) => {
                // A short read means that there was no more, unless the end is near, of
                // which an edge-triggered poller told already.
                readiness.readable = count == room || readiness.ended;
                connection.moved = self.now;
                let record = connection.change();
                let streams = &mut record.streams;
                let bytes = u32::try_from(count).expect("areas are small");
                match direction {
                    Direction::Request => {
                        streams.client.read += u64::from(bytes);
                        streams.request.has_read(bytes);
                    }
                    Direction::Response => {
                        streams.upstream.read += u64::from(bytes);
                        streams.response.has_read(bytes);
                    }
                }
                Filled::Bytes
            }
            Err(Errno::AGAIN | Errno::INTR) => {
                readiness.readable = result == Err(Errno::INTR);
                Filled::Blocked
            }
            Err(_) => {
                readiness.readable = false;
                Filled::Failed
            }
        }
    }

    /// Writes once to the sink of `direction`, if there is anything to write and it may get
    /// on.
    pub(crate) fn drain(
        &mut self,
        connection: &mut Connection,
        direction: Direction,
    ) -> Result<Progress, WriteFailed> {
        let waiting = flow(connection, direction).output();
        if waiting == 0 {
            return Ok(Progress::None);
        }
        match connection.sink(direction) {
            None => return Err(WriteFailed),
            Some(readiness) if !readiness.writable => return Ok(Progress::None),
            Some(_) => {}
        }
        self.commit(connection);
        let result = if flow(connection, direction).window.place == Place::PIPE {
            self.empty_pipe(connection, waiting)?
        } else {
            self.write(connection, direction)?
        };
        let count = match result {
            Ok(count) => count,
            Err(Errno::INTR) => return Ok(Progress::Made),
            Err(Errno::AGAIN) => 0,
            Err(_) => return Err(WriteFailed),
        };
        if count < waiting
            && let Some(readiness) = connection.sink(direction)
        {
            readiness.writable = false;
        }
        if count == 0 {
            return Ok(Progress::None);
        }
        connection.moved = self.now;
        self.note_written(connection, direction, count);
        Ok(Progress::Made)
    }

    /// What was made and what passes go out in one segment, where they can.
    fn write(
        &mut self,
        connection: &Connection,
        direction: Direction,
    ) -> Result<rustix::io::Result<usize>, WriteFailed> {
        let Flow { ahead, window, .. } = *flow(connection, direction);
        let made = span(&self.ledger.areas, ahead, direction);
        let passed = ready(&self.ledger.areas, window, direction);
        let socket = sink(connection, &self.upstreams, direction).ok_or(WriteFailed)?;
        // `send`, not `write`: what a socket needs, without what a file needs beside it.
        let mut flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        if direction == Direction::Response && ends_with_this(connection) {
            // The end follows at once, and goes out in the same segment.
            flags |= SendFlags::MORE;
        }
        Ok(if made.is_empty() {
            send(socket, passed, flags)
        } else if passed.is_empty() {
            send(socket, made, flags)
        } else if made.len() + passed.len() <= JOINED_BYTES_MAX {
            self.joined.clear();
            self.joined.extend_from_slice(made);
            self.joined.extend_from_slice(passed);
            send(socket, &self.joined, flags)
        } else {
            let pieces = [IoSlice::new(made), IoSlice::new(passed)];
            sendmsg(socket, &pieces, &mut SendAncillaryBuffer::default(), flags)
        })
    }

    fn note_written(&mut self, connection: &mut Connection, direction: Direction, count: usize) {
        let record = connection.change();
        let bytes = count as u64;
        match direction {
            Direction::Request => {
                let of_body = count > record.streams.request.ahead.len();
                if of_body {
                    record.body_sent = mainstay_ledger::BodySent::Something;
                }
                record.streams.upstream.written += bytes;
                record.streams.request.has_written(count);
            }
            Direction::Response => {
                record.streams.client.written += bytes;
                record.streams.response.has_written(count);
                record.bytes_out += bytes;
            }
        }
        self.tidy(connection, direction);
    }

    /// Lets go of what is empty.
    pub(crate) fn tidy(&mut self, connection: &mut Connection, direction: Direction) {
        let kept = connection.record.head.place;
        let flow = flow(connection, direction);
        if flow.ahead.is_empty() && !flow.ahead.place.is_none() && flow.ahead.place != kept {
            let place = flow.ahead.place;
            flow_mut(connection, direction).ahead = Span::EMPTY;
            self.release(place);
        }
        let window = self::flow(connection, direction).window;
        if window.is_empty() && !window.place.is_none() {
            flow_mut(connection, direction).window = Window::EMPTY;
            self.release(window.place);
            if window.place == Place::PIPE {
                let record = connection.change();
                (record.pipe_fd, record.pipe_id) = (-1, 0);
            }
        }
    }

    /// Sees to it that a read of `direction` has room.
    fn make_room(&mut self, connection: &mut Connection, direction: Direction) {
        let window = flow(connection, direction).window;
        let full = window.end as usize >= Areas::capacity(window.place);
        let gains = window.place.as_small().is_some() || window.start > 0;
        if window.place.is_none() || !full || !gains {
            return;
        }
        let range = window.start as usize..window.end as usize;
        let place = self.ledger.areas.relocate(window.place, direction, range);
        let Window { start, ready, end, .. } = window;
        flow_mut(connection, direction).window =
            Window { place, start: 0, ready: ready - start, end: end - start };
        self.release(window.place);
    }

    /// Moves what is left over out of the lane's shared areas, so that the next connection
    /// can use them.
    pub(crate) fn keep_leftovers(&mut self, connection: &mut Connection, direction: Direction) {
        self.tidy(connection, direction);
        let Flow { ahead, window, .. } = *flow(connection, direction);
        if ahead.place.is_shared() {
            let range = ahead.start as usize..ahead.end as usize;
            let place = self.ledger.areas.keep(ahead.place, direction, range, 0);
            let end = ahead.end - ahead.start;
            flow_mut(connection, direction).ahead = Span { place, start: 0, end };
        }
        if window.place.is_shared() {
            let Window { start, ready, end, .. } = window;
            let range = start as usize..end as usize;
            // What is not interpreted yet will be added to.
            let room = if window.raw_len() > 0 { range.len() } else { 0 };
            let place = self.ledger.areas.keep(window.place, direction, range, room);
            flow_mut(connection, direction).window =
                Window { place, start: 0, ready: ready - start, end: end - start };
        }
    }
}

/// One direction of a connection.
pub(crate) const fn flow(connection: &Connection, direction: Direction) -> &Flow {
    match direction {
        Direction::Request => &connection.record.streams.request,
        Direction::Response => &connection.record.streams.response,
    }
}

/// One direction of a connection, to be changed.
pub(crate) const fn flow_mut(connection: &mut Connection, direction: Direction) -> &mut Flow {
    match direction {
        Direction::Request => &mut connection.change().streams.request,
        Direction::Response => &mut connection.change().streams.response,
    }
}

/// The bytes that were made and wait to go out.
pub(crate) fn span(areas: &Areas, span: Span, direction: Direction) -> &[u8] {
    if span.is_empty() {
        return &[];
    }
    let bytes = areas.at(span.place, direction).get(span.start as usize..span.end as usize);
    bytes.expect("a span lies within its place")
}

/// The bytes of a window that wait to go out.
fn ready(areas: &Areas, window: Window, direction: Direction) -> &[u8] {
    if window.ready_len() == 0 {
        return &[];
    }
    let bytes = areas.at(window.place, direction).get(window.start as usize..window.ready as usize);
    bytes.expect("a window lies within its place")
}

/// The bytes of a window that wait to be interpreted.
pub(crate) fn raw(areas: &Areas, window: Window, direction: Direction) -> &[u8] {
    if window.raw_len() == 0 {
        return &[];
    }
    let bytes = areas.at(window.place, direction).get(window.ready as usize..window.end as usize);
    bytes.expect("a window lies within its place")
}

pub(crate) fn source<'a>(
    connection: &'a Connection,
    upstreams: &'a crate::pool::Upstreams,
    direction: Direction,
) -> Option<BorrowedFd<'a>> {
    match direction {
        Direction::Request => Some(connection.client.as_fd()),
        Direction::Response => upstreams.socket(connection.upstream?.index),
    }
}

fn sink<'a>(
    connection: &'a Connection,
    upstreams: &'a crate::pool::Upstreams,
    direction: Direction,
) -> Option<BorrowedFd<'a>> {
    match direction {
        Direction::Request => upstreams.socket(connection.upstream?.index),
        Direction::Response => Some(connection.client.as_fd()),
    }
}
