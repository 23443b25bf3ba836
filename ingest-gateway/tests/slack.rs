//! People in Slack over HTTPS: what they ask is answered within three seconds, what they change goes through the queue, and what is not
//! signed by Slack changes nothing.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use common::faulty::{FaultyStore, QueueSwitch};
use common::{Reply, Setup, TestGateway, eventually};
use parking_lot::Mutex;
use ring::hmac;
use ronda_domain::id::TenantId;
use ronda_ingest_gateway::{Config, SlackConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use url::form_urlencoded;

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

fn slack(api_url: &str) -> SlackConfig {
    SlackConfig {
        signing_secret: SECRET.to_owned().into(),
        api_url: api_url.to_owned(),
        timezone: "Asia/Jakarta".into(),
        ..SlackConfig::new(TenantId::new("acme").unwrap())
    }
}

fn with_slack(slack: SlackConfig) -> Setup {
    Setup { config: Config { slack: Some(slack), ..Config::default() }, ..Setup::default() }
}

async fn start() -> TestGateway {
    TestGateway::with(with_slack(slack("https://slack.com/api"))).await.ready().await
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

fn signature(secret: &str, at: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("v0:{at}:{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v0={hex}")
}

fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn command(text: &str, trigger: &str, response_url: &str) -> String {
    form(&[
        ("command", "/ronda"),
        ("text", text),
        ("user_id", "U1"),
        ("user_name", "dewi"),
        ("team_id", "T1"),
        ("trigger_id", trigger),
        ("response_url", response_url),
    ])
}

fn click(action: &str, value: &Value, trigger: &str, response_url: &str) -> String {
    click_from("T1", action, value, trigger, response_url)
}

/// A click of somebody whose own workspace is this one.
fn click_from(home: &str, action: &str, value: &Value, trigger: &str, response_url: &str) -> String {
    let payload = json!({
        "type": "block_actions", "trigger_id": trigger, "response_url": response_url,
        "team": {"id": "T1"}, "user": {"id": "U1", "username": "dewi", "team_id": home},
        "actions": [{"action_id": action, "type": "button", "value": value.to_string(), "action_ts": format!("{}.000100", now())}],
    });
    form(&[("payload", &payload.to_string())])
}

async fn send_signed(gateway: &TestGateway, path: &str, at: i64, signature: &str, body: &str) -> Reply {
    let at = at.to_string();
    let headers = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("X-Slack-Request-Timestamp", at.as_str()),
        ("X-Slack-Signature", signature),
    ];
    gateway.send_as_is("POST", path, &headers, body.as_bytes()).await
}

async fn send(gateway: &TestGateway, path: &str, body: &str) -> Reply {
    let at = now();
    send_signed(gateway, path, at, &signature(SECRET, at, body), body).await
}

/// Asks with a slash command; the answer's text.
async fn ask(gateway: &TestGateway, text: &str) -> String {
    static TRIGGERS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let trigger = TRIGGERS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let reply = send(gateway, "/slack/commands", &command(text, &format!("1.{trigger}"), "")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.json()["response_type"], "ephemeral");
    reply.json()["text"].as_str().unwrap().to_owned()
}

async fn fail(gateway: &TestGateway, id: &str) {
    report(gateway, id, "failed").await;
}

async fn report(gateway: &TestGateway, id: &str, status: &str) {
    let status = json!({"status": status, "error": "disk <full> @here"});
    let reply = gateway
        .send(
            "PUT",
            &format!("/api/v1/schedulers/{id}/status"),
            &[("Content-Type", "application/json"), ("Prefer", "wait=5")],
            status.to_string().as_bytes(),
        )
        .await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[tokio::test]
async fn questions_are_answered_to_who_asked() {
    let gateway = start().await;
    assert_eq!(ask(&gateway, "status").await, "No jobs are registered yet.");
    gateway.register("nightly-billing").await;
    gateway.register("hourly-sync").await;
    fail(&gateway, "nightly-billing").await;
    let status = ask(&gateway, "status").await;
    assert!(status.starts_with("🔴 *1 failed*, nobody is on it · 2 jobs in all\n1 failed · 1 new"), "{status}");
    assert!(ask(&gateway, "list failing").await.contains("`nightly-billing` failed"));
    let job = ask(&gateway, "show NIGHTLY-BILLING").await;
    assert!(job.contains("is *failed*") && job.contains("disk &lt;full&gt; @\u{2060}here"), "{job}");
    assert!(ask(&gateway, "show nightly-biling").await.contains("Did you mean `nightly-billing`?"));
    assert!(ask(&gateway, "ack hourly-sync").await.contains("has no open alert"));
    assert!(ask(&gateway, "frobnicate").await.contains("/ronda help"));
}

#[tokio::test]
async fn what_slack_did_not_sign_is_refused() {
    let gateway = start().await;
    let body = command("help", "1.1", "");
    let at = now();
    let good = signature(SECRET, at, &body);
    for (at, given) in [
        (at, signature("another secret of another app", at, &body)),
        (at + 1, good.clone()),
        (at - 301, signature(SECRET, at - 301, &body)),
        (at + 310, signature(SECRET, at + 310, &body)),
        (at, "v0=".to_owned()),
    ] {
        for path in ["/slack/commands", "/slack/interactions"] {
            send_signed(&gateway, path, at, &given, &body).await.is_problem(401, "invalid_signature");
        }
    }
    gateway.send("POST", "/slack/commands", &[], body.as_bytes()).await.is_problem(401, "invalid_signature");
    assert_eq!(send_signed(&gateway, "/slack/commands", at, &good, &body).await.status, 200);
    // Replayed.
    send_signed(&gateway, "/slack/commands", at, &good, &body).await.is_problem(401, "invalid_signature");
    let large = "x".repeat(1024 * 1024 + 1);
    send(&gateway, "/slack/commands", &large).await.is_problem(413, "body_too_large");
    send(&gateway, "/slack/interactions", "payload=%7B").await.is_problem(400, "invalid_body");
    assert_eq!(send(&gateway, "/slack/commands", "ssl_check=1").await.status, 200);
    assert_eq!(gateway.send("GET", "/slack/commands", &[], b"").await.status, 405);
}

#[tokio::test]
async fn without_the_secret_there_are_no_such_addresses() {
    let gateway = TestGateway::start().await.ready().await;
    send(&gateway, "/slack/commands", &command("help", "1.1", "")).await.is_problem(404, "not_found");
}

#[tokio::test]
async fn people_of_another_workspace_are_refused() {
    let config = SlackConfig { team_id: "T2".into(), ..slack("https://slack.com/api") };
    let gateway = TestGateway::with(with_slack(config)).await.ready().await;
    assert!(ask(&gateway, "status").await.starts_with('⛔'));
}

/// What was said at response_urls.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Value>>>);

impl Heard {
    fn texts(&self) -> Vec<String> {
        self.0.lock().iter().map(|said| said["text"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

async fn hear() -> (String, Heard) {
    async fn said(State(heard): State<Heard>, axum::Json(body): axum::Json<Value>) {
        heard.0.lock().push(body);
    }
    let heard = Heard::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/said", post(said)).with_state(heard.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, heard)
}

#[tokio::test]
async fn a_queue_that_takes_nothing_for_a_while_does_not_keep_people_waiting() {
    let (address, heard) = hear().await;
    let switch = QueueSwitch::default();
    let wrap = switch.clone();
    let setup = Setup { queue: Box::new(move |queue| wrap.wrap(queue)), ..with_slack(slack(&address)) };
    let gateway = TestGateway::with(setup).await.ready().await;
    gateway.register("nightly").await;
    switch.fails();
    let asked_at = Instant::now();
    let reply = send(&gateway, "/slack/commands", &command("mute nightly 1h", "1.1", &format!("{address}/said"))).await;
    assert!(asked_at.elapsed() < Duration::from_secs(3), "{:?}", asked_at.elapsed());
    assert_eq!(reply.json()["text"], "This takes longer than usual; the answer will appear here.");
    assert_eq!(heard.texts(), [""; 0]);
    switch.works();
    eventually(|| !heard.texts().is_empty()).await;
    let texts = heard.texts();
    assert!(texts.len() == 1 && texts[0].contains("is muted until"), "{texts:?}");
}

#[tokio::test]
async fn a_click_that_comes_to_nothing_is_told_beside_the_message() {
    let (address, heard) = hear().await;
    let gateway = TestGateway::with(with_slack(slack(&address))).await.ready().await;
    let said = format!("{address}/said");
    let gone = click("acknowledge", &json!({"t": "acme", "s": "gone"}), "1.1", &said);
    let others = click("acknowledge", &json!({"t": "other", "s": "nightly"}), "1.2", &said);
    for (count, body) in [(1, gone), (2, others)] {
        let reply = send(&gateway, "/slack/interactions", &body).await;
        assert_eq!((reply.status, reply.body.len()), (200, 0), "{reply:?}");
        eventually(|| heard.texts().len() == count).await;
    }
    let texts = heard.texts();
    assert!(texts[0].contains("There is no job “gone”") && texts[1].contains("slack.tenant"), "{texts:?}");
    // A link that was followed asks nothing.
    assert_eq!(send(&gateway, "/slack/interactions", &click("details", &json!({}), "1.3", &said)).await.status, 200);
}

async fn resource(gateway: &TestGateway, id: &str) -> Value {
    gateway.send("GET", &format!("/api/v1/schedulers/{id}"), &[], b"").await.json()
}

/// What the buttons of a message about the alert that is open carry.
async fn value_of_open_alert(gateway: &TestGateway, id: &str) -> Value {
    let job = resource(gateway, id).await;
    let opened_at: jiff::Timestamp = job["alert"]["opened_at"].as_str().unwrap().parse().unwrap();
    json!({"t": "acme", "s": id, "o": opened_at.as_millisecond()})
}

#[tokio::test]
async fn a_click_is_about_the_alert_of_its_message_and_no_other() {
    let (address, heard) = hear().await;
    let gateway = TestGateway::with(with_slack(slack(&address))).await.ready().await;
    let said = format!("{address}/said");
    gateway.register("nightly").await;
    fail(&gateway, "nightly").await;
    let first = value_of_open_alert(&gateway, "nightly").await;
    report(&gateway, "nightly", "success").await;

    send(&gateway, "/slack/interactions", &click("acknowledge", &first, "1.1", &said)).await;
    eventually(|| heard.texts().len() == 1).await;
    assert!(heard.texts()[0].contains("That alert is over: *nightly* is healthy"), "{:?}", heard.texts());
    fail(&gateway, "nightly").await;
    send(&gateway, "/slack/interactions", &click("acknowledge", &first, "1.2", &said)).await;
    eventually(|| heard.texts().len() == 2).await;
    assert!(
        heard.texts()[1].contains("That alert is over; the present alert of *nightly* began"),
        "{:?}",
        heard.texts()
    );
    assert_eq!(resource(&gateway, "nightly").await["alert"]["acknowledgment"], Value::Null);
    // A snooze is of the job, but the message that was clicked on does not show it.
    send(&gateway, "/slack/interactions", &click("snooze_1h", &first, "1.3", &said)).await;
    eventually(|| heard.texts().len() == 3).await;
    assert!(heard.texts()[2].contains("is muted until"), "{:?}", heard.texts());

    let second = value_of_open_alert(&gateway, "nightly").await;
    let reply = send(&gateway, "/slack/interactions", &click("acknowledge", &second, "1.4", &said)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(
        resource(&gateway, "nightly").await["alert"]["acknowledgment"]["by"]["id"],
        "U1",
        "in effect when answered"
    );
    send(&gateway, "/slack/interactions", &click("acknowledge", &second, "1.5", &said)).await;
    eventually(|| heard.texts().len() == 4).await;
    assert!(heard.texts()[3].contains("dewi is on it since"), "{:?}", heard.texts());
}

#[tokio::test]
async fn who_acknowledges_is_told_no_more_than_is_known() {
    let gateway = start().await;
    gateway.register("nightly").await;
    fail(&gateway, "nightly").await;
    assert!(ask(&gateway, "ack nightly").await.contains("You are on *nightly*"));
    assert_eq!(resource(&gateway, "nightly").await["alert"]["acknowledgment"]["by"]["id"], "U1", "in effect when said");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_click_finds_a_place_however_many_look_at_all_jobs() {
    let (address, _heard) = hear().await;
    let (store, lists_hang) = FaultyStore::that_lists_for_ever();
    let gateway = TestGateway::with(Setup { store, ..with_slack(slack(&address)) }).await.ready().await;
    let said = format!("{address}/said");
    gateway.register("nightly").await;
    fail(&gateway, "nightly").await;
    let value = value_of_open_alert(&gateway, "nightly").await;
    lists_hang.store(true, std::sync::atomic::Ordering::SeqCst);
    let asking: Vec<String> = (0..64).map(|number| command("status", &format!("2.{number}"), &said)).collect();
    let asking = futures::future::join_all(asking.iter().map(|body| send(&gateway, "/slack/commands", body)));
    let clicking = async {
        let asked_at = Instant::now();
        let reply = send(&gateway, "/slack/interactions", &click("acknowledge", &value, "3.1", &said)).await;
        (reply.status, asked_at.elapsed())
    };
    let (told, (status, took)) = tokio::join!(asking, clicking);
    assert!(status == 200 && took < Duration::from_secs(3), "{status} after {took:?}");
    let busy =
        told.iter().filter(|reply| reply.json()["text"].as_str().unwrap().contains("Too many questions")).count();
    assert!(busy > 0 && told.iter().all(|reply| reply.status == 200), "those who find no place in the line hear it");
    let (reply, by) = (send(&gateway, "/slack/interactions", &click("acknowledge", &value, "3.2", &said)).await, "U1");
    assert_eq!(
        (reply.status, &resource(&gateway, "nightly").await["alert"]["acknowledgment"]["by"]["id"]),
        (200, &json!(by))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_clicks_and_finds_no_place_is_told_beside_the_message() {
    let (address, heard) = hear().await;
    let switch = QueueSwitch::default();
    let wrap = switch.clone();
    let setup = Setup { queue: Box::new(move |queue| wrap.wrap(queue)), ..with_slack(slack(&address)) };
    let gateway = TestGateway::with(setup).await.ready().await;
    gateway.register("nightly").await;
    switch.hangs();
    let slow: Vec<String> = (0..64).map(|number| command("mute nightly 1h", &format!("2.{number}"), "")).collect();
    let told = futures::future::join_all(slow.iter().map(|body| send(&gateway, "/slack/commands", body))).await;
    assert!(told.iter().all(|reply| reply.json()["text"].as_str().unwrap().contains("takes longer")), "{told:?}");
    let value = json!({"t": "acme", "s": "nightly"});
    let reply =
        send(&gateway, "/slack/interactions", &click("snooze_1h", &value, "3.1", &format!("{address}/said"))).await;
    assert_eq!((reply.status, reply.body.len()), (200, 0), "{reply:?}");
    eventually(|| heard.texts().len() == 1).await;
    assert!(heard.texts()[0].contains("Too many questions at once; nothing was done"), "{:?}", heard.texts());
}

/// An address that takes what is said and never answers.
async fn deaf() -> String {
    async fn said() {
        std::future::pending::<()>().await;
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/said", post(said))).await });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_being_said_takes_no_place() {
    let address = deaf().await;
    let gateway = TestGateway::with(with_slack(slack(&address))).await.ready().await;
    let value = json!({"t": "acme", "s": "gone"});
    for number in 0..70 {
        let body = click("acknowledge", &value, &format!("2.{number}"), &format!("{address}/said"));
        assert_eq!(send(&gateway, "/slack/interactions", &body).await.status, 200);
    }
    assert!(ask(&gateway, "help").await.contains("Ronda watches your jobs"));
}

#[tokio::test]
async fn a_body_that_comes_slowly_and_slow_work_are_answered_in_time_together() {
    let switch = QueueSwitch::default();
    let wrap = switch.clone();
    let setup = Setup { queue: Box::new(move |queue| wrap.wrap(queue)), ..with_slack(slack("https://slack.com/api")) };
    let gateway = TestGateway::with(setup).await.ready().await;
    gateway.register("nightly").await;
    switch.hangs();
    let (at, body) = (now(), command("mute nightly 1h", "1.1", ""));
    let head = format!(
        "POST /slack/commands HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {}\r\nX-Slack-Request-Timestamp: {at}\r\nX-Slack-Signature: {}\r\n\r\n",
        body.len(),
        signature(SECRET, at, &body)
    );
    let mut stream = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
    let asked_at = Instant::now();
    stream.write_all(head.as_bytes()).await.unwrap();
    // A slow sender: what is measured is the whole.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let took = asked_at.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(common::parse(&answer).json()["text"].as_str().unwrap().contains("takes longer"));
}

#[tokio::test]
async fn guests_of_a_shared_channel_are_refused_unless_they_are_let_in() {
    for (lets_in, wanted) in [(false, "slack.allow_guest_teams"), (true, "There is no job")] {
        let (address, heard) = hear().await;
        let config = SlackConfig { allow_guest_teams: lets_in, ..slack(&address) };
        let gateway = TestGateway::with(with_slack(config)).await.ready().await;
        let body =
            click_from("T9", "acknowledge", &json!({"t": "acme", "s": "gone"}), "1.1", &format!("{address}/said"));
        assert_eq!(send(&gateway, "/slack/interactions", &body).await.status, 200);
        eventually(|| heard.texts().len() == 1).await;
        assert!(heard.texts()[0].contains(wanted), "{:?}", heard.texts());
    }
}

async fn eventually_shows(gateway: &TestGateway, id: &str, wanted: &str) -> String {
    let showing = async {
        loop {
            let shown = ask(gateway, &format!("show {id}")).await;
            if shown.contains(wanted) {
                return shown;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), showing).await.expect("it came to be shown")
}

#[tokio::test]
async fn what_people_do_in_slack_is_kept_with_who_did_it() {
    let gateway = start().await;
    gateway.register("nightly").await;
    fail(&gateway, "nightly").await;
    let value = json!({"t": "acme", "s": "nightly"});
    let reply = send(&gateway, "/slack/interactions", &click("acknowledge", &value, "9.1", "")).await;
    assert_eq!((reply.status, reply.body.len()), (200, 0), "{reply:?}");
    eventually_shows(&gateway, "nightly", "dewi is on it since").await;
    let again = ask(&gateway, "ack nightly").await;
    assert!(again.contains("dewi is on it since"), "{again}");
    let reply = send(&gateway, "/slack/interactions", &click("snooze_1h", &value, "9.2", "")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    eventually_shows(&gateway, "nightly", "Muted until").await;
    let resource = gateway.send("GET", "/api/v1/schedulers/nightly", &[], b"").await.json();
    assert_eq!(resource["muted_by"]["id"], "U1", "{resource}");
    let until = resource["muted_until"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let ahead = until.as_second() - now();
    assert!((3_590..=3_600).contains(&ahead), "{ahead}");
    assert!(ask(&gateway, "unmute nightly").await.contains("is not muted any more"));
    assert!(ask(&gateway, "mute nightly until 06:00").await.contains("is muted until"));
    // The mute before may be shown still.
    eventually_shows(&gateway, "nightly", "06:00 WIB> by dewi").await;
    let resource = gateway.send("GET", "/api/v1/schedulers/nightly", &[], b"").await.json();
    let until = resource["muted_until"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let local = until.to_zoned(jiff::tz::TimeZone::get("Asia/Jakarta").unwrap());
    assert_eq!((local.hour(), local.minute()), (6, 0));
}
