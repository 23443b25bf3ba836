//! A store on a server, by its address: `cassandra://…`, `scylla://…` or `dynamodb://…`.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{StoreError, StoreErrorKind};
use crate::port::Store;

/// How a store on a server is reached.
#[derive(Clone)]
pub struct StoreOptions {
    /// Its address, which may have a password in it:
    ///
    /// - `cassandra://[user:password@]host[:9042][,host…]/keyspace[?datacenter=…]`, or `scylla://…`, which is the same
    /// - `dynamodb://[region][?prefix=…&endpoint=…]`
    pub url: String,
    /// How long history and error feeds are kept, in seconds, counted from an entry's own time.
    pub history_keep_seconds: u64,
    /// File with the credentials for the server: a user's and a password, each on a line of its own (Cassandra), or as the AWS tools have it
    /// (DynamoDB).
    pub credentials_file: Option<PathBuf>,
    /// Certificates of authorities to trust, PEM, beside the system's. DynamoDB only.
    pub ca_file: Option<PathBuf>,
    /// What this process calls itself towards the server.
    pub client_name: String,
}

impl StoreOptions {
    /// Defaults for an address: ninety days of history.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            history_keep_seconds: 90 * 24 * 3_600,
            credentials_file: None,
            ca_file: None,
            client_name: String::from("ronda"),
        }
    }

    /// The address without what may be secret, so that two of the same store are the same text: for logs, messages, and to know it again.
    #[must_use]
    pub fn place(&self) -> String {
        place(&self.url)
    }

    /// The address as it can be written into the settings, without user and password.
    #[must_use]
    pub fn shown(&self) -> String {
        shown(&self.url).unwrap_or_else(|| place(&self.url))
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("place", &self.place())
            .field("history_keep_seconds", &self.history_keep_seconds)
            .finish_non_exhaustive()
    }
}

fn place(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return String::from("(an address that can't be read)");
    };
    if scheme == "dynamodb" && url::Url::parse(url).is_err() {
        return String::from("(an address that can't be read)");
    }
    // What stands before the last @ may be a password with an @, a / or a ? in it. An endpoint of DynamoDB may have an @ as well.
    let of_hosts = if scheme == "dynamodb" { rest.split('?').next().unwrap_or(rest) } else { rest };
    let rest = of_hosts.rfind('@').map_or(rest, |at| rest.get(at + 1..).unwrap_or_default());
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, path) = before.split_once('/').unwrap_or((before, ""));
    let value = |wanted: &str| {
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs.find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
    };
    match scheme {
        "dynamodb" => {
            let endpoint = value("endpoint").and_then(|endpoint| url::Url::parse(&endpoint).ok());
            let endpoint = endpoint.and_then(|url| Some(format!(" at {}", without_user(url)?))).unwrap_or_default();
            format!("dynamodb://{hosts} {}{endpoint}", value("prefix").unwrap_or_else(|| String::from("ronda")))
        }
        _ => format!("{scheme}://{hosts}/{path}"),
    }
}

fn shown(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    if scheme != "dynamodb" {
        // A password may have any of the other marks in it, and stands before the last @.
        let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
        return Some(format!("{scheme}://{rest}"));
    }
    let url = url::Url::parse(url).ok()?;
    let pairs = url.query_pairs().filter_map(|(name, value)| match &*name {
        "endpoint" => Some(format!("endpoint={}", without_user(url::Url::parse(&value).ok()?)?)),
        _ => Some(format!("{name}={value}")),
    });
    let query = pairs.collect::<Vec<_>>().join("&");
    let mark = if query.is_empty() { "" } else { "?" };
    Some(format!("dynamodb://{}{mark}{query}", url.host_str().unwrap_or_default()))
}

fn without_user(mut url: url::Url) -> Option<String> {
    url.set_username("").and_then(|()| url.set_password(None)).ok()?;
    url.set_query(None);
    Some(url.to_string())
}

/// Takes in what a query sets, all of it.
///
/// # Errors
/// `Invalid` with every mistake in it, not only the first.
#[cfg(any(feature = "cassandra", feature = "dynamodb"))]
pub(crate) fn take_in<'a>(
    pairs: url::form_urlencoded::Parse<'a>,
    mut set: impl FnMut(&str, &str) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mistakes: Vec<String> =
        pairs.filter_map(|(name, value)| set(&name, &value).err()).map(|error| error.message).collect();
    match mistakes.is_empty() {
        true => Ok(()),
        false => Err(StoreError::new(StoreErrorKind::Invalid, mistakes.join("; "))),
    }
}

/// Opens the store that an address names. Nothing is made there.
///
/// # Errors
/// `Invalid` when address or options can't be used, or this program was built without that adapter; `Conflict` when its tables are missing or
/// not as they shall be; `Unreadable` when they are a newer release's; `Unavailable` when it can't be asked.
pub async fn connect(options: &StoreOptions) -> Result<Arc<dyn Store>, StoreError> {
    match scheme(&options.url) {
        #[cfg(feature = "cassandra")]
        "cassandra" | "scylla" => {
            let options = crate::cassandra::options_of(options)?;
            Ok(Arc::new(Box::pin(crate::cassandra::CassandraStore::connect(options)).await?))
        }
        #[cfg(feature = "dynamodb")]
        "dynamodb" => {
            let options = crate::dynamodb::options_of(options)?;
            Ok(Arc::new(Box::pin(crate::dynamodb::DynamoStore::connect(options)).await?))
        }
        scheme => Err(unknown(scheme)),
    }
}

/// Makes what is missing of the tables. What is there is left as it is; doing it again, or twice at once, does no harm. Answers what was made, as
/// far as the server tells.
///
/// # Errors
/// `Conflict` when something is there that can't be used, `Invalid` and `Unavailable` as [`connect`] has them.
pub async fn migrate(options: &StoreOptions) -> Result<Vec<String>, StoreError> {
    match scheme(&options.url) {
        #[cfg(feature = "cassandra")]
        "cassandra" | "scylla" => {
            let of = crate::cassandra::options_of(options)?;
            let missing = Box::pin(crate::cassandra::check(&of)).await?;
            Box::pin(crate::cassandra::migrate(&of)).await?;
            Ok(missing.into_iter().map(|what| format!("{what}: made")).collect())
        }
        #[cfg(feature = "dynamodb")]
        "dynamodb" => Box::pin(crate::dynamodb::migrate(&crate::dynamodb::options_of(options)?)).await,
        scheme => Err(unknown(scheme)),
    }
}

/// Says everything in which the tables differ from what they should be; nothing: they can be used.
///
/// # Errors
/// `Invalid`, `Unreadable` and `Unavailable` as [`connect`] has them.
pub async fn check(options: &StoreOptions) -> Result<Vec<String>, StoreError> {
    match scheme(&options.url) {
        #[cfg(feature = "cassandra")]
        "cassandra" | "scylla" => Box::pin(crate::cassandra::check(&crate::cassandra::options_of(options)?)).await,
        #[cfg(feature = "dynamodb")]
        "dynamodb" => Box::pin(crate::dynamodb::check(&crate::dynamodb::options_of(options)?)).await,
        scheme => Err(unknown(scheme)),
    }
}

/// What is wrong with the address, as far as that can be told without the server, to follow its name.
#[must_use]
pub fn mistake(options: &StoreOptions) -> Option<String> {
    let scheme = scheme(&options.url);
    if let Some(what) = unusable(scheme) {
        return Some(what);
    }
    let read: Result<(), StoreError> = match scheme {
        #[cfg(feature = "cassandra")]
        "cassandra" | "scylla" => crate::cassandra::options_of(options).map(drop),
        #[cfg(feature = "dynamodb")]
        "dynamodb" => crate::dynamodb::options_of(options).map(drop),
        scheme => Err(unknown(scheme)),
    };
    read.err().map(|error| format!("can't be used: {}", error.message))
}

fn scheme(url: &str) -> &str {
    url.split_once(':').map_or("", |(scheme, _)| scheme)
}

/// Why addresses of this scheme can't be used; `None`: they can.
fn unusable(scheme: &str) -> Option<String> {
    let is_built = match scheme {
        "cassandra" | "scylla" => cfg!(feature = "cassandra"),
        "dynamodb" => cfg!(feature = "dynamodb"),
        _ => {
            return Some(format!(
                "must begin with embedded:, cassandra://, scylla:// or dynamodb://, and not with {scheme:?}"
            ));
        }
    };
    let what =
        format!("begins with {scheme}://, which this ronda was built without: build it with '--features stores'");
    (!is_built).then_some(what)
}

fn unknown(scheme: &str) -> StoreError {
    let what = unusable(scheme).unwrap_or_else(|| String::from("can't be used"));
    StoreError::new(StoreErrorKind::Invalid, format!("the store's address {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_shown_and_a_place_is_known_again() {
        for (url, wanted) in [
            ("cassandra://ronda:s3c@ret@one:9042,two/night?datacenter=dc1", "cassandra://one:9042,two/night"),
            ("scylla://one", "scylla://one/"),
            ("cassandra://ronda:s3c/ret@one/night", "cassandra://one/night"),
            ("cassandra://ronda:s3c?ret@one/night", "cassandra://one/night"),
            ("cassandra://ronda:s3c@r/e?t@one/night?datacenter=dc1", "cassandra://one/night"),
            ("dynamodb://key:s3c?ret@eu-central-1", "(an address that can't be read)"),
            ("dynamodb://key:s3cret@eu-central-1", "dynamodb://eu-central-1 ronda"),
            ("dynamodb://eu-central-1", "dynamodb://eu-central-1 ronda"),
            (
                "dynamodb://eu-central-1?prefix=night&endpoint=http://k:s3cret@127.0.0.1:8000",
                "dynamodb://eu-central-1 night at http://127.0.0.1:8000/",
            ),
            ("s3cret", "(an address that can't be read)"),
        ] {
            let options = StoreOptions::new(url);
            assert_eq!(options.place(), wanted);
            assert!(!format!("{options:?}").contains("s3c"), "{options:?}");
        }
    }

    #[test]
    fn what_is_shown_can_be_written_back_and_holds_no_secret() {
        for (url, wanted) in [
            (
                "cassandra://ronda:s3c@ret@one:9042,two/night?datacenter=dc1",
                "cassandra://one:9042,two/night?datacenter=dc1",
            ),
            ("cassandra://ronda:s3c?ret@one/night", "cassandra://one/night"),
            ("scylla://one", "scylla://one"),
            ("dynamodb://eu-central-1", "dynamodb://eu-central-1"),
            (
                "dynamodb://eu-central-1?prefix=night&endpoint=http://k:s3cret@127.0.0.1:8000",
                "dynamodb://eu-central-1?prefix=night&endpoint=http://127.0.0.1:8000/",
            ),
            ("dynamodb://key:s3c?ret@eu-central-1", "(an address that can't be read)"),
            ("s3cret", "(an address that can't be read)"),
        ] {
            assert_eq!(StoreOptions::new(url).shown(), wanted);
        }
    }

    #[tokio::test]
    async fn an_address_that_no_adapter_takes_says_what_could_stand_there() {
        let options = StoreOptions::new("postgres://k:s3cret@host/db");
        let told = mistake(&options).unwrap();
        assert!(told.contains("dynamodb://") && told.contains("postgres") && !told.contains("s3cret"), "{told}");
        let error = connect(&options).await.err().unwrap();
        assert_eq!(error.kind, StoreErrorKind::Invalid);
        assert!(error.message.contains("dynamodb://"), "{error}");
    }

    #[test]
    fn what_was_left_out_of_the_build_is_said_so() {
        for (url, is_built) in [
            ("cassandra://host/ronda", cfg!(feature = "cassandra")),
            ("dynamodb://eu-west-1", cfg!(feature = "dynamodb")),
        ] {
            let told = mistake(&StoreOptions::new(url));
            assert_eq!(told.is_none(), is_built, "{told:?}");
            assert!(told.is_none_or(|told| told.contains("--features stores")));
        }
    }
}
