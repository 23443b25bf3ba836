//! People's clicks and commands as an app meets them, over HTTP.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use ring::hmac;
use ronda_slack_standin::{
    Gesture, Outcome, Reader, RequestUrls, SIGNING_SECRET, SeenKind, Signing, Slack, StandIn, TOKEN,
};
use serde_json::{Value, json};

/// An app that says yes to what is signed rightly, and keeps what it got.
#[derive(Clone)]
struct App {
    got: Arc<Mutex<Vec<BTreeMap<String, String>>>>,
    answer: Arc<Mutex<(StatusCode, String, Duration)>>,
    url: String,
}

impl App {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/slack?x=1", listener.local_addr().unwrap());
        let answer = Arc::new(Mutex::new((StatusCode::OK, String::new(), Duration::ZERO)));
        let app = Self { got: Arc::default(), answer, url };
        let router = Router::new().route("/slack", axum::routing::post(take)).with_state(app.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        app
    }

    fn answers(&self, status: u16, body: &str, after: Duration) {
        *self.answer.lock() = (StatusCode::from_u16(status).unwrap(), body.to_owned(), after);
    }

    fn last(&self) -> BTreeMap<String, String> {
        self.got.lock().last().cloned().unwrap()
    }
}

async fn take(State(app): State<App>, headers: HeaderMap, body: String) -> Response {
    let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let timestamp = header("x-slack-request-timestamp");
    let key = hmac::Key::new(hmac::HMAC_SHA256, SIGNING_SECRET.as_bytes());
    let tag = hmac::sign(&key, format!("v0:{timestamp}:{body}").as_bytes());
    let expected = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let now = jiff::Timestamp::now().as_second();
    let is_fresh = timestamp.parse::<i64>().is_ok_and(|at| (now - at).abs() <= 300);
    if !is_fresh || header("x-slack-signature") != format!("v0={expected}") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    assert_eq!(header("content-type"), "application/x-www-form-urlencoded");
    app.got.lock().push(url::form_urlencoded::parse(body.as_bytes()).into_owned().collect());
    let (status, body, after) = app.answer.lock().clone();
    tokio::time::sleep(after).await;
    (status, body).into_response()
}

async fn both() -> (StandIn, App) {
    let (stand_in, app) = (StandIn::start().await.unwrap(), App::start().await);
    let (interactivity, commands) = (app.url.clone(), app.url.clone());
    stand_in.slack().set_request_urls(Some(RequestUrls { interactivity, commands }));
    (stand_in, app)
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

async fn call(stand_in: &StandIn, method: &str, body: Value) -> Value {
    let url = format!("{}{method}", stand_in.api_url());
    client().post(url).bearer_auth(TOKEN).json(&body).send().await.unwrap().json().await.unwrap()
}

async fn respond(url: &str, body: Value) -> (u16, String) {
    let response = client().post(url).json(&body).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

fn alert(channel: &str) -> Value {
    let button =
        json!({"type":"button","action_id":"ack","value":"billing","text":{"type":"plain_text","text":"Acknowledge"}});
    let blocks = json!([{"type":"actions","block_id":"buttons","elements":[button]}]);
    json!({"channel":channel,"text":"billing failed","attachments":[{"color":"#a30200","blocks":blocks}]})
}

async fn alerted() -> (StandIn, App, String) {
    let (stand_in, app) = both().await;
    let ts = call(&stand_in, "chat.postMessage", alert("C1")).await["ts"].as_str().unwrap().to_owned();
    (stand_in, app, ts)
}

#[tokio::test]
async fn a_click_comes_signed_as_slack_sends_it() {
    let (stand_in, app, ts) = alerted().await;
    let interaction = stand_in.click("C1", &ts, "ack", "U1").await.unwrap();
    assert_eq!((&interaction.outcome, &interaction.told), (&Outcome::Acknowledged, &None));
    let payload: Value = serde_json::from_str(&app.last()["payload"]).unwrap();
    assert_eq!(payload["type"], "block_actions");
    assert_eq!((&payload["user"]["id"], &payload["channel"]["id"]), (&json!("U1"), &json!("C1")));
    let action = &payload["actions"][0];
    assert_eq!(
        (&action["action_id"], &action["value"], &action["block_id"]),
        (&json!("ack"), &json!("billing"), &json!("buttons"))
    );
    assert_eq!(payload["container"]["type"], "message_attachment");
    assert_eq!((&payload["container"]["message_ts"], &payload["message"]["ts"]), (&json!(ts), &json!(ts)));
    assert_eq!(payload["response_url"], interaction.response_url);
    assert!(stand_in.click("C1", &ts, "snooze", "U1").await.is_err(), "there is no such button");
    assert!(stand_in.click("C1", "1.0", "ack", "U1").await.is_err(), "there is no such message");
}

#[tokio::test]
async fn what_is_forged_old_or_unsigned_is_refused_and_the_person_told() {
    let (stand_in, app, ts) = alerted().await;
    for signing in [Signing::Forged, Signing::Old, Signing::Missing] {
        let interaction = stand_in.slack().click("C1", &ts, "ack", "U1", signing).await.unwrap();
        assert_eq!(interaction.outcome, Outcome::Refused { status: 401 }, "{signing:?}");
        assert!(interaction.told.unwrap().contains("http_client_error"));
    }
    assert!(app.got.lock().is_empty());
    assert_eq!(stand_in.slack().told("U1").len(), 3);
}

#[tokio::test]
async fn a_replay_is_the_very_same_request() {
    let (stand_in, app, ts) = alerted().await;
    let interaction = stand_in.click("C1", &ts, "ack", "U1").await.unwrap();
    assert_eq!(stand_in.slack().replay(&interaction).await, Some(Outcome::Acknowledged));
    let got = app.got.lock().clone();
    assert_eq!(got[0], got[1]);
}

#[tokio::test]
async fn a_command_is_answered_to_one_person_or_to_all() {
    let (stand_in, app) = both().await;
    app.answers(200, r#"{"text":"*all* is well"}"#, Duration::ZERO);
    let interaction = stand_in.slash("C1", "/ronda", "status", "U1").await;
    assert_eq!(interaction.told.as_deref(), Some("  *all* is well"));
    let form = app.last();
    assert_eq!((form["command"].as_str(), form["text"].as_str(), form["user_id"].as_str()), ("/ronda", "status", "U1"));
    assert!(stand_in.slack().messages("C1").is_empty(), "nobody else sees it");

    app.answers(200, "plain words", Duration::ZERO);
    assert_eq!(stand_in.slash("C1", "/ronda", "help", "U1").await.told.as_deref(), Some("  plain words"));
    app.answers(200, "", Duration::ZERO);
    assert_eq!(stand_in.slash("C1", "/ronda", "mute", "U1").await.told, None);

    app.answers(200, r#"{"response_type":"in_channel","text":"quiet"}"#, Duration::ZERO);
    stand_in.slash("C1", "/ronda", "status", "U2").await;
    let shown: Vec<String> = stand_in.slack().messages("C1").into_iter().map(|message| message.text).collect();
    assert_eq!(shown, ["/ronda status", "quiet"]);
}

#[tokio::test]
async fn who_gets_no_answer_in_time_is_told_so() {
    let (stand_in, app) = both().await;
    stand_in.slack().set_patience(Duration::from_millis(50));
    app.answers(200, "late", Duration::from_secs(20));
    let late = stand_in.slash("C1", "/ronda", "status", "U1").await;
    assert_eq!(late.outcome, Outcome::TooLate);
    assert_eq!(late.told.as_deref(), Some("/ronda failed with the error \"operation_timeout\""));
    app.answers(500, "", Duration::ZERO);
    assert!(stand_in.slash("C1", "/ronda", "status", "U1").await.told.unwrap().contains("http_service_error"));
    let no_one = RequestUrls { interactivity: "http://127.0.0.1:1/".into(), commands: "http://127.0.0.1:1/".into() };
    stand_in.slack().set_request_urls(Some(no_one));
    let lost = stand_in.slash("C1", "/ronda", "status", "U1").await;
    assert!(matches!(lost.outcome, Outcome::Unreachable { .. }), "{lost:?}");
    assert_eq!(stand_in.slack().gestures().len(), 3);
}

#[tokio::test]
async fn a_response_url_answers_replaces_and_deletes() {
    let (stand_in, _app, ts) = alerted().await;
    let url = stand_in.click("C1", &ts, "ack", "U1").await.unwrap().response_url;
    assert_eq!(respond(&url, json!({"text":"only you"})).await, (200, "ok".to_owned()));
    assert_eq!(stand_in.slack().told("U1").last().unwrap().text, "  only you");
    assert_eq!(respond(&url, json!({"replace_original":true,"text":"acked"})).await.0, 200);
    let message = stand_in.slack().messages("C1").remove(0);
    assert_eq!((message.text.as_str(), message.edits), ("acked", 1));
    assert_eq!(respond(&url, json!({"response_type":"in_channel","text":"all"})).await.0, 200);
    assert_eq!(stand_in.slack().messages("C1").len(), 2);
    assert_eq!(respond(&url, json!({"delete_original":"true"})).await.0, 200);
    assert_eq!(stand_in.slack().messages("C1").len(), 1);
    let (status, body) = respond(&url, json!({"blocks":[{"type":"section"}]})).await;
    assert_eq!((status, body.contains("invalid_blocks")), (400, true), "{body}");
    let (status, body) = respond(&url, json!({"text":"a sixth time"})).await;
    assert_eq!((status, body.contains("used_url")), (404, true), "{body}");
}

#[tokio::test]
async fn a_response_url_ends_after_half_an_hour() {
    let (stand_in, _app, ts) = alerted().await;
    let url = stand_in.click("C1", &ts, "ack", "U1").await.unwrap().response_url;
    stand_in.slack().advance(Duration::from_secs(1_801));
    let (status, body) = respond(&url, json!({"text":"too late"})).await;
    assert_eq!((status, body.contains("expired_url")), (404, true), "{body}");
}

#[tokio::test]
async fn what_one_person_sees_can_be_clicked_by_them_and_replaced() {
    let (stand_in, app) = both().await;
    let button = json!({"type":"button","action_id":"yes","text":{"type":"plain_text","text":"Yes"}});
    let blocks = json!([{"type":"section","text":{"type":"mrkdwn","text":"Mute?"},"accessory":button}]);
    app.answers(200, &json!({"text":"Mute?","blocks":blocks}).to_string(), Duration::ZERO);
    stand_in.slash("C1", "/ronda", "mute billing", "U1").await;
    let ts = stand_in.slack().whispers("C1").remove(0).ts;
    assert!(stand_in.click("C1", &ts, "yes", "U2").await.is_err(), "it is not theirs to see");
    let url = stand_in.click("C1", &ts, "yes", "U1").await.unwrap().response_url;
    let payload: Value = serde_json::from_str(&app.last()["payload"]).unwrap();
    assert_eq!((&payload["container"]["is_ephemeral"], &payload["message"]), (&json!(true), &Value::Null));

    let reader = Reader::new("UTC", stand_in.slack().now_ms()).unwrap();
    let page = stand_in.slack().page("C1", &reader.clone().as_user("U1"));
    assert!(page.contains("Only visible to U1") && page.contains("Mute?"), "{page}");
    assert!(!stand_in.slack().page("C1", &reader.clone().as_user("U2")).contains("Mute?"));
    assert!(stand_in.slack().timeline("C1", &reader).contains("(only visible to U1)"));

    assert_eq!(respond(&url, json!({"replace_original":true,"text":"Muted."})).await.0, 200);
    assert!(stand_in.slack().page("C1", &reader.clone().as_user("U1")).contains("Muted."));
    assert_eq!(respond(&url, json!({"delete_original":true})).await.0, 200);
    assert!(stand_in.slack().whispers("C1").is_empty());
}

#[tokio::test]
async fn an_ephemeral_post_is_for_one_person() {
    let stand_in = StandIn::start().await.unwrap();
    let posted = call(&stand_in, "chat.postEphemeral", json!({"channel":"C1","user":"U1","text":"psst"})).await;
    assert_eq!(posted["ok"], true);
    let seen = stand_in.slack().told("U1").remove(0);
    assert_eq!((seen.kind, seen.text.as_str(), seen.notification), (SeenKind::Whispered, "  psst", None));
    let edit = json!({"channel":"C1","ts":posted["message_ts"],"text":"b"});
    assert_eq!(call(&stand_in, "chat.update", edit).await["error"], "message_not_found");
}

#[tokio::test]
async fn gestures_come_over_http_as_well() {
    let (stand_in, app, ts) = alerted().await;
    let page = stand_in.api_url().replace("/api/", "/stand-in/");
    let gesture = json!({"gesture":"click","channel":"C1","ts":ts,"action_id":"ack","user":"U1"});
    let said = client().post(format!("{page}gestures")).json(&gesture).send().await.unwrap();
    assert_eq!(said.json::<Value>().await.unwrap()["outcome"], "acknowledged");
    assert_eq!(app.got.lock().len(), 1);
    let forged =
        json!({"gesture":"command","channel":"C1","command":"/ronda","text":"","user":"U1","signing":"forged"});
    let said: Value =
        client().post(format!("{page}gestures")).json(&forged).send().await.unwrap().json().await.unwrap();
    assert_eq!((&said["outcome"], &said["status"]), (&json!("refused"), &json!(401)));
    let urls = json!({"interactivity":"http://127.0.0.1:1","commands":app.url});
    assert_eq!(client().put(format!("{page}request-urls")).json(&urls).send().await.unwrap().status(), 204);
    assert_eq!(client().delete(format!("{page}request-urls")).send().await.unwrap().status(), 204);
    let gesture =
        Gesture::Command { channel: "C1".into(), command: "/ronda".into(), text: "".into(), user: "U1".into() };
    let nowhere = stand_in.slack().perform(&gesture, Signing::Right).await.unwrap();
    assert!(matches!(nowhere.outcome, Outcome::Unreachable { .. }), "{nowhere:?}");
}

#[tokio::test]
async fn a_test_can_wait_for_what_comes() {
    let slack = Slack::default();
    assert!(!slack.until(Duration::from_millis(20), |slack| !slack.seen().is_empty()).await);
    let wait = slack.until(Duration::from_secs(10), |slack| !slack.seen().is_empty());
    let (came, _) = tokio::join!(wait, async { slack.person_posts("U1", "C1", None, "hello") });
    assert!(came);
}
