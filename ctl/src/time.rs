//! Times and spans as a person reads them.

/// Seconds of a day.
const DAY: u64 = 86_400;

/// A moment in UTC, as in `2026-11-21T09:05:00Z`.
pub(crate) fn utc(unix_s: u64) -> String {
    let (year, month, day) = date(unix_s / DAY);
    let (hour, minute, second) = clock(unix_s);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The same with milliseconds, from nanoseconds.
pub(crate) fn utc_ms(unix_ns: u64) -> String {
    let text = utc(unix_ns / 1_000_000_000);
    format!("{}.{:03}Z", text.trim_end_matches('Z'), unix_ns / 1_000_000 % 1000)
}

/// A span of time in its two largest units, as in `9m 41s`.
pub(crate) fn span(seconds: u64) -> String {
    let (hour, minute, second) = clock(seconds);
    match (seconds / DAY, hour, minute) {
        (0, 0, 0) => format!("{second}s"),
        (0, 0, _) => format!("{minute}m {second}s"),
        (0, _, _) => format!("{hour}h {minute}m"),
        (days, _, _) => format!("{days}d {hour}h"),
    }
}

const fn clock(seconds: u64) -> (u64, u64, u64) {
    let of_day = seconds % DAY;
    (of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
const fn date(day: u64) -> (u64, u64, u64) {
    // Years that begin in March put the leap day last; an era is 400 of them, 146097 days.
    let shifted = day + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(utc(951_868_799), "2000-02-29T23:59:59Z");
        assert_eq!(utc(1_795_251_600), "2026-11-21T09:00:00Z");
        assert_eq!(utc(4_107_542_400), "2100-03-01T00:00:00Z");
        assert_eq!(utc_ms(1_795_251_600_042_999_999), "2026-11-21T09:00:00.042Z");
    }

    #[test]
    fn spans() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m 0s"), (581, "9m 41s"), (7260, "2h 1m"), (90_000, "1d 1h")]
        {
            assert_eq!(span(seconds), text);
        }
    }
}
