//! The address: `cassandra://user:password@host:9042,other/keyspace?datacenter=…`.

use std::path::Path;
use std::time::Duration;

use super::{invalid, migrate};
use crate::backend::{StoreOptions, take_in};
use crate::cassandra::CassandraOptions;
use crate::error::StoreError;

/// What can be set in it.
const SETTINGS: &str =
    "datacenter, replication, keyspace_options, connect_timeout_ms, request_timeout_ms and requests_in_flight";

/// What an address and its options say.
///
/// # Errors
/// `Invalid`: what can't be used. Nothing that may be secret is repeated.
pub fn options_of(options: &StoreOptions) -> Result<CassandraOptions, StoreError> {
    let (_, rest) = options
        .url
        .split_once("://")
        .ok_or_else(|| invalid("the address can't be read: write cassandra://host:9042/ronda"))?;
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, keyspace) = before.split_once('/').unwrap_or((before, ""));
    let (login, hosts) = authority.rsplit_once('@').map_or((None, authority), |(login, hosts)| (Some(login), hosts));
    let mut read =
        CassandraOptions { history_keep_seconds: options.history_keep_seconds, ..CassandraOptions::default() };
    if options.ca_file.is_some() {
        return Err(invalid(
            "ca_file is of no use: Cassandra is reached without TLS (docs/stores-cassandra.md says how)",
        ));
    }
    if let Some(login) = login {
        let (user, password) =
            login.split_once(':').ok_or_else(|| invalid("a user has no password: write user:password@"))?;
        (read.user, read.password) = (Some(decoded(user)?), Some(decoded(password)?));
    }
    if let Some(file) = &options.credentials_file {
        (read.user, read.password) = login_of(file).map(|(user, password)| (Some(user), Some(password)))?;
    }
    read.nodes = hosts.split(',').map(node).collect::<Result<_, _>>()?;
    if !keyspace.is_empty() {
        keyspace.clone_into(&mut read.keyspace);
    }
    take_in(url::form_urlencoded::parse(query.as_bytes()), |name, value| set(&mut read, name, value))?;
    migrate::check_names(&read)?;
    Ok(read)
}

fn set(options: &mut CassandraOptions, name: &str, value: &str) -> Result<(), StoreError> {
    match name {
        "datacenter" => options.datacenter = Some(value.to_owned()),
        "replication" => value.clone_into(&mut options.replication),
        "keyspace_options" => value.clone_into(&mut options.keyspace_options),
        "connect_timeout_ms" => options.connect_timeout = milliseconds(name, value)?,
        "request_timeout_ms" => options.request_timeout = milliseconds(name, value)?,
        "requests_in_flight" => {
            options.requests_in_flight = value
                .parse()
                .ok()
                .filter(|number| (1..=10_000).contains(number))
                .ok_or_else(|| invalid("requests_in_flight must be a number from 1 to 10000"))?;
        }
        _ => return Err(invalid(format!("{name:?} is no setting of this address: it has {SETTINGS}"))),
    }
    Ok(())
}

/// `host` or `host:port`, also `[::1]:9042`.
fn node(text: &str) -> Result<String, StoreError> {
    let refused = || invalid("it needs a host: write cassandra://host:9042/ronda, several with a comma in between");
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let is_host =
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte));
    if is_host && is_port { Ok(text.to_owned()) } else { Err(refused()) }
}

fn milliseconds(name: &str, value: &str) -> Result<Duration, StoreError> {
    let number = value.parse().ok().filter(|number| (100..=600_000).contains(number));
    number.map(Duration::from_millis).ok_or_else(|| invalid(format!("{name} must be a number from 100 to 600000")))
}

/// Percent signs undone, as in any address.
fn decoded(text: &str) -> Result<String, StoreError> {
    // A form's decoding would take + for a blank, which a password may have.
    let text = text.replace('+', "%2B");
    let mut pairs = url::form_urlencoded::parse(text.as_bytes());
    let decoded =
        pairs.next().map(|(name, value)| if value.is_empty() { name.into_owned() } else { format!("{name}={value}") });
    decoded
        .filter(|_| pairs.next().is_none())
        .ok_or_else(|| invalid("user or password can't be read: write %26 for &, %40 for @"))
}

/// A file with the user on its first line and the password on its second.
fn login_of(file: &Path) -> Result<(String, String), StoreError> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| invalid(format!("credentials_file {}: {error}", file.display())).caused_by(error))?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    match (lines.next(), lines.next(), lines.next()) {
        (Some(user), Some(password), None) => Ok((user.to_owned(), password.to_owned())),
        _ => Err(invalid(format!("credentials_file {}: it must have two lines, user and password", file.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::StoreErrorKind;

    fn read(url: &str) -> Result<CassandraOptions, StoreError> {
        options_of(&StoreOptions::new(url))
    }

    #[test]
    fn an_address_says_nodes_login_keyspace_and_settings() {
        let plain = read("cassandra://localhost").unwrap();
        assert_eq!(
            (plain.nodes, plain.keyspace.as_str(), plain.user),
            (vec![String::from("localhost")], "ronda", None)
        );
        let full = "scylla://ronda:s3%40cr+et@one:9042,[::1]:9043/night?datacenter=dc1&request_timeout_ms=2000\
                    &replication={'class': 'NetworkTopologyStrategy', 'dc1': 3}";
        let full = read(full).unwrap();
        assert_eq!(full.nodes, ["one:9042", "[::1]:9043"]);
        assert_eq!((full.user.as_deref(), full.password.as_deref()), (Some("ronda"), Some("s3@cr+et")));
        assert_eq!((full.keyspace.as_str(), full.datacenter.as_deref()), ("night", Some("dc1")));
        assert_eq!(full.request_timeout, Duration::from_secs(2));
        assert_eq!(full.replication, "{'class': 'NetworkTopologyStrategy', 'dc1': 3}");
    }

    #[test]
    fn what_cannot_be_meant_is_refused_without_repeating_it() {
        for (url, word) in [
            ("cassandra://", "needs a host"),
            ("cassandra://one,/ronda", "needs a host"),
            ("cassandra://one:port/ronda", "needs a host"),
            ("cassandra://s3cret@one/ronda", "user:password@"),
            ("cassandra://one/Night", "keyspace"),
            ("cassandra://one?datacentre=x", "datacenter"),
            ("cassandra://one?request_timeout_ms=1", "from 100"),
        ] {
            let error = read(url).unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::Invalid);
            assert!(error.message.contains(word) && !error.message.contains("s3cret"), "{url}: {error}");
        }
    }

    #[test]
    fn nobody_is_left_to_believe_in_tls() {
        let options = StoreOptions { ca_file: Some("ca.pem".into()), ..StoreOptions::new("cassandra://one") };
        assert!(options_of(&options).unwrap_err().message.contains("without TLS"));
    }

    #[test]
    fn a_login_may_lie_in_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("login");
        let options = StoreOptions { credentials_file: Some(file.clone()), ..StoreOptions::new("cassandra://one") };
        assert!(options_of(&options).unwrap_err().message.contains("login"));
        std::fs::write(&file, "ronda\ns3 cret\n").unwrap();
        let read = options_of(&options).unwrap();
        assert_eq!((read.user.as_deref(), read.password.as_deref()), (Some("ronda"), Some("s3 cret")));
    }
}
