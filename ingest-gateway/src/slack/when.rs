//! Times of day and how they are written. Pure: the time comes with the question.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan, Zoned};
use ronda_domain::time::Timestamp;

use super::command::MuteFor;

/// When the night is over: hour and minute in the zone of the settings.
pub(crate) const MORNING: (i8, i8) = (6, 0);

/// When a mute that begins at `from` ends.
pub(crate) fn end_of(mute: MuteFor, from: Timestamp, zone: &TimeZone) -> Timestamp {
    match mute {
        MuteFor::Minutes(minutes) => from.plus_millis(i64::from(minutes) * 60_000),
        MuteFor::Until(hour, minute) => next(from, hour, minute, zone),
        MuteFor::Morning => next(from, MORNING.0, MORNING.1, zone),
    }
}

/// The next time at which the wall clock shows this, more than a moment away.
fn next(from: Timestamp, hour: i8, minute: i8, zone: &TimeZone) -> Timestamp {
    let now = zoned(from, zone);
    let day_later = || from.plus_millis(24 * 3_600_000);
    let on = |day: &Zoned| day.with().time(jiff::civil::time(hour, minute, 0, 0)).build().ok();
    let today = on(&now).filter(|at| at.duration_since(&now) > SignedDuration::ZERO);
    let at = today.or_else(|| on(&now.checked_add(1.day()).ok()?));
    at.map_or_else(day_later, |at| Timestamp::from_millis(at.timestamp().as_millisecond()))
}

fn zoned(at: Timestamp, zone: &TimeZone) -> Zoned {
    jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or_default().to_zoned(zone.clone())
}

/// A time as each reader's own clock shows it; in the settings' zone where that can't be shown.
pub(crate) fn shown(at: Timestamp, zone: &TimeZone) -> String {
    let seconds = at.as_millis().div_euclid(1_000);
    let fallback = zoned(at, zone).strftime("%Y-%m-%d %H:%M %Z").to_string();
    // A zone's name may be an offset; nothing else in it could end the form.
    let fallback = fallback.replace(['<', '>', '|', '&'], "");
    format!("<!date^{seconds}^{{date_short_pretty}} {{time}}|{fallback}>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn a_mute_ends_after_its_length_or_at_the_next_such_time_of_the_clock() {
        let zone = TimeZone::get("Asia/Jakarta").unwrap();
        let three = at("2026-11-27T20:00:00Z");
        assert_eq!(end_of(MuteFor::Minutes(90), three, &zone), at("2026-11-27T21:30:00Z"));
        assert_eq!(end_of(MuteFor::Morning, three, &zone), at("2026-11-27T23:00:00Z"));
        assert_eq!(end_of(MuteFor::Until(6, 30), three, &zone), at("2026-11-27T23:30:00Z"));
        // It is 03:00 there: the next 02:59 and 03:00 are tomorrow's.
        assert_eq!(end_of(MuteFor::Until(2, 59), three, &zone), at("2026-11-28T19:59:00Z"));
        assert_eq!(end_of(MuteFor::Until(3, 0), three, &zone), at("2026-11-28T20:00:00Z"));
    }

    #[test]
    fn a_time_that_a_day_leaves_out_is_the_next_there_is() {
        // Clocks went from 02:00 to 03:00 there.
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let before = at("2026-03-29T00:30:00Z");
        assert_eq!(end_of(MuteFor::Until(2, 30), before, &zone), at("2026-03-29T01:30:00Z"));
    }

    #[test]
    fn a_time_has_its_zone_beside_it() {
        let zone = TimeZone::get("Asia/Jakarta").unwrap();
        let text = shown(at("2026-11-27T23:00:00Z"), &zone);
        assert_eq!(text, "<!date^1795820400^{date_short_pretty} {time}|2026-11-28 06:00 WIB>");
    }
}
