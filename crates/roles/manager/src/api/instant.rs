//! Instants as text: RFC 3339 in universal time, as both JSON and queries have them.

use mainstay_database::{Day, WallTime};
use serde_json::Value;

const MICROS_PER_S: i64 = 1_000_000;

/// `2026-11-28T04:40:00.123456Z`
pub(super) fn text(at: WallTime) -> String {
    let day = at.day();
    let micros = at.0.saturating_sub(day.start().0);
    let (seconds, micros) = (micros / MICROS_PER_S, micros % MICROS_PER_S);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{day}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// An instant, as a value.
pub(super) fn json(at: WallTime) -> Value {
    text(at).into()
}

/// An instant that may not have come, as a value.
pub(super) fn maybe(at: Option<WallTime>) -> Value {
    at.map_or(Value::Null, json)
}

/// From RFC 3339 in universal time, with up to six decimals; nothing from anything else.
pub(super) fn parse(text: &str) -> Option<WallTime> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (year, month, day) = three(date, '-')?;
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (whole, decimals) = time.split_once('.').map_or((time, None), |(a, b)| (a, Some(b)));
    let (hour, minute, second) = three(whole, ':')?;
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let micros = match decimals {
        None => 0,
        Some(digits) if (1..=6).contains(&digits.len()) && is_digits(digits) => {
            format!("{digits:0<6}").parse::<i64>().ok()?
        }
        Some(_) => return None,
    };
    let days = days(year, month, day);
    // The thirtieth of February is the second of March, and not what was meant.
    if Day(days).to_string() != date {
        return None;
    }
    let seconds = hour * 3_600 + minute * 60 + second;
    Some(WallTime(Day(days).start().0 + seconds * MICROS_PER_S + micros))
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn three(text: &str, separator: char) -> Option<(i64, i64, i64)> {
    let mut parts = text.split(separator);
    let mut next = || {
        let part = parts.next()?;
        if part.is_empty() || part.len() > 4 || !is_digits(part) {
            return None;
        }
        part.parse::<i64>().ok()
    };
    let three = (next()?, next()?, next()?);
    parts.next().is_none().then_some(three)
}

/// Days since 1970 of a date in the Gregorian calendar, the year beginning in March.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    era * 146_097 + year * 365 + year / 4 - year / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_and_read_back() {
        for (micros, written) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_000_000_000_000_000, "2001-09-09T01:46:40.000000Z"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
            (1_795_840_800_123_456, "2026-11-28T04:40:00.123456Z"),
        ] {
            assert_eq!(text(WallTime(micros)), written);
            assert_eq!(parse(written), Some(WallTime(micros)));
        }
        assert_eq!(parse("1970-01-01T00:00:01Z"), Some(WallTime(1_000_000)));
        assert_eq!(parse("1970-01-01T00:00:01.5Z"), Some(WallTime(1_500_000)));
    }

    #[test]
    fn what_is_no_instant_is_none() {
        for wrong in [
            "",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-01-01T00:00:00+01:00",
            "1970-02-30T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00.1234567Z",
            "1970-1-1T00:00:00Z",
            "1970-01-01T00:00:00:00Z",
            "+970-01-01T00:00:00Z",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
