//! Connections: how one is made, and how one is kept up.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use futures::StreamExt;
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, ErrorKind, Event};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::address;
use crate::broker::BrokerOptions;
use crate::error::{QueueError, QueueErrorKind};

/// How long making a connection may take, and any one thing that is asked of the broker.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Between two attempts to connect: at first, and at most (before jitter, which can double it).
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// How often a connection is looked at: one that ends says so to those that wait for something on it, and not to others.
const LOOK: Duration = Duration::from_millis(100);
/// When to come back to a broker that can't be reached.
const COME_BACK: Duration = Duration::from_secs(1);

/// How the broker is reached.
pub(super) struct Access {
    uri: AMQPUri,
    tls: OwnedTLSConfig,
    client_name: String,
    /// For messages: the address without anything secret.
    place: String,
}

impl Access {
    pub(super) fn read(options: &BrokerOptions) -> Result<Self, QueueError> {
        let place = options.place();
        let mut uri = address::parse(&options.url)?;
        if let Some(file) = &options.credentials_file {
            let (user, password) = credentials(file)?;
            uri.authority.userinfo.username = user;
            uri.authority.userinfo.password = password;
        }
        let cert_chain = options.ca_file.as_deref().map(text).transpose()?;
        let identity = match (&options.client_certificate_file, &options.client_key_file) {
            (None, None) => None,
            (Some(pem), Some(key)) => {
                Some(OwnedIdentity::PKCS8 { pem: text(pem)?.into_bytes(), key: text(key)?.into_bytes() })
            }
            _ => {
                return Err(invalid(
                    "a client's certificate and its key are only of use together: name both files".into(),
                ));
            }
        };
        Ok(Self { uri, tls: OwnedTLSConfig { identity, cert_chain }, client_name: options.client_name.clone(), place })
    }

    /// What this process calls itself.
    pub(super) fn client_name(&self) -> &str {
        &self.client_name
    }

    /// Makes a connection; `what` it is for is part of the name under which the broker lists it.
    pub(super) async fn connect(&self, what: &str) -> Result<Connection, QueueError> {
        let properties =
            ConnectionProperties::default().with_connection_name(format!("{} ({what})", self.client_name).into());
        let runtime = lapin::runtime::default_runtime().map_err(|error| self.failed(error))?;
        let connecting = Connection::connect_uri_with_config(self.uri.clone(), properties, self.tls.clone(), runtime);
        match timeout(ANSWER_WITHIN, connecting).await {
            Ok(connected) => connected.map_err(|error| self.failed(error)),
            Err(_) => Err(unavailable(format!("RabbitMQ at {} did not answer within {ANSWER_WITHIN:?}", self.place))),
        }
    }

    fn failed(&self, error: lapin::Error) -> QueueError {
        match error.kind() {
            ErrorKind::ProtocolError(said) if matches!(said.get_id(), 403 | 530) => {
                let what =
                    format!("RabbitMQ at {} refuses the user, the password or the virtual host: {said}", self.place);
                QueueError::permanent(QueueErrorKind::Denied, what).with_source(error)
            }
            _ => unavailable(format!("RabbitMQ at {} can't be reached: {error}", self.place)).with_source(error),
        }
    }
}

/// User and password from a file of `name = value` lines, as the cluster operator's `default_user.conf` has them.
fn credentials(file: &Path) -> Result<(String, String), QueueError> {
    let text = text(file)?;
    let value = |names: [&str; 3]| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        lines.find(|(name, _)| names.contains(&name.trim())).map(|(_, value)| value.trim().to_owned())
    };
    let user = value(["default_user", "username", "user"]);
    let password = value(["default_pass", "password", "pass"]);
    user.zip(password)
        .ok_or_else(|| invalid(format!("{} has no lines 'default_user = …' and 'default_pass = …'", file.display())))
}

fn text(file: &Path) -> Result<String, QueueError> {
    let read = std::fs::read_to_string(file);
    read.map_err(|error| invalid(format!("{} can't be read: {error}", file.display())))
}

fn invalid(what: String) -> QueueError {
    QueueError::permanent(QueueErrorKind::InvalidOptions, what)
}

/// The broker can't be used just now.
pub(super) fn unavailable(what: String) -> QueueError {
    QueueError::transient(QueueErrorKind::Unavailable, COME_BACK, what)
}

/// What a failed call on an open connection means.
pub(super) fn failure(doing: &str, error: lapin::Error) -> QueueError {
    let ErrorKind::ProtocolError(said) = error.kind() else {
        return unavailable(format!("{doing}: the connection to RabbitMQ failed: {error}")).with_source(error);
    };
    let kind = match said.get_id() {
        403 | 530 => QueueErrorKind::Denied,
        404 | 406 => QueueErrorKind::Mismatch,
        _ => return unavailable(format!("{doing}: RabbitMQ says {said}")).with_source(error),
    };
    // Somebody has to put it right, which needs no restart of whoever asks.
    QueueError::transient(kind, ANSWER_WITHIN, format!("{doing}: RabbitMQ says {said}")).with_source(error)
}

/// Waits for an answer of the broker, but not for ever.
pub(super) async fn answered<T>(doing: &str, answer: impl Future<Output = lapin::Result<T>>) -> Result<T, QueueError> {
    match timeout(ANSWER_WITHIN, answer).await {
        Ok(answer) => answer.map_err(|error| failure(doing, error)),
        Err(_) => Err(unavailable(format!("{doing}: RabbitMQ did not answer within {ANSWER_WITHIN:?}"))),
    }
}

#[derive(Clone)]
enum State {
    Up(Arc<Connection>),
    /// With what stood in the way last.
    Down(QueueError),
    Closed,
}

/// A connection that is made anew whenever it ends, until it is closed or dropped.
pub(super) struct Line {
    state: watch::Receiver<State>,
    /// The broker's reason to block the connection, while it does.
    blocked: watch::Receiver<Option<String>>,
    stop: CancellationToken,
}

impl Line {
    pub(super) fn start(access: Arc<Access>, what: String, stop: CancellationToken, tasks: &TaskTracker) -> Self {
        let (states, state) =
            watch::channel(State::Down(unavailable(format!("not connected to {} yet", access.place))));
        let (reasons, blocked) = watch::channel(None);
        tasks.spawn(keep_up(access, what, states, reasons, stop.clone()));
        Self { state, blocked, stop }
    }

    /// Why the broker blocks the connection, in its own words, if it does: it is short of memory or disk, and reads nothing from who publishes.
    pub(super) fn blocked(&self) -> Option<String> {
        self.blocked.borrow().clone()
    }

    /// The connection, as soon as there is one.
    pub(super) async fn connection(&self, patience: Duration) -> Result<Arc<Connection>, QueueError> {
        let mut state = self.state.clone();
        let usable = |state: &State| match state {
            State::Up(connection) => connection.status().connected(),
            State::Down(_) => false,
            State::Closed => true,
        };
        let found = timeout(patience, state.wait_for(usable)).await.map(|found| found.map(|state| state.clone()));
        match found {
            Ok(Ok(State::Up(connection))) => Ok(connection),
            Ok(_) => Err(QueueError::closed()),
            Err(_) => Err(match self.state.borrow().clone() {
                State::Down(error) => QueueError { retryable: true, retry_after: Some(COME_BACK), ..error },
                State::Up(_) => unavailable(String::from("the connection to RabbitMQ just ended")),
                State::Closed => QueueError::closed(),
            }),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn keep_up(
    access: Arc<Access>,
    what: String,
    states: watch::Sender<State>,
    blocked: watch::Sender<Option<String>>,
    stop: CancellationToken,
) {
    let policy =
        ExponentialBuilder::default().with_min_delay(RETRY.0).with_max_delay(RETRY.1).with_jitter().without_max_times();
    loop {
        let mut failures = 0_u64;
        let connect = || access.connect(&what);
        let connected = connect.retry(policy).notify(|error, _| {
            // Once, and then now and again: an outage must not fill the log.
            if failures.is_multiple_of(60) {
                tracing::warn!(broker = %access.place, connection = %what, error = %error, "no connection to RabbitMQ; trying on");
            }
            failures += 1;
            states.send_replace(State::Down(error.clone()));
        });
        let connection = tokio::select! {
            () = stop.cancelled() => break,
            connected = connected => match connected {
                Ok(connection) => Arc::new(connection),
                Err(_) => continue,
            },
        };
        tracing::info!(broker = %access.place, connection = %what, "connected to RabbitMQ");
        let mut events = connection.events_listener();
        states.send_replace(State::Up(Arc::clone(&connection)));
        while connection.status().connected() && !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
                Some(event) = events.next() => match event {
                    Event::ConnectionBlocked(reason) => drop(blocked.send_replace(Some(reason))),
                    Event::ConnectionUnblocked => drop(blocked.send_replace(None)),
                    _ => {}
                },
            }
        }
        blocked.send_replace(None);
        if stop.is_cancelled() {
            states.send_replace(State::Closed);
            // A broker that stands still or blocks can't take the farewell.
            let _ = timeout(Duration::from_secs(1), connection.close(200, "closed".into())).await;
            break;
        }
        tracing::warn!(broker = %access.place, connection = %what, "the connection to RabbitMQ ended; making it anew");
        states.send_replace(State::Down(unavailable(format!("the connection to RabbitMQ at {} ended", access.place))));
    }
    states.send_replace(State::Closed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_come_from_the_operators_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("default_user.conf");
        std::fs::write(&file, "default_user = ronda\ndefault_pass = a=b \n").unwrap();
        let mut options = BrokerOptions::new("amqp://broker.example/night");
        options.credentials_file = Some(file.clone());
        let access = Access::read(&options).unwrap();
        assert_eq!(access.uri.authority.userinfo.username, "ronda");
        assert_eq!(access.uri.authority.userinfo.password, "a=b");
        assert_eq!(access.uri.vhost, "night");
        std::fs::write(&file, "default_user = ronda\n").unwrap();
        assert_eq!(Access::read(&options).err().unwrap().kind, QueueErrorKind::InvalidOptions);
    }

    #[test]
    fn a_certificate_without_its_key_is_refused() {
        let mut options = BrokerOptions::new("amqps://broker.example");
        options.client_certificate_file = Some("client.pem".into());
        assert_eq!(Access::read(&options).err().unwrap().kind, QueueErrorKind::InvalidOptions);
    }
}
