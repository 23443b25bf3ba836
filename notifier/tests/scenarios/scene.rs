//! One scenario's store, queue, workspace and replicas.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ronda_domain::event::{Change, Event, EventKind, Resolution};
use ronda_domain::id::{SchedulerId, SchedulerKey, TenantId, partition_of};
use ronda_domain::record::{OccurrenceStatus, Subject};
use ronda_domain::spec::Severity;
use ronda_domain::time::Timestamp;
use ronda_lease::{LeaseConfig, Leases, Ownership};
use ronda_notifier::channel::{ChannelError, FindRequest, Found, Pacing, PostRequest, Posted, UpdateRequest};
use ronda_notifier::{Channel, Config, Notifier, SlackChannel, SlackConfig};
use ronda_queue::{EmbeddedOptions, EmbeddedQueue, Queue};
use ronda_runtime::{CancellationToken, Clock, Health, Secret, SystemClock};
use ronda_schemas::codec::Versioned;
use ronda_schemas::event::{EventBatch, EventEnvelope, SchedulerEvent, SchedulerSummary};
use ronda_schemas::lease::Group;
use ronda_slack_standin::{Message, Reader, Slack, StandIn, TOKEN};
use ronda_store::embedded::EmbeddedStore;
use ronda_store::port::Store;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::{Fast, SPEED};
use crate::table;

pub(crate) const CHANNEL: &str = "C1";
pub(crate) const ADMIN: &str = "C9";
const PARTITIONS: u32 = 2;
const TENANT: &str = "acme";
/// In the machine's time: who is killed is missed after so long.
const LEASE_MS: u64 = 2_000;

/// Where a replica's calls are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Nowhere,
    /// Before Slack.
    Calls,
    /// On the way back.
    Answers,
}

/// A replica's way to Slack.
struct Gate {
    inner: SlackChannel,
    held: watch::Sender<Held>,
    waiting: watch::Sender<usize>,
}

impl Gate {
    async fn pass(&self, here: Held) {
        let mut held = self.held.subscribe();
        if *held.borrow() == here {
            self.waiting.send_modify(|waiting| *waiting += 1);
            held.wait_for(|held| *held != here).await.unwrap();
        }
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
        self.pass(Held::Calls).await;
        let answer = self.inner.post(request).await;
        self.pass(Held::Answers).await;
        answer
    }

    async fn update(&self, request: UpdateRequest) -> Result<(), ChannelError> {
        self.inner.update(request).await
    }

    async fn delete(&self, channel: &str, ts: &str) -> Result<(), ChannelError> {
        self.inner.delete(channel, ts).await
    }

    async fn find(&self, request: FindRequest) -> Result<Vec<Found>, ChannelError> {
        self.inner.find(request).await
    }
}

struct Replica {
    gate: Arc<Gate>,
    shards: watch::Receiver<ronda_notifier::NotifierStatus>,
    tasks: [JoinHandle<()>; 2],
}

/// See the module.
pub(crate) struct Scene {
    store: Arc<dyn Store>,
    queue: Arc<dyn Queue>,
    stand_in: StandIn,
    pub(crate) clock: Fast,
    replicas: Vec<Replica>,
    _dir: tempfile::TempDir,
}

impl Scene {
    /// With replicas that have shared out the partitions.
    async fn new(replicas: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions { partitions: PARTITIONS, ..EmbeddedOptions::default() };
        let queue = Arc::new(EmbeddedQueue::open(dir.path().join("events"), options).unwrap());
        let options = ronda_store::embedded::EmbeddedOptions::default();
        let store = Arc::new(EmbeddedStore::open(dir.path().join("store"), options).unwrap());
        let clock = Fast::new();
        let slack = Slack::default().enforcing_rate().with_frozen_clock(clock.now_ms());
        let stand_in = StandIn::start_on(([127, 0, 0, 1], 0).into(), slack).await.unwrap();
        let mut scene = Self { store, queue, stand_in, clock, replicas: Vec::new(), _dir: dir };
        (0..replicas).for_each(|_| scene.join());
        scene.until("the partitions are shared out", Self::is_shared_out).await;
        scene
    }

    fn is_shared_out(&self) -> bool {
        let each = PARTITIONS as usize / self.replicas.len();
        self.replicas.iter().all(|replica| replica.shards.borrow().shards == each)
    }

    /// A new replica.
    fn join(&mut self) {
        let mut config = SlackConfig::new(Secret::new(TOKEN));
        config.api_url = self.stand_in.api_url();
        config.timeout_ms = 1_000;
        let inner = SlackChannel::new(config).unwrap();
        let gate = Arc::new(Gate { inner, held: watch::Sender::new(Held::Nowhere), waiting: watch::Sender::new(0) });
        let config = Config { channel: CHANNEL.to_owned(), admin_channel: Some(ADMIN.to_owned()), ..Config::default() };
        let (queue, store, clock) = (Arc::clone(&self.queue), Arc::clone(&self.store), Arc::new(self.clock.clone()));
        let notifier = Notifier::build(config, queue, store, clock, Arc::clone(&gate) as _, &Health::new()).unwrap();
        let shards = notifier.status();
        let lease = LeaseConfig { lease_ms: LEASE_MS, ..LeaseConfig::default() };
        let leases = Leases::new(&lease, Group::Notifier, PARTITIONS, "replica", Arc::clone(&self.store) as _).unwrap();
        let (owner, ownership) = Ownership::new();
        let leases = tokio::spawn(leases.run(owner, Arc::new(SystemClock::new()), CancellationToken::new()));
        let service = tokio::spawn(async move { notifier.run(ownership, CancellationToken::new()).await.unwrap() });
        self.replicas.push(Replica { gate, shards, tasks: [leases, service] });
    }

    /// Holds back what all replicas post, or its answers.
    pub(crate) fn hold(&self, held: Held) {
        for replica in &self.replicas {
            replica.gate.held.send_replace(held);
        }
    }

    /// Waits for a post that is held back, and kills who made it: its tasks are aborted, and what is held goes no further. Another takes its
    /// place; what it worked on goes to whoever is left, as its lease ends.
    pub(crate) async fn kill_the_holder(&mut self) {
        let holds = |replica: &Replica| *replica.gate.waiting.borrow() > 0;
        self.until("a post is held", |scene| scene.replicas.iter().any(holds)).await;
        let at = self.replicas.iter().position(holds).unwrap();
        self.kill(at).await;
    }

    /// Kills this replica.
    async fn kill(&mut self, at: usize) {
        let replica = self.replicas.remove(at);
        for task in replica.tasks {
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        }
        // What is held in a task of its own stays so.
        std::mem::forget(replica.gate);
        self.hold(Held::Nowhere);
        self.join();
        self.until("somebody else works on all of it", Self::is_shared_out).await;
    }

    pub(crate) fn slack(&self) -> &Slack {
        let behind = self.clock.now_ms().saturating_sub(self.stand_in.slack().now_ms());
        self.stand_in.slack().advance(Duration::from_millis(behind));
        self.stand_in.slack()
    }

    /// Waits until that is so; meanwhile the stand-in's clock goes on.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..3_000 {
            if is_so(self) {
                return;
            }
            self.pass(100).await;
        }
        panic!("waited in vain: {what}\n{}", self.timeline(CHANNEL));
    }

    /// Lets so much of the scenario's time pass, in milliseconds.
    pub(crate) async fn pass(&self, millis: u64) {
        let end = self.clock.mono_millis() + millis;
        while self.clock.mono_millis() < end {
            self.slack();
            tokio::time::sleep(Duration::from_millis(100 / SPEED)).await;
        }
    }

    /// Parents and replies, each with all that it says.
    pub(crate) fn messages(&self) -> (Vec<Message>, Vec<Message>) {
        self.slack().messages(CHANNEL).into_iter().partition(|message| message.thread_ts.is_none())
    }

    /// What stands in a channel.
    pub(crate) fn timeline(&self, channel: &str) -> String {
        let reader = Reader::new("Asia/Jakarta", self.clock.now_ms()).unwrap();
        self.slack().timeline(channel, &reader)
    }

    /// How often a text stands in the channel.
    pub(crate) fn shows(&self, text: &str) -> usize {
        self.timeline(CHANNEL).replace('*', "").matches(text).count()
    }

    pub(crate) async fn fails(&self, job: &str) {
        let cause = self.change(OccurrenceStatus::Running, OccurrenceStatus::Failed);
        self.event(job, "opened", EventKind::AlertOpened { alert: "a1".into(), cause, streak: 1 }).await;
    }

    pub(crate) async fn goes_stale(&self, job: &str) {
        let cause = self.change(OccurrenceStatus::Running, OccurrenceStatus::Stale);
        self.event(job, "stale", EventKind::AlertOpened { alert: "a1".into(), cause, streak: 1 }).await;
    }

    pub(crate) async fn stale_fails(&self, job: &str) {
        let cause = self.change(OccurrenceStatus::Stale, OccurrenceStatus::Failed);
        self.event(job, "changed", EventKind::AlertChanged { alert: "a1".into(), cause, streak: 1 }).await;
    }

    pub(crate) async fn stale_completes(&self, job: &str) {
        let by = self.change(OccurrenceStatus::Stale, OccurrenceStatus::Succeeded);
        self.resolves(job, Resolution::CompletedLate { by }).await;
    }

    pub(crate) async fn recovers(&self, job: &str) {
        let by = self.change(OccurrenceStatus::Running, OccurrenceStatus::Succeeded);
        self.resolves(job, Resolution::Recovered { by }).await;
    }

    async fn resolves(&self, job: &str, resolution: Resolution) {
        let opened_at = self.at().minus_seconds(60);
        self.event(job, "resolved", EventKind::AlertResolved { alert: "a1".into(), opened_at, resolution }).await;
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.wall_millis())
    }

    fn change(&self, from: OccurrenceStatus, to: OccurrenceStatus) -> Change {
        let due = Timestamp::from_seconds(1_795_456_800);
        Change {
            subject: Subject::Occurrence { due },
            from,
            to,
            correction: false,
            started_at: Some(due),
            ended_at: Some(self.at()),
            late_start_ms: None,
            stale: None,
            run_id: Some("r-1".into()),
            error: Some("disk full".into()),
            exit_code: Some(1),
            duration_ms: None,
        }
    }

    async fn event(&self, job: &str, id: &str, kind: EventKind) {
        let key = SchedulerKey { tenant: TenantId::new(TENANT).unwrap(), scheduler: SchedulerId::new(job).unwrap() };
        let summary = SchedulerSummary {
            name: job.into(),
            team: "payments".into(),
            environment: "production".into(),
            tags: Box::new([]),
            severity: Severity::Critical,
            runbook_url: "".into(),
            scheduled: true,
            past: None,
            mute: None,
        };
        let event = SchedulerEvent { key, summary, event: Event { id: id.into(), at: self.at(), kind } };
        let events = vec![EventEnvelope::Scheduler(Box::new(event))];
        let batch = EventBatch { source_partition: 0, source_partitions: 1, watermark: self.at(), events };
        let partition = partition_of(TENANT, "", PARTITIONS);
        self.queue.publish(partition, Bytes::from(batch.encode().unwrap())).await.unwrap();
    }

    fn end(self) {
        self.replicas.iter().flat_map(|replica| &replica.tasks).for_each(JoinHandle::abort);
    }
}

/// Plays a scenario with one replica and with two at the same time.
pub(crate) async fn everywhere(scenario: u32, what: &str, play: impl AsyncFn(&mut Scene)) {
    let play = &play;
    let with = async |replicas| {
        let mut scene = Scene::new(replicas).await;
        play(&mut scene).await;
        table::note(scenario, replicas, what, &scene.timeline(CHANNEL));
        scene.end();
    };
    tokio::join!(with(1), with(2));
}
