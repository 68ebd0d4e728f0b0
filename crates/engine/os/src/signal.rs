//! The signals that ask a process to end, as something to wait for (`signalfd`).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};

/// A request to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// From the service manager or an operator.
    Terminate,
    /// From a terminal.
    Interrupt,
}

/// The requests to end that have arrived.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Takes SIGTERM and SIGINT from their default action. To be called before any thread is
    /// made, so that every thread inherits the mask.
    pub fn take_over() -> io::Result<Self> {
        let set = block_termination()?;
        // JUSTIFICATION: rustix has no signalfd.
        // SAFETY: the set is initialised; -1 asks for a new descriptor.
        let descriptor =
            unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // JUSTIFICATION: the call above made it.
        // SAFETY: it is open, and nobody else knows its number.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    /// Waits for the next one, for a thread that has nothing else to do.
    pub fn wait(&self) -> io::Result<Signal> {
        loop {
            if let Some(signal) = self.next()? {
                return Ok(signal);
            }
            match poll(&mut [PollFd::new(self, PollFlags::IN)], None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// The next one that has arrived.
    pub fn next(&self) -> io::Result<Option<Signal>> {
        const INFORMATION_BYTES: usize = size_of::<libc::signalfd_siginfo>();
        let mut information = [0_u8; INFORMATION_BYTES];
        match rustix::io::read(&self.0, &mut information) {
            Ok(_) => {
                // The number of the signal is the first field.
                let [a, b, c, d, ..] = information;
                let number = u32::from_ne_bytes([a, b, c, d]);
                let interrupt = number == libc::SIGINT.unsigned_abs();
                Ok(Some(if interrupt { Signal::Interrupt } else { Signal::Terminate }))
            }
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Keeps requests to end from this thread; returns which those are.
pub(crate) fn block_termination() -> io::Result<libc::sigset_t> {
    let set = signal_set(&[libc::SIGTERM, libc::SIGINT]);
    // JUSTIFICATION: neither std nor rustix blocks signals.
    // SAFETY: both pointers are valid or null; the mask is this thread's alone.
    let blocked =
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
    if blocked == 0 { Ok(set) } else { Err(io::Error::from_raw_os_error(blocked)) }
}

/// Has a write to a pipe that nobody reads be an error and no death, as it is from the start.
pub(crate) fn ignore_broken_pipes() {
    // JUSTIFICATION: neither std nor rustix sets a signal's action.
    // SAFETY: SIG_IGN installs no code.
    let previous = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    debug_assert!(previous != libc::SIG_ERR, "this signal can be ignored");
}

/// Makes this process deaf to requests to end. For a keeper, which ends when its work does.
pub(crate) fn ignore_termination() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGPIPE] {
        // JUSTIFICATION: neither std nor rustix sets a signal's action.
        // SAFETY: SIG_IGN installs no code.
        let previous = unsafe { libc::signal(signal, libc::SIG_IGN) };
        debug_assert!(previous != libc::SIG_ERR, "these signals can be ignored");
    }
}

pub(crate) fn signal_set(signals: &[libc::c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // JUSTIFICATION: a signal set can only be made by libc.
    // SAFETY: the call initialises the whole set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // JUSTIFICATION: as above.
    // SAFETY: initialised by the call above.
    let mut set: libc::sigset_t = unsafe { set.assume_init() };
    for &signal in signals {
        // JUSTIFICATION: as above.
        // SAFETY: the set is initialised; a wrong number changes nothing.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    set
}
