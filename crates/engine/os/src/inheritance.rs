//! The descriptors that a process left in a table it shared.
//!
//! # Invariants
//!
//! 1. It is made when whoever opened the descriptors is past doing anything: nobody else
//!    opens or closes in this table any more.
//! 2. Each descriptor is taken once at most.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

/// How many numbers are asked about at once.
const ASKED_AT_ONCE: RawFd = 512;

/// Descriptors without an owner, to be taken by number.
#[derive(Debug)]
pub struct Inheritance {
    /// By number.
    found: Vec<Found>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Not open, in use by this process, or taken.
    Nothing,
    Quiet,
    /// Reading would tell something: bytes, the end, or an error.
    Readable,
}

impl Inheritance {
    /// Everything in this process's table but standard input, output and error and what the
    /// caller still uses.
    ///
    /// To be made by a keeper whose parent is past doing anything, or by a process whose
    /// other threads have ended and whose own owners of descriptors have let them go.
    pub fn open(in_use: &[BorrowedFd<'_>]) -> io::Result<Self> {
        let mut found = survey()?;
        let standard = [0, 1, 2];
        for number in in_use.iter().map(AsRawFd::as_raw_fd).chain(standard) {
            if let Some(found) = usize::try_from(number).ok().and_then(|n| found.get_mut(n)) {
                *found = Found::Nothing;
            }
        }
        Ok(Self { found })
    }

    /// Whether there is something to read at a descriptor that nobody took.
    pub fn is_readable(&self, number: RawFd) -> bool {
        usize::try_from(number).ok().and_then(|number| self.found.get(number))
            == Some(&Found::Readable)
    }

    /// Takes one; `None` if it was not there or was taken before.
    pub fn take(&mut self, number: RawFd) -> Option<OwnedFd> {
        let found = self.found.get_mut(usize::try_from(number).ok()?)?;
        if std::mem::replace(found, Found::Nothing) == Found::Nothing {
            return None;
        }
        // JUSTIFICATION: what another process opened in a shared table has no owner here.
        // SAFETY: it was open when `self` was made, nobody else uses this table (the
        // constructor's condition), and it is taken once.
        Some(unsafe { OwnedFd::from_raw_fd(number) })
    }

    /// Gives one back that turned out to be something else than was looked for.
    pub fn give_back(&mut self, descriptor: OwnedFd) {
        let number = usize::try_from(descriptor.into_raw_fd()).ok();
        if let Some(found) = number.and_then(|number| self.found.get_mut(number)) {
            *found = Found::Quiet;
        }
    }

    /// Takes everything that nobody took yet.
    pub fn take_rest(&mut self) -> Vec<OwnedFd> {
        (0..).take(self.found.len()).filter_map(|number| self.take(number)).collect()
    }
}

/// What is open in this process's table.
///
/// The numbers are asked about some hundreds at a time: one call for each of a thousand takes
/// half a millisecond, and listing `/proc/self/fd`, which makes an inode for every descriptor,
/// several.
fn survey() -> io::Result<Vec<Found>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let size = status.lines().find_map(|line| line.strip_prefix("FDSize:"));
    let size: RawFd = size
        .and_then(|size| size.trim().parse().ok())
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    // The size of the directory is the number of open descriptors (Linux 6.2), so that not
    // the whole of a large table has to be asked; before that it is 0.
    let mut open = match usize::try_from(fs::metadata("/proc/self/fd")?.len()) {
        Ok(0) | Err(_) => usize::MAX,
        Ok(open) => open,
    };
    let mut found = Vec::new();
    for start in (0..size).step_by(usize::try_from(ASKED_AT_ONCE).unwrap_or(1)) {
        if open == 0 {
            break;
        }
        for revents in ask(start..(start + ASKED_AT_ONCE).min(size))? {
            let is = if revents.contains(PollFlags::NVAL) {
                Found::Nothing
            } else if revents.is_empty() {
                Found::Quiet
            } else {
                Found::Readable
            };
            open = open.saturating_sub(usize::from(is != Found::Nothing));
            found.push(is);
        }
    }
    Ok(found)
}

/// What `poll` says of some numbers, in their order.
fn ask(numbers: std::ops::Range<RawFd>) -> io::Result<Vec<PollFlags>> {
    let mut asked: Vec<PollFd<'_>> = numbers
        .map(|number| {
            // JUSTIFICATION: whether a number is open can only be asked with the number.
            // SAFETY: the handle is used for this one question, which a closed number answers
            // with `POLLNVAL`; nothing is read, written or closed through it.
            let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
            PollFd::from_borrowed_fd(descriptor, PollFlags::IN | PollFlags::RDHUP)
        })
        .collect();
    poll(&mut asked, Some(&Timespec::default()))?;
    Ok(asked.iter().map(PollFd::revents).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_is_open_is_found_and_what_can_be_read_is_known() {
        let (quiet, _other) = UnixStream::pair().unwrap();
        let (readable, mut writer) = UnixStream::pair().unwrap();
        writer.write_all(b"x").unwrap();
        let found = survey().unwrap();
        let of = |number: RawFd| found.get(usize::try_from(number).unwrap()).copied();
        assert_eq!(of(quiet.as_raw_fd()), Some(Found::Quiet));
        assert_eq!(of(readable.as_raw_fd()), Some(Found::Readable));
    }

    #[test]
    fn what_the_caller_uses_is_left_alone_and_nothing_is_taken_twice() {
        let (used, left) = UnixStream::pair().unwrap();
        let used: OwnedFd = used.into();
        let number = left.into_raw_fd();
        let mut inheritance = Inheritance::open(&[used.as_fd()]).unwrap();
        assert!(inheritance.take(used.as_raw_fd()).is_none());
        assert!(inheritance.take(2).is_none());
        assert!(inheritance.take(-1).is_none());
        let taken = inheritance.take(number).unwrap();
        assert!(inheritance.take(number).is_none());
        inheritance.give_back(taken);
        assert!(inheritance.take(number).is_some());
    }
}
