//! A child with its own memory and its parent's descriptor table.
//!
//! `clone3(CLONE_FILES)` without `CLONE_VM`: descriptors that the parent opens later are in
//! the child's table too, and a `kill -9` of the parent closes none of them. That child, the
//! **keeper**, costs nothing per connection and nothing while its parent lives.
//!
//! # Invariants
//!
//! 1. It is made before the process has a second thread, so the child is a whole process: no
//!    lock is held by a thread that does not exist in it.
//! 2. A descriptor that both know has one owner: what the child was given before the clone
//!    stays open in the parent, and each closes only what it opened itself.
//! 3. It never calls `exec`, which would give it a table of its own.
//!
//! Source: clone(2).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};

use crate::process::Pidfd;
use crate::signal::ignore_termination;

/// The parent's view of its keeper.
#[derive(Debug)]
pub struct Keeper {
    pid: u32,
    pidfd: Pidfd,
}

impl Keeper {
    /// Its process number.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Readable when the keeper is gone.
    pub const fn pidfd(&self) -> &Pidfd {
        &self.pidfd
    }
}

impl AsFd for Keeper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Makes the keeper of this process. `body` runs in the child, with a handle on the parent;
/// its result is the child's exit code.
///
/// To be called first thing, before any thread exists.
///
/// # Panics
///
/// If this process already has a second thread.
pub fn make_keeper(body: impl FnOnce(&Pidfd) -> i32) -> io::Result<Keeper> {
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    assert!(threads == 1, "a keeper is made before any thread");
    let parent = Pidfd::from_descriptor(pidfd_open(getpid(), PidfdFlags::empty())?);

    match clone_with_descriptors()? {
        Cloned::Child => {
            ignore_termination();
            let named = rustix::thread::set_name(c"mainstay-keeper");
            debug_assert!(named.is_ok(), "fifteen bytes are a valid name");
            let code = body(&parent);
            // JUSTIFICATION: `std::process::exit` would run the parent's exit handlers.
            // SAFETY: `_exit` ends the process and touches nothing.
            unsafe { libc::_exit(code) }
        }
        Cloned::Parent { pid, pidfd } => {
            #[expect(clippy::mem_forget, reason = "the table is shared: this is the keeper's now")]
            std::mem::forget(parent);
            Ok(Keeper { pid, pidfd: Pidfd::from_descriptor(pidfd) })
        }
    }
}

enum Cloned {
    Child,
    Parent { pid: u32, pidfd: OwnedFd },
}

fn clone_with_descriptors() -> io::Result<Cloned> {
    let mut pidfd: RawFd = -1;
    // JUSTIFICATION: `clone_args` has no constructor.
    // SAFETY: it is plain integers; all zeroes asks for nothing.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = (libc::CLONE_FILES | libc::CLONE_PIDFD) as u64;
    arguments.pidfd = (&raw mut pidfd).addr() as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    // JUSTIFICATION: no other call makes a process that shares only its descriptors.
    // SAFETY: without CLONE_VM the child is a copy, as after fork; the caller has one thread
    // (checked in `make_keeper`), so no lock is left held in the copy. No new stack is asked
    // for, so both go on with their own copy of this one.
    let result = unsafe {
        libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>())
    };
    match result {
        0 => Ok(Cloned::Child),
        -1 => Err(io::Error::last_os_error()),
        pid => {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let pid = pid.expect("the kernel returns a process number");
            // JUSTIFICATION: the kernel wrote the number of a new descriptor.
            // SAFETY: it is open, and nobody else knows it.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Cloned::Parent { pid: pid.as_raw_nonzero().get().unsigned_abs(), pidfd })
        }
    }
}
