//! What a process may use: descriptors, processors, core dumps.

use std::io;
use std::os::fd::RawFd;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Raises the limit on open descriptors to `wanted`; where that is not allowed, to the most
/// that is. Returns what it is now.
pub fn raise_descriptor_limit(wanted: u64) -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    let now = limit.current.unwrap_or(u64::MAX);
    if now >= wanted {
        return Ok(now);
    }
    let hard = limit.maximum.unwrap_or(u64::MAX);
    let raised = Rlimit { current: Some(wanted), maximum: Some(wanted.max(hard)) };
    if setrlimit(Resource::Nofile, raised).is_ok() {
        return Ok(wanted);
    }
    let most = wanted.min(hard);
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum })?;
    Ok(most)
}

/// Makes room in the descriptor table for `count` descriptors, or as many as are allowed.
///
/// The kernel grows a table that is shared, by threads or with a keeper, only after every
/// processor has passed through the scheduler: ten milliseconds each time it doubles, in the
/// middle of an adoption. Before there is a second thread it grows at once.
pub fn reserve_descriptors(count: u64) -> io::Result<()> {
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let last = count.min(allowed).saturating_sub(1);
    let last = RawFd::try_from(last).unwrap_or(RawFd::MAX);
    drop(fcntl_dupfd_cloexec(io::stderr(), last)?);
    Ok(())
}

/// Lets this process write a core dump of any size when it dies.
pub fn allow_core_dumps() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: None, maximum: None })?;
    Ok(())
}

/// Keeps the calling thread on one processor.
pub fn pin_thread(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set)?;
    Ok(())
}
