//! The stand-in as its clients meet it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ronda_slack_standin::{Deed, Fault, SeenKind, Slack, StandIn, TOKEN};
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

async fn form(stand_in: &StandIn, method: &str, pairs: &[(&str, &str)]) -> Value {
    let url = format!("{}{method}", stand_in.api_url());
    client().post(url).bearer_auth(TOKEN).form(pairs).send().await.unwrap().json().await.unwrap()
}

async fn post(stand_in: &StandIn, text: &str) -> String {
    let posted = call(stand_in, "chat.postMessage", json!({"channel":"C1","text":text})).await;
    posted["ts"].as_str().unwrap_or_else(|| panic!("{posted}")).to_owned()
}

#[tokio::test]
async fn an_edit_without_blocks_removes_them_and_keeps_the_metadata() {
    let stand_in = StandIn::start().await.unwrap();
    let metadata = json!({"event_type":"ronda","event_payload":{"k":"a"}});
    let message = json!({"channel":"C1","text":"a","blocks":[{"type":"divider"}],"metadata":metadata});
    let ts = call(&stand_in, "chat.postMessage", message).await["ts"].as_str().unwrap().to_owned();
    assert_eq!(call(&stand_in, "chat.update", json!({"channel":"C1","ts":ts,"text":"b"})).await["ok"], true);
    let kept = stand_in.slack().messages("C1").remove(0);
    assert_eq!((kept.text.as_str(), kept.blocks.len(), kept.metadata), ("b", 0, Some(metadata)));
}

#[tokio::test]
async fn a_long_post_is_several_messages_to_a_person() {
    let stand_in = StandIn::start().await.unwrap();
    post(&stand_in, &"x".repeat(9_000)).await;
    let lengths: Vec<usize> = stand_in.slack().messages("C1").iter().map(|message| message.text.len()).collect();
    assert_eq!(lengths, [4_000, 4_000, 1_000]);
}

#[tokio::test]
async fn a_reply_to_a_deleted_message_stands_by_itself() {
    let stand_in = StandIn::start().await.unwrap();
    let ts = post(&stand_in, "parent").await;
    assert!(stand_in.slack().delete_by_hand("C1", &ts));
    let reply = call(&stand_in, "chat.postMessage", json!({"channel":"C1","text":"r","thread_ts":ts})).await;
    assert_eq!((&reply["ok"], &reply["message"]["thread_ts"]), (&json!(true), &Value::Null));
    let replies = form(&stand_in, "conversations.replies", &[("channel", "C1"), ("ts", &ts)]).await;
    assert_eq!(replies["error"], "thread_not_found");
    assert_eq!(
        call(&stand_in, "chat.update", json!({"channel":"C1","ts":ts,"text":"b"})).await["error"],
        "message_not_found"
    );
}

#[tokio::test]
async fn what_others_wrote_and_what_is_old_cannot_be_changed() {
    let stand_in = StandIn::start().await.unwrap();
    let theirs = stand_in.slack().person_posts("U1", "C1", None, "hello").ts;
    let edit = |ts: &str| json!({"channel":"C1","ts":ts,"text":"b"});
    assert_eq!(call(&stand_in, "chat.update", edit(&theirs)).await["error"], "cant_update_message");
    assert_eq!(call(&stand_in, "chat.delete", edit(&theirs)).await["error"], "cant_delete_message");
    let ours = post(&stand_in, "a").await;
    stand_in.slack().happens(&Deed::CloseEditWindow { window_ms: Some(60_000) });
    assert_eq!(call(&stand_in, "chat.update", edit(&ours)).await["ok"], true);
    stand_in.slack().happens(&Deed::Advance { by_ms: 61_000 });
    assert_eq!(call(&stand_in, "chat.update", edit(&ours)).await["error"], "edit_window_closed");
}

#[tokio::test]
async fn reads_of_threads_and_people_want_forms() {
    let stand_in = StandIn::start().await.unwrap();
    let ts = post(&stand_in, "parent").await;
    let as_json = call(&stand_in, "conversations.replies", json!({"channel":"C1","ts":ts})).await;
    assert_eq!(as_json["error"], "invalid_arguments");
    assert_eq!(form(&stand_in, "conversations.replies", &[("channel", "C1"), ("ts", &ts)]).await["ok"], true);
    assert_eq!(call(&stand_in, "users.info", json!({"user":"U1"})).await["error"], "user_not_found");
    assert_eq!(form(&stand_in, "users.info", &[("user", "U1")]).await["user"]["id"], "U1");
    assert_eq!(form(&stand_in, "conversations.info", &[("channel", "G1")]).await["channel"]["is_private"], true);
}

#[tokio::test]
async fn a_missing_scope_says_what_is_needed() {
    let stand_in = StandIn::start().await.unwrap();
    stand_in.slack().set_scope("groups:history", false);
    let refused = form(&stand_in, "conversations.history", &[("channel", "G1")]).await;
    assert_eq!((&refused["error"], &refused["needed"]), (&json!("missing_scope"), &json!("groups:history")));
    assert!(refused["provided"].as_str().unwrap().contains("channels:history"));
    assert_eq!(form(&stand_in, "conversations.history", &[("channel", "C1")]).await["ok"], true);
}

#[tokio::test]
async fn deeds_come_over_http_as_well() {
    let stand_in = StandIn::start().await.unwrap();
    let page = stand_in.api_url().replace("/api/", "/stand-in/");
    let deed = async |deed: Value| client().post(format!("{page}deeds")).json(&deed).send().await.unwrap().status();
    let archived = json!({"deed":"set_place","channel":"C1","place":{"archived":true}});
    assert_eq!(deed(archived).await, 204);
    let body = json!({"channel":"C1","text":"a"});
    assert_eq!(call(&stand_in, "chat.postMessage", body.clone()).await["error"], "is_archived");
    assert_eq!(deed(json!({"deed":"refuse_token","code":"token_revoked"})).await, 204);
    assert_eq!(call(&stand_in, "chat.postMessage", body.clone()).await["error"], "token_revoked");
    assert_eq!(deed(json!({"deed":"delete","channel":"C1","ts":"1.0"})).await, 404);
    assert_eq!(deed(json!({"deed":"dance"})).await, 400);
    stand_in.slack().set_token_refused(None);
    let rule = json!({"method":"chat.postMessage","channel":"C2","fault":"refuse","code":"fatal_error"});
    assert_eq!(client().post(format!("{page}faults")).json(&rule).send().await.unwrap().status(), 204);
    assert_eq!(call(&stand_in, "chat.postMessage", json!({"channel":"C2","text":"a"})).await["error"], "fatal_error");
    assert_eq!(call(&stand_in, "chat.postMessage", json!({"channel":"C3","text":"a"})).await["ok"], true);
}

#[tokio::test]
async fn each_fault_keeps_the_message_or_does_not() {
    let cases = [
        (Fault::RateLimited { retry_after_seconds: 30 }, 0),
        (Fault::Refuse { code: "fatal_error".into() }, 0),
        (Fault::ServerError { effective: false }, 0),
        (Fault::ServerError { effective: true }, 1),
        (Fault::Silence { effective: false, hold_ms: 5 }, 0),
        (Fault::Silence { effective: true, hold_ms: 5 }, 1),
        (Fault::Reset { effective: false }, 0),
        (Fault::Reset { effective: true }, 1),
        (Fault::Slow { hold_ms: 5 }, 1),
        (Fault::Garbled, 1),
        (Fault::Truncated, 1),
    ];
    for (fault, kept) in cases {
        let stand_in = StandIn::start().await.unwrap();
        stand_in.slack().fail_next("chat.postMessage", fault.clone());
        let url = format!("{}chat.postMessage", stand_in.api_url());
        let sent = client().post(url).bearer_auth(TOKEN).json(&json!({"channel":"C1","text":"a"})).send().await;
        let cut_off = matches!(fault, Fault::Silence { .. } | Fault::Reset { .. });
        assert_eq!(sent.is_err(), cut_off, "{fault:?}");
        if let Ok(response) = sent {
            let limited = response.headers().get("retry-after").is_some_and(|after| after == "30");
            assert_eq!(limited, matches!(fault, Fault::RateLimited { .. }), "{fault:?}");
            let is_json = response.json::<Value>().await.is_ok();
            let broken = matches!(fault, Fault::ServerError { .. } | Fault::Garbled | Fault::Truncated);
            assert_eq!(is_json, !broken, "{fault:?}");
        }
        assert_eq!(stand_in.slack().messages("C1").len(), kept, "{fault:?}");
    }
}

#[tokio::test]
async fn rates_are_kept_when_asked_for_and_time_frees_them() {
    let slack = Slack::default().enforcing_rate().with_frozen_clock(1_795_443_535_000);
    let stand_in = StandIn::start_on(([127, 0, 0, 1], 0).into(), slack).await.unwrap();
    for _ in 0..3 {
        post(&stand_in, "a").await;
    }
    let body = json!({"channel":"C1","text":"a"});
    assert_eq!(call(&stand_in, "chat.postMessage", body).await["error"], "ratelimited");
    stand_in.slack().happens(&Deed::Advance { by_ms: 1_000 });
    post(&stand_in, "a").await;
}

#[tokio::test]
async fn a_history_that_lags_shows_a_message_later() {
    let slack = Slack::default().with_frozen_clock(1_795_443_535_000);
    let stand_in = StandIn::start_on(([127, 0, 0, 1], 0).into(), slack).await.unwrap();
    stand_in.slack().happens(&Deed::LagHistory { lag_ms: 20_000 });
    post(&stand_in, "a").await;
    let count = async || {
        let history = form(&stand_in, "conversations.history", &[("channel", "C1")]).await;
        history["messages"].as_array().map(Vec::len)
    };
    assert_eq!(count().await, Some(0));
    stand_in.slack().happens(&Deed::Advance { by_ms: 20_000 });
    assert_eq!(count().await, Some(1));
}

#[tokio::test]
async fn blocks_are_judged_without_a_token() {
    let stand_in = StandIn::start().await.unwrap();
    let url = format!("{}blocks.validate", stand_in.api_url());
    let judge = async |blocks: Value| -> Value {
        client().post(&url).json(&json!({"blocks":blocks})).send().await.unwrap().json().await.unwrap()
    };
    assert_eq!(judge(json!([{"type":"divider"}])).await["ok"], true);
    assert_eq!(judge(json!([{"type":"section"}])).await["error"], "invalid_blocks");
}
