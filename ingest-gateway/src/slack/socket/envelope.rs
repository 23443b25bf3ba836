//! What comes and goes over a connection of Socket Mode. Pure.

use serde_json::{Value, json};

/// What Slack says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Incoming {
    /// The connection is good; so many of the app's are open.
    Hello(u64),
    /// The connection will be closed, soon or now; why.
    Disconnect(String),
    /// Something was asked.
    Envelope(Envelope),
    /// Nothing that we know.
    Other,
}

/// Something that was asked, to be acknowledged under its id.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Envelope {
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) payload: Value,
    /// Whether an answer may go with the acknowledgement.
    pub(super) takes_answer: bool,
    /// How often it was told before, for want of an acknowledgement.
    pub(super) retry: u64,
}

/// What an envelope holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    SlashCommand,
    Interaction,
    /// What the app is not made for: acknowledged, so that it does not come again.
    Other,
}

impl Incoming {
    pub(super) fn parse(text: &str) -> Self {
        let Ok(mut message) = serde_json::from_str::<Value>(text) else { return Self::Other };
        let kind = match message["type"].as_str() {
            Some("hello") => return Self::Hello(message["num_connections"].as_u64().unwrap_or(1)),
            Some("disconnect") => {
                return Self::Disconnect(message["reason"].as_str().unwrap_or("no reason given").to_owned());
            }
            Some("slash_commands") => Kind::SlashCommand,
            Some("interactive") => Kind::Interaction,
            _ => Kind::Other,
        };
        let Some(id) = message["envelope_id"].as_str().map(str::to_owned) else { return Self::Other };
        Self::Envelope(Envelope {
            id,
            kind,
            takes_answer: message["accepts_response_payload"].as_bool().unwrap_or(false),
            retry: message["retry_attempt"].as_u64().unwrap_or(0),
            payload: message["payload"].take(),
        })
    }
}

/// The acknowledgement of an envelope.
pub(super) fn acknowledgement(id: &str, answer: Option<&Value>) -> String {
    match answer {
        Some(answer) => json!({"envelope_id": id, "payload": answer}),
        None => json!({"envelope_id": id}),
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slacks_messages_are_told_apart() {
        let hello = r#"{"type":"hello","num_connections":2,"connection_info":{"app_id":"A1"},"debug_info":{}}"#;
        assert_eq!(Incoming::parse(hello), Incoming::Hello(2));
        let disconnect = r#"{"type":"disconnect","reason":"refresh_requested","debug_info":{"host":"w"}}"#;
        assert_eq!(Incoming::parse(disconnect), Incoming::Disconnect("refresh_requested".into()));
        let envelope = r#"{"type":"slash_commands","envelope_id":"e1","accepts_response_payload":true,"payload":{"text":"help"},"retry_attempt":1,"retry_reason":"timeout"}"#;
        let Incoming::Envelope(envelope) = Incoming::parse(envelope) else { panic!("no envelope") };
        assert_eq!((envelope.kind, envelope.takes_answer, envelope.retry), (Kind::SlashCommand, true, 1));
        assert_eq!(envelope.payload, json!({"text": "help"}));
        let event = r#"{"type":"events_api","envelope_id":"e2","payload":{}}"#;
        assert!(matches!(Incoming::parse(event), Incoming::Envelope(Envelope { kind: Kind::Other, .. })));
        for other in ["", "[]", "{}", r#"{"type":"interactive"}"#] {
            assert_eq!(Incoming::parse(other), Incoming::Other, "{other}");
        }
    }

    #[test]
    fn an_acknowledgement_has_an_answer_only_when_there_is_one() {
        assert_eq!(acknowledgement("e1", None), r#"{"envelope_id":"e1"}"#);
        let with: Value = serde_json::from_str(&acknowledgement("e1", Some(&json!({"text": "x"})))).unwrap();
        assert_eq!(with, json!({"envelope_id": "e1", "payload": {"text": "x"}}));
    }
}
