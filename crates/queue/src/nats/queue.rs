//! A queue: publishing, and how much there is in it.

use std::sync::Arc;

use async_nats::HeaderMap;
use async_nats::jetstream::message::PublishMessage;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Mutex, Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::task::coop::unconstrained;
use tokio_util::sync::CancellationToken;

use crate::broker::{BrokerOptions, Role};
use crate::error::{QueueError, QueueErrorKind};
use crate::port::{Capabilities, Delivery, Depth, Origin, Partition, Position, Published, Queue, Receiver};

use super::api::{self, StreamInfo};
use super::connection::Connection;
use super::depth;
use super::feed;
use super::past::Past;
use super::receiver::NatsReceiver;
use super::shared::{Lane, Shared};
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
            past: Past::new(names.stream(role)),
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
        // Nobody keeps positions of dead letters.
        let counts = self.shared.role != Role::DeadLetters;
        if counts {
            self.shared.past.intact()?;
        }
        let known = self.shared.past.known();
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
        if counts {
            self.shared.past.confirmed(ack.sequence, known)?;
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

    fn life(&self) -> Option<String> {
        Some(self.shared.made.unix_timestamp_nanos().to_string())
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
        self.shared.lane(partition)?;
        if self.shared.closed.is_cancelled() {
            return Err(QueueError::closed());
        }
        depth::look(&self.shared, partition).await
    }
}

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
