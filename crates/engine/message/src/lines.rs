//! Lines on a stream, for whoever speaks to us with `socat` or a script: one message a line.
//!
//! # Invariants
//!
//! 1. What is kept of a line that is not whole is never longer than a line may be.
//! 2. What could not be written is kept, up to a limit: who does not read is let go.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{SendFlags, send};

/// What is read at once.
const READ_BYTES: usize = 16 * 1024;

/// Lines that a peer may leave unread.
const UNREAD_LINES: usize = 16;

/// A connection of lines.
#[derive(Debug)]
pub struct Lines {
    stream: OwnedFd,
    line_bytes_max: usize,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

/// Why a connection of lines is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum LinesError {
    #[error("the other side has closed it")]
    Closed,

    #[error("a line is longer than {limit} bytes")]
    TooLong { limit: usize },

    #[error("the other side does not read")]
    Unread,

    #[error("cannot use the connection")]
    Stream { source: io::Error },
}

impl Lines {
    /// Lines of at most this many bytes on a stream that does not block.
    pub const fn new(stream: OwnedFd, line_bytes_max: usize) -> Self {
        Self { stream, line_bytes_max, incoming: Vec::new(), outgoing: Vec::new() }
    }

    /// Reads what has come and returns the whole lines of it, without their ends.
    pub fn receive(&mut self) -> Result<Vec<Vec<u8>>, LinesError> {
        let mut lines = Vec::new();
        let mut buffer = [0; READ_BYTES];
        loop {
            match rustix::io::read(&self.stream, &mut buffer) {
                // A peer that has said everything may still wait for answers.
                Ok(0) if lines.is_empty() => return Err(LinesError::Closed),
                Ok(0) | Err(Errno::AGAIN) => return Ok(lines),
                Ok(count) => {
                    self.incoming.extend_from_slice(buffer.get(..count).unwrap_or_default());
                    self.cut(&mut lines)?;
                }
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => return Err(LinesError::Closed),
                Err(errno) => return Err(LinesError::Stream { source: errno.into() }),
            }
        }
    }

    fn cut(&mut self, lines: &mut Vec<Vec<u8>>) -> Result<(), LinesError> {
        while let Some(end) = self.incoming.iter().position(|&byte| byte == b'\n') {
            if end > self.line_bytes_max {
                break;
            }
            let mut line: Vec<u8> = self.incoming.drain(..=end).collect();
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            lines.push(line);
        }
        if self.incoming.len() > self.line_bytes_max {
            return Err(LinesError::TooLong { limit: self.line_bytes_max });
        }
        Ok(())
    }

    /// Sends a line, or as much of it as passes; the rest follows with [`Lines::flush`].
    pub fn send(&mut self, line: &[u8]) -> Result<(), LinesError> {
        if self.outgoing.len() > self.line_bytes_max.saturating_mul(UNREAD_LINES) {
            return Err(LinesError::Unread);
        }
        self.outgoing.extend_from_slice(line);
        self.outgoing.push(b'\n');
        self.flush()
    }

    /// Sends what is left over.
    pub fn flush(&mut self) -> Result<(), LinesError> {
        while !self.outgoing.is_empty() {
            match send(&self.stream, &self.outgoing, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(count) => drop(self.outgoing.drain(..count)),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(LinesError::Closed),
                Err(errno) => return Err(LinesError::Stream { source: errno.into() }),
            }
        }
        Ok(())
    }

    /// Whether something is left over.
    pub fn is_behind(&self) -> bool {
        !self.outgoing.is_empty()
    }
}

impl AsFd for Lines {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair(limit: usize) -> (UnixStream, Lines) {
        let (far, near) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        (far, Lines::new(near.into(), limit))
    }

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let (mut far, mut lines) = pair(64);
        far.write_all(b"one\r\ntw").unwrap();
        assert_eq!(lines.receive().unwrap(), [b"one".to_vec()]);
        far.write_all(b"o\n\nthree\n").unwrap();
        assert_eq!(lines.receive().unwrap(), [b"two".to_vec(), Vec::new(), b"three".to_vec()]);
        assert!(lines.receive().unwrap().is_empty());
        far.write_all(b"last\n").unwrap();
        drop(far);
        assert_eq!(lines.receive().unwrap(), [b"last".to_vec()]);
        assert!(matches!(lines.receive(), Err(LinesError::Closed)));
    }

    #[test]
    fn a_line_without_an_end_has_a_limit() {
        for text in [&[b'x'; 65][..], &[&[b'x'; 65][..], b"\n"].concat()] {
            let (mut far, mut lines) = pair(64);
            far.write_all(text).unwrap();
            assert!(matches!(lines.receive(), Err(LinesError::TooLong { limit: 64 })));
        }
        let (mut far, mut lines) = pair(64);
        far.write_all(&[&[b'x'; 64][..], b"\n"].concat()).unwrap();
        assert_eq!(lines.receive().unwrap().len(), 1);
    }

    #[test]
    fn who_does_not_read_is_let_go_and_who_reads_late_misses_nothing() {
        let (mut far, mut lines) = pair(64 * 1024);
        let line = vec![b'y'; 64 * 1024];
        let mut sent = 0;
        let error = loop {
            match lines.send(&line) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, LinesError::Unread), "{error}");
        assert!(lines.is_behind());
        let mut read = 0;
        let mut buffer = vec![0; 256 * 1024];
        while read < sent * (line.len() + 1) {
            read += far.read(&mut buffer).unwrap();
            lines.flush().unwrap();
        }
        assert_eq!(read, sent * (line.len() + 1));
        assert!(!lines.is_behind());
    }
}
