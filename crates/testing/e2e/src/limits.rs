//! How many descriptors this process may have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit on open descriptors as far as this process may, and returns it.
///
/// Ten thousand connections are ten thousand descriptors here, and as many in the worker,
/// which inherits the limit.
pub fn raise_descriptor_limit() -> u64 {
    let before = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: before.maximum, maximum: before.maximum };
    match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => before.maximum.unwrap_or(u64::MAX),
        Err(_) => before.current.unwrap_or(u64::MAX),
    }
}
