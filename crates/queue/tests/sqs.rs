//! The SQS adapter on ElasticMQ: the port's suite, and what SQS alone can do wrong.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use ronda_queue::conformance::{BrokerHarness, LinkMode, QueueHarness, Setup};
use ronda_queue::{Broker, BrokerOptions, Queue, Role, connect};
use ronda_testbed::{ElasticMq, Link};

#[path = "sqs/batches.rs"]
mod batches;
#[path = "sqs/direct.rs"]
mod direct;
mod link;
#[path = "sqs/topology.rs"]
mod topology;

const VISIBILITY_SECONDS: u32 = 2;
/// On a server that is killed. ElasticMQ forgets over a restart that what somebody has in hand holds its group, and hands out what comes after it,
/// so a hold must not run out while it is away.
const LONG_VISIBILITY_SECONDS: u32 = 60;

/// A server that all cases share, each with a prefix of its own. Panics when there is none: the tests are about nothing else.
fn server() -> &'static ElasticMq {
    static SERVER: OnceLock<ElasticMq> = OnceLock::new();
    SERVER.get_or_init(|| ElasticMq::start(false).expect("ElasticMQ"))
}

/// Settings for a case of its own on a server, reached through some address.
fn options(server: &ElasticMq, via: SocketAddr) -> BrokerOptions {
    static CASES: AtomicU32 = AtomicU32::new(0);
    BrokerOptions {
        prefix: format!("case-{}", CASES.fetch_add(1, Ordering::Relaxed)),
        partitions: 4,
        event_partitions: 1,
        credentials_file: Some(server.credentials_file()),
        ..BrokerOptions::new(url(via, VISIBILITY_SECONDS))
    }
}

/// The same queues as another process reaches them.
fn by(options: &BrokerOptions, via: SocketAddr) -> BrokerOptions {
    BrokerOptions { url: url(via, VISIBILITY_SECONDS), ..options.clone() }
}

fn url(via: SocketAddr, visibility_seconds: u32) -> String {
    format!("sqs://eu-central-1?endpoint=http://{via}&visibility_seconds={visibility_seconds}")
}

async fn made(options: BrokerOptions) -> Arc<dyn Broker> {
    let broker = connect(options).await.expect("connect");
    broker.init().await.expect("init");
    broker
}

async fn commands(broker: &dyn Broker) -> Arc<dyn Queue> {
    broker.queue(Role::Commands).await.expect("the command queue")
}

struct OnSqs {
    options: BrokerOptions,
    address: SocketAddr,
    broker: Arc<dyn Broker>,
    queue: Arc<dyn Queue>,
    others: parking_lot::Mutex<Vec<Arc<dyn Broker>>>,
    link: Link,
    own: Option<ElasticMq>,
}

impl OnSqs {
    async fn on(server: &ElasticMq, setup: Setup, visibility_seconds: u32) -> Self {
        let address = server.address();
        let link = Link::to(address).await.expect("a link");
        let options = BrokerOptions {
            url: url(link.address(), visibility_seconds),
            partitions: setup.partitions,
            ..options(server, link.address())
        };
        let broker = made(options.clone()).await;
        let queue = commands(&*broker).await;
        Self { options, address, broker, queue, others: parking_lot::Mutex::default(), link, own: None }
    }
}

#[async_trait]
impl QueueHarness for OnSqs {
    async fn start(setup: Setup) -> Self {
        Self::on(server(), setup, VISIBILITY_SECONDS).await
    }

    fn queue(&self) -> Arc<dyn Queue> {
        Arc::clone(&self.queue)
    }

    async fn reopen(&mut self) {
        self.broker.close().await;
        self.broker = connect(self.options.clone()).await.expect("connect again");
        self.queue = commands(&*self.broker).await;
    }
}

#[async_trait]
impl BrokerHarness for OnSqs {
    async fn start_alone(setup: Setup) -> Self {
        let own = ElasticMq::start(true).expect("ElasticMQ");
        let harness = Self::on(&own, setup, LONG_VISIBILITY_SECONDS).await;
        Self { own: Some(own), ..harness }
    }

    async fn other(&self) -> Arc<dyn Queue> {
        let broker = connect(by(&self.options, self.address)).await.expect("connect");
        let queue = commands(&*broker).await;
        self.others.lock().push(broker);
        queue
    }

    fn set_link(&self, mode: LinkMode) {
        self.link.set(link::mode(mode));
    }

    async fn kill_broker(&mut self) {
        self.own.as_mut().expect("a server of its own").kill();
    }

    async fn start_broker(&mut self) {
        self.own.as_mut().expect("a server of its own").restart().expect("restart");
    }

    fn survives_kill(&self) -> bool {
        true
    }

    async fn block_publishers(&self, _blocked: bool) -> bool {
        false
    }

    async fn break_partition(&self, partition: u32) {
        topology::delete_queue(self.address, &format!("{}-commands-{partition}.fifo", self.options.prefix)).await;
    }

    fn hold_time(&self) -> Option<Duration> {
        Some(Duration::from_secs(VISIBILITY_SECONDS.into()))
    }
}

ronda_queue::queue_conformance_tests!(OnSqs);
ronda_queue::broker_conformance_tests!(OnSqs);
