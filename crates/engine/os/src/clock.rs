//! The clocks, read in one place.

use std::time::{SystemTime, UNIX_EPOCH};

use mainstay_model::{Timestamp, WallTime};
use rustix::time::{ClockId, clock_gettime};

/// The monotonic instant that all processes of this boot share.
pub fn now() -> Timestamp {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Timestamp::from_micros(seconds.saturating_mul(1_000_000).saturating_add(nanos / 1_000))
}

/// Seconds since 1970, for people.
pub fn unix_seconds() -> u64 {
    unix_millis() / 1_000
}

/// Milliseconds since 1970, for log lines.
pub fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The calendar's instant, for what outlives a boot.
pub fn wall_now() -> WallTime {
    WallTime::from_millis(unix_millis())
}
