//! A notifier of this process over the embedded store and queue, and events for it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use ronda_domain::event::{Change, Event, EventKind, Resolution};
use ronda_domain::id::{SchedulerId, SchedulerKey, TenantId};
use ronda_domain::record::{OccurrenceStatus, Subject};
use ronda_domain::spec::Severity;
use ronda_domain::time::Timestamp;
use ronda_lease::{Owner, Ownership};
use ronda_notifier::channel::{ChannelError, FindRequest, Found, Pacing, PostRequest, Posted, UpdateRequest};
use ronda_notifier::{Channel, Config, Notifier, NotifierError, NotifierStatus};
use ronda_queue::{EmbeddedQueue, Queue};
use ronda_runtime::{CancellationToken, Health, SystemClock};
use ronda_schemas::codec::Versioned;
use ronda_schemas::event::{EventBatch, EventEnvelope, SchedulerEvent, SchedulerSummary};
use ronda_store::embedded::EmbeddedStore;
use ronda_store::port::Store;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::Outcome;

/// Partitions of the event queue: as many as by default.
pub(crate) const PARTITIONS: u32 = 4;
/// Events in one message.
const IN_A_BATCH: usize = 500;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// A notifier at work.
pub(crate) struct Rig {
    pub(crate) status: watch::Receiver<NotifierStatus>,
    queue: Arc<dyn Queue>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), NotifierError>>,
    owner: Owner,
}

impl Rig {
    /// One over what is in the directory, that owns nothing yet.
    pub(crate) fn open(directory: &Path, config: Config, channel: Arc<dyn Channel>) -> Outcome<Self> {
        let options =
            ronda_queue::EmbeddedOptions { partitions: PARTITIONS, ..ronda_queue::EmbeddedOptions::default() };
        let queue: Arc<dyn Queue> = Arc::new(EmbeddedQueue::open(directory.join("events"), options)?);
        let options = ronda_store::embedded::EmbeddedOptions::default();
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(directory.join("store"), options)?);
        let clock = Arc::new(SystemClock::new());
        let notifier = Notifier::build(config, Arc::clone(&queue), store, clock, channel, &Health::new())?;
        let (status, stop) = (notifier.status(), CancellationToken::new());
        let (owner, ownership) = Ownership::new();
        let task = tokio::spawn(notifier.run(ownership, stop.clone()));
        Ok(Self { status, queue, stop, task, owner })
    }

    /// Gives it all partitions, and waits until it works on them.
    pub(crate) async fn take_over(&mut self) -> Outcome<()> {
        self.owner.assign((0..PARTITIONS).collect());
        self.until(|status| status.shards == PARTITIONS as usize).await
    }

    /// Waits until its status is so.
    pub(crate) async fn until(&mut self, is_so: impl FnMut(&NotifierStatus) -> bool) -> Outcome<()> {
        tokio::time::timeout(PATIENCE, self.status.wait_for(is_so)).await??;
        Ok(())
    }

    /// Tells it of events, those of a job always in the same partition.
    pub(crate) async fn publish(&self, events: impl IntoIterator<Item = (usize, EventKind)>) -> Outcome<()> {
        let mut by_partition: [Vec<EventEnvelope>; PARTITIONS as usize] = Default::default();
        for (job, kind) in events {
            by_partition[job % PARTITIONS as usize].push(envelope(job, kind)?);
        }
        for (partition, events) in (0_u32..).zip(by_partition) {
            for events in events.chunks(IN_A_BATCH) {
                let (source_partition, events) = (partition, events.to_vec());
                let batch = EventBatch { source_partition, source_partitions: PARTITIONS, watermark: now(), events };
                self.queue.publish(partition, Bytes::from(batch.encode()?)).await?;
            }
        }
        Ok(())
    }

    pub(crate) async fn stop(self) -> Outcome<()> {
        self.stop.cancel();
        self.task.await??;
        Ok(())
    }
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// What a job is called.
pub(crate) fn name(job: usize) -> String {
    format!("job-{job:06}")
}

/// Its team: of so many, each of which has a channel.
pub(crate) const TEAMS: usize = 100;

pub(crate) fn team(job: usize) -> String {
    format!("team-{:02}", job / PARTITIONS as usize % TEAMS)
}

fn envelope(job: usize, kind: EventKind) -> Outcome<EventEnvelope> {
    static EVENTS: AtomicU64 = AtomicU64::new(0);
    let key = SchedulerKey { tenant: TenantId::new("acme")?, scheduler: SchedulerId::new(&name(job))? };
    let summary = SchedulerSummary {
        name: name(job).into(),
        team: team(job).into(),
        environment: "production".into(),
        tags: Box::new([]),
        severity: Severity::Critical,
        runbook_url: "https://runbooks.example.com/nightly".into(),
        scheduled: true,
        past: None,
        mute: None,
    };
    let number = EVENTS.fetch_add(1, Ordering::Relaxed);
    let id = format!("acme/{}/{}/{}-{number}", name(job), std::process::id(), now().as_millis());
    let event = SchedulerEvent { key, summary, event: Event { id: id.into(), at: now(), kind } };
    Ok(EventEnvelope::Scheduler(Box::new(event)))
}

fn change(number: u32, from: OccurrenceStatus, to: OccurrenceStatus) -> Change {
    let due = Timestamp::from_millis(now().as_millis() - 60_000);
    Change {
        subject: Subject::Occurrence { due },
        from,
        to,
        correction: false,
        started_at: Some(due),
        ended_at: Some(now()),
        late_start_ms: None,
        stale: None,
        run_id: Some("r-1".into()),
        error: Some(format!("exit status {number}: connection to the warehouse refused").into()),
        exit_code: Some(1),
        duration_ms: Some(30_000),
    }
}

/// An alert begins.
pub(crate) fn opened(to: OccurrenceStatus) -> EventKind {
    EventKind::AlertOpened { alert: "a1".into(), cause: change(1, OccurrenceStatus::Running, to), streak: 1 }
}

/// It failed once more.
pub(crate) fn failed_again(streak: u32) -> EventKind {
    let cause = change(streak, OccurrenceStatus::Running, OccurrenceStatus::Failed);
    EventKind::AlertChanged { alert: "a1".into(), cause, streak }
}

/// It is over.
pub(crate) fn recovered() -> EventKind {
    let by = change(0, OccurrenceStatus::Running, OccurrenceStatus::Succeeded);
    let resolution = Resolution::Recovered { by };
    EventKind::AlertResolved { alert: "a1".into(), opened_at: now(), resolution }
}

/// A channel that takes everything at once, and counts.
#[derive(Default)]
pub(crate) struct Instant {
    calls: AtomicU64,
}

impl Instant {
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    fn count(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }
}

#[async_trait]
impl Channel for Instant {
    fn kind(&self) -> &'static str {
        "instant"
    }

    fn pacing(&self) -> Pacing {
        Pacing { post_interval: Duration::ZERO, edit_interval: Duration::ZERO }
    }

    async fn check(&self, _: &[String]) -> Result<String, ChannelError> {
        Ok("instant".to_owned())
    }

    async fn post(&self, request: PostRequest) -> Result<Posted, ChannelError> {
        Ok(Posted { channel: request.channel, ts: format!("{:010}.000000", self.count()) })
    }

    async fn update(&self, _: UpdateRequest) -> Result<(), ChannelError> {
        self.count();
        Ok(())
    }

    async fn delete(&self, _: &str, _: &str) -> Result<(), ChannelError> {
        self.count();
        Ok(())
    }

    async fn find(&self, _: FindRequest) -> Result<Vec<Found>, ChannelError> {
        self.count();
        Ok(Vec::new())
    }
}
