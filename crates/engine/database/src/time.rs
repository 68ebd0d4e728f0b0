//! The database's clock. It is the only one that is compared with itself: leases expire by it,
//! events are dated and purged by it. What an agent says about time is shown and never used.

use std::fmt;
use std::time::Duration;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Microseconds since 1970 by the database's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub i64);

impl WallTime {
    /// The instant `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    /// The instant `duration` earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }

    /// How long ago `earlier` was; zero if it is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let micros = self.0.saturating_sub(earlier.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }

    /// The day, in universal time.
    #[must_use]
    pub const fn day(self) -> Day {
        Day(self.0.div_euclid(MICROS_PER_DAY))
    }
}

/// A day in universal time, counted from 1970-01-01. Events are kept and dropped by the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i64);

impl Day {
    /// Its first instant.
    #[must_use]
    pub const fn start(self) -> WallTime {
        WallTime(self.0.saturating_mul(MICROS_PER_DAY))
    }
}

impl fmt::Display for Day {
    /// `2026-11-28`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Days to a date of the Gregorian calendar, the year beginning in March, so that the
        // day that comes and goes is the last of it.
        let from_0000_03_01 = self.0 + 719_468;
        let era = from_0000_03_01.div_euclid(146_097);
        let day_of_era = from_0000_03_01.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_as_a_date() {
        let cases = [
            (0, "1970-01-01"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (20_785, "2026-11-28"),
            (-1, "1969-12-31"),
        ];
        for (day, date) in cases {
            assert_eq!(Day(day).to_string(), date);
        }
    }

    #[test]
    fn an_instant_belongs_to_one_day() {
        let noon = Day(20_785).start().plus(Duration::from_secs(43_200));
        assert_eq!(noon.day(), Day(20_785));
        assert_eq!(Day(20_785).start().minus(Duration::from_micros(1)).day(), Day(20_784));
        assert_eq!(noon.since(noon.minus(Duration::from_secs(7))), Duration::from_secs(7));
        assert_eq!(noon.since(noon.plus(Duration::from_secs(7))), Duration::ZERO);
    }
}
