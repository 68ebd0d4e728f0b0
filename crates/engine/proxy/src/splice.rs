//! Long bodies that pass from socket to socket through a pipe, without coming into memory.
//!
//! The rules of `relay` hold here too: that reads land in the pipe is in the ledger before the
//! first, and what they brought before it goes out. What is in the pipe outlives a worker like
//! everything else in its table, so an heir empties it.

use mainstay_adopt::{Place, Window};
use mainstay_ledger::{Direction, PIPE_BYTES};
use mainstay_os::Pipe;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use tracing::{debug, warn};

use crate::connection::Connection;
use crate::lane::Lane;
use crate::relay::{Filled, WriteFailed, source};

/// The first read of a response: its head, and a short body whole. What is left of a long body
/// then passes unseen.
pub(crate) const FIRST_READ_BYTES: usize = 16 * 1024;

/// What is shorter is copied: two more calls cost more than that.
const UNSEEN_BYTES_MIN: u64 = 16 * 1024;

/// A lane's pipes.
#[derive(Debug)]
pub(crate) struct Pipes {
    idle: Vec<Pipe>,
    /// How many more may be made.
    left: usize,
    limit: usize,
    /// So many of those that are in use are not kept when they are given back.
    surplus: usize,
}

/// What is in a pipe that is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Nothing,
    Something,
}

impl Pipes {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { idle: Vec::new(), left: limit, limit, surplus: 0 }
    }

    /// From here on there may be so many.
    pub(crate) fn resize(&mut self, limit: usize) {
        let more = limit.saturating_sub(self.limit);
        let paid = more.min(self.surplus);
        self.surplus -= paid;
        self.left += more - paid;
        let fewer = self.limit.saturating_sub(limit);
        let not_made = fewer.min(self.left);
        self.left -= not_made;
        let idle = (fewer - not_made).min(self.idle.len());
        self.idle.truncate(self.idle.len() - idle);
        self.surplus += fewer - not_made - idle;
        self.limit = limit;
    }

    /// An empty one, unless all are in use.
    fn take(&mut self) -> Option<Pipe> {
        if let Some(pipe) = self.idle.pop() {
            return Some(pipe);
        }
        self.left = self.left.checked_sub(1)?;
        match Pipe::new(PIPE_BYTES) {
            Ok(pipe) => Some(pipe),
            Err(error) => {
                debug!(%error, "cannot make a pipe");
                self.left += 1;
                None
            }
        }
    }

    pub(crate) fn give_back(&mut self, pipe: Pipe, content: Content) {
        match (pipe.has_both_ends(), content) {
            (true, _) if self.surplus > 0 => self.surplus -= 1,
            (true, Content::Nothing) => self.idle.push(pipe),
            (true, Content::Something) => self.left += 1,
            // Another process made it.
            (false, _) => {}
        }
    }

    /// Makes no more: this kernel cannot splice these sockets.
    fn give_up(&mut self, errno: Errno) {
        warn!(error = %std::io::Error::from(errno), "cannot splice, bodies are copied");
        self.left = 0;
        self.idle.clear();
    }

    /// Whether there may be one.
    pub(crate) const fn are_used(&self) -> bool {
        self.left > 0 || !self.idle.is_empty()
    }
}

impl Lane {
    /// Whether what is left of the response is worth a pipe.
    pub(crate) fn is_long(&self, connection: &Connection) -> bool {
        connection.record.exchange.unseen_response() >= UNSEEN_BYTES_MIN && self.pipes.are_used()
    }

    /// Moves what the server has sent into a pipe, if it is a long body and nothing of it is
    /// on its way still; `None` if it is to be read.
    pub(crate) fn fill_pipe(&mut self, connection: &mut Connection) -> Option<Filled> {
        if !self.is_long(connection) || !connection.record.streams.response.is_empty() {
            return None;
        }
        // One that was adopted is empty by now, and cannot be filled again.
        if connection.pipe.as_ref().is_none_or(|pipe| !pipe.has_both_ends()) {
            connection.pipe = Some(self.pipes.take()?);
        }
        let pipe = connection.pipe.as_ref()?;
        let (number, id) = (pipe.number(), pipe.id());
        let record = connection.change();
        (record.pipe_fd, record.pipe_id) = (number, id);
        record.streams.response.window = Window { place: Place::PIPE, ..Window::EMPTY };
        self.commit(connection);

        let unseen = connection.record.exchange.unseen_response();
        let limit = usize::try_from(unseen).map_or(PIPE_BYTES, |left| left.min(PIPE_BYTES));
        let from = source(connection, &self.upstreams, Direction::Response);
        let result = match (from, &connection.pipe) {
            (Some(from), Some(pipe)) => pipe.fill(from, limit),
            (None, _) | (_, None) => return Some(Filled::Failed),
        };
        // A pipe takes fewer bytes than are there if they came in many pieces, so only the end
        // of the body is one; and nothing may come after it.
        let readable = match result {
            Ok(count) if count as u64 == unseen => self.has_more(connection),
            Ok(count) => count > 0,
            Err(errno) => errno == Errno::INTR,
        };
        if let Err(errno @ (Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)) = result {
            self.pipes.give_up(errno);
            self.tidy(connection, Direction::Response);
            return None;
        }
        let readiness = &mut connection.upstream.as_mut()?.is;
        readiness.readable = readable || (result.is_ok_and(|count| count > 0) && readiness.ended);
        Some(match result {
            Ok(0) => Filled::Ended,
            Ok(count) => {
                let bytes = u32::try_from(count).expect("a pipe is small");
                connection.moved = self.now;
                let streams = &mut connection.change().streams;
                streams.upstream.read += u64::from(bytes);
                streams.response.has_read(bytes);
                Filled::Bytes
            }
            Err(Errno::AGAIN | Errno::INTR) => Filled::Blocked,
            Err(_) => Filled::Failed,
        })
    }

    /// Whether the server has sent anything after the end of a response, or has ended.
    fn has_more(&self, connection: &Connection) -> bool {
        let Some(from) = source(connection, &self.upstreams, Direction::Response) else {
            return true;
        };
        let mut byte = [0];
        let peeked = rustix::net::recv(from, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
        !matches!(peeked, Err(Errno::AGAIN))
    }

    /// Moves on to the client what is in the connection's pipe.
    pub(crate) fn empty_pipe(
        &self,
        connection: &Connection,
        bytes: usize,
    ) -> Result<rustix::io::Result<usize>, WriteFailed> {
        let pipe = connection.pipe.as_ref().ok_or(WriteFailed)?;
        Ok(pipe.empty(&connection.client, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_limit_takes_back_what_was_lent() {
        let mut pipes = Pipes::new(3);
        let mut lent: Vec<Pipe> = (0..3).filter_map(|_| pipes.take()).collect();
        assert!(lent.len() == 3 && pipes.take().is_none());
        pipes.resize(1);
        pipes.give_back(lent.pop().unwrap(), Content::Nothing);
        pipes.give_back(lent.pop().unwrap(), Content::Something);
        assert!(pipes.take().is_none(), "two were too many");
        pipes.give_back(lent.pop().unwrap(), Content::Nothing);
        lent.extend(pipes.take());
        assert!(lent.len() == 1 && pipes.take().is_none());
        pipes.resize(0);
        pipes.resize(2);
        lent.extend(pipes.take());
        assert!(lent.len() == 2 && pipes.take().is_none());
        pipes.give_back(lent.pop().unwrap(), Content::Nothing);
        pipes.resize(1);
        assert!(pipes.take().is_none(), "the idle one went first");
    }
}
