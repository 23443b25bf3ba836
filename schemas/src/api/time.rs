//! Times in JSON: RFC 3339 in, RFC 3339 in UTC with milliseconds out.

use std::fmt;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use ronda_domain::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
const FIRST: DateTime = DateTime::constant(0, 1, 1, 0, 0, 0, 0);
/// Longest text looked at; RFC 3339 allows any number of digits after the second.
const MAX_BYTES: usize = 64;

/// Reads a time of RFC 3339, in any year from 0001 to 9999. Digits beyond the millisecond are cut off.
///
/// Stricter than the crates' own parsers, which take other ISO 8601 forms as well. A leap second (`:60`) counts as the second before it.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    if !(20..=MAX_BYTES).contains(&bytes.len()) {
        return None;
    }
    let separators = bytes[4] == b'-' && bytes[7] == b'-' && bytes[13] == b':' && bytes[16] == b':';
    if !separators || !matches!(bytes[10], b'T' | b't') {
        return None;
    }
    let year = i16::try_from(digits(&bytes[0..4])?).ok().filter(|year| *year > 0)?;
    let part = |from: usize| digits(&bytes[from..from + 2]).and_then(|value| i8::try_from(value).ok());
    let second = match part(17)? {
        60 => 59,
        second => second,
    };
    let (millis, zone) = fraction(&bytes[19..])?;
    let offset_seconds = offset(zone)?;
    let civil = DateTime::new(year, part(5)?, part(8)?, part(11)?, part(14)?, second, 0).ok()?;
    let seconds = civil.duration_since(EPOCH).as_secs() - offset_seconds;
    Some(Timestamp::from_millis(seconds * 1_000 + millis))
}

fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0_u32, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
}

/// Milliseconds after the second, and what follows them.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(after) = rest.strip_prefix(b".") else { return Some((0, rest)) };
    let length = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let (fraction, zone) = after.split_at(length);
    let digit = |at: usize| fraction.get(at).map_or(0, |byte| i64::from(byte - b'0'));
    Some((digit(0) * 100 + digit(1) * 10 + digit(2), zone))
}

/// Seconds east of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let hours = digits(&[*h1, *h2]).filter(|hours| *hours < 24)?;
            let minutes = digits(&[*m1, *m2]).filter(|minutes| *minutes < 60)?;
            let seconds = i64::from(hours * 3_600 + minutes * 60);
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

/// Writes a time as `2026-11-23T18:00:00.000Z`. Times outside the years 0000 to 9999 are written as the nearest one inside.
#[must_use]
pub fn format_rfc3339(time: Timestamp) -> String {
    let civil = EPOCH
        .checked_add(SignedDuration::from_millis(time.as_millis()))
        .unwrap_or(if time.as_millis() < 0 { FIRST } else { DateTime::MAX })
        .max(FIRST);
    format!("{civil:.3}Z")
}

/// A [`Timestamp`] that is RFC 3339 in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub Timestamp);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_rfc3339(self.0))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_rfc3339(self.0))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        parse_rfc3339(&text).map(Self).ok_or_else(|| serde::de::Error::custom("not a time of RFC 3339"))
    }
}

#[cfg(feature = "openapi")]
mod schema {
    use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type};
    use utoipa::openapi::{Object, RefOr};

    use super::Time;

    impl utoipa::PartialSchema for Time {
        fn schema() -> RefOr<Schema> {
            let time: Object = ObjectBuilder::new()
                .schema_type(SchemaType::Type(Type::String))
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
                .description(Some("RFC 3339; answered in UTC with milliseconds."))
                .examples(["2026-11-23T18:00:00.000Z"])
                .build();
            time.into()
        }
    }

    impl utoipa::ToSchema for Time {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(text: &str) -> Option<i64> {
        parse_rfc3339(text).map(Timestamp::as_millis)
    }

    #[test]
    fn rfc_3339_and_nothing_else_is_read() {
        assert_eq!(millis("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(millis("2026-11-23t18:00:00.1z"), Some(1_795_456_800_100));
        assert_eq!(millis("2026-11-24T01:00:00.123987654+07:00"), Some(1_795_456_800_123));
        assert_eq!(millis("2016-12-31T23:59:60Z"), millis("2016-12-31T23:59:59Z"));
        assert_eq!(millis("1969-12-31T23:59:59.999Z"), Some(-1));
        for kept in ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59-23:59"] {
            assert!(millis(kept).is_some(), "{kept}");
        }
        for refused in [
            "",
            "now",
            "1795456800",
            "2026-11-23",
            "2026-11-23T18:00:00",
            "2026-11-23 18:00:00Z",
            "20261123T180000Z",
            "2026-11-23T18:00Z",
            "2026-11-23T18:00:00+0700",
            "2026-11-23T18:00:00+07",
            "2026-02-30T00:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T18:00:00.Z",
            "2026-11-23T18:00:00,5Z",
            "0000-01-01T00:00:00Z",
            "2026-11-23T18:00:00Z[Asia/Jakarta]",
            "+2026-11-23T18:00:00Z",
            "2026-11-23T18:61:00Z",
            "2026-11-23T18:00:00+24:00",
            "２０２６-11-23T18:00:00Z",
            "2026-11-23T18:00:00Zé",
        ] {
            assert_eq!(millis(refused), None, "{refused}");
        }
    }

    #[test]
    fn times_are_written_in_utc_with_milliseconds() {
        assert_eq!(format_rfc3339(Timestamp::from_millis(1_795_456_800_005)), "2026-11-23T18:00:00.005Z");
        assert_eq!(format_rfc3339(Timestamp::from_millis(-1)), "1969-12-31T23:59:59.999Z");
        assert_eq!(format_rfc3339(Timestamp::MIN), "0000-01-01T00:00:00.000Z");
        assert_eq!(format_rfc3339(Timestamp::MAX), "9999-12-31T23:59:59.999Z");
    }
}
