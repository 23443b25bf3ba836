//! Sending: one lane a partition, one batch at a time.
//!
//! What waits for its turn goes out together, up to ten messages. A batch can be taken in part. Each publish then ends by its own result: those
//! in one batch were under way at the same time, so nobody is promised an order among them. What failed goes out again ahead of
//! everything that was not sent yet, so no message is overtaken by one of a later batch. A message keeps its deduplication id through all
//! attempts: where an answer got lost, SQS knows it and takes it once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::{Clients, Waits};
use super::errors;
use super::message::Outgoing;
use crate::entrance::Entrance;
use crate::error::{QueueError, QueueErrorKind};
use crate::port::Published;

/// A publish that was not confirmed by then has failed: it may or may not have been stored.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(6);
const MAX_BATCH: usize = 10;
/// Publishes that wait in a lane; beyond it they wait before it.
const LANE_LENGTH: usize = 64;
/// The one group of a partition's queue.
pub(super) const GROUP: &str = "ronda";
const DOING: &str = "sending";

struct Job {
    outgoing: Outgoing,
    deduplication_id: String,
    deadline: Instant,
    reply: oneshot::Sender<Result<Published, QueueError>>,
}

/// Where a partition's publishes go.
#[derive(Clone)]
pub(super) struct Lane {
    entrance: Arc<Entrance<Job>>,
}

impl Lane {
    /// The lane, and the work in it, which ends when the lane is dropped or closed.
    pub(super) fn new(
        clients: Clients,
        queue_url: String,
        max_batch_bytes: usize,
        closed: CancellationToken,
    ) -> (Self, impl Future<Output = ()>) {
        let (jobs, incoming) = mpsc::channel(LANE_LENGTH);
        let sender = Sender {
            clients,
            queue_url,
            max_batch_bytes,
            incoming,
            waiting: VecDeque::new(),
            alone: 0,
            waits: Waits::new(),
        };
        (Self { entrance: Arc::new(Entrance::new(jobs)) }, async move {
            let mut sender = sender;
            tokio::select! {
                () = sender.run() => {}
                () = closed.cancelled() => {}
            }
            sender.close();
        })
    }

    /// Sends a message and waits for its confirmation.
    pub(super) async fn publish(&self, outgoing: Outgoing, deduplication_id: String) -> Result<Published, QueueError> {
        let deadline = Instant::now() + CONFIRMED_WITHIN;
        let (reply, answer) = oneshot::channel();
        let job = Job { outgoing, deduplication_id, deadline, reply };
        let confirmed = async {
            self.entrance.enter(job).await?;
            answer.await.map_err(|_| QueueError::closed())?
        };
        tokio::time::timeout_at(deadline, confirmed).await.unwrap_or_else(|_| {
            Err(QueueError::transient(
                QueueErrorKind::Unavailable,
                Duration::from_secs(1),
                format!("{DOING}: SQS did not confirm within {} seconds", CONFIRMED_WITHIN.as_secs()),
            ))
        })
    }
}

struct Sender {
    clients: Clients,
    queue_url: String,
    max_batch_bytes: usize,
    incoming: mpsc::Receiver<Job>,
    waiting: VecDeque<Job>,
    /// So many from the front go one by one: together they were refused, and one of them is the reason.
    alone: usize,
    waits: Waits,
}

impl Sender {
    async fn run(&mut self) {
        loop {
            // Who gave up waiting for what was not confirmed may send it anew; keeping the old one too would only make two of it.
            self.waiting.retain(|job| !job.reply.is_closed());
            if self.waiting.is_empty() {
                self.alone = 0;
                let Some(job) = self.incoming.recv().await else { return };
                self.waiting.push_back(job);
            }
            while self.waiting.len() < MAX_BATCH
                && let Ok(job) = self.incoming.try_recv()
            {
                self.waiting.push_back(job);
            }
            self.send().await;
        }
    }

    /// How many of those that wait go together.
    fn batch(&self) -> usize {
        if self.alone > 0 {
            return 1;
        }
        let mut bytes = 0;
        let fits = self.waiting.iter().take(MAX_BATCH).take_while(|job| {
            bytes += job.outgoing.bytes();
            bytes <= self.max_batch_bytes
        });
        fits.count().max(1)
    }

    async fn send(&mut self) {
        let count = self.batch();
        let entries: Result<Vec<_>, _> =
            self.waiting.iter().take(count).enumerate().map(|(number, job)| entry(number, job)).collect();
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.refuse(count, &built_wrongly(&error)),
        };
        let call = self.clients.call.send_message_batch().queue_url(&self.queue_url).set_entries(Some(entries));
        match call.send().await {
            Ok(output) => {
                let mut outcomes: Vec<Option<QueueError>> = vec![Some(unmentioned()); count];
                for taken in output.successful() {
                    set(&mut outcomes, taken.id(), None);
                }
                for failed in output.failed() {
                    set(&mut outcomes, failed.id(), Some(errors::of_entry(DOING, failed)));
                }
                self.resolve(outcomes).await;
            }
            Err(error) => {
                let error = errors::of_call(DOING, &error);
                if error.retryable {
                    self.resolve(vec![Some(error); count]).await;
                } else if count > 1 {
                    self.alone = count;
                } else {
                    self.refuse(count, &error);
                }
            }
        }
    }

    /// Ends what was taken and what is refused for good; puts the rest back in front, in its order, and waits a moment.
    async fn resolve(&mut self, outcomes: Vec<Option<QueueError>>) {
        let jobs: Vec<_> = self.waiting.drain(..outcomes.len()).collect();
        let mut again: Vec<(Job, QueueError)> = Vec::new();
        for (job, outcome) in jobs.into_iter().zip(outcomes) {
            match outcome {
                Some(error) if error.retryable => again.push((job, error)),
                outcome => {
                    self.alone = self.alone.saturating_sub(1);
                    job.end(outcome.map_or(Ok(Published { position: None }), Err));
                }
            }
        }
        let Some((_, error)) = again.first() else {
            self.waits = Waits::new();
            return;
        };
        let wait = self.waits.next_wait();
        tracing::debug!(%error, messages = again.len(), "messages are sent again");
        let resume = Instant::now() + wait;
        for (job, error) in again.into_iter().rev() {
            if job.deadline <= resume {
                self.alone = self.alone.saturating_sub(1);
                job.end(Err(error));
            } else {
                self.waiting.push_front(job);
            }
        }
        if !self.waiting.is_empty() {
            tokio::time::sleep_until(resume).await;
        }
    }

    fn refuse(&mut self, count: usize, error: &QueueError) {
        self.alone = self.alone.saturating_sub(count);
        for job in self.waiting.drain(..count) {
            job.end(Err(error.clone()));
        }
    }

    fn close(&mut self) {
        self.incoming.close();
        while let Ok(job) = self.incoming.try_recv() {
            self.waiting.push_back(job);
        }
        for job in self.waiting.drain(..) {
            job.end(Err(QueueError::closed()));
        }
    }
}

impl Job {
    fn end(self, outcome: Result<Published, QueueError>) {
        // Nobody may be waiting any more.
        let _ = self.reply.send(outcome);
    }
}

fn set(outcomes: &mut [Option<QueueError>], id: &str, outcome: Option<QueueError>) {
    if let Some(slot) = id.parse::<usize>().ok().and_then(|number| outcomes.get_mut(number)) {
        *slot = outcome;
    }
}

fn entry(number: usize, job: &Job) -> Result<SendMessageBatchRequestEntry, BuildError> {
    let mut entry = SendMessageBatchRequestEntry::builder()
        .id(number.to_string())
        .message_body(&job.outgoing.body)
        .message_group_id(GROUP)
        .message_deduplication_id(&job.deduplication_id);
    for (name, value) in &job.outgoing.attributes {
        let value = MessageAttributeValue::builder().data_type("String").string_value(value).build()?;
        entry = entry.message_attributes(name, value);
    }
    entry.build()
}

fn built_wrongly(error: &BuildError) -> QueueError {
    QueueError::permanent(QueueErrorKind::Unsupported, format!("{DOING}: not a message that SQS has: {error}"))
}

fn unmentioned() -> QueueError {
    QueueError::transient(
        QueueErrorKind::Unavailable,
        Duration::from_millis(200),
        format!("{DOING}: SQS did not say what became of the message"),
    )
}
