//! Whether a request is Slack's, and new: `X-Slack-Signature` over the raw body, within five minutes, and each only once.

use std::collections::{HashSet, VecDeque};

use http::{HeaderMap, HeaderName};
use parking_lot::Mutex;
use ring::hmac;
use ronda_runtime::Secret;
use thiserror::Error;

const SIGNATURE: HeaderName = HeaderName::from_static("x-slack-signature");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-slack-request-timestamp");
/// How far Slack's time of a request may be from ours, either way, in seconds.
const WINDOW_SECONDS: i64 = 300;
/// Most signatures remembered: far more than people click in ten minutes. Each gateway remembers its own. A repetition of one that is
/// forgotten, or was another's, is answered anew, and changes nothing: it is the same message to the scheduler, which knows those of late.
const MAX_SEEN: usize = 10_000;

/// The bytes of a signature.
type Tag = [u8; 32];

/// Why a request is not taken for Slack's. Says nothing that would help a forger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Refused {
    #[error("X-Slack-Request-Timestamp or X-Slack-Signature is missing or not as Slack writes it")]
    Unsigned,
    #[error(
        "X-Slack-Request-Timestamp is more than five minutes from this machine's time; if the request is Slack's, set the machine's clock"
    )]
    Stale,
    #[error(
        "X-Slack-Signature does not fit the body; if the request is Slack's, slack.signing_secret is another app's"
    )]
    Forged,
    #[error("This request was taken before")]
    Replayed,
}

impl Refused {
    /// Whether a setting of ours may be why: another app's secret, a clock that is wrong.
    pub(crate) const fn may_be_our_mistake(self) -> bool {
        matches!(self, Self::Stale | Self::Forged)
    }

    /// In one word, for the count.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Stale => "stale",
            Self::Forged => "forged",
            Self::Replayed => "replayed",
        }
    }
}

/// What a request's head says of its signature: enough to refuse most of what is not Slack's before its body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// When Slack signed it, in seconds since 1970.
    pub(crate) at_seconds: i64,
    tag: Tag,
}

impl Claim {
    /// Reads the head of a request that came at `now_seconds`.
    pub(crate) fn read(headers: &HeaderMap, now_seconds: i64) -> Result<Self, Refused> {
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let at_seconds = text(&TIMESTAMP).and_then(seconds).ok_or(Refused::Unsigned)?;
        let tag = text(&SIGNATURE).and_then(|text| tag(text.strip_prefix("v0=")?)).ok_or(Refused::Unsigned)?;
        if now_seconds.abs_diff(at_seconds) > WINDOW_SECONDS.unsigned_abs() {
            return Err(Refused::Stale);
        }
        Ok(Self { at_seconds, tag })
    }
}

/// Digits alone: the text is signed, so it has one way to be written.
fn seconds(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn tag(hexadecimal: &str) -> Option<Tag> {
    let mut tag = Tag::default();
    if hexadecimal.len() != tag.len() * 2 || !hexadecimal.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (place, byte) in tag.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hexadecimal.get(place * 2..place * 2 + 2)?, 16).ok()?;
    }
    Some(tag)
}

/// Tells Slack's requests from others'.
pub(crate) struct Verifier {
    key: hmac::Key,
    seen: Mutex<Seen>,
}

/// Signatures of the last ten minutes, in the order in which they came.
#[derive(Default)]
struct Seen {
    tags: HashSet<Tag>,
    order: VecDeque<(i64, Tag)>,
}

impl Verifier {
    pub(crate) fn new(secret: &Secret) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()), seen: Mutex::default() }
    }

    /// Whether the body is what was signed, for the first time.
    pub(crate) fn verify(&self, claim: Claim, body: &[u8], now_seconds: i64) -> Result<(), Refused> {
        let mut signed = format!("v0:{}:", claim.at_seconds).into_bytes();
        signed.extend_from_slice(body);
        // In constant time.
        hmac::verify(&self.key, &signed, &claim.tag).map_err(|_| Refused::Forged)?;
        if self.seen.lock().is_new(claim.tag, now_seconds) { Ok(()) } else { Err(Refused::Replayed) }
    }
}

impl Seen {
    fn is_new(&mut self, tag: Tag, now_seconds: i64) -> bool {
        // A signature may be from the future by a window, and is good for another one.
        let outlived = |at: i64| now_seconds.saturating_sub(at) > 2 * WINDOW_SECONDS;
        while self.order.front().is_some_and(|(at, _)| outlived(*at)) || self.order.len() >= MAX_SEEN {
            if let Some((_, old)) = self.order.pop_front() {
                self.tags.remove(&old);
            }
        }
        let is_new = self.tags.insert(tag);
        if is_new {
            self.order.push_back((now_seconds, tag));
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    // The example of Slack's documentation, "Verifying requests from Slack".
    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const AT: i64 = 1_531_420_618;
    const TAG: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    const BODY: &[u8] = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

    fn headers(at: &str, tag: &str) -> HeaderMap {
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        HeaderMap::from_iter([(TIMESTAMP, value(at)), (SIGNATURE, value(tag))])
    }

    fn judged(secret: &str, headers: &HeaderMap, body: &[u8], now: i64) -> Result<(), Refused> {
        Verifier::new(&Secret::new(secret)).verify(Claim::read(headers, now)?, body, now)
    }

    #[test]
    fn slacks_own_example_is_good() {
        let head = headers("1531420618", TAG);
        for now in [AT, AT + 300, AT - 300] {
            assert_eq!(judged(SECRET, &head, BODY, now), Ok(()), "{now}");
        }
    }

    #[test]
    fn anything_else_is_not() {
        let head = headers("1531420618", TAG);
        let mut longer = BODY.to_vec();
        longer.push(b'x');
        assert_eq!(judged(SECRET, &head, &longer, AT), Err(Refused::Forged));
        assert_eq!(judged("8f742231b10e8888abcd99yyyzzz85a6", &head, BODY, AT), Err(Refused::Forged));
        assert_eq!(judged(SECRET, &headers("1531420619", TAG), BODY, AT), Err(Refused::Forged));
        assert_eq!(judged(SECRET, &head, BODY, AT + 301), Err(Refused::Stale));
        assert_eq!(judged(SECRET, &head, BODY, AT - 301), Err(Refused::Stale));
        let short = &TAG[..TAG.len() - 1];
        let other = TAG.replace("v0=", "v1=");
        for (at, tag) in [("1531420618", short), ("1531420618", &other), ("+1531420618", TAG), ("", TAG), ("soon", TAG)]
        {
            assert_eq!(judged(SECRET, &headers(at, tag), BODY, AT), Err(Refused::Unsigned), "{at} {tag}");
        }
        assert_eq!(judged(SECRET, &HeaderMap::new(), BODY, AT), Err(Refused::Unsigned));
    }

    #[test]
    fn the_same_request_is_good_once() {
        let verifier = Verifier::new(&Secret::new(SECRET));
        let claim = Claim::read(&headers("1531420618", TAG), AT).unwrap();
        assert_eq!(verifier.verify(claim, BODY, AT), Ok(()));
        // As long as its time would let it pass.
        for now in [AT, AT + 300] {
            assert_eq!(verifier.verify(claim, BODY, now), Err(Refused::Replayed));
        }
        // A forged one with a signature not seen before takes no place.
        let forged = Claim { tag: [7; 32], ..claim };
        assert_eq!(verifier.verify(forged, BODY, AT), Err(Refused::Forged));
        assert_eq!(verifier.seen.lock().order.len(), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded_in_number_and_time() {
        let mut seen = Seen::default();
        for number in 0..MAX_SEEN + 500 {
            let mut tag = Tag::default();
            tag[..8].copy_from_slice(&(number as u64).to_be_bytes());
            assert!(seen.is_new(tag, AT));
        }
        assert_eq!((seen.order.len(), seen.tags.len()), (MAX_SEEN, MAX_SEEN));
        assert!(seen.is_new([255; 32], AT + 601));
        assert_eq!((seen.order.len(), seen.tags.len()), (1, 1));
    }
}
