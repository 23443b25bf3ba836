//! People at work in Slack, through the real binary: what they click and ask becomes commands in the queue, survives a kill, and is seen by all.
//!
//! `PEOPLE_TRANSCRIPT` names a folder in which what they did and saw is written down.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use ronda_load::connection::Connection;
use ronda_load::pipeline::Ronda;
use ronda_load::request::{Target, frame};
use ronda_slack_standin::{
    APP_TOKEN, Interaction, Message, Outcome, Reader, RequestUrls, SIGNING_SECRET, Signing, Slack, StandIn, TOKEN,
};
use serde_json::Value;

const CHANNEL: &str = "C0NIGHT";
const JOB: &str = "nightly-billing";
const DEADLINE: Duration = Duration::from_secs(60);

/// How Slack reaches the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Https,
    SocketMode,
}

/// Slack, and a Ronda that can be killed.
struct Site {
    way: Way,
    slack: StandIn,
    dir: tempfile::TempDir,
    key: Option<String>,
    ronda: Option<Ronda>,
}

impl Site {
    async fn start(way: Way) -> Self {
        let slack = StandIn::start_on(([127, 0, 0, 1], 0).into(), Slack::default()).await.unwrap();
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut site = Self { way, slack, dir, key: None, ronda: None };
        site.run().await;
        site
    }

    async fn run(&mut self) {
        let secret = match self.way {
            Way::Https => ("SLACK_SIGNING_SECRET".to_owned(), SIGNING_SECRET.to_owned()),
            Way::SocketMode => ("SLACK_APP_TOKEN".to_owned(), APP_TOKEN.to_owned()),
        };
        let environment = [
            ("SLACK_API_URL".to_owned(), self.slack.api_url()),
            ("SLACK_BOT_TOKEN".to_owned(), TOKEN.to_owned()),
            ("SLACK_CHANNEL".to_owned(), CHANNEL.to_owned()),
            ("RONDA_NOTIFIER_GROUPING_WAIT_MS".to_owned(), "0".to_owned()),
            secret,
        ];
        let ronda = Ronda::start(Path::new(env!("CARGO_BIN_EXE_ronda")), self.dir.path(), &environment).unwrap();
        self.key.get_or_insert_with(|| ronda.key().unwrap());
        self.ronda = Some(ronda);
        let slack = self.slack.slack();
        match self.way {
            Way::Https => {
                let at = |path: &str| format!("http://{}/slack/{path}", self.target().address);
                let urls = RequestUrls { interactivity: at("interactions"), commands: at("commands") };
                slack.set_request_urls(Some(urls));
            }
            Way::SocketMode => assert!(slack.until(DEADLINE, |slack| slack.sockets() == 1).await, "it connects"),
        }
    }

    async fn killed_and_started_again(&mut self) {
        self.ronda.take().unwrap().server.kill().unwrap();
        if self.way == Way::SocketMode {
            assert!(self.slack.slack().until(DEADLINE, |slack| slack.sockets() == 0).await, "its connection ends");
        }
        self.run().await;
    }

    fn target(&self) -> Target {
        self.ronda.as_ref().unwrap().target(self.key.as_ref().unwrap())
    }

    async fn api(&self, method: &str, path: &str, body: &str) -> Value {
        let (mut request, target) = (Vec::new(), self.target());
        frame(&mut request, &target, method, path, body.as_bytes());
        let mut connection = Connection::open(&target.address).await.unwrap();
        let answer = connection.exchange(&request).await.unwrap();
        assert!((200..300).contains(&answer.status), "{method} {path}: {}", String::from_utf8_lossy(answer.body));
        serde_json::from_slice(answer.body).unwrap_or_default()
    }

    async fn reports(&self, status: &str) {
        let body = format!(r#"{{"status":"{status}","error":"disk full"}}"#);
        self.api("PUT", &format!("/api/v1/schedulers/{JOB}/status"), &body).await;
    }

    /// Waits until the alert, the first message of the channel, says so.
    async fn alert_says(&self, wanted: impl Fn(&str) -> bool) -> Message {
        let first = |slack: &Slack| slack.messages(CHANNEL).into_iter().next();
        let slack = self.slack.slack();
        let is_so = |slack: &Slack| first(slack).is_some_and(|alert| wanted(&alert.text));
        assert!(slack.until(DEADLINE, is_so).await, "{:#?}", slack.messages(CHANNEL));
        first(slack).unwrap()
    }

    /// What somebody is told at once.
    async fn asks(&self, user: &str, text: &str) -> String {
        let Interaction { outcome, told, took_ms, .. } = self.slack.slash(CHANNEL, "/ronda", text, user).await;
        assert_eq!(outcome, Outcome::Acknowledged, "{text}: {told:?}");
        assert!(took_ms < 3_000, "{text} took {took_ms} ms");
        told.unwrap_or_default()
    }

    /// Asks until the answer says so: what was just reported may not be judged yet.
    async fn hears(&self, text: &str, wanted: &str) {
        let hearing = async { while !self.asks("U0SITI", text).await.contains(wanted) {} };
        tokio::time::timeout(DEADLINE, hearing).await.unwrap_or_else(|_| panic!("{text:?} never said {wanted:?}"));
    }

    async fn clicks(&self, user: &str, ts: &str, button: &str) {
        let click = self.slack.click(CHANNEL, ts, button, user).await.unwrap_or_else(|_| panic!("no {button} there"));
        assert_eq!(click.outcome, Outcome::Acknowledged, "{button}");
    }

    fn replies(&self, words: &str) -> usize {
        let messages = self.slack.slack().messages(CHANNEL);
        messages.iter().filter(|message| message.thread_ts.is_some() && message.text.contains(words)).count()
    }

    fn write_down(&self) {
        let Ok(folder) = std::env::var("PEOPLE_TRANSCRIPT") else { return };
        let slack = self.slack.slack();
        let reader = Reader::new("Asia/Jakarta", slack.now_ms()).unwrap();
        let mut text = format!("# {:?}\n\n## What people did, and were told at once\n\n", self.way);
        for did in slack.gestures() {
            writeln!(text, "- {:?}: {:?} after {} ms: {:?}", did.gesture, did.outcome, did.took_ms, did.told).unwrap();
        }
        writeln!(text, "\n## What the channel shows in the end\n\n{}", slack.timeline(CHANNEL, &reader)).unwrap();
        std::fs::write(Path::new(&folder).join(format!("{:?}.md", self.way)), text).unwrap();
    }
}

async fn a_night(way: Way) {
    let mut site = Site::start(way).await;
    site.api("POST", "/api/v1/schedulers/register", &format!(r#"{{"id":"{JOB}","name":"Nightly billing"}}"#)).await;
    site.reports("failed").await;
    let alert = site.alert_says(|text| text.contains("failed")).await;

    if way == Way::Https {
        nothing_comes_of_what_is_not_slacks(&site, &alert.ts).await;
    }
    // Clicked twice by one who sees nothing happen yet: it counts once, and everybody sees who.
    tokio::join!(site.clicks("U0SITI", &alert.ts, "acknowledge"), site.clicks("U0SITI", &alert.ts, "acknowledge"));
    site.alert_says(|text| text.contains("Acked by u0siti")).await;
    site.hears(&format!("ack {JOB}"), "u0siti is on it").await;
    assert!(
        site.slack.click(CHANNEL, &alert.ts, "acknowledge", "U0BAYU").await.is_err(),
        "nothing is left to acknowledge"
    );

    assert!(site.asks("U0SITI", "list failing").await.contains(JOB));
    assert!(site.asks("U0SITI", "show nightly-biling").await.contains("Did you mean"));
    site.clicks("U0SITI", &alert.ts, "snooze_1h").await;
    site.alert_says(|text| text.contains("Snoozed until")).await;
    assert!(site.asks("U0SITI", &format!("unmute {JOB}")).await.contains("not muted any more"));
    site.alert_says(|text| !text.contains("Snoozed until")).await;
    assert!(site.asks("U0BAYU", &format!("mute {JOB} until 06:00")).await.contains("is muted until"));

    // What was answered is durable.
    site.killed_and_started_again().await;
    site.hears(&format!("show {JOB}"), "Muted until").await;
    site.hears(&format!("show {JOB}"), "u0siti is on it").await;
    site.alert_says(|text| text.contains("Snoozed until")).await;
    let history = site.api("GET", &format!("/api/v1/schedulers/{JOB}/history"), "").await;
    assert_eq!(history["items"][0]["acknowledgment"]["by"]["name"], "u0siti", "{history:#}");

    site.reports("success").await;
    site.alert_says(|text| text.contains("recovered")).await;
    assert_eq!(site.replies("Acked by"), 1);
    site.write_down();
}

async fn nothing_comes_of_what_is_not_slacks(site: &Site, ts: &str) {
    let slack = site.slack.slack();
    let refused = Outcome::Refused { status: 401 };
    for signing in [Signing::Forged, Signing::Old, Signing::Missing] {
        let click = slack.click(CHANNEL, ts, "acknowledge", "U0EVE", signing).await.unwrap();
        assert_eq!(click.outcome, refused, "{signing:?}");
        let unmute = slack.slash(CHANNEL, "/ronda", &format!("unmute {JOB}"), "U0EVE", signing).await;
        assert_eq!(unmute.outcome, refused, "{signing:?}");
    }
    let unmute = slack.slash(CHANNEL, "/ronda", &format!("unmute {JOB}"), "U0SITI", Signing::Right).await;
    assert!(unmute.told.as_deref().is_some_and(|told| told.contains("is not muted.")), "{unmute:?}");
    site.asks("U0SITI", &format!("mute {JOB} 2h")).await;
    assert_eq!(slack.replay(&unmute).await, Some(refused), "the very same request again");
    site.hears(&format!("show {JOB}"), "Muted until").await;
    site.asks("U0SITI", &format!("unmute {JOB}")).await;
    let shown = site.alert_says(|text| !text.contains("Snoozed until")).await;
    assert!(!shown.text.contains("Acked by"), "{}", shown.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_over_https() {
    a_night(Way::Https).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_over_socket_mode() {
    a_night(Way::SocketMode).await;
}
