//! Times and durations, in words.

use jiff::Zoned;
use jiff::tz::TimeZone;
use ronda_domain::time::Timestamp;

use super::voice::Voice;
use super::words::Words;

/// A time in the voice's zone, as `24 Nov 02:05 WIB`; with seconds, where there are any.
pub(crate) fn local(at: Timestamp, voice: &Voice) -> String {
    let words = voice.words();
    let Some(zoned) = zoned(at, &voice.zone) else { return words.some_time().to_owned() };
    let month = usize::try_from(zoned.month()).unwrap_or(1).saturating_sub(1);
    let month = words.months().get(month).copied().unwrap_or_default();
    let time = zoned.strftime(if is_whole_minute(at) { "%H:%M %Z" } else { "%H:%M:%S %Z" });
    format!("{} {month} {time}", zoned.day())
}

/// Whether a time is told in full without seconds, as most due times are.
pub(crate) const fn is_whole_minute(at: Timestamp) -> bool {
    at.as_millis().div_euclid(1_000).rem_euclid(60) == 0
}

/// A time of day in a zone, as `02:05`.
pub(crate) fn time_of_day(at: Timestamp, zone: &TimeZone) -> String {
    zoned(at, zone).map(|at| at.strftime("%H:%M").to_string()).unwrap_or_default()
}

/// How people there call the zone at a time, as `WIB`.
pub(crate) fn abbreviation(at: Timestamp, zone: &TimeZone) -> String {
    zoned(at, zone).map(|at| at.strftime("%Z").to_string()).unwrap_or_default()
}

fn zoned(at: Timestamp, zone: &TimeZone) -> Option<Zoned> {
    jiff::Timestamp::from_millisecond(at.as_millis()).ok().map(|at| at.to_zoned(zone.clone()))
}

/// A duration in its two largest units, as `1 h 5 min`.
pub(crate) fn duration(millis: i64, words: &dyn Words) -> String {
    let millis = millis.max(0);
    let names = words.units();
    if millis < 1_000 {
        return format!("{millis} {}", names.millis);
    }
    let units = [(86_400, names.days), (3_600, names.hours), (60, names.minutes), (1, names.seconds)];
    let mut rest = millis / 1_000;
    let mut parts = Vec::new();
    for (size, name) in units {
        if rest >= size {
            let count = u64::try_from(rest / size).unwrap_or_default();
            parts.push(format!("{} {name}", words.number(count)));
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
    use crate::language::Language;

    fn voice(language: Language) -> Voice {
        Voice { language, zone: TimeZone::get("Asia/Jakarta").unwrap(), details_url: None, interactive: false }
    }

    #[test]
    fn durations_have_two_units() {
        for (millis, english, indonesian) in [
            (0, "0 ms", "0 ms"),
            (999, "999 ms", "999 ms"),
            (61_000, "1 min 1 s", "1 menit 1 detik"),
            (3_600_000, "1 h", "1 jam"),
            (3_605_000, "1 h", "1 jam"),
            (90_061_000, "1 d 1 h", "1 hari 1 jam"),
        ] {
            assert_eq!(duration(millis, voice(Language::English).words()), english);
            assert_eq!(duration(millis, voice(Language::Indonesian).words()), indonesian);
        }
    }

    #[test]
    fn a_time_names_its_zone() {
        let english = voice(Language::English);
        assert_eq!(local(Timestamp::from_seconds(1_795_443_535), &english), "23 Nov 21:18:55 WIB");
        assert_eq!(local(Timestamp::from_seconds(1_795_443_480), &english), "23 Nov 21:18 WIB");
        assert_eq!(local(Timestamp::MAX, &english), "some time");
        let may = Timestamp::from_seconds(1_779_600_000);
        assert_eq!(local(may, &voice(Language::Indonesian)), "24 Mei 12:20 WIB");
    }
}
