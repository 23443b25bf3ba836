//! The address: `sqs://<region>?endpoint=…&visibility_seconds=…&max_message_bytes=…`.

use crate::error::{QueueError, QueueErrorKind};

/// What Amazon took until August 2025, and ElasticMQ still takes. A larger frame is no cheaper: each 64 KiB are a request on the bill.
const DEFAULT_MAX_MESSAGE_BYTES: usize = 256 * 1024;
const MAX_MESSAGE_BYTES: std::ops::RangeInclusive<usize> = 4 * 1024..=1024 * 1024;
const DEFAULT_VISIBILITY_SECONDS: u32 = 30;
/// From what can still be extended in time to the longest that leaves an hour's stall to others.
const VISIBILITY_SECONDS: std::ops::RangeInclusive<u32> = 1..=3_600;

/// What an address says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// `None`: the one that the environment or the profile names.
    pub(super) region: Option<String>,
    /// Where to call in place of Amazon's own address.
    pub(super) endpoint: Option<String>,
    /// How long a delivery is its receiver's, if nothing extends it.
    pub(super) visibility_seconds: u32,
    /// Most bytes of a message and of a batch as Amazon counts them: text and attributes.
    pub(super) max_message_bytes: usize,
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, QueueError> {
        // What is refused is not repeated: nobody knows what stands in it.
        let url = url::Url::parse(url)
            .map_err(|error| refused(format!("the address can't be read ({error}): write sqs://eu-central-1")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused(
                "an sqs:// address has no user in it: credentials come from AWS_ACCESS_KEY_ID, a profile, or the machine's role",
            ));
        }
        if url.port().is_some() || !matches!(url.path(), "" | "/") {
            return Err(refused(
                "after sqs:// comes a region and nothing else; another server is named by ?endpoint=http://host:port",
            ));
        }
        let mut address = Self {
            region: url.host_str().filter(|host| !host.is_empty()).map(str::to_owned),
            endpoint: None,
            visibility_seconds: DEFAULT_VISIBILITY_SECONDS,
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
        };
        for (name, value) in url.query_pairs() {
            match &*name {
                "endpoint" => address.endpoint = Some(endpoint(&value)?),
                "visibility_seconds" => address.visibility_seconds = number(&name, &value, &VISIBILITY_SECONDS)?,
                "max_message_bytes" => address.max_message_bytes = number(&name, &value, &MAX_MESSAGE_BYTES)?,
                _ => {
                    return Err(refused(format!(
                        "{name:?} is no setting of an sqs:// address: it has endpoint, visibility_seconds and max_message_bytes"
                    )));
                }
            }
        }
        Ok(address)
    }
}

fn endpoint(value: &str) -> Result<String, QueueError> {
    let readable = url::Url::parse(value).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if readable { Ok(value.to_owned()) } else { Err(refused("endpoint must be an http:// or https:// address")) }
}

fn number<N>(name: &str, value: &str, range: &std::ops::RangeInclusive<N>) -> Result<N, QueueError>
where
    N: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    value
        .parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| refused(format!("{name} must be a number from {} to {}", range.start(), range.end())))
}

fn refused(message: impl Into<std::borrow::Cow<'static, str>>) -> QueueError {
    QueueError::permanent(QueueErrorKind::InvalidOptions, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_region_endpoint_and_limits() {
        let plain = Address::parse("sqs://eu-central-1").unwrap();
        assert_eq!(plain.region.as_deref(), Some("eu-central-1"));
        assert_eq!((plain.visibility_seconds, plain.max_message_bytes, &plain.endpoint), (30, 262_144, &None));
        let full = "sqs://eu-west-1?endpoint=http://127.0.0.1:9324&visibility_seconds=2&max_message_bytes=1048576";
        let full = Address::parse(full).unwrap();
        assert_eq!(full.endpoint.as_deref(), Some("http://127.0.0.1:9324"));
        assert_eq!((full.visibility_seconds, full.max_message_bytes), (2, 1_048_576));
        assert_eq!(Address::parse("sqs://").unwrap().region, None);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_without_repeating_it() {
        for (url, word) in [
            ("sqs://key:s3cret@eu-west-1", "credentials"),
            ("sqs://eu-west-1/queue", "endpoint"),
            ("sqs://eu-west-1:9324", "endpoint"),
            ("sqs://eu-west-1?visibility_seconds=0", "from 1 to 3600"),
            ("sqs://eu-west-1?max_message_bytes=9999999", "from 4096 to 1048576"),
            ("sqs://eu-west-1?endpoint=elasticmq", "http://"),
            ("sqs://eu-west-1?visiblity=3", "visibility_seconds"),
        ] {
            let error = Address::parse(url).unwrap_err();
            assert_eq!(error.kind, QueueErrorKind::InvalidOptions);
            assert!(error.message.contains(word) && !error.message.contains("s3cret"), "{url}: {error}");
        }
    }
}
