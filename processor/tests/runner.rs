//! The loop around the core, on the embedded queue and store.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "helpers of tests; waits for a condition with a deadline"
)]

mod rig;
mod stage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rig::{Rig, wait_for};
use ronda_domain::id::{SchedulerKey, TenantId};
use ronda_domain::input::{Input, ReportedStatus, StatusReport};
use ronda_domain::spec::SchedulerSpec;
use ronda_domain::time::Timestamp;
use ronda_processor::{Config, DeadLetter};
use ronda_queue::ReceiveLimit;
use ronda_schemas::codec::Versioned;
use ronda_schemas::frame::FrameKind;
use ronda_schemas::row::{ApiKeyRow, PartitionRow, SchedulerRow};
use ronda_store::error::{StoreError, StoreErrorKind};
use ronda_store::port::{Commit, KeyStore, PartitionStore, PurgeCursor, Purged, Retention, Store};
use stage::{Gateway, Stage, frame, heartbeat, register, spec, status};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_is_committed_told_and_trimmed_and_a_restart_goes_on() {
    let rig = Rig::new();
    let running = rig.start(Config::default());
    let mut gateway = Gateway::new(1);
    rig.publish(gateway.frame(0, &[register("job", spec(None, None))])).await;
    let position = rig.publish(gateway.frame(1, &[status("job", ReportedStatus::Success, Some("r"))])).await;
    rig.committed(position).await;
    let row = rig.store.scheduler("acme", "job").await.unwrap().unwrap();
    assert_eq!(row.position, position);
    wait_for("readiness", async || rig.health.readiness().ok).await;
    running.stop().await;
    assert_eq!(rig.commands.depth(0).await.unwrap().messages, 0, "settled");

    let running = rig.start(Config { commit_interval_ms: 20, ..Config::default() });
    let position = rig.publish(gateway.frame(2, &[status("job", ReportedStatus::Failed, Some("s"))])).await;
    rig.committed(position).await;
    running.stop().await;
    let ids = rig.event_ids().await;
    assert!(ids.len() >= 4 && ids.iter().all(|id| id.starts_with("acme/job/")), "{ids:?}");
    assert_eq!(rig.store.partition(0).await.unwrap().unwrap().applied, 3);
    assert!(rig.dir.path().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_waits_for_is_committed_at_once_however_far_apart_commits_are() {
    let rig = Rig::new();
    let running = rig.start(Config { commit_interval_ms: 10_000, ..Config::default() });
    let mut gateway = Gateway::new(1);
    rig.publish(gateway.frame(0, &[register("job", spec(None, None))])).await;
    let ten_in_a_row = async {
        for _ in 0..10 {
            let header = gateway.header(1, FrameKind::Awaited);
            let position = rig.publish(frame(&header, &[heartbeat("job", None)])).await;
            rig.committed(position).await;
        }
    };
    // One that waits for its turn takes ten seconds.
    tokio::time::timeout(Duration::from_secs(20), ten_in_a_row).await.expect("none waited for its turn");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_message_is_put_aside_and_the_next_is_applied() {
    let rig = Rig::new();
    let running = rig.start(Config::default());
    let mut gateway = Gateway::new(1);
    rig.publish(bytes::Bytes::from_static(b"not a frame at all")).await;
    let position = rig.publish(gateway.frame(0, &[register("job", spec(None, None)), heartbeat("ghost", None)])).await;
    rig.committed(position).await;
    let mut receiver = rig.dead_letters.open(0, None).await.unwrap();
    let deliveries = receiver.receive(ReceiveLimit::default()).await.unwrap();
    let letter = DeadLetter::decode(&deliveries[0].message).unwrap();
    assert_eq!((letter.position, &*letter.code, &letter.message[..]), (1, "not_a_frame", &b"not a frame at all"[..]));
    assert!(rig.store.scheduler("acme", "job").await.unwrap().is_some());
    let tenant = TenantId::new("acme").unwrap();
    let errors = rig.store.errors(&tenant, None, 10).await.unwrap();
    assert_eq!((errors.len(), &*errors[0].code), (1, "unknown_scheduler"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_was_fenced_commits_nothing_more_and_takes_the_partition_up_anew() {
    let rig = Rig::new();
    let running = rig.start(Config::default());
    let mut gateway = Gateway::new(1);
    let position = rig.publish(gateway.frame(0, &[register("job", spec(None, None))])).await;
    rig.committed(position).await;
    let epoch = rig.store.acquire(0, 1).await.unwrap().epoch;
    let position = rig.publish(gateway.frame(1, &[heartbeat("job", None)])).await;
    rig.committed(position).await;
    let row = rig.store.partition(0).await.unwrap().unwrap();
    assert!(row.epoch > epoch, "only a new owner could commit");
    assert_eq!(row.applied, 2);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_need_several_commits_each_are_all_applied_and_settled() {
    const JOBS: usize = 100;
    let rig = Rig::new();
    let mut gateway = Gateway::new(1);
    let asked: Vec<_> = (0..JOBS).map(|n| register(&format!("job-{n}"), spec(Some(60), None))).collect();
    let mut position = rig.publish(gateway.frame(0, &asked)).await;
    // All there before it starts, so that it receives them together; two of them bring every miss of a minute.
    for at in 1..=131 {
        position = rig.publish(gateway.frame(at, &[])).await;
    }
    let running = rig.start(Config { commit_records: 20, ..Config::default() });
    rig.committed(position).await;
    running.stop().await;
    assert_eq!(rig.commands.depth(0).await.unwrap().messages, 0, "settled");
    let ids = rig.event_ids().await;
    assert_eq!(ids.iter().filter(|id| id.ends_with(":opened")).count(), JOBS, "{ids:?}");
}

/// Everything about it as long as it may be.
fn wordy(every_seconds: Option<u32>) -> SchedulerSpec {
    SchedulerSpec {
        name: "n".repeat(200).into(),
        team: "t".repeat(100).into(),
        environment: "e".repeat(100).into(),
        tags: (0..20).map(|n| format!("{n:064}").into()).collect(),
        runbook_url: format!("https://{}", "r".repeat(1_992)).into(),
        ..spec(every_seconds, None)
    }
}

#[test]
fn a_row_that_carries_all_it_may_is_far_from_what_a_store_refuses() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    stage.take(gateway.frame(0, &[register("job", wordy(None))]));
    let error: &'static str = "x".repeat(4_096).leak();
    let failures: Vec<_> = (0..480)
        .map(|n| {
            let run_id: &'static str = format!("{n:0128}").leak();
            let (tenant, scheduler, input) = status("job", ReportedStatus::Failed, Some(run_id));
            let Input::Status(report) = input else { panic!("a status") };
            (tenant, scheduler, Input::Status(StatusReport { error: Some(error), ..report }))
        })
        .collect();
    stage.take(gateway.frame(1, &failures));
    let row = stage.row("job").unwrap();
    assert!((900..=1_000).contains(&row.outbox.len()), "{}", row.outbox.len());
    assert!(row.encode().unwrap().len() < 8 << 20, "{}", row.encode().unwrap().len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_failures_of_one_scheduler_in_one_frame_are_stored_and_told() {
    const FAILURES: usize = 8_000;
    let rig = Rig::new();
    let running = rig.start(Config::default());
    let mut gateway = Gateway::new(1);
    rig.publish(gateway.frame(0, &[register("job", wordy(None))])).await;
    let failures: Vec<_> = (0..FAILURES).map(|_| status("job", ReportedStatus::Failed, None)).collect();
    rig.publish(gateway.frame(1, &failures)).await;
    let position = rig.publish(gateway.frame(2, &[])).await;
    rig.committed(position).await;
    running.stop().await;
    let row = rig.store.scheduler("acme", "job").await.unwrap().unwrap();
    assert!(row.encode().unwrap().len() < 8 << 20);
    let ids = rig.event_ids().await;
    assert_eq!(ids.iter().filter(|id| id.ends_with(":opened")).count(), 1);
    assert!(ids.len() >= 2 * FAILURES, "each run's failure, and that the alert has changed: {}", ids.len());
    assert_eq!(rig.store.partition(0).await.unwrap().unwrap().applied, 1 + FAILURES as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_without_ronda_of_a_scheduler_that_is_due_each_second_is_stored_and_told() {
    let rig = Rig::new();
    let running = rig.start(Config::default());
    let mut gateway = Gateway::new(1);
    rig.publish(gateway.frame(0, &[register("job", wordy(Some(1)))])).await;
    let mut position = 0;
    // Their grace of ten seconds, given again after the gap, ends in between.
    for at in 86_400..86_415 {
        position = rig.publish(gateway.frame(at, &[])).await;
    }
    rig.committed(position).await;
    running.stop().await;
    let ids: std::collections::BTreeSet<_> = rig.event_ids().await.into_iter().collect();
    assert!(ids.iter().filter(|id| id.contains("unknown")).count() > 86_300, "{}", ids.len());
    let batches = rig.batches().await;
    assert!(batches.iter().all(|batch| batch.events.len() <= 1_000));
}

/// A store that takes no commit for as long as it is told so.
struct Refusing {
    store: Arc<dyn Store>,
    refuses: AtomicBool,
}

#[async_trait]
impl PartitionStore for Refusing {
    fn is_atomic(&self) -> bool {
        self.store.is_atomic()
    }

    async fn acquire(&self, partition: u32, partitions: u32) -> Result<PartitionRow, StoreError> {
        self.store.acquire(partition, partitions).await
    }

    async fn load(
        &self,
        partition: u32,
        partitions: u32,
        after: Option<&SchedulerKey>,
        limit: usize,
    ) -> Result<Vec<SchedulerRow>, StoreError> {
        self.store.load(partition, partitions, after, limit).await
    }

    async fn commit(&self, commit: Arc<Commit>) -> Result<(), StoreError> {
        if self.refuses.load(Ordering::Relaxed) {
            return Err(StoreError::new(StoreErrorKind::Invalid, "scheduler acme/job: too large"));
        }
        self.store.commit(commit).await
    }

    async fn check_owner(&self, partition: u32, epoch: u64) -> Result<(), StoreError> {
        self.store.check_owner(partition, epoch).await
    }

    async fn repartition(&self, partitions: u32) -> Result<(), StoreError> {
        self.store.repartition(partitions).await
    }
}

#[async_trait]
impl Retention for Refusing {
    async fn purge(&self, before: Timestamp, resume: Option<PurgeCursor>, limit: usize) -> Result<Purged, StoreError> {
        self.store.purge(before, resume, limit).await
    }
}

#[async_trait]
impl KeyStore for Refusing {
    async fn put_key(&self, key: ApiKeyRow) -> Result<(), StoreError> {
        self.store.put_key(key).await
    }

    async fn key(&self, hash: &[u8; 32]) -> Result<Option<ApiKeyRow>, StoreError> {
        self.store.key(hash).await
    }

    async fn keys(&self, tenant: Option<&TenantId>) -> Result<Vec<ApiKeyRow>, StoreError> {
        self.store.keys(tenant).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_can_never_be_stored_is_told_in_readiness_until_one_is() {
    let rig = Rig::new();
    let store = Arc::new(Refusing { store: Arc::clone(&rig.store), refuses: AtomicBool::new(true) });
    let running = rig.start_on(Arc::clone(&store), Config::default());
    let mut gateway = Gateway::new(1);
    let position = rig.publish(gateway.frame(0, &[register("job", spec(None, None))])).await;
    let is_told = async || {
        let readiness = rig.health.readiness();
        !readiness.ok && readiness.components[0].reason.contains("acme/job")
    };
    wait_for("the reason", is_told).await;
    // It stays so while the partition is up again and tries anew.
    for _ in 0..100 {
        assert!(is_told().await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    store.refuses.store(false, Ordering::Relaxed);
    rig.committed(position).await;
    wait_for("readiness", async || rig.health.readiness().ok).await;
    running.stop().await;
}

/// A long interval is for what costs much and tells nobody anything: many heartbeats of the same schedulers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_interval_joins_heartbeats_and_holds_back_nothing_that_is_told() {
    let rig = Rig::new();
    let running = rig.start(Config { commit_interval_ms: 600_000, ..Config::default() });
    let mut gateway = Gateway::new(1);
    let position = rig.publish(gateway.frame(0, &[register("job", spec(None, Some(3_600)))])).await;
    rig.committed(position).await;
    let mut last = position;
    for second in 1..=20 {
        last = rig.publish(gateway.frame(second, &[heartbeat("job", None)])).await;
    }
    // Everybody is told how far all is judged, though nothing is written.
    let told = async || rig.batches().await.iter().any(|batch| batch.watermark >= stage::second(20));
    wait_for("the clock", told).await;
    let row = rig.store.scheduler("acme", "job").await.unwrap().unwrap();
    assert!(row.position < last, "{} of {last}", row.position);

    let failed = rig.publish(gateway.frame(21, &[status("job", ReportedStatus::Failed, Some("r"))])).await;
    rig.committed(failed).await;
    let row = rig.store.scheduler("acme", "job").await.unwrap().unwrap();
    assert_eq!(row.position, failed);
    let has_failed = async || {
        rig.batches().await.iter().any(|batch| !batch.events.is_empty() && batch.watermark >= stage::second(21))
    };
    wait_for("the failure", has_failed).await;
    // What waits at the end goes with the last commit.
    let heartbeat = rig.publish(gateway.frame(22, &[heartbeat("job", None)])).await;
    wait_for("the clock", async || rig.batches().await.iter().any(|batch| batch.watermark >= stage::second(22))).await;
    running.stop().await;
    assert_eq!(rig.store.partition(0).await.unwrap().unwrap().cursor, heartbeat);
}
