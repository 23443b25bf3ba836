//! One connection to the server: how it is made, kept up, and what became of it.

use std::future::Future;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, ServerAddr};
use tokio::sync::watch;
use url::Url;

use crate::broker::BrokerOptions;
use crate::error::{QueueError, QueueErrorKind};

use super::events::{Seen, Trouble, Watch, watcher};

/// How long an attempt to connect may take. Short, so that a server that comes back is soon noticed.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// How long an answer of the server may take: a confirmation as well as a request to its API.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Three of these without a sign of life end a connection.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// Longest wait between two attempts to connect again; there is no last attempt.
const RECONNECT_AFTER_AT_MOST: Duration = Duration::from_millis(500);
/// When to try again what failed for the connection's sake.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Commands that wait for the socket. Beyond it a publish waits.
const COMMANDS: usize = 512;
/// Publishes that wait for their confirmations.
const MAX_IN_FLIGHT: usize = 8_192;
const OLDEST_SERVER: (i64, i64) = (2, 10);

/// A connection that comes back by itself.
pub(super) struct Connection {
    client: Client,
    context: Context,
    seen: watch::Receiver<Seen>,
    place: String,
}

impl Connection {
    /// Connects for the first time.
    pub(super) async fn open(options: &BrokerOptions, purpose: &str) -> Result<Self, QueueError> {
        let place = options.place();
        let (tell, seen) = watch::channel(Seen::connected());
        let (servers, connect) = prepare(options).await?;
        let client = connect
            .name(format!("{} {purpose}", options.client_name))
            .event_callback(watcher(tell, place.clone()))
            .connect(servers)
            .await
            .map_err(|error| refused(&place, &error))?;
        let context = ContextBuilder::new()
            .timeout(ANSWER_WITHIN)
            .ack_timeout(ANSWER_WITHIN)
            .max_ack_inflight(MAX_IN_FLIGHT)
            .build(client.clone());
        Ok(Self { client, context, seen, place })
    }

    /// Whether the server can do what is needed.
    pub(super) fn check_server(&self) -> Result<(), QueueError> {
        let info = self.client.server_info();
        let (major, minor) = OLDEST_SERVER;
        let what = if !self.client.is_server_compatible(major, minor, 0) {
            format!(
                "the NATS server at {} has version {}, which is too old: streams with subject transforms need {major}.{minor} or newer",
                self.place, info.version
            )
        } else if !info.jetstream {
            format!(
                "the NATS server at {} runs without JetStream: start it with '-js', or with a 'jetstream' block",
                self.place
            )
        } else {
            return Ok(());
        };
        Err(QueueError::permanent(QueueErrorKind::Mismatch, what))
    }

    pub(super) const fn context(&self) -> &Context {
        &self.context
    }

    /// The largest message that the server takes, headers included.
    pub(super) fn max_payload(&self) -> usize {
        self.client.max_payload()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// What happens from now on.
    pub(super) fn watch(&self) -> Watch {
        Watch::new(self.seen.clone())
    }

    /// How many times it was lost.
    pub(super) fn times_lost(&self) -> u64 {
        self.seen.borrow().lost
    }

    /// Waits until there is a connection.
    pub(super) async fn connected(&self) {
        let mut seen = self.seen.clone();
        // The client itself is asked as well: what is seen may lag behind.
        let _ = seen.wait_for(|seen| seen.connected || self.is_connected()).await;
    }

    /// Does some work on a subject, but gives up when the connection is lost or the server does not permit it: an answer can't come then.
    pub(super) async fn guard<T>(
        &self,
        mut watch: Watch,
        subject: &str,
        work: impl Future<Output = Result<T, QueueError>>,
    ) -> Result<T, QueueError> {
        if !self.is_connected() {
            return Err(self.gone());
        }
        tokio::select! {
            biased;
            done = work => done,
            trouble = watch.trouble(subject) => Err(match trouble {
                Trouble::Lost => self.gone(),
                Trouble::Denied(said) => self.denied(&said),
            }),
        }
    }

    pub(super) fn gone(&self) -> QueueError {
        let what = format!("there is no connection to the NATS server at {}", self.place);
        QueueError::transient(QueueErrorKind::Unavailable, RETRY_AFTER, what)
    }

    /// The error for what the server does not permit.
    pub(super) fn denied(&self, said: &str) -> QueueError {
        let place = &self.place;
        let what =
            format!("the NATS server at {place} does not permit it ({said}): docs/queues.md lists the permissions");
        QueueError::permanent(QueueErrorKind::Denied, what)
    }

    /// Sends what is still to be sent, and ends.
    pub(super) async fn close(&self) {
        if self.is_connected() {
            let _ = tokio::time::timeout(CONNECT_WITHIN, self.client.flush()).await;
        }
        let _ = tokio::time::timeout(CONNECT_WITHIN, self.client.drain()).await;
    }
}

/// Addresses without anything secret in them, since the client logs those, and all other settings.
async fn prepare(options: &BrokerOptions) -> Result<(Vec<ServerAddr>, ConnectOptions), QueueError> {
    let mut connect = ConnectOptions::new()
        .connection_timeout(CONNECT_WITHIN)
        .request_timeout(Some(ANSWER_WITHIN))
        .ping_interval(PING_INTERVAL)
        .client_capacity(COMMANDS)
        .reconnect_delay_callback(reconnect_after);
    let mut servers = Vec::new();
    for mut url in addresses(&options.url)? {
        let (user, password) = (decoded(url.username()), url.password().map(decoded));
        connect = match (user.is_empty(), password) {
            (true, None) => connect,
            (false, None) => connect.token(user),
            (_, Some(password)) => connect.user_and_password(user, password),
        };
        let _ = (url.set_username(""), url.set_password(None));
        servers.push(ServerAddr::from_url(url).map_err(|error| invalid(format!("the queue's address: {error}")))?);
    }
    if let Some(path) = &options.credentials_file {
        let named = path.display();
        let text = tokio::fs::read_to_string(path)
            .await
            .map_err(|error| invalid(format!("the credentials file {named} can't be read: {error}")))?;
        connect = if text.contains("BEGIN NATS USER JWT") {
            // Its errors could show parts of the file.
            connect.credentials(&text).map_err(|_| invalid(format!("{named} is no whole NATS credentials file")))?
        } else if let Some(seed) = text.lines().map(str::trim).find(|line| line.starts_with("SU")) {
            connect.nkey(seed.to_owned())
        } else {
            return Err(invalid(format!(
                "{named} is neither a NATS credentials file nor the seed of a user's nkey (SU…)"
            )));
        };
    }
    if let Some(path) = &options.ca_file {
        connect = connect.add_root_certificates(readable(path)?).require_tls(true);
    }
    connect = match (&options.client_certificate_file, &options.client_key_file) {
        (Some(certificate), Some(key)) => {
            connect.add_client_certificate(readable(certificate)?, readable(key)?).require_tls(true)
        }
        (None, None) => connect,
        _ => return Err(invalid("the client's certificate and its key go together: set both files or none")),
    };
    // Which of several providers TLS is to use must not depend on what else is in the program. It is there already the second time.
    let _ = async_nats::rustls::crypto::ring::default_provider().install_default();
    Ok((servers, connect))
}

/// The servers of an address, divided by commas. What is refused is not repeated: a password may stand in it.
pub(super) fn addresses(url: &str) -> Result<Vec<Url>, QueueError> {
    let read = |address: &str| {
        let url = Url::parse(address.trim())
            .map_err(|error| invalid(format!("the address can't be read ({error}): write nats://host:4222")))?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(invalid("the address names no host: write nats://host:4222"));
        }
        if let Some((name, _)) = url.query_pairs().next() {
            return Err(invalid(format!("{name:?} is no setting of a nats:// address: it has none after the host")));
        }
        Ok(url)
    };
    url.split(',').map(read).collect()
}

fn readable(path: &std::path::Path) -> Result<std::path::PathBuf, QueueError> {
    match std::fs::File::open(path) {
        Ok(_) => Ok(path.to_owned()),
        Err(error) => Err(invalid(format!("{} can't be read: {error}", path.display()))),
    }
}

fn reconnect_after(attempt: usize) -> Duration {
    match attempt {
        0 | 1 => Duration::ZERO,
        _ => Duration::from_millis(10 << attempt.min(6)).min(RECONNECT_AFTER_AT_MOST),
    }
}

/// Undoes the encoding of a URL's user or password.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match tail {
            [high, low, ..] if *first == b'%' => {
                std::str::from_utf8(&[*high, *low]).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok())
            }
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn invalid(what: impl Into<std::borrow::Cow<'static, str>>) -> QueueError {
    QueueError::permanent(QueueErrorKind::InvalidOptions, what)
}

/// Why the first connection could not be made.
fn refused(place: &str, error: &async_nats::ConnectError) -> QueueError {
    let kind = error.kind();
    match kind {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            let what = format!("the NATS server at {place} refuses these credentials: {kind}");
            QueueError::permanent(QueueErrorKind::Denied, what)
        }
        ConnectErrorKind::ServerParse => invalid(format!("{place} is no address of a NATS server")),
        _ => {
            let what = format!("can't connect to the NATS server at {place}: {error}");
            QueueError::transient(QueueErrorKind::Unavailable, RETRY_AFTER, what)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_decoded_as_urls_encode_it() {
        assert_eq!(decoded("p%40ss%2fword"), "p@ss/word");
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(decoded("%zz%c3%a9+"), "%zzé+");
    }

    #[test]
    fn reconnecting_is_never_put_off_for_long() {
        assert_eq!(reconnect_after(1), Duration::ZERO);
        assert!((2..10_000).all(|attempt| reconnect_after(attempt) <= RECONNECT_AFTER_AT_MOST));
    }

    #[tokio::test]
    async fn settings_that_cannot_be_used_are_said_without_what_is_secret() {
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("odd.creds");
        std::fs::write(&odd, "s3cret").unwrap();
        let plain = BrokerOptions::new("nats://localhost");
        for options in [
            BrokerOptions::new("nats://me:s3cret@host:port"),
            BrokerOptions::new("nats://"),
            BrokerOptions::new("nats://localhost?tls=s3cret"),
            BrokerOptions { credentials_file: Some(odd.clone()), ..plain.clone() },
            BrokerOptions { credentials_file: Some(dir.path().join("s3cret-less")), ..plain.clone() },
            BrokerOptions { ca_file: Some(dir.path().join("none.pem")), ..plain.clone() },
            BrokerOptions { client_certificate_file: Some(odd), ..plain.clone() },
        ] {
            let error = Connection::open(&options, "test").await.err().unwrap();
            assert_eq!(error.kind, QueueErrorKind::InvalidOptions, "{error}");
            assert!(!format!("{error:?}").replace("s3cret-less", "").contains("s3cret"), "{error:?}");
        }
    }
}
