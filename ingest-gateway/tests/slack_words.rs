//! What people in Slack are told: what needs somebody first, nothing that may not be so, and advice that works when it is followed.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;

use common::{DEADLINE, Setup, TestGateway};
use ronda_domain::id::TenantId;
use ronda_ingest_gateway::{Config, SlackConfig};
use ronda_slack_standin::{Interaction, Outcome, RequestUrls, SIGNING_SECRET, StandIn};
use serde_json::{Value, json};

/// A gateway, and the Slack in which people ask it.
struct Site {
    slack: StandIn,
    gateway: TestGateway,
}

impl Site {
    async fn start() -> Self {
        let slack = StandIn::start().await.unwrap();
        let config = SlackConfig {
            signing_secret: SIGNING_SECRET.to_owned().into(),
            api_url: slack.api_url(),
            ..SlackConfig::new(TenantId::new("acme").unwrap())
        };
        let config = Config { slack: Some(config), ..Config::default() };
        let gateway = TestGateway::with(Setup { config, ..Setup::default() }).await.ready().await;
        let at = |path: &str| format!("http://{}/slack/{path}", gateway.address);
        let urls = RequestUrls { interactivity: at("interactions"), commands: at("commands") };
        slack.slack().set_request_urls(Some(urls));
        Self { slack, gateway }
    }

    async fn send(&self, method: &str, path: &str, body: &Value) {
        let headers = [("Content-Type", "application/json"), ("Prefer", "wait=5")];
        let path = format!("/api/v1/schedulers/{path}");
        let reply = self.gateway.send(method, &path, &headers, body.to_string().as_bytes()).await;
        assert!(reply.status < 300, "{path}: {reply:?}");
    }

    async fn job(&self, id: &str, name: &str, severity: &str) {
        self.send("POST", "register", &json!({"id": id, "name": name, "severity": severity})).await;
    }

    async fn fails(&self, id: &str) {
        self.send("PUT", &format!("{id}/status"), &json!({"status": "failed"})).await;
    }

    /// What Ratna is told at once, as it is shown.
    async fn asks(&self, text: &str) -> String {
        let Interaction { outcome, told, .. } = self.slack.slash("C1", "/ronda", text, "URATNA").await;
        assert_eq!(outcome, Outcome::Acknowledged, "{text}: {told:?}");
        let told = told.unwrap_or_default();
        told.lines().map(str::trim).collect::<Vec<_>>().join("\n")
    }

    /// Asks until the answer is so: what was only queued may not be applied yet.
    async fn hears(&self, text: &str, is_so: impl Fn(&str) -> bool) -> String {
        let hearing = async {
            loop {
                let told = self.asks(text).await;
                if is_so(&told) {
                    return told;
                }
            }
        };
        tokio::time::timeout(DEADLINE, hearing).await.unwrap_or_else(|_| panic!("{text:?} was never so"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_critical_and_has_nobody_comes_first() {
    let site = Site::start().await;
    for (id, name, severity) in [
        ("a-note", "Note", "info"),
        ("b-plain", "Plain job", "warning"),
        ("c-quiet", "Quiet job", "warning"),
        ("d-hook", "Hook job", "warning"),
        ("y-held", "Held report", "critical"),
        ("z-report", "Report", "critical"),
    ] {
        site.job(id, name, severity).await;
        site.fails(id).await;
    }
    site.job("e-well", "Well", "critical").await;
    assert!(site.asks("status").await.starts_with("🔴 *6 failed*, none of them has somebody · 7 jobs in all\n"));
    for id in ["b-plain", "y-held"] {
        let told = site.asks(&format!("ack {id}")).await;
        assert!(told.contains("👀 You are on"), "{told}");
    }
    site.send("POST", "c-quiet/mute", &json!({"for_seconds": 3_600})).await;

    let listed = site.asks("list failing").await;
    let mut lines = listed.lines();
    assert_eq!(lines.next(), Some("🔴 *6 failed*, 2 of them have somebody · 7 jobs in all"));
    let lines: Vec<&str> = lines.collect();
    let wanted = ["Report", "Held report", "Hook job", "Quiet job", "Plain job", "Note"];
    assert!(lines.len() == 6 && lines.iter().zip(wanted).all(|(line, name)| line.contains(name)), "{listed}");
    assert!(
        lines[0].starts_with("• *Report* `z-report` failed since ") && lines[0].contains(" · *critical*"),
        "{listed}"
    );
    assert!(lines[1].starts_with("👀 *Held report*") && lines[1].contains(" · uratna is on it"), "{listed}");
    assert!(
        !lines[2].contains("🔕") && lines[3].contains(" · 🔕 until ") && lines[2].contains(" · warning"),
        "{listed}"
    );

    let status = site.asks("status").await;
    assert!(status.contains("Report") && !status.contains("*Note*"), "{status}");
    assert!(status.ends_with("…and 1 more, 1 without anybody; `/ronda list failing` shows more."), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_acknowledges_is_told_of_no_alert_that_may_not_be_there() {
    let site = Site::start().await;
    for id in ["seen", "held"] {
        site.job(id, id, "warning").await;
        site.fails(id).await;
    }
    site.send("POST", "held/mute", &json!({"for_seconds": 3_600, "by": "Bayu"})).await;
    let seen = site.asks("ack seen").await;
    assert_eq!(seen, "👀 You are on *seen*; whoever is told of it sees that.");
    let held = site.asks("ack held").await;
    assert!(held.starts_with("👀 You are on *held*;") && held.contains("🔕 Muted until "), "{held}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mute_without_a_time_is_answered_with_what_works() {
    let site = Site::start().await;
    site.job("plain", "Plain", "warning").await;
    site.job("plain-2", "Plain Job", "warning").await;
    for (asked, wrong, works) in [
        ("mute plain yesterday", "“yesterday” is no time. ", "`/ronda mute plain 1h`"),
        ("mute plain until 25:00", "“25:00” is no time. ", "`/ronda mute plain 1h`"),
        ("mute plain 0m", "“0m” is no time. ", "`/ronda mute plain 1h`"),
        // The longest name that fits.
        ("mute PLAIN job for next week", "“next week” is no time. ", "`/ronda mute plain-2 1h`"),
        ("mute plain job", "Say for how long: ", "`/ronda mute plain-2 1h`"),
        ("mute plain until", "Say for how long: ", "`/ronda mute plain 1h`"),
        ("mute 2h plain", "The time comes last: ", "`/ronda mute plain 2h`"),
        ("mute until 06:00 plain job", "The time comes last: ", "`/ronda mute plain-2 until 06:00`"),
    ] {
        let told = site.asks(asked).await;
        assert!(told.starts_with(wrong) && told.contains(works), "{asked}: {told}");
        let works = works.trim_matches('`').trim_start_matches("/ronda ");
        assert!(site.asks(works).await.contains("is muted until"), "{works}");
    }
    let told = site.asks("mute nothing <!channel>").await;
    assert!(told.starts_with("“!channel” is no time, and ") && told.contains("`/ronda mute <job> 1h`"), "{told}");
    assert!(site.asks("mute plian").await.contains("There is no job “plian”. Did you mean `plain`"));
    assert_eq!(site.asks("mute 1h").await, "Say which job: `/ronda mute <job> 1h`");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_went_wrong_is_no_row_and_what_is_not_muted_is_not_unmuted() {
    let site = Site::start().await;
    site.job("plain", "Plain", "critical").await;
    site.fails("plain").await;
    let once = site.asks("show plain").await;
    assert!(
        once.contains("Alert since ") && !once.contains("in a row") && once.contains("Severity *critical*"),
        "{once}"
    );
    site.send("PUT", "plain/status", &json!({"status": "failed", "run_id": "another"})).await;
    assert!(site.asks("show plain").await.contains(" · 2 in a row went wrong"));

    assert_eq!(site.asks("unmute plain").await, "🔔 *Plain* is not muted.");
    site.asks("mute plain 1h").await;
    site.hears("show plain", |told| told.contains("🔕 Muted until ")).await;
    assert_eq!(site.asks("unmute plain").await, "🔔 *Plain* is not muted any more.");
    site.hears("show plain", |told| !told.contains("Muted")).await;
    assert_eq!(site.asks("unmute plain").await, "🔔 *Plain* is not muted.");
}
