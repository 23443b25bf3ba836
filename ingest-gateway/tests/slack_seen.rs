//! People in Slack from what they do to what they see, both ways in: the gateway against Slack's stand-in.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;

use common::{DEADLINE, Setup, TestGateway};
use ronda_domain::id::TenantId;
use ronda_ingest_gateway::{Config, SlackConfig};
use ronda_slack_standin::{
    APP_TOKEN, Interaction, Outcome, RequestUrls, SIGNING_SECRET, Signing, Slack, SocketTrouble, StandIn,
};
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Https,
    SocketMode,
}

async fn start(way: Way) -> (StandIn, TestGateway) {
    let stand_in = StandIn::start().await.unwrap();
    let app_token = if way == Way::SocketMode { APP_TOKEN } else { "" };
    let slack = SlackConfig {
        signing_secret: SIGNING_SECRET.to_owned().into(),
        app_token: app_token.to_owned().into(),
        api_url: stand_in.api_url(),
        ..SlackConfig::new(TenantId::new("acme").unwrap())
    };
    let config = Config { slack: Some(slack), ..Config::default() };
    let gateway = TestGateway::with(Setup { config, ..Setup::default() }).await.ready().await;
    match way {
        Way::Https => {
            let at = |path: &str| format!("http://{}/slack/{path}", gateway.address);
            let urls = RequestUrls { interactivity: at("interactions"), commands: at("commands") };
            stand_in.slack().set_request_urls(Some(urls));
        }
        Way::SocketMode => assert!(stand_in.slack().until(DEADLINE, |slack| slack.sockets() == 1).await),
    }
    gateway.register("nightly").await;
    let headers = [("Content-Type", "application/json"), ("Prefer", "wait=5")];
    let failed = gateway.send("PUT", "/api/v1/schedulers/nightly/status", &headers, br#"{"status":"failed"}"#).await;
    assert_eq!(failed.status, 200, "{failed:?}");
    (stand_in, gateway)
}

/// An alert with its button; answers its `ts`.
fn alert(slack: &Slack, job: &str) -> String {
    let value = json!({"t":"acme","s":job}).to_string();
    let text = json!({"type":"plain_text","text":"Acknowledge"});
    let button = json!({"type":"button","action_id":"acknowledge","value":value,"text":text});
    let blocks = vec![json!({"type":"actions","elements":[button]})];
    slack.app_posts("C1", &format!("{job} failed"), blocks).ts
}

/// What a person is told at once, who asked in time.
async fn asked(stand_in: &StandIn, text: &str) -> String {
    let Interaction { outcome, told, .. } = stand_in.slash("C1", "/ronda", text, "U1").await;
    assert_eq!(outcome, Outcome::Acknowledged, "{told:?}");
    told.unwrap_or_default()
}

async fn shows(stand_in: &StandIn, wanted: &str) {
    let showing = async { while !asked(stand_in, "show nightly").await.contains(wanted) {} };
    tokio::time::timeout(DEADLINE, showing).await.unwrap_or_else(|_| panic!("{wanted:?} was not shown"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_ask_and_click_is_answered_to_them() {
    for way in [Way::Https, Way::SocketMode] {
        let (stand_in, _gateway) = start(way).await;
        let slack = stand_in.slack();
        assert!(asked(&stand_in, "status").await.contains("*1 failed*, nobody is on it · 1 job in all"), "{way:?}");
        assert!(slack.messages("C1").is_empty(), "{way:?}: nobody else sees it");

        let ts = alert(slack, "nightly");
        for user in ["U1", "U2"] {
            let click = stand_in.click("C1", &ts, "acknowledge", user).await.unwrap();
            assert_eq!(click.outcome, Outcome::Acknowledged, "{way:?}");
            shows(&stand_in, "u1 is on it since").await;
        }

        let ts = alert(slack, "gone");
        stand_in.click("C1", &ts, "acknowledge", "U3").await.unwrap();
        let is_told = |slack: &Slack| slack.told("U3").iter().any(|seen| seen.text.contains("There is no job"));
        assert!(slack.until(DEADLINE, is_told).await, "{way:?}: {:?}", slack.told("U3"));
        assert_eq!(slack.messages("C1").len(), 2, "{way:?}: what is for one is told to one");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_signed_or_is_sent_again_changes_nothing() {
    let (stand_in, gateway) = start(Way::Https).await;
    let slack = stand_in.slack();
    let refused = Outcome::Refused { status: 401 };
    for signing in [Signing::Forged, Signing::Old, Signing::Missing] {
        let ts = alert(slack, "nightly");
        let click = slack.click("C1", &ts, "acknowledge", "U1", signing).await.unwrap();
        assert_eq!(click.outcome, refused, "{signing:?}");
        let muting = slack.slash("C1", "/ronda", "mute nightly 1h", "U1", signing).await;
        assert_eq!(muting.outcome, refused, "{signing:?}");
    }
    let job: Value = gateway.send("GET", "/api/v1/schedulers/nightly", &[], b"").await.json();
    let shown = asked(&stand_in, "show nightly").await;
    assert!(job["muted_until"].is_null() && !shown.contains("is on it"), "{job} {shown}");
    let muting = slack.slash("C1", "/ronda", "mute nightly 1h", "U1", Signing::Right).await;
    assert!(muting.told.as_deref().is_some_and(|told| told.contains("is muted until")), "{muting:?}");
    assert_eq!(slack.replay(&muting).await, Some(refused), "the very same request again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_connections_people_are_answered_again() {
    let (stand_in, _gateway) = start(Way::SocketMode).await;
    let slack = stand_in.slack();
    for trouble in [SocketTrouble::Refresh, SocketTrouble::Cut, SocketTrouble::Warn] {
        let opened = slack.calls("apps.connections.open");
        assert!(slack.trouble_sockets(trouble), "{trouble:?}");
        let is_back = |slack: &Slack| slack.calls("apps.connections.open") > opened && slack.sockets() > 0;
        assert!(slack.until(DEADLINE, is_back).await, "{trouble:?}");
        let answered =
            async { while stand_in.slash("C1", "/ronda", "help", "U1").await.outcome != Outcome::Acknowledged {} };
        tokio::time::timeout(DEADLINE, answered).await.unwrap_or_else(|_| panic!("{trouble:?}: nobody answers"));
    }
}
