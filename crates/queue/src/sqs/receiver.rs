//! Receiving: a long poll when nothing is in hand, and a keeper that extends what is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, MessageSystemAttributeName,
};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::{Clients, WAIT_SECONDS, Waits};
use super::errors;
use super::hand::{Hand, Next};
use super::ids::Ids;
use crate::error::{QueueError, QueueErrorKind};
use crate::port::{Delivery, ReceiveLimit, Receiver, Token};

/// Most messages of one receive, and of one batch.
pub(super) const MAX_RECEIVE: usize = 10;
/// After this something that somebody has to put right is told to the reader; the next receive goes on with the same attempt. An outage is
/// waited out: it ends by itself, and a reader that gave up would have to be taken up again.
const TOLD_AFTER: Duration = Duration::from_secs(6);
/// How long a settle tries.
const SETTLED_WITHIN: Duration = Duration::from_secs(6);
/// How long a close waits for what is in hand to be given back.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);
/// How long giving back tries; then the visibility time-out does it.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(4);

/// What the receiver, its poll and its keeper share.
pub(super) struct Shared {
    pub(super) clients: Clients,
    pub(super) queue_url: String,
    pub(super) queue: String,
    pub(super) visibility_seconds: u32,
    pub(super) ids: Arc<Ids>,
    pub(super) hand: Mutex<Hand>,
    /// The receiver is gone.
    pub(super) ended: CancellationToken,
    /// The backend was closed.
    pub(super) closed: CancellationToken,
}

pub(super) struct SqsReceiver {
    shared: Arc<Shared>,
    /// A receive at the server. It is never given up: what it brings would be locked and nobody would know.
    poll: Option<JoinHandle<Result<(), QueueError>>>,
    tasks: TaskTracker,
    runtime: Handle,
}

impl SqsReceiver {
    pub(super) fn new(shared: Shared, tasks: TaskTracker) -> (Self, Arc<Shared>) {
        let shared = Arc::new(shared);
        tasks.spawn(keep(Arc::clone(&shared)));
        (Self { shared: Arc::clone(&shared), poll: None, tasks, runtime: Handle::current() }, shared)
    }
}

#[async_trait]
impl Receiver for SqsReceiver {
    async fn receive(&mut self, limit: ReceiveLimit) -> Result<Vec<Delivery>, QueueError> {
        loop {
            if self.shared.closed.is_cancelled() {
                return Err(QueueError::closed());
            }
            let next = self.shared.hand.lock().next(limit, Instant::now());
            match next {
                Next::Give(deliveries) => return Ok(deliveries),
                Next::Delete => self.shared.delete_settled().await?,
                Next::Wait(until) => tokio::select! {
                    () = tokio::time::sleep_until(until) => {}
                    () = self.shared.closed.cancelled() => {}
                },
                Next::Poll { lost } => {
                    if !lost.is_empty() {
                        tracing::warn!(queue = %self.shared.queue, messages = lost.len(), "deliveries could not be kept and come again");
                        let shared = Arc::clone(&self.shared);
                        self.tasks.spawn(async move { shared.give_back(lost).await });
                    }
                    let poll = self.poll.get_or_insert_with(|| self.tasks.spawn(poll(Arc::clone(&self.shared))));
                    let outcome = tokio::select! {
                        outcome = poll => outcome,
                        () = self.shared.closed.cancelled() => return Err(QueueError::closed()),
                    };
                    self.poll = None;
                    outcome.map_err(|error| {
                        QueueError::transient(QueueErrorKind::Unavailable, Duration::from_secs(1), "a receive failed")
                            .with_source(error)
                    })??;
                }
            }
        }
    }

    async fn settle(&mut self, through: Token) -> Result<(), QueueError> {
        if self.shared.closed.is_cancelled() {
            return Err(QueueError::closed());
        }
        if !self.shared.hand.lock().settle(through) {
            return Err(QueueError::permanent(
                QueueErrorKind::InvalidToken,
                format!("token {} was never handed out by this receiver", through.0),
            ));
        }
        self.shared.delete_settled().await
    }

    async fn close(mut self: Box<Self>) {
        if let Some(ending) = self.end() {
            // While nothing comes, a receive at the server takes its time. What it still brings is given back at once.
            let _ = timeout(CLOSED_WITHIN, ending).await;
        }
    }
}

impl SqsReceiver {
    /// Gives back what is in hand, the newest first: the group stays locked until its oldest is free again, and then all are. `None`: that
    /// has begun.
    fn end(&mut self) -> Option<JoinHandle<()>> {
        if self.shared.ended.is_cancelled() {
            return None;
        }
        self.shared.ended.cancel();
        let (shared, poll) = (Arc::clone(&self.shared), self.poll.take());
        let ending = async move {
            if let Some(poll) = poll {
                let _ = poll.await;
            }
            let settled = shared.hand.lock().settled();
            if !settled.is_empty() {
                // A settle that was given up. What stays of it comes again, and its reader knows it.
                let _ = shared.delete(&settled).await;
            }
            let in_hand = shared.hand.lock().let_go();
            shared.give_back(in_hand).await;
        };
        Some(self.tasks.spawn_on(ending, &self.runtime))
    }
}

impl Drop for SqsReceiver {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// A receive, asked for until it is answered: by its id SQS gives again what an answer that got lost has locked. It is good for as long as
/// those locks can last. After that the messages may be somebody else's, or gone, and asking with the same id would fail for ever.
pub(super) struct Attempt {
    id: String,
    since: Instant,
}

impl Attempt {
    fn new(ids: &Ids) -> Self {
        Self { id: ids.next(), since: Instant::now() }
    }
}

/// Waits at the server until there are messages, and puts them into the hand.
async fn poll(shared: Arc<Shared>) -> Result<(), QueueError> {
    let held_for = Duration::from_secs(shared.visibility_seconds.into());
    let unanswered = shared.hand.lock().unanswered.take();
    let mut attempt = unanswered.unwrap_or_else(|| Attempt::new(&shared.ids));
    let mut waits = Waits::new();
    let mut failing_since = None;
    loop {
        if shared.is_over() {
            return Ok(());
        }
        if attempt.since.elapsed() > held_for {
            attempt = Attempt::new(&shared.ids);
        }
        let call = shared
            .clients
            .poll
            .receive_message()
            .queue_url(&shared.queue_url)
            .max_number_of_messages(i32::try_from(MAX_RECEIVE).unwrap_or(1))
            .wait_time_seconds(i32::try_from(WAIT_SECONDS).unwrap_or(1))
            .visibility_timeout(i32::try_from(shared.visibility_seconds).unwrap_or(i32::MAX))
            .receive_request_attempt_id(&attempt.id)
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
        match call.send().await {
            Ok(output) => {
                failing_since = None;
                let messages = output.messages.unwrap_or_default();
                if !messages.is_empty() {
                    let until = Instant::now() + Duration::from_secs(shared.visibility_seconds.into());
                    shared.hand.lock().put(messages, &shared.queue, until);
                    return Ok(());
                }
                (attempt, waits) = (Attempt::new(&shared.ids), Waits::new());
            }
            Err(error) => {
                let error = errors::of_call("receiving", &error);
                let since = *failing_since.get_or_insert_with(Instant::now);
                let is_outage = error.retryable && error.kind == QueueErrorKind::Unavailable;
                if !is_outage && (!error.retryable || since.elapsed() > TOLD_AFTER) {
                    // A refusal was an answer, and perhaps to this very id: the next receive has its own.
                    shared.hand.lock().unanswered = error.retryable.then_some(attempt);
                    return Err(error);
                }
                tracing::debug!(queue = %shared.queue, %error, "receiving is tried again");
                tokio::time::sleep(waits.next_wait()).await;
            }
        }
    }
}

/// Extends what is in hand at a third of its time, for as long as the receiver is there.
async fn keep(shared: Arc<Shared>) {
    let visibility = Duration::from_secs(shared.visibility_seconds.into());
    let mut wait = visibility / 3;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shared.ended.cancelled() => return,
            () = shared.closed.cancelled() => return,
        }
        let (asked, started) = (shared.hand.lock().all(), Instant::now());
        wait = visibility / 3;
        if asked.is_empty() {
            continue;
        }
        match shared.change_visibility(asked.iter(), shared.visibility_seconds).await {
            Ok(not_ours) => shared.hand.lock().extended(&asked, &not_ours, started + visibility),
            Err(error) => {
                tracing::debug!(queue = %shared.queue, %error, "deliveries could not be extended; it is tried again");
                wait = (visibility / 12).min(Duration::from_millis(500));
            }
        }
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.ended.is_cancelled() || self.closed.is_cancelled()
    }

    /// Deletes what is settled, the oldest first, until it is gone.
    async fn delete_settled(&self) -> Result<(), QueueError> {
        let deadline = Instant::now() + SETTLED_WITHIN;
        let mut waits = Waits::new();
        loop {
            let mut settled = self.hand.lock().settled();
            settled.truncate(MAX_RECEIVE);
            if settled.is_empty() {
                return Ok(());
            }
            let error = match self.delete(&settled).await {
                Ok(None) => continue,
                Ok(Some(error)) | Err(error) => error,
            };
            let wait = waits.next_wait();
            if !error.retryable || Instant::now() + wait > deadline {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Deletes one batch; answers the first reason why not all of it is gone.
    async fn delete(&self, deliveries: &[(u64, String)]) -> Result<Option<QueueError>, QueueError> {
        const DOING: &str = "settling";
        let entries = deliveries.iter().map(|(token, handle)| {
            DeleteMessageBatchRequestEntry::builder().id(token.to_string()).receipt_handle(handle).build()
        });
        let entries: Vec<_> = entries.collect::<Result<_, _>>().map_err(|error| built_wrongly(DOING, &error))?;
        let call = self.clients.call.delete_message_batch().queue_url(&self.queue_url).set_entries(Some(entries));
        let output = call.send().await.map_err(|error| errors::of_call(DOING, &error))?;
        let mut left = None;
        let mut hand = self.hand.lock();
        for gone in output.successful() {
            hand.deleted(token(gone.id()));
        }
        let mut late = 0_usize;
        for failed in output.failed() {
            if errors::is_not_ours(failed) {
                // It was lost meanwhile, or an earlier attempt deleted it. If it comes again, its reader knows it.
                late += 1;
                hand.deleted(token(failed.id()));
            } else {
                left.get_or_insert_with(|| errors::of_entry(DOING, failed));
            }
        }
        if late > 0 {
            tracing::info!(queue = %self.queue, messages = late, "settled messages were no longer ours to delete");
        }
        Ok(left)
    }

    /// Makes deliveries visible to others, the newest first.
    async fn give_back(&self, mut deliveries: Vec<(u64, String)>) {
        let deadline = Instant::now() + GIVEN_BACK_WITHIN;
        let mut waits = Waits::new();
        deliveries.reverse();
        while !deliveries.is_empty() {
            match self.change_visibility(deliveries.iter(), 0).await {
                Ok(_) => return,
                Err(error) => {
                    let wait = waits.next_wait();
                    if !error.retryable || Instant::now() + wait > deadline {
                        tracing::info!(queue = %self.queue, %error, "deliveries are left to their time-out");
                        return;
                    }
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// Sets how long deliveries stay invisible; answers those that are no longer ours.
    async fn change_visibility(
        &self,
        deliveries: impl Iterator<Item = &(u64, String)>,
        seconds: u32,
    ) -> Result<Vec<u64>, QueueError> {
        const DOING: &str = "keeping deliveries";
        let entries = deliveries.map(|(token, handle)| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(token.to_string())
                .receipt_handle(handle)
                .visibility_timeout(i32::try_from(seconds).unwrap_or(i32::MAX))
                .build()
        });
        let entries: Vec<_> = entries.collect::<Result<_, _>>().map_err(|error| built_wrongly(DOING, &error))?;
        let call = self.clients.call.change_message_visibility_batch();
        let call = call.queue_url(&self.queue_url).set_entries(Some(entries));
        let output = call.send().await.map_err(|error| errors::of_call(DOING, &error))?;
        let (not_ours, failed): (Vec<_>, Vec<_>) =
            output.failed().iter().partition(|failed| errors::is_not_ours(failed));
        if let Some(failed) = failed.first() {
            return Err(errors::of_entry(DOING, failed));
        }
        Ok(not_ours.into_iter().map(|failed| token(failed.id())).collect())
    }
}

/// The entries' ids are the tokens.
fn token(id: &str) -> u64 {
    id.parse().unwrap_or(0)
}

fn built_wrongly(doing: &str, error: &aws_sdk_sqs::error::BuildError) -> QueueError {
    QueueError::permanent(QueueErrorKind::Unsupported, format!("{doing}: not what SQS takes: {error}"))
}
