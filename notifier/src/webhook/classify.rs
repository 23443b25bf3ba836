//! What a receiver's answers mean for the one question: may the event have been taken?

use std::error::Error as _;
use std::time::Duration;

use crate::channel::{ChannelError, ChannelErrorKind};

use super::guard::Refused;

/// Not sent, and may be tried soon.
const SOON: Duration = Duration::from_secs(5);
/// A request for silence that does not say for how long, in seconds.
const DEFAULT_RETRY_AFTER_SECONDS: u64 = 30;
/// The longest silence that is believed, in seconds.
const MAX_RETRY_AFTER_SECONDS: u64 = 3_600;

/// No answer.
pub(super) fn transport(name: &str, error: &reqwest::Error) -> ChannelError {
    // The error's own text names the address, which may be a secret in itself.
    let because_of = |code: &str, what: &str| {
        let kind = ChannelErrorKind::DestinationBroken { code: code.to_owned() };
        ChannelError { kind, message: format!("{name}: {what}") }
    };
    if is_refused(error) {
        return because_of("private_address", "its host has only private addresses, which are not allowed");
    }
    if error.is_builder() {
        return because_of("request_not_built", "the request could not be written");
    }
    if error.is_connect() {
        let kind = ChannelErrorKind::NotSent { retry_after: SOON, rate_limited: false };
        return ChannelError { kind, message: format!("{name}: no connection") };
    }
    let what = if error.is_timeout() { "no answer in time" } else { "cut off" };
    ChannelError { kind: ChannelErrorKind::Ambiguous, message: format!("{name}: {what}") }
}

fn is_refused(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<Refused>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// An answer. Its body is not looked at.
pub(super) fn answer(name: &str, status: u16, retry_after: Option<&str>, now_ms: i64) -> Result<(), ChannelError> {
    let code = || format!("http_{status}");
    let asks_for_silence = status == 429 || (status == 503 && retry_after.is_some());
    let kind = match status {
        200..=299 => return Ok(()),
        _ if asks_for_silence => {
            let retry_after = Duration::from_secs(silence_seconds(retry_after, now_ms));
            ChannelErrorKind::NotSent { retry_after, rate_limited: true }
        }
        // It did not wait for our request, or would not begin with it.
        408 | 425 => ChannelErrorKind::NotSent { retry_after: SOON, rate_limited: false },
        // It says what is wrong with the content: a plainer one may pass.
        400 | 406 | 409 | 411..=418 | 422 | 428 | 431 => ChannelErrorKind::Payload { code: code() },
        // An address that leads elsewhere (redirects are not followed), is not there, doesn't know us, or is gone for good (410).
        300..=499 => ChannelErrorKind::DestinationBroken { code: code() },
        // It, or a proxy before it, failed after it had the request: whether it kept it nobody knows.
        _ => ChannelErrorKind::Ambiguous,
    };
    Err(ChannelError { kind, message: format!("{name}: HTTP status {status}") })
}

/// `Retry-After` is seconds or a date.
fn silence_seconds(value: Option<&str>, now_ms: i64) -> u64 {
    let Some(value) = value.map(str::trim) else { return DEFAULT_RETRY_AFTER_SECONDS };
    let until = || {
        let at = jiff::fmt::rfc2822::parse(value).ok()?;
        u64::try_from(at.timestamp().as_second() - now_ms.div_euclid(1_000)).ok()
    };
    value.parse().ok().or_else(until).unwrap_or(DEFAULT_RETRY_AFTER_SECONDS).clamp(1, MAX_RETRY_AFTER_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_its_class() {
        for (status, retry_after, expected) in [
            (200, None, "ok"),
            (204, None, "ok"),
            (302, None, "destination_broken"),
            (400, None, "payload"),
            (401, None, "destination_broken"),
            (404, None, "destination_broken"),
            (408, None, "not_sent"),
            (410, None, "destination_broken"),
            (413, None, "payload"),
            (422, None, "payload"),
            (429, None, "rate_limited"),
            (500, None, "ambiguous"),
            (502, None, "ambiguous"),
            (503, None, "ambiguous"),
            (503, Some("7"), "rate_limited"),
            (504, Some("7"), "ambiguous"),
        ] {
            let class = answer("ops", status, retry_after, 0).map_or_else(|error| error.kind.class(), |()| "ok");
            assert_eq!(class, expected, "{status} {retry_after:?}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_within_reason() {
        assert_eq!(silence_seconds(Some("7"), 0), 7);
        assert_eq!(silence_seconds(Some("Thu, 01 Jan 1970 00:01:00 GMT"), 10_000), 50);
        assert_eq!(silence_seconds(Some("Thu, 01 Jan 1970 00:01:00 GMT"), 90_000), 30, "past");
        assert_eq!(silence_seconds(Some("soon"), 0), 30);
        assert_eq!(silence_seconds(Some("99999999"), 0), 3_600);
        assert_eq!(silence_seconds(None, 0), 30);
    }
}
