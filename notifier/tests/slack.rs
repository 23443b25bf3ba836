//! The whole notifier over real HTTP: an embedded queue and store on one side, a stand-in for Slack on the other.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use ronda_domain::event::{Change, Event, EventKind, Resolution};
use ronda_domain::id::{SchedulerId, SchedulerKey, TenantId};
use ronda_domain::record::{OccurrenceStatus, Subject};
use ronda_domain::spec::Severity;
use ronda_domain::time::Timestamp;
use ronda_lease::Ownership;
use ronda_notifier::channel::{About, ChannelErrorKind, Content, FindRequest, Metadata, PostRequest, Posted};
use ronda_notifier::route::{Kind, Maintenance, Matcher, Route, When};
use ronda_notifier::{Channel, Config, Notifier, NotifierError, SlackChannel, SlackConfig, TerminalChannel};
use ronda_queue::conformance::CountedQueue;
use ronda_queue::{EmbeddedOptions, EmbeddedQueue, Queue};
use ronda_runtime::{CancellationToken, Health, Secret, SystemClock};
use ronda_schemas::codec::Versioned;
use ronda_schemas::event::{EventBatch, EventEnvelope, SchedulerEvent, SchedulerSummary};
use ronda_slack_standin::{Fault, FaultRule, SeenKind, StandIn, TOKEN};
use ronda_store::embedded::EmbeddedStore;
use tokio::task::JoinHandle;

const CHANNEL: &str = "C1";

struct Running {
    queue: Arc<dyn Queue>,
    health: Health,
    stop: CancellationToken,
    task: JoinHandle<Result<(), NotifierError>>,
}

impl Running {
    fn start(dir: &Path, channel: Arc<dyn Channel>) -> Self {
        Self::start_in(dir, channel, CHANNEL)
    }

    fn start_in(dir: &Path, channel: Arc<dyn Channel>, place: &str) -> Self {
        let options = EmbeddedOptions { partitions: 1, ..EmbeddedOptions::default() };
        let queue = Arc::new(EmbeddedQueue::open(dir.join("events"), options).unwrap());
        Self::start_on(dir, channel, place, queue)
    }

    fn start_on(dir: &Path, channel: Arc<dyn Channel>, place: &str, queue: Arc<dyn Queue>) -> Self {
        Self::start_with(dir, channel, Config { channel: place.to_owned(), ..Config::default() }, queue)
    }

    /// With routes, and C1 for what none is for.
    fn start_routed(dir: &Path, stand_in: &StandIn, routes: Vec<Route>) -> Self {
        Self::start_held(dir, stand_in, routes, Vec::new())
    }

    /// And with maintenance.
    fn start_held(dir: &Path, stand_in: &StandIn, routes: Vec<Route>, maintenance: Vec<Maintenance>) -> Self {
        let options = EmbeddedOptions { partitions: 1, ..EmbeddedOptions::default() };
        let queue = Arc::new(EmbeddedQueue::open(dir.join("events"), options).unwrap());
        let config = Config { channel: CHANNEL.to_owned(), routes, maintenance, ..Config::default() };
        Self::start_with(dir, slack(stand_in), config, queue)
    }

    fn start_with(dir: &Path, channel: Arc<dyn Channel>, config: Config, queue: Arc<dyn Queue>) -> Self {
        let store = EmbeddedStore::open(dir.join("store"), ronda_store::embedded::EmbeddedOptions::default()).unwrap();
        let config = Config { grouping_wait_ms: 50, reconcile_interval_seconds: 1, ..config };
        let events = Arc::clone(&queue);
        let clock = Arc::new(SystemClock::new());
        let health = Health::new();
        let notifier = Notifier::build(config, events, Arc::new(store), clock, channel, &health).unwrap();
        let stop = CancellationToken::new();
        let ownership = Ownership::all(queue.partitions());
        let task = tokio::spawn(notifier.run(ownership, stop.clone()));
        Self { queue, health, stop, task }
    }

    async fn publish(&self, name: &str, kind: EventKind) {
        self.publish_at(Timestamp::from_seconds(1_795_456_900), name, kind).await;
    }

    async fn publish_at(&self, at: Timestamp, name: &str, kind: EventKind) {
        let key =
            SchedulerKey { tenant: TenantId::new("acme").unwrap(), scheduler: SchedulerId::new("billing").unwrap() };
        let summary = SchedulerSummary {
            name: "Nightly billing".into(),
            team: "payments".into(),
            environment: "production".into(),
            tags: Box::new([]),
            severity: Severity::Critical,
            runbook_url: "https://wiki/billing".into(),
            scheduled: true,
            past: None,
            mute: None,
        };
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

fn slack(stand_in: &StandIn) -> Arc<dyn Channel> {
    let mut config = SlackConfig::new(Secret::new(TOKEN));
    config.api_url = stand_in.api_url();
    config.timeout_ms = 1_000;
    config.post_interval_ms = 20;
    config.edit_interval_ms = 20;
    Arc::new(SlackChannel::new(config).unwrap())
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

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited in vain: {what}");
}

#[tokio::test]
async fn an_alert_is_posted_edited_and_replied_to_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let stand_in = StandIn::start().await.unwrap();
    let running = Running::start(dir.path(), slack(&stand_in));
    running.publish("opened", opened()).await;
    until("the alert", || stand_in.slack().messages(CHANNEL).len() == 1).await;
    running.publish("opened", opened()).await;
    running.publish("resolved", resolved()).await;
    until("the reply", || stand_in.slack().messages(CHANNEL).len() == 2).await;
    until("the edit", || stand_in.slack().messages(CHANNEL)[0].text.contains("recovered")).await;
    running.stop().await;
    let kinds: Vec<SeenKind> = stand_in.slack().seen().iter().map(|seen| seen.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == SeenKind::Posted).count(), 1, "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == SeenKind::Replied).count(), 1, "{kinds:?}");
}

#[tokio::test]
async fn a_lost_answer_and_a_lost_request_are_both_one_message() {
    for effective in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let stand_in = StandIn::start().await.unwrap();
        stand_in.slack().fail_next("chat.postMessage", Fault::ServerError { effective });
        let running = Running::start(dir.path(), slack(&stand_in));
        running.publish("opened", opened()).await;
        until("the alert", || stand_in.slack().messages(CHANNEL).len() == 1).await;
        running.publish("resolved", resolved()).await;
        until("the edit reaches it", || stand_in.slack().messages(CHANNEL)[0].text.contains("recovered")).await;
        until("the reply", || stand_in.slack().messages(CHANNEL).len() == 2).await;
        running.stop().await;
        assert_eq!(
            stand_in.slack().calls("chat.postMessage"),
            if effective { 2 } else { 3 },
            "alert, reply, and the lost one"
        );
    }
}

#[tokio::test]
async fn after_a_restart_nothing_is_posted_again() {
    let dir = tempfile::tempdir().unwrap();
    let stand_in = StandIn::start().await.unwrap();
    let running = Running::start(dir.path(), slack(&stand_in));
    running.publish("opened", opened()).await;
    until("the alert", || stand_in.slack().messages(CHANNEL).len() == 1).await;
    running.stop().await;
    let running = Running::start(dir.path(), slack(&stand_in));
    running.publish("opened", opened()).await;
    running.publish("resolved", resolved()).await;
    until("the reply", || stand_in.slack().messages(CHANNEL).len() == 2).await;
    running.stop().await;
    assert_eq!(stand_in.slack().calls("chat.postMessage"), 2);
}

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn on_a_queue_without_positions_what_comes_again_is_not_posted_again_and_all_is_settled() {
    let dir = tempfile::tempdir().unwrap();
    let stand_in = StandIn::start().await.unwrap();
    let queue = Arc::new(CountedQueue::new(1, 3));
    let start = || Running::start_on(dir.path(), slack(&stand_in), CHANNEL, Arc::clone(&queue) as _);
    let left = async || queue.depth(0).await.unwrap().messages;
    queue.fail_settles(u32::MAX);
    let running = start();
    running.publish("opened", opened()).await;
    until("the alert", || stand_in.slack().messages(CHANNEL).len() == 1).await;
    running.stop().await;
    assert_eq!(left().await, 1, "it could not be settled");
    queue.fail_settles(1);
    let running = start();
    // More than it gets before it settles some; the first settle fails.
    for n in 0..7 {
        queue.publish(0, Bytes::from(format!("no batch {n}"))).await.unwrap();
    }
    running.publish("resolved", resolved()).await;
    let count = |wanted| stand_in.slack().seen().iter().filter(|seen| seen.kind == wanted).count();
    until("the reply", || count(SeenKind::Replied) == 1).await;
    let all_settled = async {
        while left().await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all_settled).await.expect("all is settled");
    running.stop().await;
    assert_eq!(count(SeenKind::Posted), 2, "the alert, and that something could not be read");
}

#[tokio::test]
async fn without_a_token_it_goes_to_the_terminal_and_once_there_is_one_to_slack() {
    let dir = tempfile::tempdir().unwrap();
    let screen = Screen::default();
    let text = || String::from_utf8(screen.0.lock().clone()).unwrap();
    let terminal =
        Arc::new(TerminalChannel::new(Box::new(screen.clone()), Arc::new(SystemClock::new()), "Asia/Jakarta"));
    let running = Running::start_in(dir.path(), terminal, "the terminal");
    running.publish("opened", opened()).await;
    until("the alert on the terminal", || text().contains("Nightly billing failed")).await;
    running.stop().await;
    assert!(text().contains("> disk full") && text().contains("Runbook: https://wiki/billing"), "{}", text());

    let stand_in = StandIn::start().await.unwrap();
    let running = Running::start(dir.path(), slack(&stand_in));
    until("the alert on Slack", || stand_in.slack().messages(CHANNEL).len() == 1).await;
    running.stop().await;
}

#[tokio::test]
async fn a_reply_that_slack_posted_beside_its_deleted_parent_is_told_as_such() {
    let stand_in = StandIn::start().await.unwrap();
    let request = PostRequest {
        channel: CHANNEL.into(),
        thread_ts: Some("1795456900.000100".into()),
        content: Content { text: "over".into(), ..Content::default() },
        metadata: Metadata { installation: "here".into(), k: "r/1".into(), generation: 0, revision: 1 },
        about: About::default(),
    };
    let error = slack(&stand_in).post(request).await.unwrap_err();
    let ts = stand_in.slack().messages(CHANNEL)[0].ts.clone();
    let stray = Posted { channel: CHANNEL.into(), ts };
    assert_eq!(error.kind, ChannelErrorKind::Orphaned { stray });
    assert_eq!(stand_in.slack().calls("chat.delete"), 0, "one attempt a call: removing it is another");
}

#[tokio::test]
async fn a_reply_beside_its_deleted_parent_is_found_though_its_answer_was_lost() {
    let stand_in = StandIn::start().await.unwrap();
    let channel = slack(&stand_in);
    let metadata = Metadata { installation: "here".into(), k: "r/1".into(), generation: 0, revision: 1 };
    let parent = "1795456900.000100".to_owned();
    stand_in.slack().fail_next("chat.postMessage", Fault::ServerError { effective: true });
    let content = Content { text: "over".into(), ..Content::default() };
    let (thread_ts, about) = (Some(parent.clone()), About::default());
    let post = PostRequest { channel: CHANNEL.into(), thread_ts, content, metadata, about };
    assert_eq!(channel.post(post).await.unwrap_err().kind, ChannelErrorKind::Ambiguous);
    let now_ms = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let find = |k: &str| FindRequest {
        channel: CHANNEL.into(),
        thread_ts: Some(parent.clone()),
        installation: "here".into(),
        k: k.into(),
        oldest_ms: now_ms - 60_000,
        claimed_ms: (now_ms, now_ms),
    };
    let stray = Posted { channel: CHANNEL.into(), ts: stand_in.slack().messages(CHANNEL)[0].ts.clone() };
    assert_eq!(channel.find(find("r/1")).await.unwrap_err().kind, ChannelErrorKind::Orphaned { stray });
    assert_eq!(channel.find(find("r/2")).await.unwrap_err().kind.class(), "missing");
}

#[tokio::test]
async fn a_wrong_token_is_told_in_the_status() {
    let stand_in = StandIn::start().await.unwrap();
    let mut config = SlackConfig::new(Secret::new("xoxb-wrong"));
    config.api_url = stand_in.api_url();
    let channel = SlackChannel::new(config).unwrap();
    let error = channel.check(&[]).await.unwrap_err();
    assert_eq!(error.kind.class(), "destination_broken");
    assert!(!error.to_string().contains("xoxb"), "{error}");
}

#[tokio::test]
async fn a_channel_that_can_not_be_read_is_told_at_the_start() {
    let stand_in = StandIn::start().await.unwrap();
    let channel = slack(&stand_in);
    assert!(channel.check(&[CHANNEL.to_owned()]).await.is_ok());
    let error = channel.check(&[CHANNEL.to_owned(), "the terminal".to_owned()]).await.unwrap_err();
    assert_eq!(error.kind.class(), "destination_broken");
    assert!(error.to_string().contains("channel_not_found for \"the terminal\""), "{error}");
}

#[tokio::test]
async fn of_many_channels_each_that_can_not_be_read_is_told_and_being_asked_to_wait_is_no_refusal() {
    let stand_in = StandIn::start().await.unwrap();
    let channel = slack(&stand_in);
    let wait = Fault::RateLimited { retry_after_seconds: 1 };
    stand_in.slack().fail(FaultRule { skip: 1, ..FaultRule::next("conversations.history", wait.clone()) });
    let channels = ["one", CHANNEL, "two", CHANNEL].map(str::to_owned);
    let error = channel.check(&channels).await.unwrap_err().to_string();
    assert!(error.contains("for \"one\"") && error.contains("for \"two\""), "{error}");
    assert!(!error.contains("rate limited") && !error.contains(CHANNEL), "{error}");
    stand_in.slack().fail(FaultRule::next("conversations.history", wait));
    assert!(channel.check(&[CHANNEL.to_owned()]).await.is_ok());
}

#[tokio::test]
async fn a_token_that_is_no_header_breaks_the_destination_and_not_the_message() {
    let stand_in = StandIn::start().await.unwrap();
    let mut config = SlackConfig::new(Secret::new("xoxb-\n"));
    config.api_url = stand_in.api_url();
    let error = SlackChannel::new(config).unwrap().check(&[]).await.unwrap_err();
    assert_eq!(error.kind.class(), "destination_broken", "{error}");
}

#[tokio::test]
async fn events_of_a_newer_release_end_it_and_a_damaged_batch_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let stand_in = StandIn::start().await.unwrap();
    let running = Running::start(dir.path(), slack(&stand_in));
    running.queue.publish(0, Bytes::from_static(b"damaged")).await.unwrap();
    running.publish("opened", opened()).await;
    until("the alert and the notice", || stand_in.slack().messages(CHANNEL).len() == 2).await;
    // `[9, []]`: version 9.
    running.queue.publish(0, Bytes::from_static(&[0x92, 9, 0x90])).await.unwrap();
    let error = tokio::time::timeout(Duration::from_secs(30), running.task).await.unwrap().unwrap().unwrap_err();
    assert!(error.needs_newer_release(), "{error}");
}

#[tokio::test]
async fn a_destination_that_refuses_us_is_the_reason_that_health_gives() {
    let dir = tempfile::tempdir().unwrap();
    let stand_in = StandIn::start().await.unwrap();
    let running = Running::start_in(dir.path(), slack(&stand_in), "nowhere");
    let reason = || running.health.readiness().components[0].reason.clone();
    until("the reason", || reason().contains("channel_not_found")).await;
    assert!(running.health.readiness().ok, "no reason to send traffic elsewhere");
    running.stop().await;
}

#[tokio::test]
async fn a_message_is_looked_for_near_its_claim_then_everywhere_and_only_among_our_own() {
    let stand_in = StandIn::start().await.unwrap();
    let channel = slack(&stand_in);
    let post = |k: &str| PostRequest {
        channel: CHANNEL.into(),
        thread_ts: None,
        content: Content { text: "x".into(), ..Content::default() },
        metadata: Metadata { installation: "here".into(), k: k.into(), generation: 0, revision: 1 },
        about: About::default(),
    };
    for number in 0..3 {
        channel.post(post(&format!("k{number}"))).await.unwrap();
    }
    let now_ms = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let find = |k: &str, claimed_ms: i64| FindRequest {
        channel: CHANNEL.into(),
        thread_ts: None,
        installation: "here".into(),
        k: k.into(),
        oldest_ms: now_ms - 6 * 3_600_000,
        claimed_ms: (claimed_ms, claimed_ms),
    };
    assert_eq!(channel.find(find("k1", now_ms)).await.unwrap().len(), 1);
    assert_eq!(channel.find(find("k1", now_ms - 3_600_000)).await.unwrap().len(), 1, "our clock may be an hour off");
    assert_eq!(channel.find(find("k9", now_ms)).await.unwrap(), []);
    let elsewhere = FindRequest { installation: "there".into(), ..find("k1", now_ms) };
    assert_eq!(channel.find(elsewhere).await.unwrap(), [], "another installation's messages are not ours");
}

/// To the team's channel, calling its group, and to everybody's.
fn to_both() -> Vec<Route> {
    let team = Matcher { teams: vec!["pay*".into()], kinds: vec![Kind::Failed], ..Matcher::default() };
    let first = Route {
        matcher: team,
        channel: Some("C2".into()),
        mentions: vec!["S0123ABCD".parse().unwrap()],
        goes_on: true,
        ..Route::default()
    };
    vec![first, Route::default()]
}

#[tokio::test]
async fn an_alert_of_two_routes_is_seen_once_in_each_channel_and_calls_whom_its_route_names() {
    let dir = tempfile::tempdir().unwrap();
    let stand_in = StandIn::start().await.unwrap();
    // One of the two posts is made, and its answer is lost.
    stand_in.slack().fail_next("chat.postMessage", Fault::ServerError { effective: true });
    let running = Running::start_routed(dir.path(), &stand_in, to_both());
    let shown = |channel: &str| stand_in.slack().messages(channel);
    running.publish("opened", opened()).await;
    until("both alerts", || shown("C1").len() == 1 && shown("C2").len() == 1).await;
    assert!(shown("C2")[0].text.ends_with("\n<!subteam^S0123ABCD>"), "{}", shown("C2")[0].text);
    assert!(!shown("C1")[0].text.contains("S0123ABCD"), "{}", shown("C1")[0].text);
    running.stop().await;
    let running = Running::start_routed(dir.path(), &stand_in, to_both());
    running.publish("opened", opened()).await;
    running.publish("resolved", resolved()).await;
    for channel in ["C1", "C2"] {
        until("the reply", || shown(channel).len() == 2).await;
        until("the edit", || shown(channel)[0].text.contains("recovered")).await;
        assert!(shown(channel).iter().all(|message| !message.text.contains("S0123ABCD")), "neither calls anybody");
    }
    running.stop().await;
    let posted = stand_in.slack().seen().iter().filter(|seen| seen.kind == SeenKind::Posted).count();
    assert_eq!(posted, 2, "one in each channel");
}

#[tokio::test]
async fn a_route_that_is_taken_away_leaves_its_message_to_its_end_and_one_that_comes_shows_what_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let stand_in = StandIn::start().await.unwrap();
    let shown = |channel: &str| stand_in.slack().messages(channel);
    let running = Running::start_routed(dir.path(), &stand_in, Vec::new());
    running.publish("opened", opened()).await;
    until("the alert", || shown("C1").len() == 1).await;
    running.stop().await;
    let running = Running::start_routed(dir.path(), &stand_in, to_both());
    until("the alert in the new channel", || shown("C2").len() == 1).await;
    running.stop().await;
    let running = Running::start_routed(dir.path(), &stand_in, Vec::new());
    running.publish("resolved", resolved()).await;
    for channel in ["C1", "C2"] {
        until("the edit", || shown(channel)[0].text.contains("recovered")).await;
    }
    running.stop().await;
    let posted = stand_in.slack().seen().iter().filter(|seen| seen.kind == SeenKind::Posted).count();
    assert_eq!(posted, 2, "one in each channel");
}

#[tokio::test]
async fn what_is_over_in_a_maintenance_is_never_seen_and_what_is_not_is_seen_at_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let stand_in = StandIn::start().await.unwrap();
    let now_ms = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let (now, end) = (Timestamp::from_millis(now_ms), Timestamp::from_millis(now_ms + 3_000));
    let when = When::Once(Timestamp::from_millis(now_ms - 3_000), end);
    let maintenance = vec![Maintenance { matcher: Matcher::default(), when }];
    let running = Running::start_held(dir.path(), &stand_in, to_both(), maintenance);
    running.publish_at(now, "opened", opened()).await;
    running.publish_at(now, "resolved", resolved()).await;
    let other = EventKind::AlertOpened { alert: "a2".into(), cause: change(OccurrenceStatus::Stale), streak: 1 };
    running.publish_at(now, "other", other).await;
    until("the other alert", || stand_in.slack().messages("C1").len() == 1).await;
    running.stop().await;
    let messages = stand_in.slack().messages("C1");
    let posted_ms = messages[0].ts.split_once('.').unwrap().0.parse::<i64>().unwrap() * 1_000 + 999;
    assert!(posted_ms >= end.as_millis(), "{posted_ms} is before {end:?}");
    assert!(!messages[0].text.contains("recovered"), "{}", messages[0].text);
    assert_eq!(stand_in.slack().messages("C2").len(), 0, "the failure that was over");
    assert_eq!(stand_in.slack().calls("chat.postMessage"), 1);
}
