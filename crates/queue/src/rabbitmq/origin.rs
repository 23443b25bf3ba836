//! What RabbitMQ says of a message: whether it is one of ours, and where it comes from if not.

use lapin::BasicProperties;
use lapin::message::Delivery as Arrived;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};

use crate::error::{QueueError, QueueErrorKind};
use crate::port::{MAX_HEADER_BYTES, MAX_HEADERS, Origin};

/// The property that stands among the headers of an [`Origin`].
const CONTENT_TYPE: &str = "content-type";
/// Headers by which a quorum queue tells how often it handed a message out before: deliveries that failed, and (since 4.0) all.
const COUNTS: [&str; 2] = ["x-delivery-count", "x-acquired-count"];

/// Who receives: knows by its exchange where a message comes from.
pub(super) struct Recipient {
    /// What is published by [`Queue::publish`](crate::Queue::publish) goes through this exchange, and nobody else may write to it.
    pub(super) frames: String,
    /// What is published directly goes through this one, its tenant in the routing key.
    pub(super) direct: String,
}

impl Recipient {
    pub(super) fn origin(&self, arrived: &Arrived) -> Option<Origin> {
        let exchange = arrived.exchange.as_str();
        if exchange == self.frames {
            return None;
        }
        let key = arrived.routing_key.as_str();
        let tenant = key.split_once('.').filter(|_| exchange == self.direct).map(|(_, tenant)| tenant.to_owned());
        Some(Origin {
            tenant,
            message_id: arrived.properties.message_id().as_ref().map(ToString::to_string),
            headers: headers(&arrived.properties),
            source: format!("exchange {exchange}, routing key {key}"),
            published_ms: None,
        })
    }

    pub(super) fn redelivered(&self, arrived: &Arrived) -> bool {
        let headers = arrived.properties.headers().as_ref();
        let counted = |name| match headers.and_then(|headers| headers.inner().get(name)) {
            Some(AMQPValue::LongLongInt(count)) => *count > 0,
            Some(AMQPValue::LongInt(count)) => *count > 0,
            Some(AMQPValue::ShortShortUInt(count)) => *count > 0,
            Some(AMQPValue::LongUInt(count)) => *count > 0,
            _ => false,
        };
        arrived.redelivered || COUNTS.into_iter().any(counted)
    }
}

/// Text headers, and the content type; what is no text or too long is left out.
fn headers(properties: &BasicProperties) -> Vec<(String, String)> {
    let content_type = properties.content_type().as_ref().map(|value| (String::from(CONTENT_TYPE), value.to_string()));
    let table = properties.headers().iter().flat_map(|headers| headers.inner());
    let table = table.filter_map(|(name, value)| {
        let value = match value {
            AMQPValue::LongString(value) => String::from_utf8(value.as_bytes().to_vec()).ok()?,
            AMQPValue::ShortString(value) => value.to_string(),
            _ => return None,
        };
        let name = name.as_str().to_ascii_lowercase();
        (name != CONTENT_TYPE || content_type.is_none()).then_some((name, value))
    });
    let all = content_type.clone().into_iter().chain(table);
    all.filter(|(_, value)| value.len() <= MAX_HEADER_BYTES).take(MAX_HEADERS).collect()
}

/// The routing key and the properties of a message that is put back as its publisher sent it.
pub(super) fn addressed(partition: u32, origin: &Origin) -> Result<(ShortString, BasicProperties), QueueError> {
    let key = match &origin.tenant {
        Some(tenant) => format!("{partition}.{tenant}"),
        None => partition.to_string(),
    };
    let mut properties = BasicProperties::default();
    if let Some(id) = &origin.message_id {
        properties = properties.with_message_id(short(id)?);
    }
    let mut table = FieldTable::default();
    for (name, value) in &origin.headers {
        if name == CONTENT_TYPE {
            properties = properties.with_content_type(short(value)?);
        } else {
            table.insert(short(name)?, AMQPValue::LongString(LongString::from(value.as_str())));
        }
    }
    Ok((short(&key)?, properties.with_headers(table)))
}

fn short(text: &str) -> Result<ShortString, QueueError> {
    ShortString::try_new(text).map_err(|_| {
        let what =
            format!("{} bytes are too long for a name, an id or a routing key on RabbitMQ: 255 at most", text.len());
        QueueError::permanent(QueueErrorKind::InvalidOptions, what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrived(exchange: &str, key: &str, properties: BasicProperties) -> Arrived {
        let mut arrived = Arrived::mock(1, exchange.into(), key.into(), false, Vec::new());
        arrived.properties = properties;
        arrived
    }

    fn recipient() -> Recipient {
        Recipient { frames: String::from("ronda.frames"), direct: String::from("ronda.in") }
    }

    #[test]
    fn only_the_exchange_tells_frames_from_direct_messages() {
        let by = |exchange: &str| recipient().origin(&arrived(exchange, "3.acme", BasicProperties::default()));
        assert_eq!(by("ronda.frames"), None);
        assert_eq!(by("ronda.in").unwrap().tenant.as_deref(), Some("acme"));
        // Whoever may write to another exchange that is bound here has no tenant by that.
        assert_eq!(by("").unwrap().tenant, None);
        assert_eq!(by("ronda.dropped").unwrap().source, "exchange ronda.dropped, routing key 3.acme");
    }

    #[test]
    fn an_origin_survives_being_put_back() {
        let origin = Origin {
            tenant: Some(String::from("acme")),
            message_id: Some(String::from("m-1")),
            headers: vec![
                (String::from("content-type"), String::from("application/json")),
                (String::from("x-api-key"), String::from("k")),
            ],
            source: String::from("exchange ronda.in, routing key 7.acme"),
            published_ms: None,
        };
        let (key, properties) = addressed(7, &origin).unwrap();
        assert_eq!(recipient().origin(&arrived("ronda.in", key.as_str(), properties)).unwrap(), origin);
    }

    #[test]
    fn headers_are_bounded_and_text() {
        let mut table = FieldTable::default();
        table.insert("Long".into(), AMQPValue::LongString("x".repeat(MAX_HEADER_BYTES + 1).into()));
        table.insert("number".into(), AMQPValue::LongInt(7));
        table.insert("Content-Type".into(), AMQPValue::LongString("text/plain".into()));
        for number in 0..100 {
            table.insert(format!("x-{number}").into(), AMQPValue::LongString("v".into()));
        }
        let properties = BasicProperties::default().with_headers(table).with_content_type("application/json".into());
        let origin = recipient().origin(&arrived("ronda.in", "0.acme", properties)).unwrap();
        assert_eq!(origin.headers.len(), MAX_HEADERS);
        assert_eq!(origin.header("content-type"), Some("application/json"));
        assert_eq!((origin.header("long"), origin.header("number")), (None, None));
        let none = Origin { message_id: Some("i".repeat(256)), ..Origin::default() };
        assert_eq!(addressed(0, &none).unwrap_err().kind, QueueErrorKind::InvalidOptions);
    }

    #[test]
    fn a_count_of_deliveries_tells_what_comes_again() {
        let counted = |count| {
            let mut table = FieldTable::default();
            table.insert("x-acquired-count".into(), AMQPValue::LongLongInt(count));
            recipient().redelivered(&arrived("ronda.in", "0", BasicProperties::default().with_headers(table)))
        };
        assert!(!counted(0) && counted(2));
    }
}
