//! The loop around the core, on queues as brokers are.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod rig;
mod stage;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use rig::{Rig, by_subject, origin, publish_direct, wait_for};
use ronda_domain::id::TenantId;
use ronda_domain::input::ReportedStatus;
use ronda_domain::time::Timestamp;
use ronda_processor::{Config, DeadLetter, DirectAccess};
use ronda_queue::conformance::CountedQueue;
use ronda_queue::{
    Capabilities, Delivery, Depth, Origin, Partition, Position, Published, Queue, QueueError, ReceiveLimit, Receiver,
    Token,
};
use ronda_schemas::codec::Versioned;
use ronda_schemas::event::{EventBatch, EventEnvelope};
use ronda_schemas::row::{ApiKeyRow, Scopes};
use stage::{Gateway, Stage, heartbeat, register, spec, status};
use tokio::sync::watch;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_queue_without_positions_each_message_counts_once_though_owners_are_killed_and_settles_fail() {
    const ROUNDS: u64 = 12;
    const EACH: u64 = 10;
    let queue = Arc::new(CountedQueue::new(1, 7));
    let rig = Rig::with(|_| Arc::clone(&queue) as Arc<dyn Queue>);
    let mut gateway = Gateway::new(1);
    rig.commands.publish(0, gateway.frame(0, &[register("job", spec(None, None))])).await.unwrap();
    for round in 0..ROUNDS {
        let running = rig.start(by_subject());
        queue.fail_settles(u32::from(round % 3 == 1) * 3);
        for number in 0..EACH {
            let text =
                format!(r#"{{"type":"status","scheduler_id":"job","status":"failed","run_id":"r-{round}-{number}"}}"#);
            publish_direct(&rig, &format!("{round}-{number}"), text).await;
        }
        let at = i64::try_from(round).unwrap() + 1;
        rig.commands.publish(0, gateway.frame(at, &[heartbeat("job", None)])).await.unwrap();
        if round % 2 == 0 {
            rig.committed(1 + (round + 1) * (EACH + 1)).await;
            running.stop().await;
        } else {
            // In the midst of it.
            rig.committed(1 + round * (EACH + 1) + EACH / 2).await;
            running.task.abort();
        }
    }
    let running = rig.start(by_subject());
    let all = 1 + ROUNDS * (EACH + 1);
    rig.committed(all).await;
    wait_for("the settling", async || rig.commands.depth(0).await.unwrap().messages == 0).await;
    running.stop().await;
    let row = rig.store.partition(0).await.unwrap().unwrap();
    assert_eq!((row.cursor, row.applied, row.refused), (all, all, 0));
    assert!(row.direct.unwrap().recent.len() <= 14);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_before_the_first_pulse_is_kept_until_there_is_one() {
    let rig = Rig::with(|_| Arc::new(CountedQueue::new(1, 1_000)) as Arc<dyn Queue>);
    publish_direct(&rig, "1", r#"{"type":"register","id":"job"}"#.to_owned()).await;
    let running = rig.start(by_subject());
    wait_for("readiness", async || rig.health.readiness().ok).await;
    publish_direct(&rig, "2", r#"{"type":"status","scheduler_id":"job","status":"success"}"#.to_owned()).await;
    assert!(rig.store.partition(0).await.unwrap().is_none_or(|row| row.cursor == 0), "there is no time to give them");
    running.stop().await;
    assert_eq!(rig.commands.depth(0).await.unwrap().messages, 2);
    let running = rig.start(by_subject());
    rig.commands.publish(0, Gateway::new(1).frame(5, &[])).await.unwrap();
    rig.committed(3).await;
    running.stop().await;
    let state = rig.store.scheduler("acme", "job").await.unwrap().unwrap().state.unwrap();
    assert_eq!(state.registered_at(), stage::second(5));
    assert_eq!(rig.store.partition(0).await.unwrap().unwrap().applied, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_waits_for_a_broker_that_is_away() {
    let mut rig = Rig::with(|_| Arc::new(CountedQueue::new(1, 10)) as Arc<dyn Queue>);
    let letters = Arc::new(CountedQueue::new(1, 10));
    letters.fail_publishes(1_000);
    rig.dead_letters = Arc::clone(&letters) as Arc<dyn Queue>;
    let running = rig.start(by_subject());
    rig.commands.publish(0, Gateway::new(1).frame(0, &[])).await.unwrap();
    publish_direct(&rig, "1", "rubbish".to_owned()).await;
    let told = async || {
        let readiness = rig.health.readiness();
        readiness.ok && readiness.components.iter().any(|one| one.reason.contains("a dead letter can't be published"))
    };
    wait_for("the reason why the partition comes no further", told).await;
    letters.fail_publishes(0);
    rig.committed(2).await;
    wait_for("that it is over", async || rig.health.readiness().components.iter().all(|one| one.reason.is_empty()))
        .await;
    running.stop().await;
    assert_eq!(letters.depth(0).await.unwrap().messages, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_more_comes_before_a_message_is_settled_the_first_ones_have_the_brokers_time() {
    let rig = Rig::with(|_| Arc::new(CountedQueue::new(1, 10).blocking()) as Arc<dyn Queue>);
    let config = Config { commit_interval_ms: 10_000, ..by_subject() };
    let running = rig.start(config);
    let published = Origin { published_ms: Some(3_000), ..origin("1", &[]) };
    rig.commands.publish_direct(0, r#"{"type":"register","id":"job"}"#.into(), &published).await.unwrap();
    rig.committed(1).await;
    let mut gateway = Gateway::new(1);
    for at in 5..15 {
        // Each is committed as it comes, however long commits would be held back elsewhere: nothing else would come.
        rig.commands.publish(0, gateway.frame(at, &[heartbeat("job", None)])).await.unwrap();
    }
    rig.committed(11).await;
    running.stop().await;
    let state = rig.store.scheduler("acme", "job").await.unwrap().unwrap().state.unwrap();
    assert_eq!(state.registered_at(), Timestamp::from_seconds(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_with_a_key_is_its_tenants_and_one_without_is_put_aside_without_what_it_had_for_one() {
    let rig = Rig::with(|_| Arc::new(CountedQueue::new(1, 1_000)) as Arc<dyn Queue>);
    let hash: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(b"rk_good").into();
    let key = ApiKeyRow {
        hash,
        id: "1".into(),
        tenant: TenantId::new("acme").unwrap(),
        name: "fleet".into(),
        scopes: Scopes { ingest: true, read: false, admin: false },
        rate_limit_per_minute: 0,
        created_at: Timestamp::from_seconds(0),
        expires_at: None,
        revoked_at: None,
    };
    rig.store.put_key(key).await.unwrap();
    rig.commands.publish(0, Gateway::new(1).frame(0, &[])).await.unwrap();
    for (id, key) in [("1", "rk_good"), ("2", "rk_bad")] {
        let origin = Origin { tenant: None, ..origin(id, &[("x-api-key", key), ("host", "batch-7")]) };
        rig.commands.publish_direct(0, r#"{"type":"register","id":"job"}"#.into(), &origin).await.unwrap();
    }
    let running = rig.start(Config { direct_access: DirectAccess::ApiKey, ..Config::default() });
    rig.committed(3).await;
    running.stop().await;
    assert!(rig.store.scheduler("acme", "job").await.unwrap().is_some());
    let mut receiver = rig.dead_letters.open(0, None).await.unwrap();
    let deliveries = receiver.receive(ReceiveLimit::default()).await.unwrap();
    let letter = DeadLetter::decode(&deliveries[0].message).unwrap();
    let headers = &letter.origin.as_ref().unwrap().headers;
    assert_eq!((&*letter.code, headers.len(), &*headers[0].0), ("unauthorized", 1, "host"));
    assert!(!deliveries[0].message.windows(3).any(|bytes| bytes == b"rk_"));
}

/// The ids of the events on a queue.
async fn ids(events: &CountedQueue) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for partition in 0..events.partitions() {
        let mut left = events.depth(partition).await.unwrap().messages;
        let mut receiver = events.open(partition, None).await.unwrap();
        while left > 0 {
            for delivery in receiver.receive(ReceiveLimit::default()).await.unwrap() {
                left -= 1;
                ids.extend(EventBatch::decode(&delivery.message).unwrap().events.iter().map(EventEnvelope::id));
            }
        }
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_are_taken_out_while_the_event_queue_takes_nothing_and_every_event_comes_out_in_the_end() {
    const RUNS: [&str; 30] = [
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v",
        "w", "x", "y", "z", "aa", "bb", "cc", "dd",
    ];
    for is_killed in [false, true] {
        let mut rig = Rig::with(|_| Arc::new(CountedQueue::new(1, 7)) as Arc<dyn Queue>);
        let events = Arc::new(CountedQueue::new(4, 100_000));
        rig.events = Arc::clone(&events) as Arc<dyn Queue>;
        events.fail_publishes(u32::MAX);
        let running = rig.start(by_subject());
        let (mut gateway, mut stage) = (Gateway::new(1), Stage::new());
        let mut frames = vec![gateway.frame(0, &[register("job", spec(None, None))])];
        frames.extend(
            (1..).zip(RUNS).map(|(at, run)| gateway.frame(at, &[status("job", ReportedStatus::Failed, Some(run))])),
        );
        for frame in frames {
            stage.take(frame.clone());
            rig.commands.publish(0, frame).await.unwrap();
        }
        wait_for("the settling", async || rig.commands.depth(0).await.unwrap().messages == 0).await;
        assert!(ids(&events).await.is_empty());
        let readiness = rig.health.readiness();
        let reason = format!("{:?}", readiness.components);
        // What a commit says of what is held back, or what the next try to publish it says after that.
        let says_why = reason.contains("takes nothing") || reason.contains("can't be published");
        assert!(readiness.ok && says_why, "{reason}");
        let running = if is_killed {
            running.task.abort();
            assert!(running.task.await.unwrap_err().is_cancelled());
            rig.start(by_subject())
        } else {
            running
        };
        let last = gateway.frame(31, &[status("job", ReportedStatus::Failed, Some("ee"))]);
        stage.take(last.clone());
        rig.commands.publish(0, last).await.unwrap();
        rig.committed(32).await;
        events.fail_publishes(0);
        wait_for("the events", async || ids(&events).await == stage.ids()).await;
        rig.commands.publish(0, gateway.frame(40, &[])).await.unwrap();
        rig.committed(33).await;
        running.stop().await;
        let row = rig.store.scheduler("acme", "job").await.unwrap().unwrap();
        assert!(stage.ids().len() > RUNS.len() && !row.outbox.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_hands_out_no_more_before_the_first_pulse_loses_none_of_what_was_published_directly() {
    let rig = Rig::with(|_| Arc::new(CountedQueue::new(1, 5)) as Arc<dyn Queue>);
    let running = rig.start(by_subject());
    publish_direct(&rig, "0", r#"{"type":"register","id":"job"}"#.to_owned()).await;
    for run in 1..20 {
        let text = format!(r#"{{"type":"status","scheduler_id":"job","status":"success","run_id":"{run}"}}"#);
        publish_direct(&rig, &run.to_string(), text).await;
    }
    rig.committed(20).await;
    rig.commands.publish(0, Gateway::new(1).frame(0, &[])).await.unwrap();
    rig.committed(21).await;
    running.stop().await;
    assert_eq!(rig.dead_letters.depth(0).await.unwrap().messages, 0);
    assert_eq!(rig.store.partition(0).await.unwrap().unwrap().applied, 20);
    let state = rig.store.scheduler("acme", "job").await.unwrap().unwrap().state.unwrap();
    assert!(state.registered_at() > Timestamp::from_seconds(1_700_000_000), "when it was taken out of the queue");
}

/// A log in memory that takes direct messages, as JetStream is.
struct Log {
    messages: Mutex<Vec<(Bytes, Option<Origin>)>>,
    changes: watch::Sender<()>,
}

struct LogReader {
    log: Arc<Log>,
    next: usize,
    changes: watch::Receiver<()>,
}

/// The log as a queue.
struct LogQueue(Arc<Log>);

impl LogQueue {
    fn put(&self, message: Bytes, origin: Option<Origin>) -> Published {
        let mut messages = self.0.messages.lock();
        messages.push((message, origin));
        let position = Position(u64::try_from(messages.len()).unwrap());
        drop(messages);
        self.0.changes.send_replace(());
        Published { position: Some(position) }
    }
}

#[async_trait]
impl Queue for LogQueue {
    fn partitions(&self) -> u32 {
        1
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            max_message_bytes: 1 << 20,
            positions: true,
            log: true,
            refuses_when_full: false,
            max_unsettled: None,
            blocks_until_settled: false,
            linger: None,
            direct: true,
        }
    }

    async fn publish(&self, _: Partition, message: Bytes) -> Result<Published, QueueError> {
        Ok(self.put(message, None))
    }

    async fn publish_direct(&self, _: Partition, message: Bytes, origin: &Origin) -> Result<Published, QueueError> {
        Ok(self.put(message, Some(origin.clone())))
    }

    async fn open(&self, _: Partition, after: Option<Position>) -> Result<Box<dyn Receiver>, QueueError> {
        let next = after.map_or(0, |after| usize::try_from(after.0).unwrap());
        Ok(Box::new(LogReader { log: Arc::clone(&self.0), next, changes: self.0.changes.subscribe() }))
    }

    async fn depth(&self, _: Partition) -> Result<Depth, QueueError> {
        Ok(Depth::default())
    }
}

#[async_trait]
impl Receiver for LogReader {
    async fn receive(&mut self, limit: ReceiveLimit) -> Result<Vec<Delivery>, QueueError> {
        loop {
            self.changes.borrow_and_update();
            let ready: Vec<_> = (1..)
                .zip(self.log.messages.lock().iter())
                .skip(self.next)
                .take(limit.messages.max(1))
                .map(|(position, (message, origin))| Delivery {
                    position: Some(Position(position)),
                    message: message.clone(),
                    token: Token(position),
                    redelivered: false,
                    origin: origin.clone().map(Box::new),
                })
                .collect();
            if !ready.is_empty() {
                self.next += ready.len();
                return Ok(ready);
            }
            let _ = self.changes.changed().await;
        }
    }

    async fn settle(&mut self, _: Token) -> Result<(), QueueError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_much_was_published_directly_before_the_first_pulse_it_gets_the_pulses_time() {
    const MESSAGES: u64 = 10_500;
    let log = Log { messages: Mutex::default(), changes: watch::channel(()).0 };
    let rig = Rig::with(|_| Arc::new(LogQueue(Arc::new(log))) as Arc<dyn Queue>);
    publish_direct(&rig, "0", r#"{"type":"register","id":"job"}"#.to_owned()).await;
    for number in 1..MESSAGES {
        publish_direct(&rig, &number.to_string(), r#"{"type":"heartbeat","scheduler_id":"job"}"#.to_owned()).await;
    }
    let running = rig.start(by_subject());
    let told = || format!("{:?}", rig.health.readiness().components);
    wait_for("the reason", async || told().contains("no gateway has ever sent a pulse")).await;
    rig.commands.publish(0, Gateway::new(1).frame(7, &[])).await.unwrap();
    rig.committed(MESSAGES + 1).await;
    running.stop().await;
    assert_eq!(rig.dead_letters.depth(0).await.unwrap().messages, 0);
    assert_eq!(rig.store.partition(0).await.unwrap().unwrap().applied, MESSAGES);
    let state = rig.store.scheduler("acme", "job").await.unwrap().unwrap().state.unwrap();
    assert_eq!(state.registered_at(), stage::second(7));
}
