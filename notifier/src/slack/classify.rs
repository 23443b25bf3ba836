//! What Slack's answers mean for the one question: may the message be visible?

use std::time::Duration;

use serde_json::Value;

use crate::channel::{ChannelError, ChannelErrorKind};

/// Not sent, and may be tried soon.
const SOON: Duration = Duration::from_secs(5);
/// Not sent for a reason that takes its time.
const SLOWLY: Duration = Duration::from_secs(60);
/// A rate limit that does not say for how long.
const DEFAULT_RETRY_AFTER_SECONDS: u64 = 30;
/// The longest silence that is believed, in seconds.
const MAX_RETRY_AFTER_SECONDS: u64 = 3_600;

pub(super) fn ambiguous(message: impl Into<String>) -> ChannelError {
    ChannelError { kind: ChannelErrorKind::Ambiguous, message: message.into() }
}

/// No answer.
pub(super) fn transport(method: &str, error: &reqwest::Error) -> ChannelError {
    // The error's own text names the address; ours doesn't need to, and a proxy's may hold a password.
    if error.is_connect() {
        let kind = ChannelErrorKind::NotSent { retry_after: SOON, rate_limited: false };
        return ChannelError { kind, message: format!("{method}: no connection") };
    }
    if error.is_builder() {
        // No content of ours does that: the token or the address can't be sent as they are.
        let kind = ChannelErrorKind::DestinationBroken { code: "request_not_built".to_owned() };
        return ChannelError { kind, message: format!("{method}: the request could not be written") };
    }
    ambiguous(if error.is_timeout() { format!("{method}: no answer in time") } else { format!("{method}: cut off") })
}

/// An answer of some kind; `Ok` is one with `"ok": true`.
pub(super) fn answer(method: &str, status: u16, retry_after: Option<u64>, body: &[u8]) -> Result<Value, ChannelError> {
    if status == 429 {
        return Err(rate_limited(method, retry_after));
    }
    if status >= 500 {
        return Err(ambiguous(format!("{method}: HTTP status {status}")));
    }
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        if status == 200 {
            return Err(ambiguous(format!("{method}: an answer that is not JSON")));
        }
        // Not Slack, or not its API: a proxy's page, a wrong address.
        let kind = ChannelErrorKind::DestinationBroken { code: format!("http_{status}") };
        return Err(ChannelError { kind, message: format!("{method}: HTTP status {status}") });
    };
    if value["ok"] == true {
        return Ok(value);
    }
    let code = value["error"].as_str().unwrap_or("no_error_code");
    // Slack's codes are constant words; anything longer is not one.
    let code: String = code.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(64).collect();
    if matches!(code.as_str(), "ratelimited" | "rate_limited") {
        return Err(rate_limited(method, retry_after));
    }
    let message = format!("{method}: {code}");
    Err(ChannelError { kind: kind_of(code), message })
}

fn rate_limited(method: &str, retry_after: Option<u64>) -> ChannelError {
    let seconds = retry_after.unwrap_or(DEFAULT_RETRY_AFTER_SECONDS).clamp(1, MAX_RETRY_AFTER_SECONDS);
    let kind = ChannelErrorKind::NotSent { retry_after: Duration::from_secs(seconds), rate_limited: true };
    ChannelError { kind, message: format!("{method}: rate limited for {seconds} s") }
}

fn kind_of(code: String) -> ChannelErrorKind {
    match code.as_str() {
        "fatal_error" | "internal_error" | "service_unavailable" | "request_timeout" => ChannelErrorKind::Ambiguous,
        "invalid_auth"
        | "not_authed"
        | "account_inactive"
        | "token_revoked"
        | "token_expired"
        | "missing_scope"
        | "no_permission"
        | "access_denied"
        | "channel_not_found"
        | "not_in_channel"
        | "is_archived"
        | "is_inactive"
        | "ekm_access_denied"
        | "not_allowed_token_type"
        | "team_access_not_granted"
        | "messages_tab_disabled" => ChannelErrorKind::DestinationBroken { code },
        "msg_blocks_too_long"
        | "msg_too_long"
        | "invalid_attachments"
        | "too_many_attachments"
        | "metadata_too_large"
        | "no_text"
        | "attachment_payload_limit_exceeded"
        | "block_mismatch"
        | "invalid_arguments"
        | "invalid_array_arg" => ChannelErrorKind::Payload { code },
        "message_not_found" | "thread_not_found" => ChannelErrorKind::Missing { code },
        "cant_update_message" | "edit_window_closed" | "cannot_reply_to_message" | "cant_delete_message" => {
            ChannelErrorKind::Fixed { code }
        }
        "update_failed" => ChannelErrorKind::NotSent { retry_after: SOON, rate_limited: false },
        other if other.starts_with("restricted_action") => ChannelErrorKind::DestinationBroken { code },
        other if other.starts_with("invalid_blocks") || other.starts_with("invalid_metadata") => {
            ChannelErrorKind::Payload { code }
        }
        // Slowly: `message_limit_exceeded`, `team_added_to_org`, `org_login_required`, and codes that we don't know: a definite no.
        _ => ChannelErrorKind::NotSent { retry_after: SLOWLY, rate_limited: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: u16, body: &str) -> &'static str {
        answer("m", status, None, body.as_bytes()).map_or_else(|error| error.kind.class(), |_| "ok")
    }

    #[test]
    fn every_answer_has_its_class() {
        for (status, body, expected) in [
            (200, r#"{"ok":true}"#, "ok"),
            (429, "", "rate_limited"),
            (200, r#"{"ok":false,"error":"ratelimited"}"#, "rate_limited"),
            (500, "oops", "ambiguous"),
            (200, "<html>", "ambiguous"),
            (200, r#"{"ok":false,"error":"fatal_error"}"#, "ambiguous"),
            (404, "<html>", "destination_broken"),
            (200, r#"{"ok":false,"error":"is_archived"}"#, "destination_broken"),
            (200, r#"{"ok":false,"error":"restricted_action_thread_only_channel"}"#, "destination_broken"),
            (200, r#"{"ok":false,"error":"invalid_blocks_format"}"#, "payload"),
            (200, r#"{"ok":false,"error":"message_not_found"}"#, "missing"),
            (200, r#"{"ok":false,"error":"edit_window_closed"}"#, "fixed"),
            (200, r#"{"ok":false,"error":"message_limit_exceeded"}"#, "not_sent"),
            (200, r#"{"ok":false,"error":"never_seen_before"}"#, "not_sent"),
        ] {
            assert_eq!(class(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn retry_after_is_obeyed_within_reason() {
        let error = answer("m", 429, Some(30), b"").unwrap_err();
        let expected = ChannelErrorKind::NotSent { retry_after: Duration::from_secs(30), rate_limited: true };
        assert_eq!(error.kind, expected);
    }
}
