//! Memory that outlives its process: a file in memory, mapped by its owner and open in the
//! owner's descriptor table, so that a keeper or an heir can read it afterwards.
//!
//! # Invariants
//!
//! 1. The file is sealed at its size: nobody can shrink it under a mapping.
//! 2. Every byte of the owner's mapping is given out once at most: as atomic words, which
//!    others may read at any time, or as bytes, which only their holder touches while the
//!    process lives.
//! 3. It is left out of core dumps.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fstat, ftruncate, memfd_create};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

/// A file in memory, sealed at its size.
#[derive(Debug)]
pub struct SharedFile(OwnedFd);

/// Why shared memory could not be had.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    #[error("cannot make a memory file of {bytes} bytes")]
    Create { bytes: usize, source: io::Error },

    #[error("cannot map a memory file of {bytes} bytes")]
    Map { bytes: usize, source: io::Error },

    #[error("cannot ask for the size of a memory file")]
    Size { source: io::Error },
}

impl SharedFile {
    /// A new file of zeroes. Pages that are never touched cost nothing.
    pub fn create(name: &str, bytes: usize) -> Result<Self, MemoryError> {
        let make = || -> rustix::io::Result<OwnedFd> {
            let file = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
            ftruncate(&file, bytes as u64)?;
            fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
            Ok(file)
        };
        make().map(Self).map_err(|errno| MemoryError::Create { bytes, source: errno.into() })
    }

    /// The file behind a descriptor that another process sent.
    pub const fn from_descriptor(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> Result<usize, MemoryError> {
        let stat = fstat(&self.0).map_err(|errno| MemoryError::Size { source: errno.into() })?;
        Ok(usize::try_from(stat.st_size).unwrap_or(0))
    }

    /// Maps it for its owner, for the rest of the process's life.
    pub fn own(&self) -> Result<Memory, MemoryError> {
        let bytes = self.bytes()?;
        let base = map(&self.0, bytes, ProtFlags::READ | ProtFlags::WRITE)?;
        Ok(Memory { base, bytes, given: Vec::new() })
    }

    /// Maps it for reading.
    pub fn observe(&self) -> Result<Observed, MemoryError> {
        let bytes = self.bytes()?;
        let base = map(&self.0, bytes, ProtFlags::READ)?;
        Ok(Observed { base, bytes })
    }
}

impl AsFd for SharedFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn map(file: &OwnedFd, bytes: usize, protection: ProtFlags) -> Result<NonNull<u8>, MemoryError> {
    let failed = |errno: rustix::io::Errno| MemoryError::Map { bytes, source: errno.into() };
    // JUSTIFICATION: memory that two processes share cannot be had from the allocator.
    // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing of ours.
    let address =
        unsafe { mmap(std::ptr::null_mut(), bytes, protection, MapFlags::SHARED, file, 0) }
            .map_err(failed)?;
    // JUSTIFICATION: a core dump would take a second for each gigabyte of it.
    // SAFETY: the range is the mapping just made; the advice changes no contents.
    unsafe { madvise(address, bytes, Advice::LinuxDontDump) }.map_err(failed)?;
    Ok(NonNull::new(address.cast()).expect("mmap succeeded, so the address is not null"))
}

/// The owner's mapping, from which parts are given out. Never unmapped: its parts are used
/// until the process ends.
#[derive(Debug)]
pub struct Memory {
    base: NonNull<u8>,
    bytes: usize,
    given: Vec<Range<usize>>,
}

// JUSTIFICATION: the mapping is made by one thread and its parts are used by others.
// SAFETY: `Memory` only hands out parts, each once; the pointer has no thread affinity.
unsafe impl Send for Memory {}

impl Memory {
    /// Gives out `range` as words that other processes may read at any time.
    ///
    /// # Panics
    ///
    /// If the range is out of bounds, not aligned to eight bytes, or was given out before.
    pub fn words(&mut self, range: Range<usize>) -> &'static [AtomicU64] {
        let start = self.give(&range);
        assert!(
            range.start.is_multiple_of(8) && range.len().is_multiple_of(8),
            "words are eight bytes"
        );
        // JUSTIFICATION: words in shared memory, see the module's head.
        // SAFETY: in bounds and aligned (checked), mapped for ever, never given out as
        // anything else; all access is atomic.
        unsafe { std::slice::from_raw_parts(start.cast().as_ptr(), range.len() / 8) }
    }

    /// Gives out `range` as bytes that belong to the caller alone.
    ///
    /// # Panics
    ///
    /// If the range is out of bounds or was given out before.
    pub fn bytes(&mut self, range: Range<usize>) -> &'static mut [u8] {
        let start = self.give(&range);
        // JUSTIFICATION: buffers in shared memory, see the module's head.
        // SAFETY: in bounds, mapped for ever, given out once. Others read it only when this
        // process is past doing anything.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), range.len()) }
    }

    fn give(&mut self, range: &Range<usize>) -> NonNull<u8> {
        assert!(range.start <= range.end && range.end <= self.bytes, "part out of bounds");
        let overlaps = |given: &Range<usize>| given.start < range.end && range.start < given.end;
        assert!(!self.given.iter().any(overlaps), "part given out twice");
        self.given.push(range.clone());
        // JUSTIFICATION: an address inside the mapping.
        // SAFETY: `range.start` is at most `bytes`, so the result is inside the mapping or
        // one past it.
        unsafe { self.base.add(range.start) }
    }
}

/// A mapping for reading what another process wrote.
#[derive(Debug)]
pub struct Observed {
    base: NonNull<u8>,
    bytes: usize,
}

// JUSTIFICATION: an observer may be handed to another thread.
// SAFETY: it owns the mapping, which has no thread affinity.
unsafe impl Send for Observed {}

// JUSTIFICATION: several threads adopt from one ledger.
// SAFETY: all methods only read.
unsafe impl Sync for Observed {}

impl Observed {
    /// Its size in bytes.
    pub const fn size(&self) -> usize {
        self.bytes
    }

    /// The words in `range`, or `None` if there is no such range. They may change at any
    /// time while their owner lives.
    pub fn words(&self, range: Range<usize>) -> Option<&[AtomicU64]> {
        if range.start > range.end || range.end > self.bytes {
            return None;
        }
        if !range.start.is_multiple_of(8) || !range.len().is_multiple_of(8) {
            return None;
        }
        // JUSTIFICATION: reading words in shared memory.
        // SAFETY: in bounds and aligned (checked), mapped while `self` lives; only loads are
        // done through it, which a read-only mapping allows.
        let start = unsafe { self.base.add(range.start) };
        // JUSTIFICATION: as above.
        // SAFETY: as above.
        Some(unsafe { std::slice::from_raw_parts(start.cast().as_ptr(), range.len() / 8) })
    }

    /// Copies the bytes at `from` to `to`; false if there is no such range. To be used when
    /// the owner is past doing anything; before that the copy may be torn.
    #[must_use]
    pub fn copy(&self, from: usize, to: &mut [u8]) -> bool {
        if from.checked_add(to.len()).is_none_or(|end| end > self.bytes) {
            return false;
        }
        // JUSTIFICATION: reading bytes in shared memory without making a reference to them.
        // SAFETY: in bounds (checked).
        let source = unsafe { self.base.add(from) };
        // JUSTIFICATION: as above.
        // SAFETY: both ranges are valid for `to.len()` bytes, and `to` is memory of ours
        // that does not overlap a mapping.
        unsafe { std::ptr::copy_nonoverlapping(source.as_ptr(), to.as_mut_ptr(), to.len()) };
        true
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        // JUSTIFICATION: the mapping of a ledger that was adopted is not needed again.
        // SAFETY: the range is the mapping that `observe` made, and no reference into it
        // outlives `self`.
        let unmapped = unsafe { munmap(self.base.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "a mapping of our own can be unmapped");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn what_the_owner_writes_an_observer_reads() {
        let file = SharedFile::create("test", 8192).unwrap();
        let mut memory = file.own().unwrap();
        let words = memory.words(0..64);
        let bytes = memory.bytes(4096..8192);
        words[3].store(77, Ordering::Release);
        bytes[..5].copy_from_slice(b"hello");

        let observed = file.observe().unwrap();
        assert_eq!(observed.words(0..64).unwrap()[3].load(Ordering::Acquire), 77);
        let mut copy = [0; 5];
        assert!(observed.copy(4096, &mut copy));
        assert_eq!(&copy, b"hello");
        assert!(!observed.copy(8190, &mut copy));
        assert!(observed.words(8184..8200).is_none());
    }

    #[test]
    #[should_panic(expected = "part given out twice")]
    fn no_byte_is_given_out_twice() {
        let file = SharedFile::create("test", 4096).unwrap();
        let mut memory = file.own().unwrap();
        memory.words(0..64);
        memory.bytes(56..100);
    }

    #[test]
    fn the_file_cannot_shrink_under_a_mapping() {
        let file = SharedFile::create("test", 4096).unwrap();
        assert!(ftruncate(&file, 0).is_err());
    }
}
