//! Socket Mode as a client meets it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use ronda_slack_standin::{APP_TOKEN, Deed, Outcome, RequestUrls, SocketTrouble, StandIn, TOKEN};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn open(stand_in: &StandIn) -> Self {
        let url = open(stand_in, APP_TOKEN).await["url"].as_str().unwrap().to_owned();
        Self(connect_async(url).await.unwrap().0)
    }

    /// The next message of Slack's own, `None` at the end of the connection.
    async fn next(&mut self) -> Option<Value> {
        loop {
            match tokio::time::timeout(PATIENCE, self.0.next()).await.expect("nothing was said") {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    async fn said(&mut self) -> Value {
        self.next().await.expect("the connection ended")
    }

    async fn acknowledge(&mut self, envelope: &Value, payload: Value) {
        let acknowledgement = json!({"envelope_id":envelope["envelope_id"],"payload":payload});
        self.0.send(Message::Text(acknowledgement.to_string().into())).await.unwrap();
    }
}

async fn open(stand_in: &StandIn, token: &str) -> Value {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = format!("{}apps.connections.open", stand_in.api_url());
    reqwest::Client::new().post(url).bearer_auth(token).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn a_ticket_is_for_the_apps_token_and_for_one_connection() {
    let stand_in = StandIn::start().await.unwrap();
    assert_eq!(open(&stand_in, TOKEN).await["error"], "not_allowed_token_type");
    let url = open(&stand_in, APP_TOKEN).await["url"].as_str().unwrap().to_owned();
    let (_socket, _) = connect_async(&url).await.unwrap();
    assert!(matches!(connect_async(&url).await, Err(Error::Http(refused)) if refused.status() == 401));
    let late = open(&stand_in, APP_TOKEN).await["url"].as_str().unwrap().to_owned();
    stand_in.slack().advance(Duration::from_secs(60));
    assert!(matches!(connect_async(&late).await, Err(Error::Http(refused)) if refused.status() == 401));
}

#[tokio::test]
async fn a_command_comes_in_an_envelope_and_is_answered_in_its_acknowledgement() {
    let stand_in = StandIn::start().await.unwrap();
    let mut socket = Socket::open(&stand_in).await;
    let hello = socket.said().await;
    assert_eq!((&hello["type"], &hello["num_connections"]), (&json!("hello"), &json!(1)));
    let app = async {
        let envelope = socket.said().await;
        assert_eq!(
            (&envelope["type"], &envelope["accepts_response_payload"]),
            (&json!("slash_commands"), &json!(true))
        );
        assert_eq!(
            (&envelope["payload"]["command"], &envelope["payload"]["text"]),
            (&json!("/ronda"), &json!("status"))
        );
        socket.acknowledge(&envelope, json!({"text":"all is well"})).await;
    };
    let (interaction, ()) = tokio::join!(stand_in.slash("C1", "/ronda", "status", "U1"), app);
    assert_eq!(interaction.outcome, Outcome::Acknowledged);
    assert_eq!(interaction.told.as_deref(), Some("  all is well"));
}

#[tokio::test]
async fn a_click_that_is_not_acknowledged_fails_for_the_person() {
    let stand_in = StandIn::start().await.unwrap();
    let button = json!({"type":"button","action_id":"ack","text":{"type":"plain_text","text":"Acknowledge"}});
    let body = json!({"channel":"C1","text":"t","blocks":[{"type":"actions","elements":[button]}]});
    let url = format!("{}chat.postMessage", stand_in.api_url());
    let mut socket = Socket::open(&stand_in).await;
    socket.said().await;
    let posted = reqwest::Client::new().post(url).bearer_auth(TOKEN).json(&body).send().await.unwrap();
    let ts = posted.json::<Value>().await.unwrap()["ts"].as_str().unwrap().to_owned();

    let app = async {
        let envelope = socket.said().await;
        assert_eq!((&envelope["type"], &envelope["payload"]["type"]), (&json!("interactive"), &json!("block_actions")));
        assert_eq!(envelope["payload"]["container"]["type"], "message");
        socket.acknowledge(&envelope, Value::Null).await;
    };
    let (interaction, ()) = tokio::join!(stand_in.click("C1", &ts, "ack", "U1"), app);
    assert_eq!(interaction.unwrap().outcome, Outcome::Acknowledged);

    stand_in.slack().set_patience(Duration::from_millis(50));
    let late = stand_in.click("C1", &ts, "ack", "U1").await.unwrap();
    assert_eq!(late.outcome, Outcome::TooLate);
    assert!(late.told.unwrap().contains("operation_timeout"));
    let envelope = socket.said().await;
    socket.acknowledge(&envelope, Value::Null).await;
}

#[tokio::test]
async fn envelopes_go_round_and_the_eleventh_connection_is_one_too_many() {
    let stand_in = StandIn::start().await.unwrap();
    let mut sockets = Vec::new();
    for n in 1..=10 {
        let mut socket = Socket::open(&stand_in).await;
        assert_eq!(socket.said().await["num_connections"], n);
        sockets.push(socket);
    }
    let mut eleventh = Socket::open(&stand_in).await;
    assert_eq!(eleventh.said().await["reason"], "too_many_websockets");
    assert_eq!(eleventh.next().await, None);
    for socket in sockets.iter_mut().take(3) {
        let app = async {
            let envelope = socket.said().await;
            socket.acknowledge(&envelope, Value::Null).await;
        };
        let (interaction, ()) = tokio::join!(stand_in.slash("C1", "/ronda", "", "U1"), app);
        assert_eq!(interaction.outcome, Outcome::Acknowledged);
    }
    drop(sockets.pop());
    assert!(stand_in.slack().until(PATIENCE, |slack| slack.sockets() == 9).await);
    assert_eq!(Socket::open(&stand_in).await.said().await["type"], "hello");
}

#[tokio::test]
async fn connections_are_warned_refreshed_cut_and_turned_off() {
    let stand_in = StandIn::start().await.unwrap();
    let happens = |trouble| stand_in.slack().happens(&Deed::Sockets { trouble });
    assert!(!happens(SocketTrouble::Cut), "there is none");
    let mut socket = Socket::open(&stand_in).await;
    socket.said().await;
    assert!(happens(SocketTrouble::Warn));
    assert_eq!(socket.said().await["reason"], "warning");
    assert!(happens(SocketTrouble::Refresh));
    assert_eq!(socket.said().await["reason"], "refresh_requested");
    assert_eq!(socket.next().await, None);

    let mut socket = Socket::open(&stand_in).await;
    socket.said().await;
    happens(SocketTrouble::Cut);
    assert_eq!(socket.next().await, None);

    let mut socket = Socket::open(&stand_in).await;
    socket.said().await;
    let nowhere = "http://127.0.0.1:1".to_owned();
    let urls = RequestUrls { interactivity: nowhere.clone(), commands: nowhere };
    stand_in.slack().set_request_urls(Some(urls));
    assert_eq!(socket.said().await["reason"], "link_disabled");
    assert_eq!(socket.next().await, None);
    assert_eq!(Socket::open(&stand_in).await.said().await["reason"], "link_disabled");
}

#[tokio::test]
async fn a_frozen_connection_answers_nothing_and_ends_with_the_stand_in() {
    let stand_in = StandIn::start().await.unwrap();
    let mut socket = Socket::open(&stand_in).await;
    socket.said().await;
    stand_in.slack().happens(&Deed::Sockets { trouble: SocketTrouble::Freeze });
    stand_in.slack().set_patience(Duration::from_millis(50));
    assert_eq!(stand_in.slash("C1", "/ronda", "", "U1").await.outcome, Outcome::TooLate);
    drop(stand_in);
    assert_eq!(socket.next().await, None);
}
