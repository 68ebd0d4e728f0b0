//! The last words of a process that dies by its own fault.
//!
//! A core dump keeps a dead process, and the end of everything it holds, from being seen for
//! seconds. So a handler for the fatal signals notes in shared memory that the end has
//! begun and which thread it is, wakes the keeper, and lets the signal do what it does.
//!
//! # Invariants
//!
//! 1. The handler only stores to memory, writes to an event, lowers its thread's priority and
//!    raises: each is one system call or none, and allowed in a handler (signal-safety(7)).
//! 2. A signal that another process sent is not noted as our own fault: it says nothing about
//!    the connection that was being worked on.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use crate::event::Event;
use crate::signal::signal_set;

/// Where the last words go: a word each in shared memory.
#[derive(Clone, Copy, Debug)]
pub struct FatalNote {
    /// The thread that met the signal; 0 while all is well.
    pub thread: &'static AtomicU64,
    /// The signal's number; with [`FatalNote::OWN_FAULT`] added if nobody sent it.
    pub signal: &'static AtomicU64,
}

impl FatalNote {
    /// Added to the signal's number when the process itself is at fault.
    pub const OWN_FAULT: u64 = 1 << 32;
}

/// How far a thread that writes a core dump steps back: behind everybody, for the heir is in a hurry.
const DUMP_NICENESS: libc::c_int = 19;

static NOTE: OnceLock<FatalNote> = OnceLock::new();
static DOOM: AtomicI32 = AtomicI32::new(-1);

const FATAL: [libc::c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT, libc::SIGSYS];

/// From now on, a fatal signal is noted in `note` and raises `doom`. Once per process.
///
/// # Panics
///
/// If it is called twice.
pub fn watch_fatal_signals(note: FatalNote, doom: &Event) -> io::Result<()> {
    assert!(NOTE.set(note).is_ok(), "fatal signals are watched once");
    DOOM.store(doom.as_fd().as_raw_fd(), Ordering::Release);
    for signal in FATAL {
        // JUSTIFICATION: `sigaction` has no constructor.
        // SAFETY: all zeroes is a value of it: default action, no flags.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
            last_words;
        action.sa_sigaction = handler as libc::sighandler_t;
        // Once, on the alternative stack that std gives every thread: a stack overflow is
        // a fatal signal too.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESETHAND;
        action.sa_mask = signal_set(&FATAL);
        // JUSTIFICATION: neither std nor rustix sets a signal's action.
        // SAFETY: the handler keeps to what signal-safety(7) allows.
        if unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

extern "C" fn last_words(
    signal: libc::c_int,
    information: *mut libc::siginfo_t,
    _context: *mut libc::c_void,
) {
    if let Some(note) = NOTE.get() {
        let mut word = u64::from(signal.unsigned_abs());
        if is_own_fault(information) {
            word |= FatalNote::OWN_FAULT;
        }
        note.signal.store(word, Ordering::Release);
        let thread = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        note.thread.store(thread.into(), Ordering::Release);
        let one = 1_u64;
        // JUSTIFICATION: an owned handle cannot be reached from a handler.
        // SAFETY: eight valid bytes; the descriptor was open when the handler was installed,
        // and if it is not any more, the write fails and the keeper waits for the end.
        unsafe { libc::write(DOOM.load(Ordering::Acquire), (&raw const one).cast(), 8) };
        // This thread writes the dump, while the heir needs the processor for its clients.
        // JUSTIFICATION: rustix sets no priority of a single thread.
        // SAFETY: a bare system call; 0 is the calling thread.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, DUMP_NICENESS) };
    }
    // The handler was reset on entry. A fault would come again by itself on return; a
    // signal that was sent would not.
    // JUSTIFICATION: no safe call raises a signal in this very thread.
    // SAFETY: allowed in a handler; it takes effect when the handler returns.
    unsafe { libc::raise(signal) };
}

fn is_own_fault(information: *mut libc::siginfo_t) -> bool {
    if information.is_null() {
        return true;
    }
    // JUSTIFICATION: the kernel passes a pointer.
    // SAFETY: not null, and valid for the length of the handler (SA_SIGINFO).
    let information = unsafe { &*information };
    if information.si_code > 0 {
        return true;
    }
    // Sent by a process: by ourselves (`abort`), or by another.
    // JUSTIFICATION: the sender's number is in a union.
    // SAFETY: for a code of 0 or less the union holds the sender.
    let sender = unsafe { information.si_pid() };
    sender.unsigned_abs() == std::process::id()
}
