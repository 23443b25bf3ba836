//! Amazon SQS: one FIFO queue with one message group a partition.
//!
//! A group gives out nothing while one of its messages is in flight, so a partition keeps its order also when its owner dies or only stands
//! still. The price is that a receive brings ten messages at most, and the next one nothing before all of them are settled.

mod address;
mod client;
mod errors;
mod hand;
mod ids;
mod message;
mod publisher;
mod receiver;
mod topology;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::{Broker, BrokerOptions, Checked, Finding, Role};
use crate::error::QueueError;
use crate::port::{Capabilities, Depth, Origin, Partition, Position, Published, Queue, Receiver};

use address::Address;
use client::Clients;
use hand::Hand;
use ids::Ids;
use message::Outgoing;
use publisher::Lane;
use receiver::{MAX_RECEIVE, Shared, SqsReceiver};
use topology::Topology;

/// How long it is worth to gather commands: ten calls a second and partition cost little and are far from the 300 that a queue takes.
const LINGER: Duration = Duration::from_millis(100);
/// How long closing waits for receives at the server and for deliveries that are given back.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// Says why an address can't be used.
pub(crate) fn check_address(url: &str) -> Result<(), QueueError> {
    Address::parse(url).map(drop)
}

/// The queues of one prefix in one account and region.
pub(crate) struct SqsBroker {
    topology: Topology,
    address: Address,
    partitions: AtomicU32,
    event_partitions: u32,
    ids: Arc<Ids>,
    closed: CancellationToken,
    tasks: TaskTracker,
}

impl SqsBroker {
    /// Reads address and credentials. Nothing is called yet: the first call tells whether they are good.
    pub(crate) async fn connect(options: &BrokerOptions) -> Result<Self, QueueError> {
        let address = Address::parse(&options.url)?;
        let clients = Clients::connect(options, &address).await?;
        Ok(Self {
            topology: Topology::new(clients, options, &address),
            address,
            partitions: AtomicU32::new(options.partitions),
            event_partitions: options.event_partitions,
            ids: Arc::new(Ids::new()?),
            closed: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    fn partitions_of(&self, role: Role) -> u32 {
        match role {
            Role::Commands => self.partitions.load(Ordering::Relaxed),
            Role::Events => self.event_partitions,
            Role::DeadLetters => 1,
        }
    }
}

#[async_trait]
impl Broker for SqsBroker {
    async fn check(&self) -> Result<Checked, QueueError> {
        let mut findings = Vec::new();
        for role in Role::ALL {
            findings.extend(self.topology.check(role, self.partitions_of(role)).await?);
        }
        Ok(Checked { findings, uncompared: 0 })
    }

    async fn init(&self) -> Result<Vec<Finding>, QueueError> {
        let mut made = Vec::new();
        for role in Role::ALL {
            made.extend(self.topology.init(role, self.partitions_of(role)).await?);
        }
        Ok(made)
    }

    async fn queue(&self, role: Role) -> Result<Arc<dyn Queue>, QueueError> {
        let urls = self.topology.find(role, self.partitions_of(role)).await?;
        let partitions = urls.into_iter().enumerate().map(|(number, url)| {
            let max_batch_bytes = self.address.max_message_bytes;
            let clients = self.topology.clients.clone();
            let (lane, work) = Lane::new(clients, url.clone(), max_batch_bytes, self.closed.clone());
            self.tasks.spawn(work);
            let name = self.topology.name(role, u32::try_from(number).unwrap_or(u32::MAX));
            PartitionQueue { url, name, lane, hand: Mutex::new(Weak::new()) }
        });
        Ok(Arc::new(SqsQueue {
            partitions: partitions.collect(),
            topology: self.topology.clone(),
            address: self.address.clone(),
            direct: role == Role::Commands,
            ids: Arc::clone(&self.ids),
            closed: self.closed.clone(),
            tasks: self.tasks.clone(),
        }))
    }

    async fn repartition(&self, partitions: u32) -> Result<(), QueueError> {
        self.topology.repartition(Role::Commands, partitions).await?;
        self.partitions.store(partitions, Ordering::Relaxed);
        Ok(())
    }

    async fn close(&self) {
        self.closed.cancel();
        self.tasks.close();
        // What is longer under way ends by itself, and the visibility time-out stands behind it.
        let _ = tokio::time::timeout(CLOSED_WITHIN, self.tasks.wait()).await;
    }
}

/// One partition.
struct PartitionQueue {
    url: String,
    name: String,
    lane: Lane,
    /// What this process's own receiver has in hand: the only place that tells how old the oldest message is.
    hand: Mutex<Weak<Shared>>,
}

struct SqsQueue {
    partitions: Vec<PartitionQueue>,
    topology: Topology,
    address: Address,
    direct: bool,
    ids: Arc<Ids>,
    closed: CancellationToken,
    tasks: TaskTracker,
}

impl SqsQueue {
    fn partition(&self, partition: Partition) -> Result<&PartitionQueue, QueueError> {
        if self.closed.is_cancelled() {
            return Err(QueueError::closed());
        }
        let found = usize::try_from(partition).ok().and_then(|partition| self.partitions.get(partition));
        found.ok_or_else(|| QueueError::invalid_partition(partition, self.partitions()))
    }

    fn max_message_bytes(&self) -> usize {
        message::max_frame_bytes(self.address.max_message_bytes)
    }
}

#[async_trait]
impl Queue for SqsQueue {
    fn partitions(&self) -> u32 {
        u32::try_from(self.partitions.len()).unwrap_or(u32::MAX)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            max_message_bytes: self.max_message_bytes(),
            positions: false,
            log: false,
            refuses_when_full: false,
            max_unsettled: Some(MAX_RECEIVE),
            blocks_until_settled: true,
            linger: Some(LINGER),
            direct: self.direct,
        }
    }

    async fn publish(&self, partition: Partition, message: Bytes) -> Result<Published, QueueError> {
        let place = self.partition(partition)?;
        if message.len() > self.max_message_bytes() {
            return Err(QueueError::too_large(message.len(), self.max_message_bytes()));
        }
        place.lane.publish(Outgoing::frame(&message), self.ids.next()).await
    }

    async fn publish_direct(
        &self,
        partition: Partition,
        message: Bytes,
        origin: &Origin,
    ) -> Result<Published, QueueError> {
        let place = self.partition(partition)?;
        let outgoing = Outgoing::direct(&message, origin);
        if outgoing.bytes() > self.address.max_message_bytes {
            return Err(QueueError::too_large(outgoing.bytes(), self.address.max_message_bytes));
        }
        place.lane.publish(outgoing, self.ids.next()).await
    }

    async fn open(&self, partition: Partition, _after: Option<Position>) -> Result<Box<dyn Receiver>, QueueError> {
        let place = self.partition(partition)?;
        let shared = Shared {
            clients: self.topology.clients.clone(),
            queue_url: place.url.clone(),
            queue: place.name.clone(),
            visibility_seconds: self.address.visibility_seconds,
            ids: Arc::clone(&self.ids),
            hand: Mutex::new(Hand::new()),
            ended: CancellationToken::new(),
            closed: self.closed.clone(),
        };
        let (receiver, shared) = SqsReceiver::new(shared, self.tasks.clone());
        *place.hand.lock() = Arc::downgrade(&shared);
        Ok(Box::new(receiver))
    }

    async fn depth(&self, partition: Partition) -> Result<Depth, QueueError> {
        let place = self.partition(partition)?;
        let count = self.topology.count(&place.url).await?;
        let sent_ms = place.hand.lock().upgrade().and_then(|shared| shared.hand.lock().oldest_sent_ms());
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
        let oldest_age_ms = sent_ms.map(|sent| u64::try_from(now_ms).unwrap_or(u64::MAX).saturating_sub(sent));
        Ok(Depth { messages: count.total(), oldest_age_ms, ..Depth::default() })
    }
}
