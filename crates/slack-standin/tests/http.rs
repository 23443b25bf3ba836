//! The stand-in as its clients meet it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ronda_slack_standin::{Fault, SeenKind, Slack, StandIn, TOKEN};
use serde_json::{Value, json};

/// The workspace's reqwest comes without a TLS provider, and makes no client without one.
fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

async fn call(stand_in: &StandIn, method: &str, body: Value) -> Value {
    let client = client();
    let url = format!("{}{method}", stand_in.api_url());
    client.post(url).bearer_auth(TOKEN).json(&body).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn a_message_is_posted_found_edited_and_seen() {
    let stand_in = StandIn::start().await.unwrap();
    let metadata = json!({"event_type":"ronda","event_payload":{"k":"a","gen":1}});
    let posted = call(&stand_in, "chat.postMessage", json!({"channel":"C1","text":"hello","metadata":metadata})).await;
    assert_eq!(posted["ok"], true);
    let ts = posted["ts"].as_str().unwrap();

    let history = call(&stand_in, "conversations.history", json!({"channel":"C1","include_all_metadata":true})).await;
    assert_eq!(history["messages"][0]["metadata"]["event_payload"]["k"], "a");
    let bare = call(&stand_in, "conversations.history", json!({"channel":"C1"})).await;
    assert!(bare["messages"][0]["metadata"]["event_payload"].is_null());

    assert_eq!(call(&stand_in, "chat.update", json!({"channel":"C1","ts":ts,"text":"bye"})).await["ok"], true);
    let reply = call(&stand_in, "chat.postMessage", json!({"channel":"C1","text":"r","thread_ts":ts})).await;
    assert_eq!(reply["message"]["thread_ts"], ts);
    let kinds: Vec<SeenKind> = stand_in.slack().seen().iter().map(|seen| seen.kind).collect();
    assert_eq!(kinds, [SeenKind::Posted, SeenKind::Edited, SeenKind::Replied]);
}

#[tokio::test]
async fn it_fails_as_planned_and_only_then() {
    let stand_in = StandIn::start().await.unwrap();
    stand_in.slack().fail_next("chat.postMessage", Fault::ServerError { effective: true });
    let url = format!("{}chat.postMessage", stand_in.api_url());
    let body = json!({"channel":"C1","text":"once"});
    let response = client().post(url).bearer_auth(TOKEN).json(&body).send().await.unwrap();
    assert_eq!(response.status(), 500);
    assert_eq!(stand_in.slack().messages("C1").len(), 1);
    assert_eq!(call(&stand_in, "chat.postMessage", json!({"channel":"C1","text":"twice"})).await["ok"], true);
}

#[tokio::test]
async fn a_wrong_token_is_refused() {
    let stand_in = StandIn::start().await.unwrap();
    let url = format!("{}auth.test", stand_in.api_url());
    let answer: Value = client().post(url).bearer_auth("xoxb-wrong").send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["error"], "invalid_auth");
}

#[tokio::test]
async fn a_channel_that_is_none_is_refused() {
    let slack = Slack::default().knowing("#ronda");
    let stand_in = StandIn::start_on(([127, 0, 0, 1], 0).into(), slack).await.unwrap();
    for (channel, expected) in
        [("C0NIGHT", true), ("G1", true), ("#ronda", true), ("the terminal", false), ("C", false)]
    {
        let answer = call(&stand_in, "chat.postMessage", json!({"channel":channel,"text":"hello"})).await;
        assert_eq!(answer["ok"], expected, "{channel}");
        if !expected {
            assert_eq!(answer["error"], "channel_not_found");
        }
    }
}
