//! Messages as Amazon SQS has them: text that XML allows, with up to ten attributes.

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::port::{MAX_HEADER_BYTES, MAX_HEADERS, Origin};

/// The attribute that makes a message a frame.
pub(super) const FRAME: &str = "ronda-frame";
/// Says `base64` when a direct message's text is that of other bytes.
const ENCODING: &str = "content-transfer-encoding";
const BASE64: &str = "base64";
/// Most attributes of one message.
const MAX_ATTRIBUTES: usize = 10;
/// What the attributes of a frame count against the size limit: name, type and value.
const FRAME_ATTRIBUTE_BYTES: usize = FRAME.len() + "String".len() + 1;
/// No message may be empty. This is no base64 of anything.
const EMPTY: &str = "=";

/// The largest frame whose text stays within a limit.
pub(super) const fn max_frame_bytes(limit: usize) -> usize {
    limit.saturating_sub(FRAME_ATTRIBUTE_BYTES) / 4 * 3
}

/// A message that is to be sent.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) body: String,
    pub(super) attributes: Vec<(String, String)>,
}

impl Outgoing {
    pub(super) fn frame(message: &Bytes) -> Self {
        let body = if message.is_empty() { EMPTY.to_owned() } else { STANDARD.encode(message) };
        Self { body, attributes: vec![(FRAME.to_owned(), String::from("1"))] }
    }

    /// What has no place in a message is left out: headers whose name or value SQS does not take, and those beyond the tenth.
    pub(super) fn direct(message: &Bytes, origin: &Origin) -> Self {
        let text = std::str::from_utf8(message).ok().filter(|text| !text.is_empty() && text.chars().all(legal));
        let mut attributes: Vec<_> = origin
            .headers
            .iter()
            .filter(|(name, value)| {
                legal_name(name) && name != ENCODING && name != FRAME && !value.is_empty() && value.chars().all(legal)
            })
            .take(MAX_ATTRIBUTES - 1)
            .cloned()
            .collect();
        let body = if let Some(text) = text {
            text.to_owned()
        } else {
            attributes.push((ENCODING.to_owned(), BASE64.to_owned()));
            Self::frame(message).body
        };
        Self { body, attributes }
    }

    /// Its size as Amazon counts it.
    pub(super) fn bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| name.len() + "String".len() + value.len());
        self.body.len() + attributes.sum::<usize>()
    }
}

/// What XML 1.0 takes.
const fn legal(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

fn legal_name(name: &str) -> bool {
    let characters = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    let lower = name.to_ascii_lowercase();
    let reserved = lower.starts_with("aws.") || lower.starts_with("amazon.");
    (1..=256).contains(&name.len())
        && characters
        && !reserved
        && !name.starts_with('.')
        && !name.ends_with('.')
        && !name.contains("..")
}

/// A message that was received.
pub(super) struct Incoming {
    pub(super) message: Bytes,
    pub(super) origin: Option<Box<Origin>>,
    pub(super) redelivered: bool,
    pub(super) sent_ms: Option<u64>,
}

impl Incoming {
    /// Takes any message: what can't be decoded is passed on as it is, as a direct one, so that its reader refuses it and goes on.
    pub(super) fn read(message: &Message, queue: &str) -> Self {
        let body = message.body().unwrap_or_default();
        let number =
            |name| message.attributes().and_then(|all| all.get(&name)).and_then(|value| value.parse::<u64>().ok());
        let marked = message.message_attributes().is_some_and(|all| all.contains_key(FRAME));
        let (message_bytes, origin) = match if marked { decode(body) } else { None } {
            Some(bytes) => (bytes, None),
            None => {
                let mut origin = Origin {
                    tenant: None,
                    message_id: message.message_id().map(str::to_owned),
                    headers: headers(message),
                    source: queue.to_owned(),
                    published_ms: number(MessageSystemAttributeName::SentTimestamp)
                        .and_then(|sent| i64::try_from(sent).ok()),
                };
                let encoded = origin.header(ENCODING).is_some_and(|encoding| encoding.eq_ignore_ascii_case(BASE64));
                let bytes = if encoded { decode(body) } else { None };
                if bytes.is_some() {
                    // It is told of what is passed on, which is decoded; who reads that would do it again.
                    origin.headers.retain(|(name, _)| name != ENCODING);
                }
                (bytes.unwrap_or_else(|| Bytes::copy_from_slice(body.as_bytes())), Some(Box::new(origin)))
            }
        };
        Self {
            message: message_bytes,
            origin,
            redelivered: number(MessageSystemAttributeName::ApproximateReceiveCount).is_none_or(|count| count > 1),
            sent_ms: number(MessageSystemAttributeName::SentTimestamp),
        }
    }
}

fn decode(body: &str) -> Option<Bytes> {
    if body == EMPTY { Some(Bytes::new()) } else { STANDARD.decode(body).ok().map(Bytes::from) }
}

/// Text attributes with their names in lower case, in a fixed order.
fn headers(message: &Message) -> Vec<(String, String)> {
    let mut headers: Vec<_> = message
        .message_attributes()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.to_ascii_lowercase(), value.string_value()?.to_owned())))
        .filter(|(_, value)| value.len() <= MAX_HEADER_BYTES)
        .collect();
    headers.sort();
    headers.truncate(MAX_HEADERS);
    headers
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::types::MessageAttributeValue;

    use super::*;

    /// As SQS gives back what was sent.
    fn through_sqs(outgoing: &Outgoing) -> Incoming {
        let mut message = Message::builder().body(&outgoing.body).message_id("m-1");
        for (name, value) in &outgoing.attributes {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value).build().unwrap();
            message = message.message_attributes(name, value);
        }
        let message = message.attributes(MessageSystemAttributeName::ApproximateReceiveCount, "2").build();
        Incoming::read(&message, "ronda-commands-0.fifo")
    }

    #[test]
    fn frames_of_any_bytes_come_back_and_have_no_origin() {
        for bytes in [&b""[..], &b"\0"[..], &[255, 254, 0, 1][..], &b"text"[..]] {
            let incoming = through_sqs(&Outgoing::frame(&Bytes::copy_from_slice(bytes)));
            assert_eq!(incoming.message, bytes);
            assert!(incoming.origin.is_none() && incoming.redelivered);
        }
        let largest = Bytes::from(vec![7; max_frame_bytes(262_144)]);
        assert!((262_140..=262_144).contains(&Outgoing::frame(&largest).bytes()));
    }

    #[test]
    fn direct_messages_are_text_where_they_can_be() {
        let origin = Origin {
            headers: [("x-api-key", "k"), ("bad name", "v"), ("aws.x", "v"), ("empty", ""), (FRAME, "1")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            ..Origin::default()
        };
        let json = Outgoing::direct(&Bytes::from_static(b"{\"type\":\"heartbeat\"}"), &origin);
        assert_eq!(json.body, "{\"type\":\"heartbeat\"}");
        assert_eq!(json.attributes, [(String::from("x-api-key"), String::from("k"))]);
        for bytes in [&b"\0\x01"[..], &b"\xff"[..], &b""[..], "\u{ffff}".as_bytes()] {
            let incoming = through_sqs(&Outgoing::direct(&Bytes::copy_from_slice(bytes), &origin));
            assert_eq!(incoming.message, bytes);
            let origin = incoming.origin.unwrap();
            assert_eq!((origin.header("x-api-key"), origin.message_id.as_deref()), (Some("k"), Some("m-1")));
            assert_eq!(origin.source, "ronda-commands-0.fifo");
            assert_eq!(origin.header(ENCODING), None, "who reads it must not decode it again");
        }
        let mut wrong = Outgoing::direct(&Bytes::from_static(b"\0"), &origin);
        wrong.body = String::from("not base64!");
        let incoming = through_sqs(&wrong);
        assert_eq!(incoming.message, "not base64!");
        assert_eq!(incoming.origin.unwrap().header(ENCODING), Some(BASE64), "its reader says what is wrong with it");
    }

    #[test]
    fn what_calls_itself_a_frame_and_is_none_is_passed_on_as_a_direct_message() {
        let forged =
            Outgoing { body: String::from("{not base64"), attributes: vec![(FRAME.to_owned(), String::from("1"))] };
        let incoming = through_sqs(&forged);
        assert_eq!(incoming.message, "{not base64");
        assert!(incoming.origin.is_some());
    }
}
