//! Waiting for many descriptors at once (`epoll`, edge-triggered).
//!
//! The thin type behind which the reactor can be exchanged: nothing outside this file names
//! epoll.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::time::Timespec;

/// What to be told about a descriptor. Its hang-up and its errors are always told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// When something can be read: once for each arrival.
    Read,
    /// When something can be read or written: once for each change.
    ReadWrite,
    /// For as long as something can be read; several pollers of one listening socket are
    /// not all woken for one connection.
    Accept,
    /// For as long as something can be read.
    ReadLevel,
}

impl Interest {
    fn flags(self) -> EventFlags {
        match self {
            Self::Read => EventFlags::IN | EventFlags::RDHUP | EventFlags::ET,
            Self::ReadWrite => {
                EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET
            }
            Self::Accept => EventFlags::IN | EventFlags::EXCLUSIVE,
            Self::ReadLevel => EventFlags::IN | EventFlags::RDHUP,
        }
    }
}

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// The token that the descriptor was added with.
    pub token: u64,
    flags: EventFlags,
}

impl Ready {
    /// Reading will tell something: bytes, the end, or an error.
    pub const fn is_readable(&self) -> bool {
        self.flags.intersects(
            EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::HUP).union(EventFlags::ERR),
        )
    }

    /// Writing will get on or fail.
    pub const fn is_writable(&self) -> bool {
        self.flags.intersects(EventFlags::OUT.union(EventFlags::HUP).union(EventFlags::ERR))
    }

    /// The peer sent its last byte.
    pub const fn is_ended(&self) -> bool {
        self.flags.intersects(EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR))
    }

    /// The connection failed, or was reset.
    pub const fn is_failed(&self) -> bool {
        self.flags.intersects(EventFlags::ERR)
    }
}

/// Watches descriptors.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

// JUSTIFICATION: a lane's poller is made by one thread and used by another; rustix's events
// are not `Send` only because a token may be a pointer.
// SAFETY: tokens are integers here (`EventData::new_u64`), so no pointer crosses; a poller has
// no other tie to its thread.
unsafe impl Send for Poller {}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("epoll", &self.epoll).finish_non_exhaustive()
    }
}

impl Poller {
    /// A poller that returns up to `batch` events at a time.
    pub fn new(batch: usize) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(batch) })
    }

    /// Starts watching.
    pub fn add(&self, descriptor: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        epoll::add(&self.epoll, descriptor, EventData::new_u64(token), interest.flags())?;
        Ok(())
    }

    /// Watches for something else from now on; tells again what is already so.
    pub fn change(&self, descriptor: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        epoll::modify(&self.epoll, descriptor, EventData::new_u64(token), interest.flags())?;
        Ok(())
    }

    /// Stops watching. Closing the last copy of a descriptor does so too; with a keeper
    /// that shares it, only this does at once.
    pub fn remove(&self, descriptor: impl AsFd) -> io::Result<()> {
        epoll::delete(&self.epoll, descriptor)?;
        Ok(())
    }

    /// Waits until something happened or `limit` has passed; returns how many events there
    /// are. An interruption by a signal counts as nothing.
    pub fn wait(&mut self, limit: Option<Duration>) -> io::Result<usize> {
        self.events.clear();
        let limit = limit.map(|limit| Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        });
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), limit.as_ref()) {
            Ok(count) => Ok(count),
            Err(rustix::io::Errno::INTR) => Ok(0),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The event at `index` of the last wait.
    pub fn event(&self, index: usize) -> Option<Ready> {
        // Copied out field by field: the kernel's structure is packed.
        self.events.get(index).map(|event| {
            let (flags, data) = (event.flags, event.data);
            Ready { token: data.u64(), flags }
        })
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
