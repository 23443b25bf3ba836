//! The stand-in as Slack's own SDK meets it: an app in Python, over Socket Mode and over HTTP.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use ronda_slack_standin::{APP_TOKEN, Deed, Outcome, RequestUrls, SIGNING_SECRET, Signing, SocketTrouble, StandIn};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The app, which ends with the test.
struct App {
    child: Child,
    port: u16,
}

impl App {
    fn start(stand_in: &StandIn) -> Option<Self> {
        let mut command = super::python("app.py")?;
        let command = command.args([&stand_in.api_url(), APP_TOKEN, SIGNING_SECRET]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Some(Self { child, port: line.trim().parse().unwrap() })
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_on_slacks_own_sdk_takes_commands_reconnects_and_verifies_signatures() {
    let stand_in = StandIn::start().await.unwrap();
    let Some(app) = App::start(&stand_in) else { return };
    let slack = stand_in.slack();
    assert!(slack.until(PATIENCE, |slack| slack.sockets() == 1).await);
    let told = stand_in.slash("C1", "/ronda", "status", "U1").await.told;
    assert_eq!(told.as_deref(), Some("  by the SDK: status"));

    let opened = slack.calls("apps.connections.open");
    assert!(slack.happens(&Deed::Sockets { trouble: SocketTrouble::Refresh }));
    let is_back =
        |slack: &ronda_slack_standin::Slack| slack.calls("apps.connections.open") > opened && slack.sockets() == 1;
    assert!(slack.until(PATIENCE, is_back).await, "it opens another connection");
    let told = stand_in.slash("C1", "/ronda", "again", "U1").await.told;
    assert_eq!(told.as_deref(), Some("  by the SDK: again"));

    let url = format!("http://127.0.0.1:{}/", app.port);
    slack.set_request_urls(Some(RequestUrls { interactivity: url.clone(), commands: url }));
    let signed = slack.slash("C1", "/ronda", "status", "U1", Signing::Right).await;
    assert_eq!(signed.told.as_deref(), Some("  signed"));
    for signing in [Signing::Forged, Signing::Old, Signing::Missing] {
        let refused = slack.slash("C1", "/ronda", "status", "U1", signing).await;
        assert_eq!(refused.outcome, Outcome::Refused { status: 401 }, "{signing:?}");
    }
}
