//! Webhooks, verified by the Python library of Standard Webhooks.

use std::sync::Arc;
use std::time::Duration;

use ronda_notifier::channel::{ChannelErrorKind, PostRequest};
use ronda_notifier::{Channel, WebhookChannel, WebhookConfig};
use ronda_runtime::{Secret, SystemClock};
use serde_json::json;

use super::stranger::Stranger;
use super::{about, post, update};

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
pub(crate) const LIBRARY: (&str, &str) = ("standardwebhooks", "1.1.0");
pub(crate) const HERE: &str = "webhook:ops";

pub(crate) fn config(port: u16, secrets: &[&str]) -> WebhookConfig {
    let url = Secret::new(format!("http://127.0.0.1:{port}/hook"));
    let secrets = secrets.iter().map(|secret| Secret::new(*secret)).collect();
    let config = WebhookConfig::new("ops", url, secrets);
    WebhookConfig { allow_private: true, allow_http: true, timeout_ms: 5_000, ..config }
}

pub(crate) fn channel(config: WebhookConfig) -> WebhookChannel {
    WebhookChannel::new(config, Arc::new(SystemClock::new())).unwrap()
}

#[tokio::test]
async fn a_stranger_verifies_every_event_and_refuses_altered_ones() {
    let Some(mut receiver) = Stranger::start("receiver.py", LIBRARY, &[NEW]).await else { return };
    let channel = channel(config(receiver.port, &[NEW]));
    let posted = channel.post(post(HERE, "alert/1", "Billing failed")).await.unwrap();
    channel.update(update(HERE, &posted.ts, "alert/1", 2, about())).await.unwrap();
    let reply = PostRequest { thread_ts: Some(posted.ts.clone()), ..post(HERE, "reply/1", "over") };
    channel.post(reply).await.unwrap();
    channel.delete(HERE, &posted.ts).await.unwrap();

    let mut ids = Vec::new();
    for kind in ["message.posted", "message.updated", "message.posted", "message.removed"] {
        let seen = receiver.next().await;
        assert_eq!(seen["verified"], true, "{seen}");
        assert_eq!(seen["altered"], json!({"body": false, "id": false, "time": false}), "{seen}");
        assert_eq!((&seen["type"], &seen["body"]["type"]), (&json!("application/json"), &json!(kind)));
        ids.push(seen);
    }
    let data = &ids[0]["body"]["data"];
    assert_eq!(
        *data,
        json!({
            "message": posted.ts, "installation": "here", "surface": "alert/1", "generation": 0, "revision": 1, "kind": "alert",
            "over": false, "since": "2026-11-23T18:00:00Z", "text": "Billing failed",
            "plain": "Billing failed\n  Severity  critical",
            "links": [{"label": "Runbook", "url": "https://wiki/billing"}],
        })
    );
    assert_eq!(ids[2]["body"]["data"]["reply_to"], json!(posted.ts));
    let schema: serde_json::Value =
        serde_json::from_str(include_str!("../../../docs/webhook-event.schema.json")).unwrap();
    for field in data.as_object().unwrap().keys() {
        assert!(schema["properties"]["data"]["properties"][field].is_object(), "{field} is not in the schema");
    }
    let mut names: Vec<&str> = ids.iter().map(|seen| seen["id"].as_str().unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 4, "each event has an id of its own");
}

#[tokio::test]
async fn while_secrets_are_changed_a_receiver_may_know_either() {
    for known in [OLD, NEW] {
        let Some(mut receiver) = Stranger::start("receiver.py", LIBRARY, &[known]).await else { return };
        let channel = channel(config(receiver.port, &[NEW, OLD]));
        channel.post(post(HERE, "alert/1", "x")).await.unwrap();
        assert_eq!(receiver.next().await["verified"], true, "{known}");
    }
    let Some(mut receiver) = Stranger::start("receiver.py", LIBRARY, &[OLD]).await else { return };
    let channel = channel(config(receiver.port, &[NEW]));
    channel.post(post(HERE, "alert/1", "x")).await.unwrap();
    assert_eq!(receiver.next().await["verified"], false, "a secret that it does not know");
}

#[tokio::test]
async fn a_lost_answer_is_ambiguous_and_the_repeat_has_the_same_id() {
    let Some(mut receiver) = Stranger::start("receiver.py", LIBRARY, &[NEW]).await else { return };
    let channel = channel(config(receiver.port, &[NEW]));
    receiver.tell("0").await;
    let request = post(HERE, "alert/1", "x");
    let error = channel.post(request.clone()).await.unwrap_err();
    assert_eq!(error.kind, ChannelErrorKind::Ambiguous);
    let posted = channel.post(request).await.unwrap();
    let (first, second) = (receiver.next().await, receiver.next().await);
    assert_eq!(first["id"], second["id"]);
    assert_eq!(second["body"]["data"]["message"], json!(posted.ts));
    assert!(second["verified"] == true && !channel.manner(HERE).capabilities.can_find);
}

#[tokio::test]
async fn what_a_receiver_answers_is_what_the_port_says() {
    let Some(mut receiver) = Stranger::start("receiver.py", LIBRARY, &[NEW]).await else { return };
    let channel = channel(config(receiver.port, &[NEW]));
    let silence = |seconds| ChannelErrorKind::NotSent { retry_after: Duration::from_secs(seconds), rate_limited: true };
    let broken = |code: &str| ChannelErrorKind::DestinationBroken { code: code.into() };
    for (answer, wanted) in [
        ("429 7", silence(7)),
        ("503 9", silence(9)),
        ("500", ChannelErrorKind::Ambiguous),
        ("410", broken("http_410")),
        ("401", broken("http_401")),
        ("302", broken("http_302")),
        ("422", ChannelErrorKind::Payload { code: "http_422".into() }),
    ] {
        receiver.tell(answer).await;
        let error = channel.post(post(HERE, "alert/1", "x")).await.unwrap_err();
        assert_eq!(error.kind, wanted, "{answer}");
        receiver.next().await;
    }
    channel.post(post(HERE, "alert/2", "y")).await.unwrap();
    assert_eq!(receiver.next().await["body"]["data"]["surface"], "alert/2", "the redirect was not followed");
}

#[tokio::test]
async fn nothing_goes_into_the_own_network_unless_that_is_allowed() {
    let refused = |url: &str| {
        let config = WebhookConfig::new("ops", Secret::new(url), vec![Secret::new(NEW)]);
        WebhookChannel::new(config, Arc::new(SystemClock::new())).unwrap_err().to_string()
    };
    for url in [
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://169.254.169.254/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://0x7f.1/x",
    ] {
        let told = refused(url);
        assert!(told.contains("allow_private") && !told.contains(url), "{told}");
    }
    assert!(refused("http://example.com/secret").contains("allow_http"));

    // A name is judged when it is resolved: this one is harmless to look at.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://localhost:{}/x", listener.local_addr().unwrap().port());
    let config = WebhookConfig::new("ops", Secret::new(url), vec![Secret::new(NEW)]);
    let channel = channel(WebhookConfig { allow_http: true, ..config });
    let error = channel.post(post(HERE, "alert/1", "x")).await.unwrap_err();
    assert_eq!(error.kind, ChannelErrorKind::DestinationBroken { code: "private_address".into() });
    assert!(tokio::time::timeout(Duration::ZERO, listener.accept()).await.is_err(), "nobody called");

    // Nobody listens: certainly not sent.
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = self::channel(self::config(port, &[NEW])).post(post(HERE, "alert/1", "x")).await.unwrap_err();
    assert_eq!(error.kind.class(), "not_sent");
}
