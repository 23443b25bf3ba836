//! How Slack signs what it sends. <https://docs.slack.dev/authentication/verifying-requests-from-slack>

use ring::hmac;
use serde::{Deserialize, Serialize};

/// The secret that requests are signed with.
pub const SIGNING_SECRET: &str = "stand-in-signing-secret";

/// How true a request's signature is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signing {
    /// As Slack signs.
    #[default]
    Right,
    /// With another secret.
    Forged,
    /// Truly, but six minutes ago: older than the five that an app may take.
    Old,
    /// Not at all.
    Missing,
}

/// What goes into `X-Slack-Request-Timestamp` and `X-Slack-Signature`; `None`: neither is sent.
pub(super) fn signature(signing: Signing, now_ms: u64, body: &str) -> Option<(String, String)> {
    let (age_ms, secret) = match signing {
        Signing::Right => (0, SIGNING_SECRET),
        Signing::Forged => (0, "somebody-else"),
        Signing::Old => (360_000, SIGNING_SECRET),
        Signing::Missing => return None,
    };
    let timestamp = (now_ms.saturating_sub(age_ms) / 1_000).to_string();
    let signature = sign(secret, &timestamp, body);
    Some((timestamp, signature))
}

fn sign(secret: &str, timestamp: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("v0:{timestamp}:{body}").as_bytes());
    tag.as_ref().iter().fold("v0=".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Slack's page.
    #[test]
    fn it_signs_as_slacks_documentation_does() {
        let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar\
             &user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com\
             %2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        assert_eq!(
            sign("8f742231b10e8888abcd99yyyzzz85a5", "1531420618", body),
            "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
        );
    }

    #[test]
    fn what_is_forged_old_or_missing_differs_from_what_is_right() {
        let signed = |signing| signature(signing, 1_795_443_535_000, "payload=x");
        let right = signed(Signing::Right).unwrap_or_default();
        assert_eq!(right.0, "1795443535");
        assert_ne!(signed(Signing::Forged).unwrap_or_default().1, right.1);
        assert_eq!(signed(Signing::Old).unwrap_or_default().0, "1795443175");
        assert_eq!(signed(Signing::Missing), None);
    }
}
