//! The same over Socket Mode: connections that the gateway opens, and opens again.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;

use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use common::{DEADLINE, Setup, TestGateway, eventually};
use futures::{SinkExt, StreamExt};
use http::HeaderMap;
use ronda_domain::id::TenantId;
use ronda_ingest_gateway::{Config, SlackConfig};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

const APP_TOKEN: &str = "xapp-1-A1-2-secret";

/// A Slack with nothing but Socket Mode.
struct Slack {
    address: String,
    connections: mpsc::Receiver<WebSocketStream<TcpStream>>,
}

impl Slack {
    async fn start() -> Self {
        let sockets = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/link?ticket=t", sockets.local_addr().unwrap());
        let (accepted, connections) = mpsc::channel(8);
        tokio::spawn(async move {
            while let Ok((stream, _)) = sockets.accept().await {
                let socket = accept_async(stream).await.unwrap();
                if accepted.send(socket).await.is_err() {
                    break;
                }
            }
        });
        let api = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/api", api.local_addr().unwrap());
        let router = Router::new().route("/api/apps.connections.open", post(open)).with_state(url);
        tokio::spawn(async move { axum::serve(api, router).await });
        Self { address, connections }
    }

    /// The next connection that is opened, with Slack's hello said.
    async fn connection(&mut self) -> Socket {
        let opened = tokio::time::timeout(DEADLINE, self.connections.recv()).await;
        let mut socket = Socket(opened.expect("a connection in time").unwrap());
        socket.say(&json!({"type": "hello", "num_connections": 1})).await;
        socket
    }

    async fn gateway(&self) -> TestGateway {
        self.gateway_with(APP_TOKEN).await
    }

    async fn gateway_with(&self, app_token: &str) -> TestGateway {
        let slack = SlackConfig {
            app_token: app_token.to_owned().into(),
            api_url: self.address.clone(),
            ..SlackConfig::new(TenantId::new("acme").unwrap())
        };
        let config = Config { slack: Some(slack), ..Config::default() };
        TestGateway::with(Setup { config, ..Setup::default() }).await.ready().await
    }
}

async fn open(State(url): State<String>, headers: HeaderMap) -> Json<Value> {
    let good =
        headers.get("authorization").is_some_and(|given| given.as_bytes() == format!("Bearer {APP_TOKEN}").as_bytes());
    Json(if good { json!({"ok": true, "url": url}) } else { json!({"ok": false, "error": "invalid_auth"}) })
}

struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    async fn say(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn ask(&mut self, envelope: &str, trigger: &str, text: &str) {
        self.say(&json!({
            "type": "slash_commands", "envelope_id": envelope, "accepts_response_payload": true,
            "payload": {"command": "/ronda", "text": text, "user_id": "U1", "team_id": "T1", "trigger_id": trigger, "response_url": ""},
        }))
        .await;
    }

    /// The next acknowledgement; `None`: the connection has ended.
    async fn acknowledged(&mut self) -> Option<Value> {
        let next = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).ok(),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                    Some(Ok(_)) => {}
                }
            }
        };
        tokio::time::timeout(DEADLINE, next).await.expect("an acknowledgement in time")
    }
}

fn text(acknowledged: &Value) -> &str {
    acknowledged["payload"]["text"].as_str().unwrap_or_default()
}

/// What the health says of Socket Mode.
fn told(gateway: &TestGateway) -> String {
    let report = gateway.health.readiness();
    report.components.into_iter().find(|part| part.name == "slack-socket").map(|part| part.reason).unwrap_or_default()
}

#[tokio::test]
async fn the_health_says_how_the_connection_is_and_what_to_do_and_stays_good() {
    let mut slack = Slack::start().await;
    let gateway = slack.gateway().await;
    let socket = slack.connection().await;
    eventually(|| told(&gateway) == "connected to Slack by Socket Mode").await;
    drop(socket);
    let _next = slack.connection().await;
    eventually(|| told(&gateway) == "connected to Slack by Socket Mode").await;
    let wrong = slack.gateway_with("xapp-wrong").await;
    eventually(|| told(&wrong).contains("\"invalid_auth\"; make a new app-level token")).await;
    assert!(wrong.health.readiness().ok, "reports are taken all the same");
}

#[tokio::test]
async fn what_is_asked_is_acknowledged_with_its_answer_once() {
    let mut slack = Slack::start().await;
    let gateway = slack.gateway().await;
    gateway.register("nightly").await;
    let mut socket = slack.connection().await;
    socket.ask("e1", "1.1", "mute nightly 1h").await;
    let first = socket.acknowledged().await.unwrap();
    assert_eq!(first["envelope_id"], "e1");
    assert!(text(&first).contains("is muted until"), "{first}");
    // Told again, as if the acknowledgement had been lost: the same answer, to the letter.
    socket.ask("e1", "1.1", "mute nightly 1h").await;
    assert_eq!(socket.acknowledged().await.unwrap(), first);
    // What may not be answered, or is not for us, is acknowledged without an answer.
    socket.say(&json!({"type": "events_api", "envelope_id": "e2", "payload": {}})).await;
    assert_eq!(socket.acknowledged().await.unwrap(), json!({"envelope_id": "e2"}));
    socket.say(&json!({"type": "interactive", "envelope_id": "e3", "payload": {"type": "view_closed"}})).await;
    assert_eq!(socket.acknowledged().await.unwrap(), json!({"envelope_id": "e3"}));
}

#[tokio::test]
async fn the_next_connection_is_open_before_the_old_one_ends() {
    let mut slack = Slack::start().await;
    let _gateway = slack.gateway().await;
    let mut old = slack.connection().await;
    old.say(&json!({"type": "disconnect", "reason": "refresh_requested"})).await;
    let mut new = slack.connection().await;
    for (socket, envelope) in [(&mut old, "e1"), (&mut new, "e2")] {
        socket.ask(envelope, envelope, "help").await;
        assert_eq!(socket.acknowledged().await.unwrap()["envelope_id"], envelope);
    }
    old.0.close(None).await.unwrap();
    new.ask("e3", "e3", "help").await;
    assert_eq!(new.acknowledged().await.unwrap()["envelope_id"], "e3");
}

#[tokio::test]
async fn a_lost_connection_is_made_again() {
    let mut slack = Slack::start().await;
    let _gateway = slack.gateway().await;
    drop(slack.connection().await);
    let mut next = slack.connection().await;
    next.ask("e1", "1.1", "help").await;
    assert!(text(&next.acknowledged().await.unwrap()).contains("/ronda status"));
}

#[tokio::test]
async fn a_gateway_that_ends_closes_its_connection() {
    let mut slack = Slack::start().await;
    let gateway = slack.gateway().await;
    let mut socket = slack.connection().await;
    socket.ask("e1", "1.1", "help").await;
    assert!(socket.acknowledged().await.is_some());
    gateway.stop.cancel();
    assert_eq!(socket.acknowledged().await, None);
    tokio::time::timeout(Duration::from_secs(30), gateway.running).await.unwrap().unwrap().unwrap();
}
