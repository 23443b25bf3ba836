//! Socket Mode: what people do comes over WebSockets that the app opens. <https://docs.slack.dev/apis/events-api/using-socket-mode>

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{APP, Outcome};
use crate::state::Slack;

/// "Socket Mode allows your app to maintain up to 10 open WebSocket connections at the same time."
const LINKS: usize = 10;
/// (j) How long a ticket is good for; it is good for one connection.
const TICKET_MS: u64 = 30_000;
/// (j) How often the server asks whether the client is there.
const PING: Duration = Duration::from_secs(10);

/// What happens to all connections that are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SocketTrouble {
    /// They are told that they will be closed soon: `disconnect` with `warning`.
    Warn,
    /// They are told to open another one, `refresh_requested`, and closed.
    Refresh,
    /// Socket Mode is turned off: `link_disabled`, and closed.
    Disable,
    /// They break without a word.
    Cut,
    /// They stay open, but nothing is read or said any more.
    Freeze,
}

#[derive(Debug, Default)]
pub(crate) struct Sockets(Mutex<Links>);

#[derive(Debug, Default)]
struct Links {
    numbers: u64,
    /// When each ticket ends.
    tickets: BTreeMap<String, u64>,
    open: BTreeMap<u64, mpsc::UnboundedSender<Order>>,
    /// Who got the last envelope: the next one goes to another connection.
    last: u64,
    waiting: BTreeMap<String, oneshot::Sender<Value>>,
    stop: CancellationToken,
}

/// What a connection shall do.
#[derive(Debug)]
enum Order {
    Say(String),
    Trouble(SocketTrouble),
}

impl Links {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Sends to the connection after the one that had the last; whether there was any.
    fn send(&mut self, text: &str) -> bool {
        let after = self.open.range(self.last + 1..).chain(self.open.range(..=self.last));
        let taken =
            after.map(|(id, link)| (*id, link)).find(|(_, link)| link.send(Order::Say(text.to_owned())).is_ok());
        if let Some((id, _)) = taken {
            self.last = id;
        }
        taken.is_some()
    }
}

impl Sockets {
    /// Connections end with this.
    pub(crate) fn end_with(&self, stop: CancellationToken) {
        self.0.lock().stop = stop;
    }

    /// A ticket for one connection.
    pub(crate) fn ticket(&self, now_ms: u64) -> String {
        let mut links = self.0.lock();
        let ticket = format!("{}-stand-in", links.number());
        links.tickets.insert(ticket.clone(), now_ms + TICKET_MS);
        ticket
    }

    /// Uses a ticket up; whether it was good.
    pub(crate) fn redeem(&self, ticket: &str, now_ms: u64) -> bool {
        self.0.lock().tickets.remove(ticket).is_some_and(|ends| now_ms <= ends)
    }

    /// Sends an envelope over one of the connections and waits for its acknowledgement.
    pub(super) async fn deliver(&self, kind: &str, payload: Value, patience: Duration) -> Result<Value, Outcome> {
        let (envelope_id, acknowledged) = {
            let mut links = self.0.lock();
            let number = links.number();
            let envelope_id = format!("{number:08x}-57a4-4d00-8000-{number:012x}");
            let envelope = json!({
                "envelope_id":envelope_id,"type":kind,"payload":payload,"accepts_response_payload":kind == "slash_commands",
            });
            if !links.send(&envelope.to_string()) {
                return Err(Outcome::Unreachable { why: "no WebSocket is open".to_owned() });
            }
            let (acknowledge, acknowledged) = oneshot::channel();
            links.waiting.insert(envelope_id.clone(), acknowledge);
            (envelope_id, acknowledged)
        };
        let answer = tokio::time::timeout(patience, acknowledged).await;
        self.0.lock().waiting.remove(&envelope_id);
        answer.ok().and_then(Result::ok).ok_or(Outcome::TooLate)
    }

    /// An acknowledgement from any of the connections; one that is late is for nobody.
    fn acknowledged(&self, text: &str) {
        let Ok(said) = serde_json::from_str::<Value>(text) else { return };
        let waiting = said["envelope_id"].as_str().and_then(|id| self.0.lock().waiting.remove(id));
        if let Some(waiting) = waiting {
            // Nobody waits any more: it came at the very end.
            let _ = waiting.send(said["payload"].clone());
        }
    }

    fn join(&self) -> Option<Link> {
        let mut links = self.0.lock();
        links.open.retain(|_, link| !link.is_closed());
        if links.open.len() == LINKS {
            return None;
        }
        let (orders, taken) = mpsc::unbounded_channel();
        let id = links.number();
        links.open.insert(id, orders);
        Some(Link { id, orders: taken, open: links.open.len(), stop: links.stop.clone() })
    }
}

/// One connection's end of what it is told to do.
struct Link {
    id: u64,
    orders: mpsc::UnboundedReceiver<Order>,
    /// How many there are with it.
    open: usize,
    stop: CancellationToken,
}

impl Slack {
    /// How many Socket Mode connections are open.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.interactions.sockets.0.lock().open.len()
    }

    /// Something happens to all connections that are open; whether there are any.
    pub fn trouble_sockets(&self, trouble: SocketTrouble) -> bool {
        let links = self.interactions.sockets.0.lock();
        links.open.values().filter(|link| link.send(Order::Trouble(trouble)).is_ok()).count() > 0
    }

    /// Holds one connection until it ends.
    pub(crate) async fn hold(&self, mut socket: WebSocket) {
        let sockets = &self.interactions.sockets;
        let is_off = self.interactions(|state| state.urls.is_some());
        let joined = if is_off { Err("link_disabled") } else { sockets.join().ok_or("too_many_websockets") };
        let mut link = match joined {
            Ok(link) => link,
            Err(reason) => {
                // A client that is gone already needs no parting.
                let _ = part(&mut socket, reason).await;
                return;
            }
        };
        self.changed();
        let stop = link.stop.clone();
        tokio::select! {
            // Whatever broke, the connection is over.
            _ = talk(sockets, &mut socket, &mut link) => {}
            () = stop.cancelled() => {}
        }
        sockets.0.lock().open.remove(&link.id);
        self.changed();
    }
}

async fn say(socket: &mut WebSocket, text: String) -> Result<(), axum::Error> {
    socket.send(Message::Text(text.into())).await
}

fn disconnect(reason: &str) -> String {
    json!({"type":"disconnect","reason":reason,"debug_info":{"host":"stand-in"}}).to_string()
}

async fn talk(sockets: &Sockets, socket: &mut WebSocket, link: &mut Link) -> Result<(), axum::Error> {
    let hello = json!({
        "type":"hello","num_connections":link.open,"connection_info":{"app_id":APP},
        "debug_info":{"host":"stand-in","build_number":1,"approximate_connection_time":18_060},
    });
    say(socket, hello.to_string()).await?;
    let mut ping = tokio::time::interval(PING);
    loop {
        tokio::select! {
            order = link.orders.recv() => match order {
                Some(Order::Say(text)) => say(socket, text).await?,
                Some(Order::Trouble(SocketTrouble::Warn)) => say(socket, disconnect("warning")).await?,
                Some(Order::Trouble(SocketTrouble::Refresh)) => return part(socket, "refresh_requested").await,
                Some(Order::Trouble(SocketTrouble::Disable)) => return part(socket, "link_disabled").await,
                Some(Order::Trouble(SocketTrouble::Freeze)) => std::future::pending().await,
                Some(Order::Trouble(SocketTrouble::Cut)) | None => return Ok(()),
            },
            heard = socket.recv() => match heard {
                Some(Ok(Message::Text(text))) => sockets.acknowledged(&text),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
                Some(Ok(_)) => {}
            },
            _ = ping.tick() => socket.send(Message::Ping("Ping from stand-in".into())).await?,
        }
    }
}

async fn part(socket: &mut WebSocket, reason: &str) -> Result<(), axum::Error> {
    say(socket, disconnect(reason)).await?;
    socket.send(Message::Close(None)).await
}
