//! A store that answers late, not at all, or that somebody else has acquired the partition: on the embedded queue and store.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "helpers of tests; waits for a condition with a deadline"
)]

mod faults;
mod rig;
mod stage;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use faults::{Fault, Faulty};
use rig::{Rig, wait_for};
use ronda_domain::input::ReportedStatus;
use ronda_domain::record::OccurrenceStatus;
use ronda_domain::time::Timestamp;
use ronda_lease::{Ownership, Returned};
use ronda_processor::Config;
use ronda_queue::ReceiveLimit;
use ronda_schemas::event::EventEnvelope;
use ronda_store::port::HistoryQuery;
use stage::{Asked, Gateway, Stage, heartbeat, key, register, spec, status};

const HISTORY: HistoryQuery = HistoryQuery {
    from: Timestamp::MIN,
    until: Timestamp::MAX,
    after: None,
    limit: 1_000,
    runs_each: 100,
    max_rows: 100_000,
};

fn config() -> Config {
    Config { commit_interval_ms: 0, receive_messages: 4, ..Config::default() }
}

/// Frames of a minute: one job that fails three times in a row and recovers, one that is well, one that is not heard of any more.
fn minute(gateway: &mut Gateway) -> Vec<bytes::Bytes> {
    let mut frames = vec![gateway.frame(
        0,
        &[
            register("fails", spec(None, None)),
            register("well", spec(Some(20), Some(15))),
            register("silent", spec(None, Some(10))),
            heartbeat("silent", Some("r")),
        ],
    )];
    let report = |job: &str, reported| -> Asked { status(job, reported, None) };
    for second in 1..60 {
        let mut asked = Vec::new();
        match second {
            5 | 10 | 15 => asked.push(report("fails", ReportedStatus::Failed)),
            30 => asked.push(report("fails", ReportedStatus::Success)),
            _ => {}
        }
        if second % 20 == 0 {
            asked.push(report("well", ReportedStatus::Success));
        }
        frames.push(gateway.frame(second, &asked));
    }
    frames
}

/// What a run without trouble comes to.
fn calm(frames: &[bytes::Bytes]) -> Stage {
    let mut stage = Stage::new();
    frames.iter().for_each(|frame| stage.take(frame.clone()));
    stage
}

async fn is_as_calm(rig: &Rig, calm: &Stage) {
    let (row, expected) = (rig.store.partition(0).await.unwrap().unwrap(), &calm.shadow.partition);
    assert_eq!((row.applied, row.refused, row.cursor), (expected.applied, expected.refused, expected.cursor));
    assert_eq!((row.watermark, &row.gateways), (expected.watermark, &expected.gateways));
    for (key, expected) in &calm.shadow.rows {
        let row = rig.store.scheduler(key.tenant.as_str(), key.scheduler.as_str()).await.unwrap().unwrap();
        assert_eq!(row.state, expected.state);
        let page = rig.store.history(key, &HISTORY).await.unwrap();
        let entries: BTreeSet<_> = page.entries.iter().map(|entry| format!("{:?}", entry.occurrence)).collect();
        let of_key = calm.shadow.occurrences.iter().filter(|((of, _), _)| of == key);
        assert_eq!(entries, of_key.map(|(_, record)| format!("{record:?}")).collect());
    }
    let ids: BTreeSet<_> = rig.event_ids().await.into_iter().collect();
    assert_eq!(ids, calm.ids());
    assert_eq!(rig.commands.depth(0).await.unwrap().messages, 0, "settled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_whose_answers_are_lost_are_tried_again_and_count_once() {
    use Fault::{AnswerLost, Throttled, Unavailable};
    let rig = Rig::new();
    let store = Faulty::new(&rig.store);
    let frames = minute(&mut Gateway::new(1));
    let faults = [AnswerLost, Unavailable, AnswerLost, Throttled(Duration::from_millis(50))];
    let running = rig.start_on(Arc::clone(&store), config());
    for (frame, fault) in frames.iter().zip(faults.into_iter().cycle()) {
        store.then([fault]);
        let position = rig.publish(frame.clone()).await;
        rig.committed(position).await;
    }
    running.stop().await;
    assert!(store.is_through(), "all of them came about");
    assert_eq!(rig.store.partition(0).await.unwrap().unwrap().epoch, 1, "nobody was fenced");
    is_as_calm(&rig, &calm(&frames)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_was_made_unheard_before_the_partition_was_acquired_counts_once() {
    let rig = Rig::new();
    let store = Faulty::new(&rig.store);
    let (mut owner, ownership) = Ownership::new();
    owner.assign([0].into());
    let running = rig.start_with(Arc::clone(&store), config(), ownership);
    let frames = minute(&mut Gateway::new(1));
    let mut position = 0;
    for (second, frame) in frames.iter().enumerate() {
        // When something is told, and before and after it.
        let faults = match second {
            5 | 17 => vec![Fault::AnswerLostAndFenced],
            15 => vec![Fault::Unavailable, Fault::AnswerLostAndFenced],
            30 => vec![Fault::Fenced],
            _ => Vec::new(),
        };
        let is_fenced = !faults.is_empty();
        store.then(faults);
        position = rig.publish(frame.clone()).await;
        if is_fenced {
            let told = tokio::time::timeout(Duration::from_secs(60), owner.returned()).await;
            assert_eq!(told.expect("it tells in time"), Some(Returned::Fenced(0)));
            assert!(store.is_through());
        }
    }
    rig.committed(position).await;
    running.stop().await;
    assert_eq!(owner.returned().await, Some(Returned::LetGo(0)));
    is_as_calm(&rig, &calm(&frames)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_away_ingest_goes_on_and_afterwards_all_is_caught_up_without_a_false_alarm() {
    let rig = Rig::new();
    let store = Faulty::new(&rig.store);
    let running = rig.start_on(Arc::clone(&store), config());
    let mut gateway = Gateway::new(1);
    let asked = [register("job", spec(None, Some(10))), status("job", ReportedStatus::Running, Some("r"))];
    let mut frames = vec![gateway.frame(0, &asked)];
    let position = rig.publish(frames[0].clone()).await;
    rig.committed(position).await;

    store.is_away.store(true, Ordering::SeqCst);
    let before = store.asked.load(Ordering::SeqCst);
    let mut last = 0;
    // A quarter of an hour in which the job is heard of every five seconds, well within its time-out.
    for second in 1..900 {
        let asked = if second % 5 == 0 { vec![heartbeat("job", Some("r"))] } else { Vec::new() };
        frames.push(gateway.frame(second, &asked));
        last = rig.publish(frames.last().unwrap().clone()).await;
    }
    wait_for("attempts", async || store.asked.load(Ordering::SeqCst) > before + 2).await;
    let reason = || rig.health.readiness().components[0].clone();
    wait_for("the reason", async || reason().reason.contains("the store takes no commits")).await;
    assert!(reason().ok, "what comes in is kept: {:?}", reason());
    assert!(rig.health.liveness().ok);
    assert_eq!(rig.store.partition(0).await.unwrap().unwrap().cursor, position, "commits stop");
    assert!(rig.commands.depth(0).await.unwrap().messages >= 899, "messages wait");

    store.is_away.store(false, Ordering::SeqCst);
    rig.committed(last).await;
    wait_for("no reason", async || reason().ok && reason().reason.is_empty()).await;
    running.stop().await;
    is_as_calm(&rig, &calm(&frames)).await;
    let state = rig.store.scheduler("acme", "job").await.unwrap().unwrap().state.unwrap();
    let history = rig.store.history(&key("job"), &HISTORY).await.unwrap();
    let is_stale = history.entries.iter().any(|entry| entry.occurrence.status == OccurrenceStatus::Stale);
    assert!(!is_stale, "{history:?} {state:?}");
    let ids = rig.event_ids().await;
    assert!(ids.iter().all(|id| !id.contains("stale") && !id.contains("opened")), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_is_killed_while_the_store_is_away_leaves_everything_to_the_next() {
    let rig = Rig::new();
    let store = Faulty::new(&rig.store);
    let running = rig.start_on(Arc::clone(&store), config());
    let frames = minute(&mut Gateway::new(1));
    let mut last = 0;
    for frame in &frames[..20] {
        last = rig.publish(frame.clone()).await;
    }
    rig.committed(last).await;
    store.is_away.store(true, Ordering::SeqCst);
    for frame in &frames[20..] {
        last = rig.publish(frame.clone()).await;
    }
    let before = store.asked.load(Ordering::SeqCst);
    wait_for("attempts", async || store.asked.load(Ordering::SeqCst) > before + 1).await;
    running.task.abort();
    assert!(running.task.await.unwrap_err().is_cancelled());
    // The next one comes while the store is still away.
    let running = rig.start_on(Arc::clone(&store), config());
    wait_for("the reason", async || rig.health.readiness().components[0].reason.contains("the store is away")).await;
    store.is_away.store(false, Ordering::SeqCst);
    rig.committed(last).await;
    running.stop().await;
    is_as_calm(&rig, &calm(&frames)).await;
    let mut letters = rig.dead_letters.open(0, None).await.unwrap();
    let none = tokio::time::timeout(Duration::from_millis(50), letters.receive(ReceiveLimit::default())).await;
    assert!(none.is_err(), "no dead letters");
    let alerts = rig.batches().await.into_iter().flat_map(|batch| batch.events);
    let opened: BTreeSet<_> =
        alerts.map(|event: EventEnvelope| event.id()).filter(|id| id.ends_with(":opened")).collect();
    assert_eq!(opened.len(), 2, "one of the job that fails, and one of the silent one: {opened:?}");
}
