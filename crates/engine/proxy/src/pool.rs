//! A lane's connections to upstream servers: those in use, and those that wait for use.
//!
//! The one used last is used next: it is still in every cache, and those that are not needed
//! grow old and are closed.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use mainstay_adopt::Cursors;
use mainstay_model::Timestamp;

/// Which server a connection goes to: the upstream's index and the server's within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerId {
    pub(crate) upstream: usize,
    pub(crate) server: usize,
}

impl ServerId {
    /// No server that there is.
    const NONE: Self = Self { upstream: usize::MAX, server: usize::MAX };
}

/// Whose an upstream socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A connection's.
    Slot(u32),
    /// Nobody's since then.
    Idle(Timestamp),
}

/// One connection to a server.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) descriptor: OwnedFd,
    pub(crate) id: u64,
    pub(crate) server: ServerId,
    pub(crate) owner: Owner,
    /// Over its whole life, in all the exchanges that it carried.
    pub(crate) cursors: Cursors,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Upstreams {
    sockets: Vec<Entry>,
    free: Vec<u32>,
    /// Idle sockets by upstream and server, the one used last at the back.
    idle: Vec<Vec<VecDeque<u32>>>,
    /// How many are idle, by upstream, and how many may be.
    counts: Vec<(usize, usize)>,
}

#[derive(Debug)]
struct Entry {
    age: u16,
    socket: Option<Socket>,
}

impl Upstreams {
    /// For upstreams of these numbers of servers, each with a limit on idle sockets.
    pub(crate) fn new(shape: impl Iterator<Item = (usize, usize)>) -> Self {
        let (idle, counts) = places(shape);
        Self { sockets: Vec::new(), free: Vec::new(), idle, counts }
    }

    /// Becomes a pool for other upstreams. Returns the sockets that were idle; those in use go
    /// to no server of the new ones.
    pub(crate) fn reshape(&mut self, shape: impl Iterator<Item = (usize, usize)>) -> Vec<Socket> {
        let idle: Vec<u32> = self.idle.iter().flatten().flatten().copied().collect();
        let surplus = idle.into_iter().filter_map(|index| self.remove(index)).collect();
        for socket in self.sockets.iter_mut().filter_map(|entry| entry.socket.as_mut()) {
            socket.server = ServerId::NONE;
        }
        (self.idle, self.counts) = places(shape);
        surplus
    }

    /// Takes a socket in; returns its index and age.
    pub(crate) fn insert(&mut self, socket: Socket) -> (u32, u16) {
        if let Some(index) = self.free.pop()
            && let Some(entry) = self.sockets.get_mut(index as usize)
        {
            entry.socket = Some(socket);
            return (index, entry.age);
        }
        self.sockets.push(Entry { age: 0, socket: Some(socket) });
        (u32::try_from(self.sockets.len() - 1).expect("far fewer sockets"), 0)
    }

    /// The socket at an index, if it is still the one of that age.
    pub(crate) fn current(&self, index: u32, age: u16) -> Option<&Socket> {
        let entry = self.sockets.get(index as usize)?;
        if entry.age == age { entry.socket.as_ref() } else { None }
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Socket> {
        self.sockets.get_mut(index as usize)?.socket.as_mut()
    }

    /// The descriptor of the socket at an index.
    pub(crate) fn socket(&self, index: u32) -> Option<BorrowedFd<'_>> {
        let socket = self.sockets.get(index as usize)?.socket.as_ref()?;
        Some(socket.descriptor.as_fd())
    }

    /// Takes a socket out, to be closed.
    pub(crate) fn remove(&mut self, index: u32) -> Option<Socket> {
        let entry = self.sockets.get_mut(index as usize)?;
        let socket = entry.socket.take()?;
        entry.age = entry.age.wrapping_add(1);
        self.free.push(index);
        if matches!(socket.owner, Owner::Idle(_)) {
            self.forget_idle(index, socket.server);
        }
        Some(socket)
    }

    fn forget_idle(&mut self, index: u32, server: ServerId) {
        if let Some(idle) = self.idle_of(server)
            && let Some(position) = idle.iter().position(|&other| other == index)
        {
            idle.remove(position);
            if let Some((count, _)) = self.counts.get_mut(server.upstream) {
                *count -= 1;
            }
        }
    }

    fn idle_of(&mut self, server: ServerId) -> Option<&mut VecDeque<u32>> {
        self.idle.get_mut(server.upstream)?.get_mut(server.server)
    }

    /// An idle connection to a server, for `slot`.
    pub(crate) fn reuse(&mut self, server: ServerId, slot: u32) -> Option<u32> {
        let index = self.idle_of(server)?.pop_back()?;
        if let Some((count, _)) = self.counts.get_mut(server.upstream) {
            *count -= 1;
        }
        self.get_mut(index)?.owner = Owner::Slot(slot);
        Some(index)
    }

    /// Keeps a socket for later use; gives it back to be closed if there are enough.
    pub(crate) fn keep(&mut self, index: u32, now: Timestamp) -> Option<Socket> {
        let server = self.get_mut(index)?.server;
        match self.counts.get_mut(server.upstream) {
            Some((count, limit)) if *count < *limit => *count += 1,
            _ => return self.remove(index),
        }
        self.get_mut(index)?.owner = Owner::Idle(now);
        self.idle_of(server)?.push_back(index);
        None
    }

    /// Takes out a socket that has been idle for `limit`, if there is one.
    pub(crate) fn expire(&mut self, now: Timestamp, limit: Duration) -> Option<Socket> {
        let oldest = self.idle.iter().flatten().filter_map(VecDeque::front);
        let expired = oldest.copied().find(|&index| {
            let socket = self.sockets.get(index as usize).and_then(|entry| entry.socket.as_ref());
            let idle_since = socket.map(|socket| socket.owner);
            matches!(idle_since, Some(Owner::Idle(since)) if now.since(since) >= limit)
        });
        expired.and_then(|index| self.remove(index))
    }

    /// How many sockets are idle.
    pub(crate) fn idle_count(&self) -> usize {
        self.counts.iter().map(|(count, _)| count).sum()
    }
}

/// Empty places for idle sockets, and for each upstream how many there are and may be.
#[expect(clippy::type_complexity, reason = "two fields of one type, said once")]
fn places(
    shape: impl Iterator<Item = (usize, usize)>,
) -> (Vec<Vec<VecDeque<u32>>>, Vec<(usize, usize)>) {
    let place = |(servers, keepalive)| (vec![VecDeque::new(); servers], (0, keepalive));
    shape.map(place).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: ServerId = ServerId { upstream: 0, server: 1 };

    fn socket() -> Socket {
        let descriptor = std::fs::File::open("/dev/null").unwrap().into();
        Socket {
            descriptor,
            id: 1,
            server: SERVER,
            owner: Owner::Slot(0),
            cursors: Cursors::default(),
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn the_socket_used_last_is_used_next() {
        let mut upstreams = Upstreams::new([(2, 2)].into_iter());
        let (first, _) = upstreams.insert(socket());
        let (second, _) = upstreams.insert(socket());
        assert!(upstreams.keep(first, at(1)).is_none());
        assert!(upstreams.keep(second, at(2)).is_none());
        assert_eq!(upstreams.reuse(SERVER, 7), Some(second));
        assert_eq!(upstreams.idle_count(), 1);
    }

    #[test]
    fn there_are_never_more_idle_sockets_than_allowed() {
        let mut upstreams = Upstreams::new([(2, 1)].into_iter());
        let (first, _) = upstreams.insert(socket());
        let (second, _) = upstreams.insert(socket());
        assert!(upstreams.keep(first, at(1)).is_none());
        assert!(upstreams.keep(second, at(1)).is_some());
    }

    #[test]
    fn sockets_of_other_upstreams_are_not_kept_for_ours() {
        let mut upstreams = Upstreams::new([(2, 8)].into_iter());
        let (idle, _) = upstreams.insert(socket());
        let (used, _) = upstreams.insert(socket());
        assert!(upstreams.keep(idle, at(1)).is_none());
        assert_eq!(upstreams.reshape([(2, 8), (2, 8)].into_iter()).len(), 1);
        assert_eq!(upstreams.idle_count(), 0);
        assert!(upstreams.keep(used, at(2)).is_some());
        assert_eq!(upstreams.reuse(SERVER, 7), None);
    }

    #[test]
    fn idle_sockets_grow_old_and_places_are_used_again() {
        let mut upstreams = Upstreams::new([(2, 8)].into_iter());
        let (index, age) = upstreams.insert(socket());
        upstreams.keep(index, at(1));
        assert!(upstreams.expire(at(5), Duration::from_secs(60)).is_none());
        assert!(upstreams.expire(at(61), Duration::from_secs(60)).is_some());
        assert_eq!(upstreams.idle_count(), 0);
        assert_eq!(upstreams.insert(socket()), (index, age + 1));
        assert!(upstreams.current(index, age).is_none());
    }
}
