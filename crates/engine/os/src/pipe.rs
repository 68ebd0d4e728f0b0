//! A pipe that bytes go through from one socket to another without coming into memory.
//!
//! The kernel moves references to pages (splice(2)). A pipe is a descriptor like any other:
//! what is in it outlives the process that put it there.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

/// A pipe, or the reading end of one that another process filled.
#[derive(Debug)]
pub struct Pipe {
    reading: OwnedFd,
    writing: Option<OwnedFd>,
    id: u64,
}

impl Pipe {
    /// A new one, which holds `bytes` if the kernel grants them.
    pub fn new(bytes: usize) -> io::Result<Self> {
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        match fcntl_setpipe_size(&reading, bytes) {
            // A user's pipes have a limit in all (pipe(7)); a smaller one carries less at a time.
            Ok(_) | Err(Errno::PERM) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(Self { id: pipe_id(&reading)?, reading, writing: Some(writing) })
    }

    /// One that another process filled. It can only be emptied.
    pub fn adopt(reading: OwnedFd) -> io::Result<Self> {
        Ok(Self { id: pipe_id(&reading)?, reading, writing: None })
    }

    /// The kernel's number for it: see [`pipe_id`].
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The descriptor of its reading end.
    pub fn number(&self) -> RawFd {
        self.reading.as_raw_fd()
    }

    /// Whether it can be filled again.
    pub const fn has_both_ends(&self) -> bool {
        self.writing.is_some()
    }

    /// Moves up to `bytes` into it; 0 is the end of what comes.
    pub fn fill(&self, from: impl AsFd, bytes: usize) -> rustix::io::Result<usize> {
        let writing = self.writing.as_ref().ok_or(Errno::BADF)?;
        splice(from, None, writing, None, bytes, SpliceFlags::NONBLOCK)
    }

    /// Moves up to `bytes` out of it.
    pub fn empty(&self, to: impl AsFd, bytes: usize) -> rustix::io::Result<usize> {
        splice(&self.reading, None, to, None, bytes, SpliceFlags::NONBLOCK)
    }
}

/// The kernel's number for a pipe, the same in every process that holds an end of it.
///
/// # Errors
///
/// If it is not a pipe.
pub fn pipe_id(pipe: impl AsFd) -> io::Result<u64> {
    let status = fstat(pipe)?;
    match FileType::from_raw_mode(status.st_mode) {
        FileType::Fifo => Ok(status.st_ino),
        _ => Err(io::Error::from(io::ErrorKind::InvalidInput)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use rustix::io::ioctl_fionread;

    use super::*;

    #[test]
    fn bytes_pass_through_and_what_is_in_a_pipe_outlives_its_writer() {
        let (mut client, near) = UnixStream::pair().unwrap();
        let (far, mut server) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        server.write_all(b"0123456789").unwrap();
        let pipe = Pipe::new(64 * 1024).unwrap();
        assert_eq!(pipe.fill(&far, 8), Ok(8));
        assert_eq!(pipe.empty(&near, 3), Ok(3));

        let copy = pipe.reading.try_clone().unwrap();
        let id = pipe.id();
        drop(pipe);
        assert_eq!(ioctl_fionread(&copy), Ok(5));
        let heir = Pipe::adopt(copy).unwrap();
        assert_eq!(heir.id(), id);
        assert!(!heir.has_both_ends());
        assert_eq!(heir.empty(&near, 100), Ok(5));
        let mut arrived = [0; 8];
        client.read_exact(&mut arrived).unwrap();
        assert_eq!(&arrived, b"01234567");
    }

    #[test]
    fn only_a_pipe_has_a_pipes_number() {
        let (socket, _other) = UnixStream::pair().unwrap();
        assert!(pipe_id(&socket).is_err());
    }
}
