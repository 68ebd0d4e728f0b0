//! The bytes of a lane: its shared areas and its connections' own buffers.

use std::ops::Range;

use mainstay_adopt::Place;

use crate::layout::{AREA_BYTES, PIPE_BYTES, SMALL_BYTES};

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the upstream.
    Request,
    /// From the upstream to the client.
    Response,
}

/// The bytes of one lane, and which buffers are free.
#[derive(Debug)]
pub struct Areas {
    pub(crate) scratch_request: &'static mut [u8],
    pub(crate) scratch_response: &'static mut [u8],
    pub(crate) out: &'static mut [u8],
    pub(crate) small: Pool,
    pub(crate) large: Pool,
}

/// Buffers of one size; the one freed last is given out next, for it is still in the cache.
#[derive(Debug)]
pub(crate) struct Pool {
    bytes: &'static mut [u8],
    size: usize,
    freed: Vec<u32>,
    /// Buffers from here on have never been used.
    untouched: u32,
}

impl Pool {
    pub(crate) const fn new(bytes: &'static mut [u8], size: usize) -> Self {
        Self { bytes, size, freed: Vec::new(), untouched: 0 }
    }

    fn allocate(&mut self) -> u32 {
        if let Some(index) = self.freed.pop() {
            return index;
        }
        let index = self.untouched;
        assert!(
            (index as usize + 1) * self.size <= self.bytes.len(),
            "the layout has a buffer for every use"
        );
        self.untouched += 1;
        index
    }

    fn get(&self, index: u32) -> &[u8] {
        let start = index as usize * self.size;
        self.bytes.get(start..start + self.size).expect("the index was given out by allocate")
    }

    fn copy_within(&mut self, from: u32, range: Range<usize>, to: u32) {
        let (from, to) = (from as usize * self.size, to as usize * self.size);
        self.bytes.copy_within(from + range.start..from + range.end, to);
    }

    fn get_mut(&mut self, index: u32) -> &mut [u8] {
        let start = index as usize * self.size;
        self.bytes.get_mut(start..start + self.size).expect("the index was given out by allocate")
    }
}

impl Areas {
    /// A buffer of the connection's own, with room for `bytes`.
    ///
    /// # Panics
    ///
    /// If `bytes` is more than [`AREA_BYTES`].
    pub fn allocate(&mut self, bytes: usize) -> Place {
        assert!(bytes <= AREA_BYTES, "nothing is larger than an area");
        if bytes <= SMALL_BYTES {
            Place::small(self.small.allocate())
        } else {
            Place::large(self.large.allocate())
        }
    }

    /// Gives a buffer back. Shared areas and no place at all need no giving back.
    pub fn free(&mut self, place: Place) {
        if let Some(index) = place.as_small() {
            self.small.freed.push(index);
        } else if let Some(index) = place.as_large() {
            self.large.freed.push(index);
        }
    }

    /// How many bytes fit at a place. An heir believes no read that brought more.
    pub fn capacity(place: Place) -> usize {
        match place.as_small() {
            Some(_) => SMALL_BYTES,
            None if place == Place::PIPE => PIPE_BYTES,
            None => AREA_BYTES,
        }
    }

    /// The whole of a place.
    pub fn at(&self, place: Place, direction: Direction) -> &[u8] {
        if let Some(index) = place.as_small() {
            self.small.get(index)
        } else if let Some(index) = place.as_large() {
            self.large.get(index)
        } else if place == Place::OUT {
            self.out
        } else {
            match direction {
                Direction::Request => self.scratch_request,
                Direction::Response => self.scratch_response,
            }
        }
    }

    /// The whole of a place, to be written to.
    pub fn at_mut(&mut self, place: Place, direction: Direction) -> &mut [u8] {
        if let Some(index) = place.as_small() {
            self.small.get_mut(index)
        } else if let Some(index) = place.as_large() {
            self.large.get_mut(index)
        } else if place == Place::OUT {
            self.out
        } else {
            match direction {
                Direction::Request => self.scratch_request,
                Direction::Response => self.scratch_response,
            }
        }
    }

    /// A place to read from and the area for what we make, at once.
    ///
    /// # Panics
    ///
    /// If the place is the area for what we make.
    pub fn from_and_out(&mut self, place: Place, direction: Direction) -> (&[u8], &mut [u8]) {
        assert!(place != Place::OUT, "nothing is made from what was made");
        let from = if let Some(index) = place.as_small() {
            self.small.get(index)
        } else if let Some(index) = place.as_large() {
            self.large.get(index)
        } else {
            match direction {
                Direction::Request => &*self.scratch_request,
                Direction::Response => &*self.scratch_response,
            }
        };
        (from, self.out)
    }

    /// Copies bytes out of a shared area to a buffer of the connection's own, in which there
    /// is `room` for more behind them.
    pub fn keep(
        &mut self,
        from: Place,
        direction: Direction,
        range: Range<usize>,
        room: usize,
    ) -> Place {
        assert!(from.is_shared(), "what is the connection's own stays where it is");
        let length = range.len();
        let to = self.allocate((length + room).min(AREA_BYTES));
        let from = match (from == Place::OUT, direction) {
            (true, _) => &*self.out,
            (false, Direction::Request) => &*self.scratch_request,
            (false, Direction::Response) => &*self.scratch_response,
        };
        let target = match (to.as_small(), to.as_large()) {
            (Some(index), _) => self.small.get_mut(index),
            (None, index) => self.large.get_mut(index.expect("own buffers are small or large")),
        };
        copy(from, range, target);
        to
    }

    /// Copies bytes from wherever they are to the start of a large buffer.
    pub fn relocate(&mut self, from: Place, direction: Direction, range: Range<usize>) -> Place {
        if from.is_shared() {
            return self.keep(from, direction, range, AREA_BYTES);
        }
        let to = self.large.allocate();
        if let Some(index) = from.as_small() {
            copy(self.small.get(index), range, self.large.get_mut(to));
        } else if let Some(index) = from.as_large() {
            self.large.copy_within(index, range, to);
        }
        Place::large(to)
    }
}

fn copy(from: &[u8], range: Range<usize>, to: &mut [u8]) {
    let length = range.len();
    let from = from.get(range).expect("a range within the area");
    to.get_mut(..length).expect("the buffer was chosen for this length").copy_from_slice(from);
}
