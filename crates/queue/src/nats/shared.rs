//! What a queue, its receivers and its trimming share, and what they ask of the stream.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_nats::datetime::DateTime;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::ConsumerErrorKind;
use serde_json::{Value, json};
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use crate::broker::Role;
use crate::error::{QueueError, QueueErrorKind};
use crate::port::Partition;

use super::api::{self, ApiError, StreamInfo};
use super::connection::{Connection, RETRY_AFTER};
use super::depth::Given;
use super::feed::Tail;
use super::past::{Mark, Past};
use super::topology::Names;

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
    /// What was handed out, to count what is settled.
    pub(super) given: Given,
    /// Keeps publishes in the order in which they were first polled.
    pub(super) publishing: Mutex<()>,
}

impl Lane {
    /// Everything of it up to a place is gone.
    pub(super) fn purged(&self, through: u64) {
        self.trimmed.fetch_max(through, Ordering::AcqRel);
        self.given.purged(through);
    }
}

/// What a queue, its receivers and its trimming share.
pub(super) struct Shared {
    pub(super) role: Role,
    pub(super) names: Names,
    pub(super) stream: String,
    /// When the stream was made: another one of the same name has positions of its own.
    pub(super) made: DateTime,
    /// To notice when the stream is not what it was.
    pub(super) past: Past,
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
    pub(super) async fn first_from(&self, partition: Partition, from: u64) -> Result<Option<(u64, u64)>, QueueError> {
        let filter = self.names.filter(self.role, partition);
        let Some(found) = self.get(&json!({ "seq": from.max(1), "next_by_subj": filter })).await? else {
            return Ok(None);
        };
        let age = published(&found).map(|time| (async_nats::datetime::now() - time).whole_milliseconds());
        let age = age.and_then(|age| u64::try_from(age).ok()).unwrap_or(0);
        Ok(found["seq"].as_u64().map(|sequence| (sequence, age)))
    }

    pub(super) async fn last(&self, partition: Partition) -> Result<Option<u64>, QueueError> {
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

    /// The stream's state, as long as it is the one that was opened and has lost nothing.
    pub(super) async fn info(&self) -> Result<StreamInfo, QueueError> {
        self.past.intact()?;
        let stream = &self.stream;
        // Before it is asked, so that nothing that comes in meanwhile makes it look old.
        let (known, times_lost) = (self.past.known(), self.reading.times_lost());
        let Some(info) = self.reading.stream_info(stream).await? else {
            let what = format!("stream {stream} is gone: make it with 'ronda queue init'");
            return Err(QueueError::permanent(QueueErrorKind::Mismatch, what));
        };
        if info.created != self.made {
            return Err(self.past.prove(format!("it was made at {}, and was one of {}", info.created, self.made)));
        }
        let last = info.state.last_sequence;
        if last < known {
            return Err(self.past.ends_early(last, known));
        }
        if let Some(mark) = self.past.to_compare(times_lost) {
            self.compare(mark).await?;
            self.past.note_compared(times_lost);
        }
        Ok(info)
    }

    /// Looks whether a message that was read is still what it was. One that was purged tells nothing.
    async fn compare(&self, mark: Mark) -> Result<(), QueueError> {
        let found = self.get(&json!({ "seq": mark.place })).await?.as_ref().and_then(published);
        match found.filter(|&at| at != mark.at) {
            Some(at) => {
                let what = format!("at {} it has a message of {at}, and had one of {}", mark.place, mark.at);
                Err(self.past.prove(what))
            }
            None => Ok(()),
        }
    }
}

/// When the server took a message that it shows.
fn published(found: &Value) -> Option<DateTime> {
    found["time"].as_str().and_then(|time| async_nats::datetime::parse_rfc3339(time).ok())
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
