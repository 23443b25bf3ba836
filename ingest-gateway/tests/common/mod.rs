//! A gateway on a real listener, with the embedded queue and store, and as little of a processor as answers need.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod faulty;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ronda_domain::id::{MessageId, SchedulerId, SchedulerKey, TenantId};
use ronda_domain::input::Input;
use ronda_domain::time::Timestamp;
use ronda_domain::{Effects, apply};
use ronda_ingest_gateway::keys::{self, NewKey};
use ronda_ingest_gateway::{Config, Gateway, GatewayError};
use ronda_queue::{EmbeddedQueue, Queue, ReceiveLimit};
use ronda_runtime::{Clock, Health, SystemClock};
use ronda_schemas::frame::Frame;
use ronda_schemas::row::{ApiKeyRow, GatewayRow, SchedulerRow, Scopes};
use ronda_store::embedded::EmbeddedStore;
use ronda_store::port::{Commit, PartitionStore, SchedulerReads, Store};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything may take before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
/// How long a client waits for an answer.
#[allow(dead_code, reason = "not all tests need it")]
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
pub(crate) const PARTITIONS: u32 = 2;

/// What a test starts with.
pub(crate) struct Setup {
    pub(crate) config: Config,
    /// Wraps the queue, to make it fail.
    pub(crate) queue: Box<dyn FnOnce(Arc<EmbeddedQueue>) -> Arc<dyn Queue> + Send>,
    /// Wraps the store, to make it fail.
    pub(crate) store: Box<dyn FnOnce(Arc<EmbeddedStore>) -> Arc<dyn Store> + Send>,
    /// Whether frames are applied.
    pub(crate) processor: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            config: Config::default(),
            queue: Box::new(|queue| queue),
            store: Box::new(|store| store),
            processor: true,
        }
    }
}

/// A running gateway.
pub(crate) struct TestGateway {
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
    pub(crate) key_row: ApiKeyRow,
    pub(crate) store: Arc<EmbeddedStore>,
    pub(crate) queue: Arc<EmbeddedQueue>,
    pub(crate) health: Health,
    pub(crate) stop: CancellationToken,
    pub(crate) running: JoinHandle<Result<(), GatewayError>>,
    _data: TempDir,
}

/// An answer as a client sees it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// Checks that it is a problem of this kind.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, code: &str) {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{text}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{text}");
        assert_eq!(self.json()["code"], code, "{text}");
    }
}

pub(crate) fn all_scopes() -> Scopes {
    Scopes { ingest: true, read: true, admin: true }
}

impl TestGateway {
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let data = tempfile::tempdir().unwrap();
        let options = ronda_queue::EmbeddedOptions { partitions: PARTITIONS, ..Default::default() };
        let queue = Arc::new(EmbeddedQueue::open(data.path().join("queue"), options).unwrap());
        let store = Arc::new(EmbeddedStore::open(data.path().join("store"), Default::default()).unwrap());
        let (key, key_row) = make_key(&store, all_scopes(), 0).await;
        let health = Health::new();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let commands = (setup.queue)(Arc::clone(&queue));
        let rows = (setup.store)(Arc::clone(&store));
        let gateway = Gateway::build(setup.config, commands, rows, clock, &health).unwrap();
        let stop = CancellationToken::new();
        if setup.processor {
            for partition in 0..PARTITIONS {
                tokio::spawn(process(Arc::clone(&queue), Arc::clone(&store), partition));
            }
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let running = {
            let stop = stop.clone();
            tokio::spawn(async move { gateway.run(listener, stop).await })
        };
        Self { address, key, key_row, store, queue, health, stop, running, _data: data }
    }

    /// Waits until it takes requests.
    pub(crate) async fn ready(self) -> Self {
        eventually(|| self.health.readiness().ok).await;
        self
    }

    /// Sends a request with the key and reads the answer.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let key = [("X-API-Key", self.key.as_str())];
        let with_key: Vec<(&str, &str)> = key.iter().chain(headers).copied().collect();
        self.send_as_is(method, path, &with_key, body).await
    }

    pub(crate) async fn json(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.send(method, path, &[("Content-Type", "application/json")], body.to_string().as_bytes()).await
    }

    /// Sends a request without adding a key.
    pub(crate) async fn send_as_is(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut raw = head.into_bytes();
        raw.extend_from_slice(body);
        self.raw(&raw).await
    }

    /// Sends bytes and reads whatever comes until the connection closes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Reply {
        let exchange = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            let (mut reader, mut writer) = stream.split();
            let mut answer = Vec::new();
            let (_, read) = tokio::join!(writer.write_all(bytes), reader.read_to_end(&mut answer));
            read.unwrap();
            answer
        };
        parse(&tokio::time::timeout(DEADLINE, exchange).await.expect("an answer in time"))
    }

    pub(crate) async fn register(&self, id: &str) {
        let reply = self.json("POST", "/api/v1/schedulers/register", &serde_json::json!({ "id": id })).await;
        assert_eq!(reply.status, 201, "{reply:?}");
    }
}

pub(crate) async fn make_key(store: &EmbeddedStore, scopes: Scopes, rate_limit_per_minute: u32) -> (String, ApiKeyRow) {
    let tenant = TenantId::new("acme").unwrap();
    let new = NewKey { tenant, name: "test".into(), scopes, rate_limit_per_minute, expires_at: None };
    let (secret, row) = keys::create(store, new, Timestamp::from_millis(1)).await.unwrap();
    (secret.expose().to_owned(), row)
}

pub(crate) fn parse(answer: &[u8]) -> Reply {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(answer)));
    let head = String::from_utf8_lossy(&answer[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_owned(), value.to_owned()));
    Reply { status, headers: headers.collect(), body: answer[end + 4..].to_vec() }
}

/// Waits until it is so.
pub(crate) async fn eventually(mut so: impl FnMut() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.expect("it came to be in time");
}

/// Applies frames and commits after each: what of the processor a gateway can see.
async fn process(queue: Arc<EmbeddedQueue>, store: Arc<EmbeddedStore>, partition: u32) {
    let mut row = store.acquire(partition, PARTITIONS).await.unwrap();
    let mut receiver = queue.open(partition, None).await.unwrap();
    while let Ok(deliveries) = receiver.receive(ReceiveLimit::default()).await {
        for delivery in deliveries {
            let position = delivery.position.unwrap().0;
            let frame = Frame::decode(&delivery.message).unwrap();
            let mut commit = Commit::default();
            let mut latest: Vec<SchedulerRow> = Vec::new();
            for (index, command) in (0..).zip(frame.commands()) {
                let command = command.unwrap();
                let key = SchedulerKey {
                    tenant: TenantId::new(command.tenant).unwrap(),
                    scheduler: SchedulerId::new(command.scheduler).unwrap(),
                };
                let found = latest.iter().position(|row| row.key == key);
                let mut state = match found {
                    Some(place) => latest.remove(place).state,
                    None => store.scheduler(command.tenant, command.scheduler).await.unwrap().and_then(|row| row.state),
                };
                let place = MessageId { source: frame.header.gateway, sequence: frame.header.number, index };
                let message = command.message.unwrap_or(place);
                for input in [&command.input, &Input::Tick] {
                    apply(&mut state, &key, input, frame.header.wall, message, &mut Effects::new());
                }
                latest.push(SchedulerRow { key, state, epoch: row.epoch, position, outbox: Vec::new() });
            }
            commit.removed = latest.iter().filter(|row| row.state.is_none()).map(|row| row.key.clone()).collect();
            commit.rows = latest.into_iter().filter(|row| row.state.is_some()).collect();
            row.cursor = position;
            row.watermark = frame.header.wall;
            row.gateways = vec![GatewayRow {
                gateway: frame.header.gateway,
                number: frame.header.number,
                wall: frame.header.wall,
                mono_ms: frame.header.mono_ms,
                live: true,
                covered_from: frame.header.wall,
                ahead: None,
            }];
            commit.partition = row.clone();
            store.commit(Arc::new(commit)).await.unwrap();
        }
    }
}
