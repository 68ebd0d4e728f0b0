//! `SOCK_SEQPACKET` channels between processes: whole messages, with descriptors.
//!
//! # Invariants
//!
//! 1. A descriptor is close-on-exec from the moment it exists and owned from the moment it
//!    is read: every early return closes it.
//! 2. Nothing is cut off silently: a message or a descriptor that did not fit is an error.
//! 3. No call waits, except [`Channel::send_within`], which says how long.
//!
//! Source: unix(7), cmsg(3).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    accept_with, bind, connect, listen, recvmsg, sendmsg, shutdown, socket_with, socketpair,
    sockopt,
};
use rustix::time::Timespec;

use crate::file::remove_if_there;

/// Most descriptors in one message: the kernel's limit (`SCM_MAX_FD`).
const DESCRIPTORS_MAX: usize = 253;

/// Most connections that wait to be accepted on a channel's address.
const BACKLOG: i32 = 128;

/// One end of a connection that carries messages.
#[derive(Debug)]
pub struct Channel(OwnedFd);

/// Why a message did not go out or come in.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    #[error("the other side is gone")]
    Closed,

    #[error("the other side takes nothing now")]
    Full,

    #[error("message is longer than {limit} bytes")]
    TooLong { limit: usize },

    #[error("a descriptor of the message was lost: the limit on open files is reached")]
    DescriptorLost,

    #[error("{count} descriptors do not fit in one message")]
    TooManyDescriptors { count: usize },

    #[error("cannot send a message")]
    Send { source: io::Error },

    #[error("cannot receive a message")]
    Receive { source: io::Error },
}

/// One message, with its descriptors in the order in which they were sent.
#[derive(Debug)]
pub struct Received {
    /// Length of the message at the start of the buffer.
    pub bytes: usize,
    pub descriptors: Vec<OwnedFd>,
}

impl Channel {
    /// Two ends that are connected.
    pub fn pair() -> io::Result<(Self, Self)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (one, two) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((Self(one), Self(two)))
    }

    /// Connects to the process that listens at `path`.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let socket = socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(Self(socket))
    }

    /// The channel behind a descriptor that another process gave.
    pub fn from_descriptor(descriptor: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&descriptor, true)?;
        Ok(Self(descriptor))
    }

    /// Another handle of the same end.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// The process at the other end: for a socket that connected, the one that listened.
    pub fn peer_pid(&self) -> io::Result<u32> {
        let credentials = sockopt::socket_peercred(&self.0)?;
        Ok(credentials.pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// Sends one message, or says that the other side is full or gone.
    pub fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
        if descriptors.len() > DESCRIPTORS_MAX {
            return Err(ChannelError::TooManyDescriptors { count: descriptors.len() });
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(ChannelError::TooManyDescriptors { count: descriptors.len() });
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        match sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, flags) {
            Ok(_) => Ok(()),
            Err(Errno::AGAIN) => Err(ChannelError::Full),
            Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => Err(ChannelError::Closed),
            Err(errno) => Err(ChannelError::Send { source: errno.into() }),
        }
    }

    /// Sends one message, waiting up to `limit` for room.
    pub fn send_within(
        &self,
        bytes: &[u8],
        descriptors: &[BorrowedFd<'_>],
        limit: Duration,
    ) -> Result<(), ChannelError> {
        match self.send(bytes, descriptors) {
            Err(ChannelError::Full) => {}
            result => return result,
        }
        let limit = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        };
        let mut fds = [PollFd::new(&self.0, PollFlags::OUT)];
        poll(&mut fds, Some(&limit))
            .map_err(|errno| ChannelError::Send { source: errno.into() })?;
        self.send(bytes, descriptors)
    }

    /// Receives one message into `buffer`; `None` when there is none now.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Option<Received>, ChannelError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let limit = buffer.len();
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let mut received = recvmsg(&self.0, &mut [IoSliceMut::new(buffer)], &mut control, flags);
        if matches!(received, Err(Errno::CONNRESET)) {
            // The peer left messages of ours unread, which is told once; what it had sent
            // before is still there.
            received = recvmsg(&self.0, &mut [IoSliceMut::new(buffer)], &mut control, flags);
        }
        let message = match received {
            Ok(message) => message,
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::CONNRESET | Errno::PIPE) => return Err(ChannelError::Closed),
            Err(errno) => return Err(ChannelError::Receive { source: errno.into() }),
        };
        let descriptors: Vec<OwnedFd> = control
            .drain()
            .filter_map(|item| match item {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .collect();
        // A process out of descriptors still gets the bytes: the kernel drops the
        // descriptor and says so only here.
        if message.flags.contains(ReturnFlags::CTRUNC) {
            return Err(ChannelError::DescriptorLost);
        }
        if message.flags.contains(ReturnFlags::TRUNC) {
            return Err(ChannelError::TooLong { limit });
        }
        if message.bytes == 0 && descriptors.is_empty() {
            return Err(ChannelError::Closed);
        }
        Ok(Some(Received { bytes: message.bytes, descriptors }))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.0
    }
}

/// From now on whoever sends to the other end of `socket` is told that it is gone. What is
/// already queued can still be received.
pub fn refuse_more(socket: impl AsFd) -> io::Result<()> {
    match shutdown(socket, rustix::net::Shutdown::Read) {
        Ok(()) | Err(Errno::NOTCONN) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// From now on whoever connects to this listening socket is refused, in every process that
/// holds a copy of it.
pub fn close_listener(socket: impl AsFd) -> io::Result<()> {
    match shutdown(socket, rustix::net::Shutdown::Both) {
        Ok(()) | Err(Errno::NOTCONN) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Accepts channels at an address in the run directory.
#[derive(Debug)]
pub struct ChannelListener {
    socket: OwnedFd,
}

impl ChannelListener {
    /// Listens at `path`, in the place of whatever was there. The name appears when the
    /// socket already listens, so whoever sees it can connect.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let socket = socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        let making = temporary_name(path);
        remove_if_there(&making)?;
        bind(&socket, &SocketAddrUnix::new(&making)?)?;
        listen(&socket, BACKLOG)?;
        std::fs::rename(&making, path)?;
        Ok(Self { socket })
    }

    /// The next connection, if there is one.
    pub fn accept(&self) -> io::Result<Option<Channel>> {
        match accept_with(&self.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(socket) => Ok(Some(Channel(socket))),
            Err(Errno::AGAIN | Errno::CONNABORTED) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for ChannelListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Hidden, in the same directory, and this process's own.
fn temporary_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_keeps_its_bounds_and_its_descriptors() {
        let (near, far) = Channel::pair().unwrap();
        let file = std::fs::File::open("/proc/self/stat").unwrap();
        near.send(b"one", &[file.as_fd(), near.as_fd()]).unwrap();
        near.send(b"two", &[]).unwrap();
        let mut buffer = [0; 16];
        let first = far.receive(&mut buffer).unwrap().unwrap();
        assert_eq!((&buffer[..first.bytes], first.descriptors.len()), (&b"one"[..], 2));
        let second = far.receive(&mut buffer).unwrap().unwrap();
        assert_eq!((&buffer[..second.bytes], second.descriptors.len()), (&b"two"[..], 0));
        assert!(far.receive(&mut buffer).unwrap().is_none());
    }

    #[test]
    fn a_long_message_is_an_error_and_not_cut() {
        let (near, far) = Channel::pair().unwrap();
        near.send(&[1; 32], &[]).unwrap();
        assert!(matches!(far.receive(&mut [0; 16]), Err(ChannelError::TooLong { limit: 16 })));
    }

    #[test]
    fn what_was_queued_survives_a_refusal_of_more() {
        let (near, far) = Channel::pair().unwrap();
        near.send(b"queued", &[]).unwrap();
        refuse_more(&far).unwrap();
        assert!(matches!(near.send(b"late", &[]), Err(ChannelError::Closed)));
        let mut buffer = [0; 16];
        assert_eq!(far.receive(&mut buffer).unwrap().unwrap().bytes, 6);
        assert!(matches!(far.receive(&mut buffer), Err(ChannelError::Closed)));
    }

    #[test]
    fn a_closed_listener_refuses_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("there");
        let listener = ChannelListener::bind(&path).unwrap();
        let near = Channel::connect(&path).unwrap();
        let far = listener.accept().unwrap().unwrap();
        assert_eq!(near.peer_pid().unwrap(), std::process::id());
        assert_eq!(far.peer_pid().unwrap(), std::process::id());
        let copy = listener.socket.try_clone().unwrap();
        close_listener(&copy).unwrap();
        assert!(Channel::connect(&path).is_err());
    }
}
