//! The whole notifier, by a switchboard, to a webhook and to mail.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ronda_domain::event::{Change, Event, EventKind, Resolution};
use ronda_domain::id::{SchedulerId, SchedulerKey, TenantId};
use ronda_domain::record::{OccurrenceStatus, Subject};
use ronda_domain::spec::Severity;
use ronda_domain::time::Timestamp;
use ronda_lease::Ownership;
use ronda_notifier::{Config, Notifier, NotifierError, Switchboard, TerminalChannel};
use ronda_queue::{EmbeddedOptions, EmbeddedQueue, Queue};
use ronda_runtime::{CancellationToken, Health, SystemClock};
use ronda_schemas::codec::Versioned;
use ronda_schemas::event::{EventBatch, EventEnvelope, SchedulerEvent, SchedulerSummary};
use ronda_store::embedded::EmbeddedStore;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::stranger::Stranger;
use super::{mail, webhook};

struct Running {
    queue: Arc<dyn Queue>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), NotifierError>>,
}

fn switchboard() -> Switchboard {
    let terminal = TerminalChannel::new(Box::new(std::io::sink()), Arc::new(SystemClock::new()), "UTC");
    Switchboard::new(Arc::new(terminal))
}

impl Running {
    fn start(dir: &Path, switchboard: Switchboard, place: &str) -> Self {
        let options = EmbeddedOptions { partitions: 1, ..EmbeddedOptions::default() };
        let queue: Arc<dyn Queue> = Arc::new(EmbeddedQueue::open(dir.join("events"), options).unwrap());
        let store = EmbeddedStore::open(dir.join("store"), ronda_store::embedded::EmbeddedOptions::default()).unwrap();
        let config = Config { channel: place.into(), grouping_wait_ms: 50, ..Config::default() };
        let (events, clock, channel) = (Arc::clone(&queue), Arc::new(SystemClock::new()), Arc::new(switchboard));
        let notifier = Notifier::build(config, events, Arc::new(store), clock, channel, &Health::new()).unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(notifier.run(Ownership::all(1), stop.clone()));
        Self { queue, stop, task }
    }

    async fn publish(&self, name: &str, kind: EventKind) {
        let key =
            SchedulerKey { tenant: TenantId::new("acme").unwrap(), scheduler: SchedulerId::new("billing").unwrap() };
        let summary = SchedulerSummary {
            name: "Nightly\r\nBcc: x@y.z\r\n billing".into(),
            team: "payments".into(),
            environment: "production".into(),
            tags: Box::new([]),
            severity: Severity::Critical,
            runbook_url: "https://wiki/billing".into(),
            scheduled: true,
            past: None,
            mute: None,
        };
        let at = Timestamp::from_seconds(1_795_456_900);
        let event = SchedulerEvent { key, summary, event: Event { id: name.into(), at, kind } };
        let events = vec![EventEnvelope::Scheduler(Box::new(event))];
        let batch = EventBatch { source_partition: 0, source_partitions: 1, watermark: at, events };
        self.queue.publish(0, Bytes::from(batch.encode().unwrap())).await.unwrap();
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

fn change(to: OccurrenceStatus) -> Change {
    let due = Timestamp::from_seconds(1_795_456_800);
    Change {
        subject: Subject::Occurrence { due },
        from: OccurrenceStatus::Running,
        to,
        correction: false,
        started_at: Some(due),
        ended_at: Some(due.plus_seconds(90)),
        late_start_ms: None,
        stale: None,
        run_id: Some("r-1".into()),
        error: Some("disk full".into()),
        exit_code: Some(1),
        duration_ms: Some(90_000),
    }
}

fn opened() -> EventKind {
    EventKind::AlertOpened { alert: "a1".into(), cause: change(OccurrenceStatus::Failed), streak: 1 }
}

fn resolved() -> EventKind {
    let by = change(OccurrenceStatus::Succeeded);
    let opened_at = Timestamp::from_seconds(1_795_456_890);
    EventKind::AlertResolved { alert: "a1".into(), opened_at, resolution: Resolution::Recovered { by } }
}

#[tokio::test]
async fn an_alert_whose_event_got_no_answer_comes_again_under_its_id_and_is_told_to_be_over() {
    let Some(mut receiver) = Stranger::start("receiver.py", webhook::LIBRARY, &[webhook::NEW]).await else { return };
    let dir = tempfile::tempdir().unwrap();
    receiver.tell("0").await;
    receiver.tell("503 1").await;
    let channel = webhook::channel(webhook::config(receiver.port, &[webhook::NEW]));
    let running = Running::start(dir.path(), switchboard().with_webhook("ops", channel), webhook::HERE);
    running.publish("opened", opened()).await;
    let [lost, refused, taken] = [receiver.next().await, receiver.next().await, receiver.next().await];
    assert!(lost["id"] == refused["id"] && lost["id"] == taken["id"], "{lost} {refused} {taken}");
    let message = &taken["body"]["data"]["message"];
    assert_eq!(taken["body"]["data"]["links"][0]["url"], "https://wiki/billing");

    // The alert's own row takes the answer in a moment after it was given; only then is there anything to reply to.
    tokio::time::timeout(Duration::from_secs(30), async {
        running.publish("resolved", resolved()).await;
        let mut seen = [receiver.next().await, receiver.next().await];
        seen.sort_by_key(|event| event["body"]["data"]["kind"].to_string());
        let kinds: Vec<(&Value, &Value)> =
            seen.iter().map(|event| (&event["body"]["type"], &event["body"]["data"]["over"])).collect();
        assert_eq!(kinds, [(&json!("message.updated"), &json!(true)), (&json!("message.posted"), &json!(true))]);
        assert_eq!(&seen[0]["body"]["data"]["message"], message);
        assert_eq!(&seen[1]["body"]["data"]["reply_to"], message);
        assert!(seen.iter().all(|event| event["verified"] == true));
    })
    .await
    .unwrap();
    running.stop().await;
    assert_eq!(receiver.all().await, Vec::<Value>::new(), "nothing else was sent");
}

#[tokio::test]
async fn an_alert_and_its_recovery_are_two_mails_in_one_thread() {
    let Some(mut server) = Stranger::start("mailbox.py", mail::SERVER, &["none"]).await else { return };
    let dir = tempfile::tempdir().unwrap();
    let channel = mail::channel(mail::config(server.port));
    let running = Running::start(dir.path(), switchboard().with_mail(channel), mail::OPS);
    running.publish("opened", opened()).await;
    let alert = server.next().await;
    assert_eq!(alert["to"], json!(["ops@example.com", "night@example.com"]));
    let subject = alert["headers"]["subject"].as_str().unwrap();
    assert!(subject.contains("Nightly") && alert["headers"]["bcc"].is_null(), "{alert}");
    running.publish("resolved", resolved()).await;
    let recovery = server.next().await;
    assert_eq!(recovery["headers"]["in-reply-to"], alert["headers"]["message-id"]);
    running.stop().await;
    assert_eq!(server.all().await, Vec::<Value>::new(), "the edit on its own is no mail");
}
