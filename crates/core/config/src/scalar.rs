//! Durations, sizes and shares: how they are written, read and shown.

use std::time::Duration;

/// Units of a duration, largest first.
const DURATION_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of a size, largest first.
const SIZE_UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A whole share of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

impl Percent {
    /// 1 %.
    pub(crate) const MIN: Self = Self(1);

    pub(crate) const fn new(percent: u8) -> Self {
        Self(percent)
    }

    /// The number before the sign: 25 for `25%`.
    pub const fn percent(self) -> u8 {
        self.0
    }
}

/// Reads `250ms`, `5s`, `1m`, `1h`: a whole number and its unit, nothing between them.
pub fn read_duration(text: &str) -> Option<Duration> {
    read(text, &DURATION_UNITS).map(Duration::from_millis)
}

/// Reads `16KiB`, `1MiB`, `512B`.
pub(crate) fn read_size(text: &str) -> Option<u64> {
    read(text, &SIZE_UNITS)
}

/// Reads `25%`.
pub(crate) fn read_percent(text: &str) -> Option<Percent> {
    let percent = read(text, &[("%", 1)])?;
    Some(Percent(u8::try_from(percent).unwrap_or(u8::MAX)))
}

/// The duration in the largest unit that shows it whole.
pub(crate) fn show_duration(duration: Duration) -> String {
    show(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &DURATION_UNITS)
}

/// The size in the largest unit that shows it whole.
pub(crate) fn show_size(bytes: u64) -> String {
    show(bytes, &SIZE_UNITS)
}

/// The share with its sign.
pub(crate) fn show_percent(percent: Percent) -> String {
    format!("{}%", percent.0)
}

fn read(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn show(value: u64, units: &[(&str, u64)]) -> String {
    units
        .iter()
        .find(|(_, factor)| value != 0 && value.is_multiple_of(*factor))
        .or_else(|| units.last())
        .map(|(unit, factor)| format!("{}{unit}", value / factor))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        let cases = [
            ("250ms", Some(250)),
            ("5s", Some(5_000)),
            ("1m", Some(60_000)),
            ("1h", Some(3_600_000)),
            ("0s", Some(0)),
            ("5", None),
            ("s", None),
            ("", None),
            ("5 s", None),
            ("1.5s", None),
            ("-1s", None),
            ("1d", None),
            ("1h30m", None),
            ("5S", None),
            ("99999999999999999999s", None),
            ("9999999999999999h", None),
        ];
        for (text, millis) in cases {
            assert_eq!(read_duration(text), millis.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn sizes_and_shares() {
        let cases = [
            ("16KiB", Some(16_384)),
            ("1MiB", Some(1_048_576)),
            ("2GiB", Some(2_147_483_648)),
            ("512B", Some(512)),
            ("16KB", None),
            ("16k", None),
            ("16", None),
            ("KiB", None),
            ("1.5MiB", None),
            ("99999999999GiB", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(read_size(text), bytes, "{text:?}");
        }
        assert_eq!(read_percent("25%"), Some(Percent(25)));
        assert_eq!(read_percent("25"), None);
        assert_eq!(read_percent("%"), None);
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(value in any::<u32>()) {
            let value = u64::from(value);
            prop_assert_eq!(read_size(&show_size(value)), Some(value));
            let duration = Duration::from_millis(value);
            prop_assert_eq!(read_duration(&show_duration(duration)), Some(duration));
        }
    }
}
