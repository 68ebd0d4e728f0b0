//! The descriptors that a process left in a table it shared.
//!
//! # Invariants
//!
//! 1. It is made when whoever opened the descriptors is past doing anything: nobody else
//!    opens or closes in this table any more.
//! 2. Each descriptor is taken once at most.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use crate::process::own_descriptors;

/// Descriptors without an owner, to be taken by number.
#[derive(Debug)]
pub struct Inheritance {
    left: BTreeSet<RawFd>,
}

impl Inheritance {
    /// Everything in this process's table but standard input, output and error and what the
    /// caller still uses.
    ///
    /// To be made by a keeper whose parent is past doing anything, or by a process whose
    /// other threads have ended and whose own owners of descriptors have let them go.
    pub fn open(in_use: &[BorrowedFd<'_>]) -> io::Result<Self> {
        let mut left: BTreeSet<RawFd> = own_descriptors()?.into_iter().collect();
        left.retain(|&number| number > 2);
        for descriptor in in_use {
            left.remove(&descriptor.as_raw_fd());
        }
        Ok(Self { left })
    }

    /// The numbers that nobody took yet.
    pub fn numbers(&self) -> impl Iterator<Item = RawFd> + '_ {
        self.left.iter().copied()
    }

    /// Takes one; `None` if it was not there or was taken before.
    pub fn take(&mut self, number: RawFd) -> Option<OwnedFd> {
        if !self.left.remove(&number) {
            return None;
        }
        // JUSTIFICATION: what another process opened in a shared table has no owner here.
        // SAFETY: it was open when `self` was made, nobody else uses this table (the
        // constructor's condition), and it is taken once.
        Some(unsafe { OwnedFd::from_raw_fd(number) })
    }

    /// Gives one back that turned out to be something else than was looked for.
    pub fn give_back(&mut self, descriptor: OwnedFd) {
        self.left.insert(descriptor.into_raw_fd());
    }
}
