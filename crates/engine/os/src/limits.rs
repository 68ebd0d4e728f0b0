//! What a process may use: memory, descriptors, processors, core dumps.

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

/// Least memory that a process is left, whatever its share: what it needs to start.
const MEMORY_BYTES_MIN: u64 = 64 << 20;

/// How much memory a share of this machine's is, in hundredths; never less than a process needs.
pub fn memory_share(percent: u8) -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    let kib = kib.ok_or_else(|| io::Error::other("/proc/meminfo has no MemTotal"))?;
    Ok((kib.saturating_mul(1024) / 100 * u64::from(percent)).max(MEMORY_BYTES_MIN))
}

/// Limits the memory that this process may have of its own (`RLIMIT_DATA` in getrlimit(2)): heap
/// and stacks, not what it shares with others. Whatever would exceed it is not given.
pub fn limit_memory(bytes: u64) -> io::Result<()> {
    // What somebody else has limited further stays so.
    let most = getrlimit(Resource::Data).maximum.map_or(bytes, |most| most.min(bytes));
    setrlimit(Resource::Data, Rlimit { current: Some(most), maximum: Some(most) })?;
    Ok(())
}

/// Whether a process writes a core dump when it dies by its own fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoreDumps {
    Off,
    /// As large as this machine allows; none, if it allows none.
    On,
}

/// Has this process, and those that it starts, write core dumps or not. What is allowed at most
/// stays as it is, so that a child can have it otherwise.
pub fn set_core_dumps(dumps: CoreDumps) -> io::Result<()> {
    let maximum = getrlimit(Resource::Core).maximum;
    let current = match dumps {
        CoreDumps::On => maximum,
        // Not 0: a core pattern that is a pipe ignores every limit but this one (core(5)).
        CoreDumps::Off => Some(maximum.map_or(1, |most| most.min(1))),
    };
    setrlimit(Resource::Core, Rlimit { current, maximum })?;
    Ok(())
}

/// Keeps the calling thread, and those that it starts, on these processors.
pub fn pin_thread(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        if cpu >= CpuSet::MAX_CPU {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        set.set(cpu);
    }
    sched_setaffinity(None, &set)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_part_of_the_whole_and_never_too_little() {
        let whole = memory_share(100).unwrap();
        let half = memory_share(50).unwrap();
        assert!(whole >= MEMORY_BYTES_MIN);
        assert!(half <= whole && half * 2 + 100 >= whole, "{half} of {whole}");
        assert_eq!(memory_share(0).unwrap(), MEMORY_BYTES_MIN);
    }
}
