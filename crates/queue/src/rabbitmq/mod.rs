//! RabbitMQ, by quorum queues.
//!
//! Each partition is a quorum queue with a single active consumer; messages are confirmed when a majority of the replicas has them on
//! disk. Ronda's own messages come through one exchange, those of direct publishers through another, which is how they are told apart.
//! Publishers and consumers have connections of their own, because a broker short of memory or disk stops reading from connections that
//! publish, acknowledgements included.

mod address;
mod connection;
mod layout;
mod origin;
mod publisher;
mod receiver;
mod topology;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use lapin::BasicProperties;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use parking_lot::Mutex;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connection::{Access, Line, answered};
use self::layout::Layout;
use self::origin::Recipient;
use self::publisher::{Letter, Publisher};
use self::receiver::{MAX_UNSETTLED, RabbitReceiver, Source};
use self::topology::Admin;
use crate::broker::{Broker, BrokerOptions, Checked, Finding, Role};
use crate::error::{QueueError, QueueErrorKind};
use crate::port::{Capabilities, Depth, Origin, Partition, Position, Published, Queue, Receiver};

/// Far below what any server takes; with [`MAX_UNSETTLED`] it bounds what a receiver holds.
const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// How long to wait for a connection to ask something.
const CONNECTION_WITHIN: Duration = Duration::from_secs(5);
/// How long closing may take with a broker that does not answer.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);

/// Says why an address can't be used.
pub(crate) fn check_address(url: &str) -> Result<(), QueueError> {
    address::parse(url).map(drop)
}

/// A RabbitMQ broker or cluster.
pub struct RabbitBroker {
    access: Arc<Access>,
    layout: Mutex<Layout>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl RabbitBroker {
    /// Reads the settings and sees that the broker can be reached.
    ///
    /// # Errors
    /// `InvalidOptions`, `Unavailable`, `Denied`.
    pub async fn connect(options: &BrokerOptions) -> Result<Self, QueueError> {
        let (access, layout) = (Access::read(options)?, Layout::new(options));
        let broker = Self {
            access: Arc::new(access),
            layout: Mutex::new(layout),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        broker.admin().await?.close().await;
        Ok(broker)
    }

    async fn admin(&self) -> Result<Admin, QueueError> {
        Ok(Admin::new(self.access.connect("topology").await?))
    }

    fn layout(&self) -> Layout {
        self.layout.lock().clone()
    }
}

#[async_trait]
impl Broker for RabbitBroker {
    async fn check(&self) -> Result<Checked, QueueError> {
        let (layout, mut admin) = (self.layout(), self.admin().await?);
        let mut findings = Vec::new();
        for role in Role::ALL {
            findings.extend(admin.survey(&layout, role).await?.into_iter().map(|difference| difference.finding));
        }
        let uncompared = admin.uncompared();
        admin.close().await;
        Ok(Checked { findings, uncompared })
    }

    async fn init(&self) -> Result<Vec<Finding>, QueueError> {
        let (layout, mut admin) = (self.layout(), self.admin().await?);
        let mut made = Vec::new();
        for role in Role::ALL {
            made.extend(admin.make(&layout, role).await?);
        }
        admin.close().await;
        Ok(made)
    }

    async fn queue(&self, role: Role) -> Result<Arc<dyn Queue>, QueueError> {
        let (layout, mut admin) = (self.layout(), self.admin().await?);
        for difference in admin.survey(&layout, role).await? {
            let Finding { place, detail, .. } = &difference.finding;
            if difference.unusable {
                return Err(QueueError::permanent(QueueErrorKind::Mismatch, format!("{place}: {detail}")));
            }
            tracing::warn!(place = %place, "on RabbitMQ, {detail}");
        }
        admin.close().await;
        Ok(Arc::new(RabbitQueue {
            role,
            layout,
            access: Arc::clone(&self.access),
            stop: self.stop.clone(),
            tasks: self.tasks.clone(),
            publisher: OnceLock::new(),
            source: OnceLock::new(),
        }))
    }

    async fn repartition(&self, partitions: u32) -> Result<(), QueueError> {
        let (layout, mut admin) = (self.layout(), self.admin().await?);
        admin.repartition(&layout, partitions).await?;
        admin.close().await;
        *self.layout.lock() = layout.with_partitions(partitions);
        Ok(())
    }

    async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        let _ = timeout(CLOSE_WITHIN, self.tasks.wait()).await;
    }
}

/// One of the queues. Its two connections are made when they are first needed: a gateway has no use for a consumer's.
struct RabbitQueue {
    role: Role,
    layout: Layout,
    access: Arc<Access>,
    stop: CancellationToken,
    tasks: TaskTracker,
    publisher: OnceLock<Publisher>,
    source: OnceLock<Arc<Source>>,
}

impl RabbitQueue {
    fn line(&self, what: &str) -> Arc<Line> {
        let what = format!("{}, {what}", self.role.name());
        Arc::new(Line::start(Arc::clone(&self.access), what, self.stop.child_token(), &self.tasks))
    }

    fn publisher(&self) -> &Publisher {
        self.publisher.get_or_init(|| Publisher::new(self.line("publisher"), self.partitions()))
    }

    fn source(&self) -> &Arc<Source> {
        self.source.get_or_init(|| {
            Arc::new(Source {
                line: self.line("consumer"),
                consumer_tag: self.access.client_name().chars().take(100).collect(),
                recipient: Recipient {
                    frames: self.layout.own_exchange(self.role),
                    direct: self.layout.direct_exchange(),
                },
                hands: Mutex::default(),
            })
        })
    }

    fn known(&self, partition: Partition) -> Result<(), QueueError> {
        if partition < self.partitions() {
            return Ok(());
        }
        Err(QueueError::invalid_partition(partition, self.partitions()))
    }

    fn sendable(&self, partition: Partition, message: &Bytes) -> Result<(), QueueError> {
        self.known(partition)?;
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(QueueError::too_large(message.len(), MAX_MESSAGE_BYTES));
        }
        Ok(())
    }
}

#[async_trait]
impl Queue for RabbitQueue {
    fn partitions(&self) -> u32 {
        self.layout.partitions_of(self.role)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            max_message_bytes: MAX_MESSAGE_BYTES,
            positions: false,
            log: false,
            refuses_when_full: self.role != Role::DeadLetters,
            max_unsettled: Some(usize::from(MAX_UNSETTLED)),
            blocks_until_settled: false,
            linger: None,
            direct: self.role == Role::Commands,
        }
    }

    fn hindrance(&self) -> Option<String> {
        self.publisher.get()?.blocked().map(|reason| format!("RabbitMQ takes nothing: {reason}"))
    }

    async fn publish(&self, partition: Partition, message: Bytes) -> Result<Published, QueueError> {
        self.sendable(partition, &message)?;
        let letter = Letter {
            exchange: self.layout.own_exchange(self.role).into(),
            routing_key: partition.to_string().into(),
            message,
            properties: BasicProperties::default(),
        };
        self.publisher().publish(partition, letter).await
    }

    async fn publish_direct(
        &self,
        partition: Partition,
        message: Bytes,
        origin: &Origin,
    ) -> Result<Published, QueueError> {
        if self.role != Role::Commands {
            let what = "only the queue of commands takes direct messages";
            return Err(QueueError::permanent(QueueErrorKind::Unsupported, what));
        }
        self.sendable(partition, &message)?;
        let (routing_key, properties) = origin::addressed(partition, origin)?;
        let exchange = self.layout.direct_exchange().into();
        self.publisher().publish(partition, Letter { exchange, routing_key, message, properties }).await
    }

    async fn open(&self, partition: Partition, _after: Option<Position>) -> Result<Box<dyn Receiver>, QueueError> {
        self.known(partition)?;
        let queue = self.layout.queue(self.role, partition);
        let receiver = RabbitReceiver::open(Arc::clone(self.source()), queue).await?;
        Ok(Box::new(receiver))
    }

    async fn depth(&self, partition: Partition) -> Result<Depth, QueueError> {
        self.known(partition)?;
        let queue = self.layout.queue(self.role, partition);
        let source = self.source();
        let connection = source.line.connection(CONNECTION_WITHIN).await?;
        let ready = answered("asking for a queue's length", async {
            let channel = connection.create_channel().await?;
            let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let found = channel.queue_declare(queue.as_str().into(), options, FieldTable::default()).await?;
            channel.close(200, "done".into()).await?;
            Ok(found.message_count())
        })
        .await?;
        Ok(Depth { messages: u64::from(ready) + source.in_hand(&queue), ..Depth::default() })
    }
}
