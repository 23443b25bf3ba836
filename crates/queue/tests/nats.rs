//! The NATS adapter on a real server: the port's suite, and what NATS alone can do wrong.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ronda_queue::conformance::{BrokerHarness, LinkMode, QueueHarness, Setup};
use ronda_queue::{Broker, BrokerOptions, Queue, Role, connect};
use ronda_testbed::{Link, Nats, NatsOptions};

#[path = "nats/access.rs"]
mod access;
mod link;
#[path = "nats/rollback.rs"]
mod rollback;
#[path = "nats/topology.rs"]
mod topology;
#[path = "nats/trouble.rs"]
mod trouble;

/// A server of the test's own. Panics when there is none: the tests are about nothing else.
fn server(options: &NatsOptions) -> Nats {
    Nats::start(options).expect("a NATS server")
}

/// Settings for a test on a server.
fn options(url: String) -> BrokerOptions {
    BrokerOptions { partitions: 4, event_partitions: 2, max_bytes: 64 << 20, ..BrokerOptions::new(url) }
}

async fn broker(options: BrokerOptions) -> Arc<dyn Broker> {
    let broker = connect(options).await.expect("connect");
    broker.init().await.expect("init");
    broker
}

/// The command queue behind a link to a server of the case's own.
struct OnNats {
    options: BrokerOptions,
    broker: Arc<dyn Broker>,
    queue: Arc<dyn Queue>,
    link: Link,
    server: Nats,
}

#[async_trait]
impl QueueHarness for OnNats {
    async fn start(setup: Setup) -> Self {
        let server = server(&NatsOptions::default());
        let link = Link::to(server.address()).await.expect("a link");
        let options = BrokerOptions {
            partitions: setup.partitions,
            max_bytes: if setup.small { 4 << 20 } else { 64 << 20 },
            ..options(format!("nats://{}", link.address()))
        };
        let broker = broker(options.clone()).await;
        let queue = broker.queue(Role::Commands).await.expect("the command queue");
        Self { options, broker, queue, link, server }
    }

    fn queue(&self) -> Arc<dyn Queue> {
        Arc::clone(&self.queue)
    }

    async fn reopen(&mut self) {
        self.broker.close().await;
        self.broker = connect(self.options.clone()).await.expect("connect again");
        self.queue = self.broker.queue(Role::Commands).await.expect("the command queue");
    }
}

#[async_trait]
impl BrokerHarness for OnNats {
    async fn start_alone(setup: Setup) -> Self {
        Self::start(setup).await
    }

    async fn other(&self) -> Arc<dyn Queue> {
        let options = BrokerOptions { url: self.server.url(), ..self.options.clone() };
        connect(options).await.expect("connect").queue(Role::Commands).await.expect("the command queue")
    }

    fn set_link(&self, mode: LinkMode) {
        self.link.set(link::mode(mode));
    }

    async fn kill_broker(&mut self) {
        self.server.server().kill();
    }

    async fn start_broker(&mut self) {
        self.server.server().restart().expect("the server is back");
    }

    fn survives_kill(&self) -> bool {
        true
    }

    async fn block_publishers(&self, _blocked: bool) -> bool {
        false
    }

    async fn break_partition(&self, _partition: u32) {
        let client = async_nats::connect(self.server.url()).await.expect("connect");
        let deleted = async_nats::jetstream::new(client).delete_stream("RONDA_COMMANDS").await;
        deleted.expect("delete the stream");
    }

    fn hold_time(&self) -> Option<Duration> {
        None
    }
}

ronda_queue::queue_conformance_tests!(OnNats);
ronda_queue::broker_conformance_tests!(OnNats);
