//! The NATS adapter on a real server: the port's suite, and what NATS alone can do wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use ronda_queue::conformance::{QueueHarness, Setup};
use ronda_queue::{Broker, BrokerOptions, Queue, Role, connect};
use ronda_testbed::{Nats, NatsOptions};

#[path = "nats/access.rs"]
mod access;
#[path = "nats/trouble.rs"]
mod trouble;
#[path = "nats/topology.rs"]
mod topology;

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

struct OnNats {
    options: BrokerOptions,
    broker: Arc<dyn Broker>,
    queue: Arc<dyn Queue>,
    _server: Nats,
}

#[async_trait]
impl QueueHarness for OnNats {
    async fn start(setup: Setup) -> Self {
        static CASES: AtomicU32 = AtomicU32::new(0);
        let server = server(&NatsOptions::default());
        let options = BrokerOptions {
            prefix: format!("case-{}", CASES.fetch_add(1, Ordering::Relaxed)),
            partitions: setup.partitions,
            max_bytes: if setup.small { 4 << 20 } else { 64 << 20 },
            ..options(server.url())
        };
        let broker = broker(options.clone()).await;
        let queue = broker.queue(Role::Commands).await.expect("the command queue");
        Self { options, broker, queue, _server: server }
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

ronda_queue::queue_conformance_tests!(OnNats);
