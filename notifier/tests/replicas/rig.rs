//! What the notifiers share, and one of them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ronda_domain::event::{Change, Event, EventKind, Resolution};
use ronda_domain::id::{SchedulerId, SchedulerKey, TenantId};
use ronda_domain::record::{OccurrenceStatus, Subject};
use ronda_domain::spec::Severity;
use ronda_domain::time::Timestamp;
use ronda_lease::{Owner, Ownership, Returned};
use ronda_notifier::channel::{ChannelError, FindRequest, Found, Pacing, PostRequest, Posted, UpdateRequest};
use ronda_notifier::{Channel, Config, Notifier, NotifierError, NotifierStatus, SlackChannel, SlackConfig};
use ronda_queue::{EmbeddedOptions, EmbeddedQueue, Queue};
use ronda_runtime::{CancellationToken, Health, Secret, SystemClock};
use ronda_schemas::codec::Versioned;
use ronda_schemas::event::{EventBatch, EventEnvelope, SchedulerEvent, SchedulerSummary};
use ronda_slack_standin::{Message, StandIn, TOKEN};
use ronda_store::embedded::EmbeddedStore;
use ronda_store::port::Store;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) const CHANNEL: &str = "C1";
pub(crate) const PARTITIONS: u32 = 2;
/// More than a row of the store may have, so that one can be tried.
const MAX_MESSAGE_BYTES: usize = 20 << 20;

/// Waits until that is so.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(40), async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited in vain: {what}");
}

/// What all replicas share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) stand_in: StandIn,
    _dir: tempfile::TempDir,
}

impl Shared {
    pub(crate) async fn new() -> Self {
        Self::with_queue(|queue| queue).await
    }

    /// With something around the queue.
    pub(crate) async fn with_queue(around: impl FnOnce(Arc<dyn Queue>) -> Arc<dyn Queue>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions {
            partitions: PARTITIONS,
            max_message_bytes: MAX_MESSAGE_BYTES,
            ..EmbeddedOptions::default()
        };
        let queue = around(Arc::new(EmbeddedQueue::open(dir.path().join("events"), options).unwrap()));
        let options = ronda_store::embedded::EmbeddedOptions::default();
        let store = Arc::new(EmbeddedStore::open(dir.path().join("store"), options).unwrap());
        let stand_in = StandIn::start().await.unwrap();
        Self { store, queue, stand_in, _dir: dir }
    }

    /// The stand-in as a channel.
    pub(crate) fn slack(&self) -> Arc<dyn Channel> {
        self.impatient_slack(10_000)
    }

    /// The same with another time-out, in milliseconds.
    pub(crate) fn impatient_slack(&self, timeout_ms: u64) -> Arc<dyn Channel> {
        let mut config = SlackConfig::new(Secret::new(TOKEN));
        config.api_url = self.stand_in.api_url();
        config.timeout_ms = timeout_ms;
        config.post_interval_ms = 20;
        config.edit_interval_ms = 20;
        Arc::new(SlackChannel::new(config).unwrap())
    }

    async fn publish(&self, partition: u32, job: &str, event: &str, kind: EventKind) {
        self.publish_named(partition, (job, job), event, kind).await;
    }

    async fn publish_named(&self, partition: u32, (job, name): (&str, &str), event: &str, kind: EventKind) {
        let key = SchedulerKey { tenant: TenantId::new("acme").unwrap(), scheduler: SchedulerId::new(job).unwrap() };
        let summary = SchedulerSummary {
            name: name.into(),
            team: "payments".into(),
            environment: "production".into(),
            tags: Box::new([]),
            severity: Severity::Critical,
            runbook_url: "".into(),
            scheduled: true,
            past: None,
            mute: None,
        };
        let at = Timestamp::from_seconds(1_795_456_900);
        let event = SchedulerEvent { key, summary, event: Event { id: event.into(), at, kind } };
        let events = vec![EventEnvelope::Scheduler(Box::new(event))];
        let batch = EventBatch { source_partition: 0, source_partitions: 1, watermark: at, events };
        self.queue.publish(partition, Bytes::from(batch.encode().unwrap())).await.unwrap();
    }

    /// A job fails.
    pub(crate) async fn fails(&self, partition: u32, job: &str) {
        let cause = change(0, OccurrenceStatus::Failed);
        self.publish(partition, job, "opened", EventKind::AlertOpened { alert: "a1".into(), cause, streak: 1 }).await;
    }

    /// A job fails whose alert the store can never take.
    pub(crate) async fn fails_with_too_much(&self, partition: u32) {
        let (name, cause) = ("x".repeat(17 << 20), change(0, OccurrenceStatus::Failed));
        let event = EventKind::AlertOpened { alert: "a1".into(), cause, streak: 1 };
        self.publish_named(partition, ("huge", &name), "opened", event).await;
    }

    /// It fails once more, for the so-many-eth time: an edit.
    pub(crate) async fn fails_again(&self, partition: u32, job: &str, streak: u32) {
        let cause = change(streak, OccurrenceStatus::Failed);
        let event = EventKind::AlertChanged { alert: "a1".into(), cause, streak };
        self.publish(partition, job, &format!("changed-{streak}"), event).await;
    }

    /// It is well again.
    pub(crate) async fn recovers(&self, partition: u32, job: &str) {
        let (by, opened_at) = (change(99, OccurrenceStatus::Succeeded), Timestamp::from_seconds(1_795_456_890));
        let resolution = Resolution::Recovered { by };
        self.publish(
            partition,
            job,
            "resolved",
            EventKind::AlertResolved { alert: "a1".into(), opened_at, resolution },
        )
        .await;
    }

    /// The messages that are no replies and name a job.
    pub(crate) fn alerts(&self, job: &str) -> Vec<Message> {
        let of_job = |message: &Message| message.thread_ts.is_none() && message.text.contains(&format!("*{job}*"));
        self.stand_in.slack().messages(CHANNEL).into_iter().filter(of_job).collect()
    }

    /// The installations whose names the messages carry, each once.
    pub(crate) fn installations(&self) -> Vec<String> {
        let messages = self.stand_in.slack().messages(CHANNEL);
        let name = |message: &Message| {
            let metadata = message.metadata.as_ref().unwrap();
            metadata["event_payload"]["i"].as_str().unwrap().to_owned()
        };
        let mut names: Vec<String> = messages.iter().map(name).collect();
        names.sort();
        names.dedup();
        names
    }
}

fn change(number: u32, to: OccurrenceStatus) -> Change {
    let due = Timestamp::from_seconds(1_795_456_800).plus_seconds(number * 60);
    Change {
        subject: Subject::Occurrence { due },
        from: OccurrenceStatus::Running,
        to,
        correction: false,
        started_at: Some(due),
        ended_at: Some(due.plus_seconds(30)),
        late_start_ms: None,
        stale: None,
        run_id: Some("r-1".into()),
        error: None,
        exit_code: Some(1),
        duration_ms: Some(30_000),
    }
}

/// One notifier.
pub(crate) struct Replica {
    pub(crate) owner: Owner,
    pub(crate) health: Health,
    pub(crate) status: watch::Receiver<NotifierStatus>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), NotifierError>>,
}

impl Replica {
    /// Starts one that works on these partitions.
    pub(crate) fn start(shared: &Shared, channel: Arc<dyn Channel>, assigned: &[u32]) -> Self {
        Self::looking(1, shared, channel, assigned)
    }

    /// The same that looks messages up at this interval, in seconds: the longer, the more time a test has to be faster than a look.
    pub(crate) fn looking(interval_seconds: u64, shared: &Shared, channel: Arc<dyn Channel>, assigned: &[u32]) -> Self {
        let config = Config {
            channel: CHANNEL.to_owned(),
            grouping_wait_ms: 20,
            reconcile_interval_seconds: interval_seconds,
            drain_ms: 1_000,
            storm_threshold: 1_000,
            ..Config::default()
        };
        let (events, store, health) = (Arc::clone(&shared.queue), Arc::clone(&shared.store), Health::new());
        let clock = Arc::new(SystemClock::new());
        let notifier = Notifier::build(config, events, store, clock, channel, &health).unwrap();
        let (status, stop) = (notifier.status(), CancellationToken::new());
        let (owner, ownership) = Ownership::new();
        owner.assign(assigned.iter().copied().collect());
        let task = tokio::spawn(notifier.run(ownership, stop.clone()));
        Self { owner, health, status, stop, task }
    }

    pub(crate) fn assign(&self, partitions: &[u32]) {
        self.owner.assign(partitions.iter().copied().collect());
    }

    /// Waits until it works on so many partitions.
    pub(crate) async fn works_on(&mut self, partitions: usize) {
        let works = self.status.wait_for(|status| status.shards == partitions);
        tokio::time::timeout(Duration::from_secs(40), works).await.expect("it works on them in time").unwrap();
    }

    /// What it says next of a partition.
    pub(crate) async fn returns(&mut self) -> Returned {
        tokio::time::timeout(Duration::from_secs(40), self.owner.returned()).await.expect("it says so in time").unwrap()
    }

    /// Why it is well, or not.
    pub(crate) fn reason(&self) -> String {
        self.health.readiness().components[0].reason.clone()
    }

    /// Ends it as SIGKILL does, except that a call that it has begun still reaches the channel.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// A channel whose posts and edits are held before they reach it while it is shut: to the channel, a sender that stands still.
pub(crate) struct Gate {
    inner: Arc<dyn Channel>,
    is_open: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl Gate {
    pub(crate) fn new(inner: Arc<dyn Channel>) -> Arc<Self> {
        Arc::new(Self { inner, is_open: watch::Sender::new(true), waiting: watch::Sender::new(0) })
    }

    pub(crate) fn shut(&self) {
        self.is_open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.is_open.send_replace(true);
    }

    /// Waits until a call stands before it.
    pub(crate) async fn holds_one(&self) {
        let held = async { self.waiting.subscribe().wait_for(|waiting| *waiting > 0).await.map(|waiting| *waiting) };
        tokio::time::timeout(Duration::from_secs(40), held).await.expect("a call comes in time").unwrap();
    }

    async fn pass(&self) {
        self.waiting.send_modify(|waiting| *waiting += 1);
        self.is_open.subscribe().wait_for(|is_open| *is_open).await.unwrap();
        self.waiting.send_modify(|waiting| *waiting -= 1);
    }
}

#[async_trait]
impl Channel for Gate {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn pacing(&self) -> Pacing {
        self.inner.pacing()
    }

    async fn check(&self, channels: &[String]) -> Result<String, ChannelError> {
        self.inner.check(channels).await
    }

    async fn post(&self, request: PostRequest) -> Result<Posted, ChannelError> {
        self.pass().await;
        self.inner.post(request).await
    }

    async fn update(&self, request: UpdateRequest) -> Result<(), ChannelError> {
        self.pass().await;
        self.inner.update(request).await
    }

    async fn delete(&self, channel: &str, ts: &str) -> Result<(), ChannelError> {
        self.inner.delete(channel, ts).await
    }

    async fn find(&self, request: FindRequest) -> Result<Vec<Found>, ChannelError> {
        self.inner.find(request).await
    }
}
