//! Randomness, for identifiers that must differ between processes.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// Sixty-four random bits from the kernel.
pub fn random_u64() -> io::Result<u64> {
    let mut bytes = [0_u8; 8];
    let filled = getrandom(&mut bytes, GetRandomFlags::empty())?;
    // The kernel returns requests of up to 256 bytes whole.
    assert!(filled == bytes.len(), "a short read of eight random bytes");
    Ok(u64::from_ne_bytes(bytes))
}
