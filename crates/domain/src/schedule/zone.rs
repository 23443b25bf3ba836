//! Time zones, by name, from the database that is compiled in: never from the machine's files, which differ.

use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use thiserror::Error;

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The least likeness at which a name is worth suggesting, from 0 to 1.
const LEAST_LIKENESS: f64 = 0.75;
/// Longest name that is compared with others, in bytes; the longest real one has 32.
const MAX_COMPARED_BYTES: usize = 64;

/// A time zone that the database does not have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("is not an IANA time zone name{}", hint(.nearest.as_deref()))]
pub struct UnknownZone {
    /// The known name that is most like it.
    pub nearest: Option<String>,
}

fn hint(nearest: Option<&str>) -> String {
    nearest
        .map_or_else(|| " such as \"Asia/Jakarta\" or \"UTC\"".to_owned(), |name| format!("; did you mean \"{name}\"?"))
}

pub(super) fn find(name: &str) -> Option<TimeZone> {
    DATABASE.get(name).ok()
}

/// The canonical spelling of a zone's name, whatever its case.
///
/// # Errors
/// [`UnknownZone`], with the nearest name when there is one worth suggesting.
pub fn check_zone(name: &str) -> Result<Box<str>, UnknownZone> {
    match find(name).as_ref().and_then(TimeZone::iana_name) {
        Some(canonical) => Ok(canonical.into()),
        None => Err(UnknownZone { nearest: nearest(name) }),
    }
}

/// The known name most like the given one, as a whole or in its last part ("jakarta").
fn nearest(name: &str) -> Option<String> {
    if name.is_empty() || name.len() > MAX_COMPARED_BYTES {
        return None;
    }
    let given = name.to_ascii_lowercase();
    let mut best: Option<(f64, String)> = None;
    for known in DATABASE.available() {
        let known = known.as_str();
        let lower = known.to_ascii_lowercase();
        let last = lower.rsplit('/').next().unwrap_or(&lower);
        // A little less for a part, so that a whole name of the same likeness comes first.
        let likeness = strsim::jaro_winkler(&given, &lower).max(strsim::jaro_winkler(&given, last) * 0.99);
        if likeness >= LEAST_LIKENESS && best.as_ref().is_none_or(|(most, _)| likeness > *most) {
            best = Some((likeness, known.to_owned()));
        }
    }
    best.map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_in_their_canonical_spelling() {
        assert_eq!(check_zone("asia/jakarta").as_deref(), Ok("Asia/Jakarta"));
        assert_eq!(check_zone("utc").as_deref(), Ok("UTC"));
    }

    #[test]
    fn a_misspelt_zone_gets_the_nearest_name() {
        let nearest = |name| check_zone(name).unwrap_err().nearest;
        assert_eq!(nearest("Asia/Jakrta").as_deref(), Some("Asia/Jakarta"));
        assert_eq!(nearest("Jakarta").as_deref(), Some("Asia/Jakarta"));
        assert_eq!(nearest("Europe/Berln").as_deref(), Some("Europe/Berlin"));
        assert_eq!(nearest("America/NewYork").as_deref(), Some("America/New_York"));
        assert_eq!(nearest("0123456789"), None);
        assert_eq!(nearest(&"x".repeat(10_000)), None);
    }

    #[test]
    fn odd_names_are_refused_without_harm() {
        for name in ["", "/", "../etc/passwd", "\0", "Local", "posixrules", "🦀", "UTC+7", "Asia/Jakarta "] {
            assert!(check_zone(name).is_err(), "{name:?}");
        }
    }
}
