//! A queue: publishing, and how much there is in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::ConsumerErrorKind;
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{Mutex, Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::task::coop::unconstrained;
use tokio_util::sync::CancellationToken;

use crate::broker::{BrokerOptions, Role};
use crate::error::{QueueError, QueueErrorKind};
use crate::port::{Capabilities, Delivery, Depth, Origin, Partition, Position, Published, Queue, Receiver};

use super::api::{self, ApiError, StreamInfo};
use super::connection::{Connection, RETRY_AFTER};
use super::feed::{self, Tail};
use super::receiver::NatsReceiver;
use super::topology::Names;
use super::trim;

/// Bytes of messages that are published and not confirmed, in units of [`UNIT_BYTES`].
const ROOM_UNITS: u32 = 32 << 10;
const UNIT_BYTES: usize = 1 << 10;
/// Longest message, whatever the server allows: what a receiver asks for must hold some of them.
const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// What a message's headers may take of the server's limit.
const HEADER_BYTES: usize = 4 << 10;
/// Header with the publisher's id of a message that we put back. Not the server's own, by which it would drop the message as a copy.
pub(super) const MESSAGE_ID: &str = "Ronda-Message-Id";

/// What is known of a partition in this process.
#[derive(Default)]
pub(super) struct Lane {
    /// Everything up to here is done with.
    pub(super) settled: AtomicU64,
    /// Everything up to here was purged.
    pub(super) trimmed: AtomicU64,
    /// How many receivers there are.
    pub(super) receivers: AtomicUsize,
    /// What the process has read for it.
    pub(super) tail: Tail,
    /// Keeps publishes in the order in which they were first polled.
    publishing: Mutex<()>,
}

/// What a queue, its receivers and its trimming share.
pub(super) struct Shared {
    pub(super) role: Role,
    pub(super) names: Names,
    pub(super) stream: String,
    /// When the stream was made: another one of the same name has positions of its own.
    made: async_nats::datetime::DateTime,
    pub(super) lanes: Vec<Lane>,
    /// Reads, trims, and asks. Publishes have a connection of their own, so that neither waits behind the other's bytes.
    pub(super) reading: Connection,
    /// Something was settled.
    pub(super) to_trim: Notify,
    /// A receiver came or went.
    pub(super) receivers_changed: Notify,
    pub(super) closed: CancellationToken,
}

impl Shared {
    pub(super) fn lane(&self, partition: Partition) -> Result<&Lane, QueueError> {
        let partitions = u32::try_from(self.lanes.len()).unwrap_or(u32::MAX);
        self.lanes.get(partition as usize).ok_or_else(|| QueueError::invalid_partition(partition, partitions))
    }

    /// A consumer of a partition, or of all, that begins at a place in the stream, and vanishes when nobody reads from it.
    pub(super) async fn consumer(
        &self,
        partition: Option<Partition>,
        from: u64,
        inactive_threshold: std::time::Duration,
    ) -> Result<async_nats::jetstream::consumer::PullConsumer, QueueError> {
        let config = pull::Config {
            name: Some(consumer_name(self.role, partition)?),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from.max(1) },
            ack_policy: AckPolicy::None,
            filter_subject: partition.map_or_else(String::new, |partition| self.names.filter(self.role, partition)),
            inactive_threshold,
            num_replicas: 1,
            memory_storage: true,
            ..pull::Config::default()
        };
        let name = config.name.as_deref().unwrap_or_default();
        let filter = partition.map_or_else(String::new, |_| format!(".{}", config.filter_subject));
        let subject = format!("$JS.API.CONSUMER.CREATE.{}.{name}{filter}", self.stream);
        let made = async {
            self.reading.context().create_consumer_on_stream(config, &self.stream).await.map_err(|error| {
                let what = format!("no consumer of stream {} could be made", self.stream);
                match error.kind() {
                    ConsumerErrorKind::JetStream(said) => api::said(&said, &what),
                    _ => QueueError::transient(QueueErrorKind::Unavailable, RETRY_AFTER, what).with_source(error),
                }
            })
        };
        self.reading.guard(self.reading.watch(), &subject, made).await
    }

    /// The first kept message of a partition from a place in the stream on: its place and how long it is there, in milliseconds.
    async fn first_from(&self, partition: Partition, from: u64) -> Result<Option<(u64, u64)>, QueueError> {
        let filter = self.names.filter(self.role, partition);
        let Some(found) = self.get(&json!({ "seq": from.max(1), "next_by_subj": filter })).await? else {
            return Ok(None);
        };
        let published = found["time"].as_str().and_then(|time| async_nats::datetime::parse_rfc3339(time).ok());
        let age = published.map(|time| (async_nats::datetime::now() - time).whole_milliseconds());
        let age = age.and_then(|age| u64::try_from(age).ok()).unwrap_or(0);
        Ok(found["seq"].as_u64().map(|sequence| (sequence, age)))
    }

    async fn last(&self, partition: Partition) -> Result<Option<u64>, QueueError> {
        let filter = self.names.filter(self.role, partition);
        Ok(self.get(&json!({ "last_by_subj": filter })).await?.and_then(|found| found["seq"].as_u64()))
    }

    async fn get(&self, which: &Value) -> Result<Option<Value>, QueueError> {
        match self.reading.call::<Value>(format!("STREAM.MSG.GET.{}", self.stream), which).await {
            Ok(mut found) => Ok(Some(found["message"].take())),
            Err(ApiError::Said(error)) if error.error_code() == async_nats::jetstream::ErrorCode::NO_MESSAGE_FOUND => {
                Ok(None)
            }
            Err(error) => Err(error.into_queue_error(&format!("stream {} can't be looked into", self.stream))),
        }
    }

    /// The stream's state, as long as it is the one that was opened.
    pub(super) async fn info(&self) -> Result<StreamInfo, QueueError> {
        let stream = &self.stream;
        let Some(info) = self.reading.stream_info(stream).await? else {
            let what = format!("stream {stream} is gone: make it with 'ronda queue init'");
            return Err(QueueError::permanent(QueueErrorKind::Mismatch, what));
        };
        if info.created != self.made {
            let what = format!("stream {stream} was deleted and made anew: positions in the old one mean nothing here");
            return Err(QueueError::permanent(QueueErrorKind::PositionAhead, what));
        }
        Ok(info)
    }
}

/// A name that no other consumer has.
fn consumer_name(role: Role, partition: Option<Partition>) -> Result<String, QueueError> {
    let random = getrandom::u64().map_err(|error| {
        QueueError::transient(QueueErrorKind::Unavailable, RETRY_AFTER, "the system gives no random numbers")
            .with_source(error)
    })?;
    let of = partition.map_or_else(|| String::from("all"), |partition| partition.to_string());
    Ok(format!("{}-{of}-{random:016x}", role.name()))
}

/// One queue on a NATS server.
pub(super) struct NatsQueue {
    shared: Arc<Shared>,
    publishing: Connection,
    room: Semaphore,
    capabilities: Capabilities,
    /// Trimming, and reading for all partitions.
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl NatsQueue {
    pub(super) async fn open(
        options: &BrokerOptions,
        names: &Names,
        role: Role,
        info: &StreamInfo,
    ) -> Result<Self, QueueError> {
        let publishing = Connection::open(options, &format!("{} publisher", role.name())).await?;
        let reading = Connection::open(options, &format!("{} reader", role.name())).await?;
        let server_bytes = publishing.max_payload().saturating_sub(HEADER_BYTES);
        let stream_bytes = usize::try_from(info.config.max_message_size).ok().filter(|bytes| *bytes > 0);
        let shared = Arc::new(Shared {
            role,
            names: names.clone(),
            stream: names.stream(role),
            made: info.created,
            lanes: (0..options.partitions_of(role)).map(|_| Lane::default()).collect(),
            reading,
            to_trim: Notify::new(),
            receivers_changed: Notify::new(),
            closed: CancellationToken::new(),
        });
        let tasks = vec![tokio::spawn(trim::run(Arc::clone(&shared))), tokio::spawn(feed::run(Arc::clone(&shared)))];
        Ok(Self {
            shared,
            publishing,
            room: Semaphore::new(ROOM_UNITS as usize),
            capabilities: Capabilities {
                max_message_bytes: server_bytes.min(stream_bytes.unwrap_or(usize::MAX)).min(MAX_MESSAGE_BYTES),
                positions: true,
                log: true,
                refuses_when_full: role != Role::DeadLetters,
                max_unsettled: None,
                blocks_until_settled: false,
                linger: None,
                direct: role == Role::Commands,
            },
            tasks: Mutex::new(tasks),
        })
    }

    async fn send(
        &self,
        lane: &Lane,
        subject: String,
        message: Bytes,
        headers: HeaderMap,
    ) -> Result<Published, QueueError> {
        if self.shared.closed.is_cancelled() {
            return Err(QueueError::closed());
        }
        let (bytes, most) = (message.len(), self.capabilities.max_message_bytes);
        if bytes > most {
            return Err(QueueError::too_large(bytes, most));
        }
        let watch = self.publishing.watch();
        let mut publish = PublishMessage::build().payload(message);
        if !headers.is_empty() {
            publish = publish.headers(headers);
        }
        let units = u32::try_from(bytes / UNIT_BYTES + 1).unwrap_or(ROOM_UNITS).min(ROOM_UNITS);
        let confirmed = async {
            let turn = lane.publishing.lock().await;
            let room = self.room.acquire_many(units).await.map_err(|_| QueueError::closed())?;
            let sent = self.publishing.context().send_publish(subject.clone(), publish).await;
            drop(turn);
            let confirmed = match sent {
                Ok(confirmation) => confirmation.await,
                Err(error) => Err(error),
            };
            drop(room);
            confirmed.map_err(|error| api::publish_failed(&error, &subject, bytes, most))
        };
        // The runtime's budget would send away some of many publishes of one task before they stand in line.
        let ack = unconstrained(self.publishing.guard(watch, &subject, confirmed)).await?;
        if ack.stream != self.shared.stream {
            let what = format!("{subject} went to stream {}, not to {}", ack.stream, self.shared.stream);
            return Err(QueueError::permanent(QueueErrorKind::Mismatch, what));
        }
        Ok(Published { position: Some(Position(ack.sequence)) })
    }

    /// Purges all that is settled, rather than soon.
    pub(super) async fn trim(&self) -> Result<(), QueueError> {
        trim::everything(&self.shared).await
    }

    pub(super) async fn close(&self) {
        self.shared.closed.cancel();
        let tasks = std::mem::take(&mut *self.tasks.lock().await);
        for task in tasks {
            let _ = task.await;
        }
        self.publishing.close().await;
        self.shared.reading.close().await;
    }
}

impl Drop for NatsQueue {
    fn drop(&mut self) {
        self.shared.closed.cancel();
    }
}

#[async_trait]
impl Queue for NatsQueue {
    fn partitions(&self) -> u32 {
        u32::try_from(self.shared.lanes.len()).unwrap_or(u32::MAX)
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    async fn publish(&self, partition: Partition, message: Bytes) -> Result<Published, QueueError> {
        let lane = self.shared.lane(partition)?;
        let subject = self.shared.names.own(self.shared.role, partition);
        self.send(lane, subject, message, HeaderMap::new()).await
    }

    async fn publish_direct(
        &self,
        partition: Partition,
        message: Bytes,
        origin: &Origin,
    ) -> Result<Published, QueueError> {
        let lane = self.shared.lane(partition)?;
        if !self.capabilities.direct {
            let what = "only the command queue takes direct messages";
            return Err(QueueError::permanent(QueueErrorKind::Unsupported, what));
        }
        let subject = self.shared.names.direct(partition, origin.tenant.as_deref())?;
        self.send(lane, subject, message, headers_of(origin)?).await
    }

    async fn open(&self, partition: Partition, after: Option<Position>) -> Result<Box<dyn Receiver>, QueueError> {
        self.shared.lane(partition)?;
        if self.shared.closed.is_cancelled() {
            return Err(QueueError::closed());
        }
        let from = after.map_or(1, |after| after.0.saturating_add(1));
        Ok(Box::new(NatsReceiver::open(Arc::clone(&self.shared), partition, from).await?))
    }

    async fn depth(&self, partition: Partition) -> Result<Depth, QueueError> {
        let lane = self.shared.lane(partition)?;
        if self.shared.closed.is_cancelled() {
            return Err(QueueError::closed());
        }
        let info = self.shared.info().await?;
        let state = &info.state;
        let unsettled = lane.settled.load(Ordering::Acquire).saturating_add(1);
        let Some((oldest, oldest_age_ms)) = self.shared.first_from(partition, unsettled).await? else {
            // All partitions are numbered together, so this one's newest is not known any more: it is not after the stream's.
            let newest = (state.last_sequence > 0).then_some(Position(state.last_sequence));
            return Ok(Depth { newest, ..Depth::default() });
        };
        let newest = self.shared.last(partition).await?;
        let counted = self.shared.consumer(Some(partition), oldest, COUNT_FOR).await?;
        let messages = counted.cached_info().num_pending;
        let delete = format!("CONSUMER.DELETE.{}.{}", self.shared.stream, counted.cached_info().name);
        // It goes by itself as well.
        let _ = self.shared.reading.call::<Value>(delete, &json!({})).await;
        Ok(Depth {
            newest: newest.map(Position),
            oldest: Some(Position(oldest)),
            messages,
            // What the partition has of the stream, if its messages are of the stream's mean size.
            bytes: state.bytes / state.messages.max(1) * messages,
            oldest_age_ms: Some(oldest_age_ms),
        })
    }
}

/// How long the server keeps a consumer that was only made to count.
const COUNT_FOR: std::time::Duration = std::time::Duration::from_secs(5);

/// The headers of a message that we put back. The server's own are left out: they would be orders to it.
fn headers_of(origin: &Origin) -> Result<HeaderMap, QueueError> {
    let mut headers = HeaderMap::new();
    let mut add = |name: &str, value: &str| {
        let name: async_nats::HeaderName = name.parse().map_err(|_| unusable_header(name))?;
        let value: async_nats::HeaderValue = value.parse().map_err(|_| unusable_header(name.as_ref()))?;
        headers.append(name, value);
        Ok::<_, QueueError>(())
    };
    for (name, value) in &origin.headers {
        if !name.starts_with("nats-") && !name.eq_ignore_ascii_case(MESSAGE_ID) {
            add(name, value)?;
        }
    }
    if let Some(id) = &origin.message_id {
        add(MESSAGE_ID, id)?;
    }
    Ok(headers)
}

fn unusable_header(name: &str) -> QueueError {
    QueueError::permanent(QueueErrorKind::InvalidOptions, format!("the header {name:?} can't be sent over NATS"))
}

/// What the server says of a direct message, from its headers; `None` for our own messages.
pub(super) fn origin_of(names: &Names, subject: &str, headers: Option<&HeaderMap>) -> Option<Box<Origin>> {
    let tenant = names.direct_tenant(subject)?.map(str::to_owned);
    let mut origin = Origin { tenant, source: subject.to_owned(), ..Origin::default() };
    for (name, values) in headers.into_iter().flat_map(HeaderMap::iter) {
        let name: &str = name.as_ref();
        let name = name.to_ascii_lowercase();
        let Some(value) = values.last().map(async_nats::HeaderValue::as_str) else { continue };
        if value.len() > crate::port::MAX_HEADER_BYTES {
            continue;
        }
        if name == "nats-msg-id" || (name.eq_ignore_ascii_case(MESSAGE_ID) && origin.message_id.is_none()) {
            origin.message_id = Some(value.to_owned());
        } else if !name.starts_with("nats-") && !name.eq_ignore_ascii_case(MESSAGE_ID) {
            origin.headers.push((name, value.to_owned()));
        }
    }
    // The map has no order of its own.
    origin.headers.sort_unstable();
    origin.headers.truncate(crate::port::MAX_HEADERS);
    Some(Box::new(origin))
}

/// A delivery from what the server sent.
pub(super) fn delivery(shared: &Shared, position: u64, message: async_nats::Message) -> Delivery {
    let origin = if shared.role == Role::Commands {
        origin_of(&shared.names, message.subject.as_str(), message.headers.as_ref())
    } else {
        None
    };
    Delivery {
        position: Some(Position(position)),
        message: message.payload,
        token: crate::port::Token(position),
        redelivered: false,
        origin,
    }
}
