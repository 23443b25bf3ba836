//! Times and durations, in words.

use jiff::tz::TimeZone;
use ronda_domain::time::Timestamp;

/// A time in a zone, as `24 Nov 02:05 WIB`; with seconds, where there are any.
pub(crate) fn local(at: Timestamp, zone: &TimeZone) -> String {
    format(at, zone, if is_whole_minute(at) { "%-d %b %H:%M %Z" } else { "%-d %b %H:%M:%S %Z" })
}

/// Whether a time is told in full without seconds, as most due times are.
pub(crate) const fn is_whole_minute(at: Timestamp) -> bool {
    at.as_millis().div_euclid(1_000).rem_euclid(60) == 0
}

/// A time of day in a zone, as `02:05`.
pub(crate) fn time_of_day(at: Timestamp, zone: &TimeZone) -> String {
    format(at, zone, "%H:%M")
}

fn format(at: Timestamp, zone: &TimeZone, pattern: &str) -> String {
    match jiff::Timestamp::from_millisecond(at.as_millis()) {
        Ok(at) => at.to_zoned(zone.clone()).strftime(pattern).to_string(),
        Err(_) => "some time".to_owned(),
    }
}

/// A duration in its two largest units, as `1 h 5 min`.
pub(crate) fn duration(millis: i64) -> String {
    let millis = millis.max(0);
    if millis < 1_000 {
        return format!("{millis} ms");
    }
    let seconds = millis / 1_000;
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (size, name) in units {
        if rest >= size {
            parts.push(format!("{} {name}", rest / size));
            rest %= size;
        } else if !parts.is_empty() {
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units() {
        for (millis, expected) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (61_000, "1 min 1 s"),
            (3_600_000, "1 h"),
            (3_605_000, "1 h"),
            (90_061_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(millis), expected);
        }
    }

    #[test]
    fn a_time_names_its_zone() {
        let zone = TimeZone::get("Asia/Jakarta").unwrap();
        assert_eq!(local(Timestamp::from_seconds(1_795_443_535), &zone), "23 Nov 21:18:55 WIB");
        assert_eq!(local(Timestamp::from_seconds(1_795_443_480), &zone), "23 Nov 21:18 WIB");
        assert_eq!(local(Timestamp::MAX, &zone), "some time");
    }
}
