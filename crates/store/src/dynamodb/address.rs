//! The address: `dynamodb://<region>?prefix=…&endpoint=…`.

use super::invalid;
use super::options::DynamoOptions;
use crate::backend::{StoreOptions, take_in};
use crate::error::StoreError;

/// What can be set in it.
const SETTINGS: &str = "prefix, endpoint, writes_in_flight, calls_in_flight, call_timeout_ms, point_in_time_recovery and deletion_protection";
/// Longest prefix; names of tables end at 255 characters.
const MAX_PREFIX_BYTES: usize = 100;

/// What an address and its options say.
///
/// # Errors
/// `Invalid`: what can't be used. Nothing that may be secret is repeated.
pub fn options_of(options: &StoreOptions) -> Result<DynamoOptions, StoreError> {
    let url = url::Url::parse(&options.url)
        .map_err(|error| invalid(format!("the address can't be read ({error}): write dynamodb://eu-central-1")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid(
            "it has no user in it: credentials come from AWS_ACCESS_KEY_ID, a profile, a file, or the machine's role",
        ));
    }
    if url.port().is_some() || !matches!(url.path(), "" | "/") {
        return Err(invalid("after dynamodb:// comes a region and nothing else; tables are told apart by ?prefix=…"));
    }
    let mut read = DynamoOptions {
        region: url.host_str().filter(|host| !host.is_empty()).map(str::to_owned),
        history_keep_seconds: options.history_keep_seconds,
        credentials_file: options.credentials_file.clone(),
        ca_file: options.ca_file.clone(),
        client_name: options.client_name.clone(),
        ..DynamoOptions::default()
    };
    take_in(url.query_pairs(), |name, value| set(&mut read, name, value))?;
    Ok(read)
}

fn set(options: &mut DynamoOptions, name: &str, value: &str) -> Result<(), StoreError> {
    match name {
        "prefix" => {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if !(1..=MAX_PREFIX_BYTES).contains(&value.len()) || !value.bytes().all(is_plain) {
                return Err(invalid(format!("prefix must be 1 to {MAX_PREFIX_BYTES} letters, digits, -, _ and .")));
            }
            value.clone_into(&mut options.prefix);
        }
        "endpoint" => {
            let is_http = |url: &url::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
            // The client takes no user from it, and shows it in its errors.
            let has_user = |url: &url::Url| !url.username().is_empty() || url.password().is_some();
            if !url::Url::parse(value).is_ok_and(|url| is_http(&url) && !has_user(&url)) {
                return Err(invalid("endpoint must be an http:// or https:// address without a user"));
            }
            options.endpoint = Some(value.to_owned());
        }
        "writes_in_flight" => options.writes_in_flight = count(name, value)?,
        "calls_in_flight" => options.calls_in_flight = count(name, value)?,
        "call_timeout_ms" => {
            options.call_timeout_ms = value
                .parse()
                .ok()
                .filter(|number| (100..=600_000).contains(number))
                .ok_or_else(|| invalid("call_timeout_ms must be a number from 100 to 600000"))?;
            options.attempt_timeout_ms = options.attempt_timeout_ms.min(options.call_timeout_ms);
        }
        "point_in_time_recovery" => options.point_in_time_recovery = yes(name, value)?,
        "deletion_protection" => options.deletion_protection = yes(name, value)?,
        _ => return Err(invalid(format!("{name:?} is no setting of this address: it has {SETTINGS}"))),
    }
    Ok(())
}

fn count(name: &str, value: &str) -> Result<usize, StoreError> {
    let number = value.parse().ok().filter(|number| (1..=10_000).contains(number));
    number.ok_or_else(|| invalid(format!("{name} must be a number from 1 to 10000")))
}

fn yes(name: &str, value: &str) -> Result<bool, StoreError> {
    value.parse().map_err(|_| invalid(format!("{name} must be true or false")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::StoreErrorKind;

    fn read(url: &str) -> Result<DynamoOptions, StoreError> {
        options_of(&StoreOptions::new(url))
    }

    #[test]
    fn an_address_says_region_prefix_and_endpoint() {
        let plain = read("dynamodb://eu-central-1").unwrap();
        assert_eq!((plain.region.as_deref(), plain.prefix.as_str()), (Some("eu-central-1"), "ronda"));
        assert_eq!(read("dynamodb://").unwrap().region, None);
        let full = read("dynamodb://x?prefix=night&endpoint=http://127.0.0.1:8000&deletion_protection=true").unwrap();
        assert_eq!((full.prefix.as_str(), full.endpoint.as_deref()), ("night", Some("http://127.0.0.1:8000")));
        assert!(full.deletion_protection && !full.point_in_time_recovery);
    }

    #[test]
    fn every_mistake_in_an_address_is_told() {
        let error = read("dynamodb://eu-west-1?endpont=http://127.0.0.1&prefix=a/b").unwrap_err();
        assert!(error.message.contains("\"endpont\" is no setting") && error.message.contains("letters"), "{error}");
    }

    #[test]
    fn what_cannot_be_meant_is_refused_without_repeating_it() {
        for (url, word) in [
            ("dynamodb://key:s3cret@eu-west-1", "credentials"),
            ("dynamodb://eu-west-1/table", "prefix"),
            ("dynamodb://eu-west-1:8000", "prefix"),
            ("dynamodb://eu-west-1?endpoint=local", "http://"),
            ("dynamodb://eu-west-1?endpoint=http://key:s3cret@127.0.0.1:8000", "without a user"),
            ("dynamodb://eu-west-1?prefix=a/b", "letters"),
            ("dynamodb://eu-west-1?perfix=a", "prefix"),
            ("dynamodb://eu-west-1?calls_in_flight=0", "calls_in_flight must be"),
            ("dynamodb://eu-west-1?deletion_protection=maybe", "true or false"),
        ] {
            let error = read(url).unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::Invalid);
            assert!(error.message.contains(word) && !error.message.contains("s3cret"), "{url}: {error}");
        }
    }
}
