//! A backend as a whole: the three queues that Ronda keeps on it, and how they are made, checked and changed.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::{QueueError, QueueErrorKind};
use crate::port::Queue;

/// Longest [prefix](BrokerOptions::prefix): names of queues end at 80 bytes on SQS.
const MAX_PREFIX_BYTES: usize = 40;

/// One of the queues that Ronda keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// What gateways and direct publishers send to processors.
    Commands,
    /// What processors derive, for the notifier.
    Events,
    /// What could not be read. One partition; a ring: the oldest go when it is full.
    DeadLetters,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Commands, Self::Events, Self::DeadLetters];

    /// Its name, as part of the names of queues and streams.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Commands => "commands",
            Self::Events => "events",
            Self::DeadLetters => "dead-letters",
        }
    }
}

/// How a backend is reached, and what shall be on it.
#[derive(Clone)]
pub struct BrokerOptions {
    /// Address: `nats://…`, `tls://…`, `sqs://…`, `amqp://…` or `amqps://…`. It may have a password in it. Several servers of one NATS cluster
    /// are divided by commas.
    pub url: String,
    /// What the names of all queues and streams begin with, so that several Rondas can share a broker.
    pub prefix: String,
    /// Partitions of the commands, a power of two. Fixed when the queues are made.
    pub partitions: u32,
    /// Partitions of the events. Fixed when the queues are made.
    pub event_partitions: u32,
    /// Most bytes of unprocessed commands over all partitions, where the backend can be limited; beyond it publishes are refused.
    pub max_bytes: u64,
    /// Copies of each message, where the backend replicates.
    pub replicas: u32,
    /// File with the client's credentials, in the ecosystem's own format (NATS: `.creds`, or an nkey seed).
    pub credentials_file: Option<PathBuf>,
    /// Certificates of authorities to trust, PEM: on NATS in the place of the system's, on RabbitMQ and SQS beside them.
    pub ca_file: Option<PathBuf>,
    /// The client's own certificate, PEM.
    pub client_certificate_file: Option<PathBuf>,
    /// Its key, PEM.
    pub client_key_file: Option<PathBuf>,
    /// What this process calls itself towards the broker.
    pub client_name: String,
}

impl BrokerOptions {
    /// Defaults for an address.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: String::from("ronda"),
            partitions: 16,
            event_partitions: 4,
            max_bytes: 4 << 30,
            replicas: 1,
            credentials_file: None,
            ca_file: None,
            client_certificate_file: None,
            client_key_file: None,
            client_name: String::from("ronda"),
        }
    }

    /// How many partitions a queue has.
    #[must_use]
    pub const fn partitions_of(&self, role: Role) -> u32 {
        match role {
            Role::Commands => self.partitions,
            Role::Events => self.event_partitions,
            Role::DeadLetters => 1,
        }
    }

    /// The address without user, password and query: for logs and messages.
    #[must_use]
    pub fn place(&self) -> String {
        let places: Option<Vec<_>> = self.url.split(',').map(place).collect();
        places.map_or_else(|| String::from("(an address that can't be read)"), |places| places.join(","))
    }
}

/// One of the addresses without what may be secret.
fn place(url: &str) -> Option<String> {
    let mut url = url::Url::parse(url.trim()).ok()?;
    // What can't have a password has none.
    let _ = (url.set_username(""), url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    Some(url.to_string())
}

impl fmt::Debug for BrokerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerOptions")
            .field("place", &self.place())
            .field("prefix", &self.prefix)
            .field("partitions", &self.partitions)
            .field("event_partitions", &self.event_partitions)
            .field("replicas", &self.replicas)
            .finish_non_exhaustive()
    }
}

/// One thing that is not as it shall be, or was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which stream, queue or exchange.
    pub place: String,
    /// What is the matter with it, and what to do.
    pub detail: String,
    /// Whether [`Broker::init`] puts it right. It never takes anything away.
    pub mendable: bool,
    /// Whether nothing starts as long as it is so. What is mendable stops nothing: a start mends it.
    pub stops: bool,
}

/// What [`Broker::check`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What is missing or not as it shall be.
    pub findings: Vec<Finding>,
    /// How many places are there whose settings could not be compared, for want of a permission.
    pub uncompared: u64,
}

/// A backend that can be reached.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// What is missing or not as it shall be; no findings: everything is there.
    ///
    /// # Errors
    /// `Unavailable`, `Denied`.
    async fn check(&self) -> Result<Checked, QueueError>;

    /// Makes what is missing; what is there is left as it is. Answers what it made. Doing it again makes nothing.
    ///
    /// # Errors
    /// `Mismatch` when something is there that can't be used (another number of partitions): it says what, and the way out. `Unavailable`,
    /// `Denied`.
    async fn init(&self) -> Result<Vec<Finding>, QueueError>;

    /// One of the queues. Its connections are its own, are kept up, and come back by themselves.
    ///
    /// # Errors
    /// `Mismatch` when it is not there or not as it shall be, `Unavailable`, `Denied`.
    async fn queue(&self, role: Role) -> Result<Arc<dyn Queue>, QueueError>;

    /// Takes the command queue away and makes it anew with another number of partitions. Refused while anything in it is not settled.
    ///
    /// # Errors
    /// `Mismatch` while there are unsettled messages, `Unavailable`, `Denied`.
    async fn repartition(&self, partitions: u32) -> Result<(), QueueError>;

    /// Closes all connections of all its queues.
    async fn close(&self);
}

/// Opens the backend that an address names. Nothing is made there.
///
/// # Errors
/// `InvalidOptions` when the address or a setting can't be used, or this program was built without that backend; `Unavailable`, `Denied`.
pub async fn connect(options: BrokerOptions) -> Result<Arc<dyn Broker>, QueueError> {
    if let Some(what) = unusable_prefix(&options.prefix) {
        return Err(QueueError::permanent(QueueErrorKind::InvalidOptions, format!("the queues' prefix {what}")));
    }
    let scheme = options.url.split_once(':').map_or("", |(scheme, _)| scheme).to_owned();
    #[allow(clippy::match_single_binding, reason = "each adapter adds a line, if it is built in")]
    match scheme.as_str() {
        #[cfg(feature = "nats")]
        "nats" | "tls" => crate::nats::connect(options).await,
        #[cfg(feature = "rabbitmq")]
        "amqp" | "amqps" => Ok(Arc::new(crate::rabbitmq::RabbitBroker::connect(&options).await?)),
        #[cfg(feature = "sqs")]
        "sqs" => Ok(Arc::new(crate::sqs::SqsBroker::connect(&options).await?)),
        _ => Err(unknown(&scheme)),
    }
}

/// What is wrong with an address or a setting, as far as that can be told without the broker: the option's name and what to say after it.
#[must_use]
pub fn mistakes(options: &BrokerOptions) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let (scheme, rest) = options.url.split_once(':').unwrap_or_default();
    if let Some(what) = unusable(scheme) {
        found.push(("url", what));
    } else if !rest.starts_with("//") {
        found.push(("url", format!("must go on with // after {scheme}:")));
    } else if let Err(error) = check_address(scheme, &options.url) {
        found.push(("url", format!("can't be used: {}", error.message)));
    } else if scheme == "sqs"
        && rest.trim_start_matches('/').split('?').next().is_none_or(str::is_empty)
        && !has_aws_settings()
    {
        found.push(("url", String::from("names no region: write sqs://eu-central-1, or set AWS_REGION")));
    }
    found.extend(unusable_prefix(&options.prefix).map(|what| ("prefix", what)));
    found
}

/// Says why an address can't be used, as its adapter reads it.
fn check_address(scheme: &str, url: &str) -> Result<(), QueueError> {
    match scheme {
        #[cfg(feature = "nats")]
        "nats" | "tls" => crate::nats::check_address(url),
        #[cfg(feature = "rabbitmq")]
        "amqp" | "amqps" => crate::rabbitmq::check_address(url),
        #[cfg(feature = "sqs")]
        "sqs" => crate::sqs::check_address(url),
        _ => {
            let _ = url;
            Err(unknown(scheme))
        }
    }
}

/// Why queues can't have names that begin so; `None`: they can, on every backend.
fn unusable_prefix(prefix: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    let is_usable = (1..=MAX_PREFIX_BYTES).contains(&prefix.len()) && prefix.bytes().all(is_plain);
    (!is_usable).then(|| format!("is {prefix:?}, but must be 1 to {MAX_PREFIX_BYTES} small letters, digits, - and _"))
}

/// Whether something in the environment may name a region.
fn has_aws_settings() -> bool {
    let names = ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_CONFIG_FILE"];
    let file = std::env::home_dir().map(|home| home.join(".aws/config"));
    names.iter().any(|name| std::env::var_os(name).is_some()) || file.is_some_and(|file| file.exists())
}

/// Why addresses of this scheme can't be used; `None`: they can.
fn unusable(scheme: &str) -> Option<String> {
    let is_built = match scheme {
        "nats" | "tls" => cfg!(feature = "nats"),
        "sqs" => cfg!(feature = "sqs"),
        "amqp" | "amqps" => cfg!(feature = "rabbitmq"),
        _ => {
            return Some(format!(
                "must begin with nats://, tls://, sqs://, amqp:// or amqps://, and not with {scheme:?}"
            ));
        }
    };
    let what =
        format!("begins with {scheme}://, which this ronda was built without: build it with '--features brokers'");
    (!is_built).then_some(what)
}

fn unknown(scheme: &str) -> QueueError {
    let what = unusable(scheme).unwrap_or_else(|| String::from("can't be used"));
    QueueError::permanent(QueueErrorKind::InvalidOptions, format!("the queue's address {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_shown() {
        let options = BrokerOptions::new("amqp://ronda:s3cret@broker.example:5671/vhost?token=s3cret");
        assert_eq!(options.place(), "amqp://broker.example:5671/vhost");
        assert!(!format!("{options:?}").contains("s3cret"));
        let cluster = BrokerOptions::new("nats://a:s3cret@one:4222,nats://a:s3cret@two:4222");
        assert_eq!(cluster.place(), "nats://one:4222,nats://two:4222");
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_used_says_why() {
        let refused = |url: &str| connect(BrokerOptions::new(url));
        let error = refused("kafka://somewhere").await.err().unwrap();
        assert_eq!(error.kind, QueueErrorKind::InvalidOptions);
        assert!(error.message.contains("nats://") && error.message.contains("kafka"), "{error}");
    }

    #[tokio::test]
    async fn a_prefix_that_makes_no_name_is_refused_on_every_backend() {
        for url in ["nats://localhost", "amqp://localhost", "sqs://eu-central-1"] {
            for prefix in ["", "Ronda", "a.b", "a*", "a b", "a/b", &"x".repeat(MAX_PREFIX_BYTES + 1)] {
                let options = BrokerOptions { prefix: prefix.to_owned(), ..BrokerOptions::new(url) };
                let error = connect(options).await.err().unwrap();
                assert_eq!(error.kind, QueueErrorKind::InvalidOptions);
                assert!(error.message.contains("prefix"), "{error}");
            }
        }
    }

    #[test]
    fn every_mistake_of_an_address_is_told_and_no_secret() {
        let options = BrokerOptions { prefix: String::from("my.ronda"), ..BrokerOptions::new("kafka://a:s3cret@b") };
        let told = mistakes(&options);
        assert_eq!(told.iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["url", "prefix"]);
        assert!(!format!("{told:?}").contains("s3cret"));
        let built = mistakes(&BrokerOptions::new("nats://broker:4222"));
        assert_eq!(built.is_empty(), cfg!(feature = "nats"), "{built:?}");
    }
}
