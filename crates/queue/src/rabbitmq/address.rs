//! The address: `amqp[s]://USER:PASSWORD@HOST:PORT/VHOST?heartbeat=…&auth_mechanism=…`.

use lapin::uri::AMQPUri;

use crate::error::{QueueError, QueueErrorKind};

/// After twice so long without a sign of life both sides give a connection up: a consumer that stands still loses its deliveries to the
/// next one within ten seconds. `heartbeat=` in the address says otherwise.
pub(super) const HEARTBEAT_SECONDS: u16 = 5;

/// Reads an address. Its errors don't repeat it: nobody knows what stands in what is refused.
pub(super) fn parse(url: &str) -> Result<AMQPUri, QueueError> {
    let shape = "the address can't be read: it is amqp[s]://USER:PASSWORD@HOST:PORT/VHOST, percent-encoded";
    let read = url::Url::parse(url).map_err(|_| refused(shape))?;
    for (name, value) in read.query_pairs() {
        match &*name {
            "heartbeat" if value.parse::<u16>().is_ok() => {}
            "heartbeat" => return Err(refused("heartbeat must be a number of seconds from 0 to 65535")),
            "auth_mechanism" if matches!(&*value, "plain" | "amqplain" | "external" | "anonymous") => {}
            "auth_mechanism" => {
                return Err(refused("auth_mechanism must be plain, amqplain, external or anonymous"));
            }
            _ => {
                let what = "is no setting of an amqp:// address: it has heartbeat and auth_mechanism";
                return Err(refused(format!("{name:?} {what}")));
            }
        }
    }
    let mut uri: AMQPUri = url.parse().map_err(|_| refused(shape))?;
    if uri.vhost.is_empty() {
        uri.vhost = String::from("/");
    }
    uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    Ok(uri)
}

fn refused(message: impl Into<std::borrow::Cow<'static, str>>) -> QueueError {
    QueueError::permanent(QueueErrorKind::InvalidOptions, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_has_its_default() {
        let uri = parse("amqp://broker.example").unwrap();
        assert_eq!((uri.vhost.as_str(), uri.query.heartbeat), ("/", Some(HEARTBEAT_SECONDS)));
        let uri = parse("amqps://u:p@broker.example/night?heartbeat=3&auth_mechanism=external").unwrap();
        assert_eq!((uri.vhost.as_str(), uri.query.heartbeat), ("night", Some(3)));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_without_repeating_it() {
        for (url, word) in [
            ("amqp://u:s3cret@host:port/x", "percent-encoded"),
            ("amqp://u:s3cret@host/x?heartbeat=soon", "a number of seconds"),
            ("amqp://u:s3cret@host/x?heartbaet=3", "it has heartbeat"),
            ("amqp://u:s3cret@host/x?auth_mechanism=s3cret", "external"),
        ] {
            let error = parse(url).unwrap_err();
            assert_eq!(error.kind, QueueErrorKind::InvalidOptions);
            assert!(error.message.contains(word) && !error.message.contains("s3cret"), "{url}: {error}");
        }
    }
}
