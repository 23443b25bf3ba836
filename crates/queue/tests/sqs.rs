//! The SQS adapter on ElasticMQ: the port's suite, and what SQS alone can do wrong.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use ronda_queue::conformance::{BrokerHarness, LinkMode, QueueHarness, Setup};
use ronda_queue::{Broker, BrokerOptions, Queue, Role, connect};
use ronda_testbed::{ElasticMq, Link, Mode};

#[path = "sqs/batches.rs"]
mod batches;
#[path = "sqs/direct.rs"]
mod direct;
#[path = "sqs/proxy.rs"]
mod proxy;
#[path = "sqs/topology.rs"]
mod topology;

const VISIBILITY_SECONDS: u32 = 2;

/// A server that all cases share, each with a prefix of its own. Panics when there is none: the tests are about nothing else.
fn server() -> &'static ElasticMq {
    static SERVER: OnceLock<ElasticMq> = OnceLock::new();
    SERVER.get_or_init(|| ElasticMq::start(false).expect("ElasticMQ"))
}

/// Settings for a case of its own on a server, reached through some address.
fn options(server: &ElasticMq, via: SocketAddr) -> BrokerOptions {
    static CASES: AtomicU32 = AtomicU32::new(0);
    let url = format!("sqs://eu-central-1?endpoint=http://{via}&visibility_seconds={VISIBILITY_SECONDS}");
    BrokerOptions {
        prefix: format!("case-{}", CASES.fetch_add(1, Ordering::Relaxed)),
        partitions: 4,
        event_partitions: 1,
        credentials_file: Some(server.credentials_file().expect("credentials")),
        ..BrokerOptions::new(url)
    }
}

/// The same queues as another process reaches them.
fn by(options: &BrokerOptions, via: SocketAddr) -> BrokerOptions {
    let url = format!("sqs://eu-central-1?endpoint=http://{via}&visibility_seconds={VISIBILITY_SECONDS}");
    BrokerOptions { url, ..options.clone() }
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
    async fn on(server: &ElasticMq, setup: Setup) -> Self {
        let address = server.address();
        let link = Link::to(address).await.expect("a link");
        let options = BrokerOptions { partitions: setup.partitions, ..options(server, link.address()) };
        let broker = made(options.clone()).await;
        let queue = commands(&*broker).await;
        Self { options, address, broker, queue, others: parking_lot::Mutex::default(), link, own: None }
    }
}

#[async_trait]
impl QueueHarness for OnSqs {
    async fn start(setup: Setup) -> Self {
        Self::on(server(), setup).await
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
        let harness = Self::on(&own, setup).await;
        Self { own: Some(own), ..harness }
    }

    async fn other(&self) -> Arc<dyn Queue> {
        let broker = connect(by(&self.options, self.address)).await.expect("connect");
        let queue = commands(&*broker).await;
        self.others.lock().push(broker);
        queue
    }

    fn set_link(&self, mode: LinkMode) {
        self.link.set(match mode {
            LinkMode::Pass => Mode::Pass,
            LinkMode::Freeze => Mode::Freeze,
            LinkMode::LoseAnswers => Mode::LoseAnswers,
            LinkMode::Cut => Mode::Cut,
        });
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
