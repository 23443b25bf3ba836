//! Publishing with confirmations, one lane a partition.
//!
//! A lane sends what has gathered while it waited for the last answers, and waits for all answers to that before it tells any of them.
//! This is what makes a returned message safe: RabbitMQ returns a message that reached no queue and then confirms it like any other, and
//! where one confirmation covers several messages, the client can't tell whose return it was. All of a group are looked at together, and
//! the returned ones are known by the correlation id that they were sent with.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::{join_all, maybe_done};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::connection::{ANSWER_WITHIN, Line, answered, failure, unavailable};
use crate::entrance::Entrance;
use crate::error::{QueueError, QueueErrorKind};
use crate::port::Published;

/// Most messages, and about most bytes, of one group.
const GROUP: (usize, usize) = (256, 4 * 1024 * 1024);
/// Messages that wait for their lane; those of further publishers stay with them.
const WAITING: usize = 256;
/// How long a publish waits for a connection that is being made: a short break needs no error.
const CONNECTION_WITHIN: Duration = Duration::from_secs(1);
/// What was sent before the broker blocked the connection is confirmed soon, or when the broker has room again.
const BLOCKED_WITHIN: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(100);
/// How long a publish may take in all.
const PUBLISH_WITHIN: Duration = Duration::from_secs(10);
/// When to come back to a queue that is full, or a broker that is short of memory or disk.
const ROOM_WITHIN: Duration = Duration::from_secs(1);

/// One message on its way.
pub(super) struct Letter {
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    pub(super) message: Bytes,
    pub(super) properties: BasicProperties,
}

struct Job {
    letter: Letter,
    reply: oneshot::Sender<Result<Published, QueueError>>,
}

/// The lanes of one queue, on one connection.
pub(super) struct Publisher {
    line: Arc<Line>,
    lanes: Vec<OnceLock<Entrance<Job>>>,
}

impl Publisher {
    pub(super) fn new(line: Arc<Line>, partitions: u32) -> Self {
        Self { line, lanes: (0..partitions).map(|_| OnceLock::new()).collect() }
    }

    /// Why the broker blocks whoever publishes, if it does.
    pub(super) fn blocked(&self) -> Option<String> {
        self.line.blocked()
    }

    /// Sends a message and waits until the broker has it. Those of one partition go in the order in which they are first polled.
    pub(super) async fn publish(&self, partition: u32, letter: Letter) -> Result<Published, QueueError> {
        let lane = usize::try_from(partition)
            .ok()
            .and_then(|partition| self.lanes.get(partition))
            .ok_or_else(QueueError::closed)?;
        let lane = lane.get_or_init(|| {
            let (sender, jobs) = mpsc::channel(WAITING);
            let lane = Lane { line: Arc::clone(&self.line), jobs, channel: None };
            tokio::spawn(lane.run());
            Entrance::new(sender)
        });
        let (reply, answer) = oneshot::channel();
        let published = async {
            lane.enter(Job { letter, reply }).await?;
            answer.await.unwrap_or_else(|_| Err(QueueError::closed()))
        };
        match timeout(PUBLISH_WITHIN, published).await {
            Ok(published) => published,
            Err(_) => Err(unavailable(format!("RabbitMQ did not confirm a message within {PUBLISH_WITHIN:?}"))),
        }
    }
}

/// Ends when its publisher is dropped.
struct Lane {
    line: Arc<Line>,
    jobs: mpsc::Receiver<Job>,
    channel: Option<(Arc<Connection>, Channel)>,
}

impl Lane {
    async fn run(mut self) {
        while let Some(first) = self.jobs.recv().await {
            let group = self.gather(first);
            match self.channel().await {
                Ok((connection, channel)) => self.send(&connection, &channel, group).await,
                Err(error) => {
                    answer_all(group, &error);
                    // The others need not wait one after the other to hear the same.
                    while let Ok(job) = self.jobs.try_recv() {
                        answer_all(vec![job], &error);
                    }
                }
            }
        }
    }

    fn gather(&mut self, first: Job) -> Vec<Job> {
        let mut bytes = first.letter.message.len();
        let mut group = vec![first];
        while group.len() < GROUP.0
            && bytes < GROUP.1
            && let Ok(job) = self.jobs.try_recv()
        {
            bytes += job.letter.message.len();
            group.push(job);
        }
        // Whoever gave up needs no message sent.
        group.retain(|job| !job.reply.is_closed());
        group
    }

    async fn channel(&mut self) -> Result<(Arc<Connection>, Channel), QueueError> {
        let connection = self.line.connection(CONNECTION_WITHIN).await?;
        if connection.status().blocked() {
            return Err(blocked());
        }
        if let Some((of, channel)) = &self.channel
            && Arc::ptr_eq(of, &connection)
            && channel.status().connected()
        {
            return Ok((connection, channel.clone()));
        }
        self.channel = None;
        let channel = answered("opening a channel to publish", async {
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok(channel)
        })
        .await?;
        self.channel = Some((Arc::clone(&connection), channel.clone()));
        Ok((connection, channel))
    }

    async fn send(&mut self, connection: &Connection, channel: &Channel, group: Vec<Job>) {
        let (letters, replies): (Vec<_>, Vec<_>) = group.into_iter().map(|job| (job.letter, job.reply)).unzip();
        let mut sent = Vec::with_capacity(letters.len());
        for (number, letter) in letters.iter().enumerate() {
            let mut sending = Box::pin(maybe_done(send(channel, number, letter)));
            // The first poll puts it in line, so they go in this order.
            let _ = futures::poll!(sending.as_mut());
            sent.push(sending);
        }
        let answered = wait(connection, join_all(sent.iter_mut().map(|sending| sending.as_mut()))).await;
        let outcomes: Vec<_> = sent.iter_mut().map(|sending| sending.as_mut().take_output()).collect();
        drop(sent);
        if !answered || outcomes.iter().any(|outcome| !matches!(outcome, Some(Ok(_)))) {
            // Late answers to this group must not be taken for those to the next.
            self.channel = None;
        }
        if !answered {
            // Not even those that were confirmed are known to have reached a queue: a return that says otherwise may be on its way.
            let error = if connection.status().blocked() {
                blocked()
            } else {
                unavailable(format!("RabbitMQ did not confirm a message within {ANSWER_WITHIN:?}"))
            };
            return replies.into_iter().for_each(|reply| drop(reply.send(Err(error.clone()))));
        }
        let returned: HashSet<ShortString> = outcomes.iter().flatten().flatten().filter_map(returned_id).collect();
        for (number, (reply, outcome)) in replies.into_iter().zip(outcomes).enumerate() {
            // A publisher that gave up has dropped its end.
            let _ = reply.send(verdict(outcome, returned.contains(&correlation_id(number))));
        }
    }
}

/// Waits for all confirmations; `false` when they did not come in time.
async fn wait<T>(connection: &Connection, confirmations: impl Future<Output = T>) -> bool {
    let mut confirmations = std::pin::pin!(confirmations);
    let mut deadline = Instant::now() + ANSWER_WITHIN;
    loop {
        tokio::select! {
            _ = &mut confirmations => return true,
            () = tokio::time::sleep(LOOK) => {}
        }
        let now = Instant::now();
        if connection.status().blocked() {
            deadline = deadline.min(now + BLOCKED_WITHIN);
        }
        if now >= deadline {
            return false;
        }
    }
}

async fn send(channel: &Channel, number: usize, letter: &Letter) -> lapin::Result<Confirmation> {
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let properties = letter.properties.clone().with_delivery_mode(2).with_correlation_id(correlation_id(number));
    let (exchange, routing_key) = (letter.exchange.clone(), letter.routing_key.clone());
    channel.basic_publish(exchange, routing_key, options, &letter.message, properties).await?.await
}

/// Names a message within its group.
fn correlation_id(number: usize) -> ShortString {
    number.to_string().into()
}

fn returned_id(confirmation: &Confirmation) -> Option<ShortString> {
    match confirmation {
        Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) => {
            returned.properties.correlation_id().clone()
        }
        _ => None,
    }
}

fn verdict(outcome: Option<lapin::Result<Confirmation>>, returned: bool) -> Result<Published, QueueError> {
    match outcome {
        _ if returned => Err(QueueError::transient(
            QueueErrorKind::Mismatch,
            ANSWER_WITHIN,
            "a message was returned because no queue is bound for it: run 'ronda queue init', which makes what is missing",
        )),
        Some(Ok(Confirmation::Ack(_))) => Ok(Published { position: None }),
        Some(Ok(Confirmation::Nack(_))) => Err(QueueError::transient(
            QueueErrorKind::Full,
            ROOM_WITHIN,
            "the queue on RabbitMQ is full and refused a message: it takes some again once what is in it was processed",
        )),
        Some(Err(error)) => Err(failure("publishing", error)),
        Some(Ok(Confirmation::NotRequested)) | None => {
            Err(unavailable(String::from("RabbitMQ was not asked to confirm a message")))
        }
    }
}

fn blocked() -> QueueError {
    QueueError::transient(
        QueueErrorKind::Unavailable,
        ROOM_WITHIN,
        "RabbitMQ is short of memory or disk and blocks whoever publishes, until it has room again",
    )
}

fn answer_all(jobs: Vec<Job>, error: &QueueError) {
    for job in jobs {
        let _ = job.reply.send(Err(error.clone()));
    }
}
