//! The bytes of a connection on their way, as plain data.
//!
//! ```text
//!   source socket ──read──▶  window: [start … ready … end)      made by us: [start … end)
//!                                     │       └ not interpreted yet     │
//!                                     └ goes out unchanged              │ ahead
//!   sink socket  ◀──write── ahead first, then start … ready ◀──────────┘
//! ```

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

/// Where bytes are: in an area that a lane shares among its connections for the length of
/// one step, or in a buffer of the connection's own.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(transparent)]
pub struct Place(u32);

impl Place {
    /// No bytes anywhere.
    pub const NONE: Self = Self(0);
    /// The lane's area that reads of this direction land in.
    pub const SCRATCH: Self = Self(1);
    /// The lane's area for what we make ourselves.
    pub const OUT: Self = Self(2);
    /// The connection's pipe: bytes that pass without coming into memory.
    pub const PIPE: Self = Self(3);

    const SMALL: u32 = 1 << 30;
    const LARGE: u32 = 2 << 30;
    const INDEX: u32 = Self::SMALL - 1;

    /// The small buffer with this index.
    pub const fn small(index: u32) -> Self {
        assert!(index <= Self::INDEX, "an index below the kind");
        Self(Self::SMALL | index)
    }

    /// The large buffer with this index.
    pub const fn large(index: u32) -> Self {
        assert!(index <= Self::INDEX, "an index below the kind");
        Self(Self::LARGE | index)
    }

    /// The index, if this is a small buffer.
    pub const fn as_small(self) -> Option<u32> {
        if self.0 & !Self::INDEX == Self::SMALL { Some(self.0 & Self::INDEX) } else { None }
    }

    /// The index, if this is a large buffer.
    pub const fn as_large(self) -> Option<u32> {
        if self.0 & !Self::INDEX == Self::LARGE { Some(self.0 & Self::INDEX) } else { None }
    }

    /// Whether the bytes are in a buffer of the connection's own.
    pub const fn is_own(self) -> bool {
        self.0 & !Self::INDEX != 0
    }

    /// Whether the bytes must move before the lane works on another connection.
    pub const fn is_shared(self) -> bool {
        self.0 == Self::SCRATCH.0 || self.0 == Self::OUT.0
    }
}

/// Bytes that we made, at `start..end` of a place.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Span {
    pub place: Place,
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// Nothing.
    pub const EMPTY: Self = Self { place: Place::NONE, start: 0, end: 0 };

    /// How many bytes are left of it.
    pub const fn len(&self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// Whether all of it has gone out.
    pub const fn is_empty(&self) -> bool {
        self.start >= self.end
    }
}

/// Bytes that were read: `start..ready` go out as they are, `ready..end` are not interpreted
/// yet.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Window {
    pub place: Place,
    pub start: u32,
    pub ready: u32,
    pub end: u32,
}

impl Window {
    /// Nothing.
    pub const EMPTY: Self = Self { place: Place::NONE, start: 0, ready: 0, end: 0 };

    /// How many bytes wait to go out.
    pub const fn ready_len(&self) -> usize {
        self.ready.saturating_sub(self.start) as usize
    }

    /// How many bytes wait to be interpreted.
    pub const fn raw_len(&self) -> usize {
        self.end.saturating_sub(self.ready) as usize
    }

    /// Whether there are none of either.
    pub const fn is_empty(&self) -> bool {
        self.start >= self.end
    }
}

/// One direction of a connection.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Flow {
    /// Goes out before the window.
    pub ahead: Span,
    pub window: Window,
    padding: u32,
}

impl Flow {
    /// Nothing on the way.
    pub const EMPTY: Self = Self { ahead: Span::EMPTY, window: Window::EMPTY, padding: 0 };

    /// Where the next read lands: the place and the offset in it.
    pub const fn landing(&self) -> (Place, u32) {
        if self.window.place.is_none() {
            (Place::SCRATCH, 0)
        } else {
            (self.window.place, self.window.end)
        }
    }

    /// How many bytes wait to go out.
    pub const fn output(&self) -> usize {
        self.ahead.len() + self.window.ready_len()
    }

    /// Whether nothing is on the way, interpreted or not.
    pub const fn is_empty(&self) -> bool {
        self.ahead.is_empty() && self.window.is_empty()
    }

    /// Notes a read of `bytes` at [`Flow::landing`].
    pub fn has_read(&mut self, bytes: u32) {
        let (place, offset) = self.landing();
        if self.window.place.is_none() {
            self.window = Window { place, ..Window::EMPTY };
        }
        self.window.end = offset.saturating_add(bytes);
    }

    /// Notes a write of `bytes`, which are no more than [`Flow::output`].
    pub fn has_written(&mut self, bytes: usize) {
        let of_ahead = bytes.min(self.ahead.len());
        let of_window = (bytes - of_ahead).min(self.window.ready_len());
        self.ahead.start = self.ahead.start.saturating_add(narrow(of_ahead));
        self.window.start = self.window.start.saturating_add(narrow(of_window));
    }
}

impl Place {
    /// Whether there are no bytes anywhere.
    pub const fn is_none(self) -> bool {
        self.0 == Self::NONE.0
    }
}

/// A count of bytes in a buffer, which is far smaller than four gigabytes.
fn narrow(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("buffers are smaller than four gigabytes")
}

/// Bytes over the whole life of a socket, as the worker noted them.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Cursors {
    pub read: u64,
    pub written: u64,
}

/// Both sockets and both directions of one connection.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Streams {
    pub client: Cursors,
    pub upstream: Cursors,
    /// From the client to the upstream.
    pub request: Flow,
    /// From the upstream to the client.
    pub response: Flow,
}

impl Streams {
    /// Nothing read, nothing written, nothing on the way.
    pub const EMPTY: Self = Self {
        client: Cursors { read: 0, written: 0 },
        upstream: Cursors { read: 0, written: 0 },
        request: Flow::EMPTY,
        response: Flow::EMPTY,
    };
}
