//! A client that does not give up: it tries again while nobody answers and on 429 and 503, and goes on to the next gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::connection::Connection;
use crate::request::{Target, frame};

/// How long an answer may take before the next gateway is asked.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Wait between two attempts.
const PAUSE: Duration = Duration::from_millis(400);
/// How long it tries in all, as the command line does.
const INSIST: Duration = Duration::from_secs(60);

/// What came of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It was confirmed.
    Confirmed,
    /// It was sent, and may or may not have arrived.
    InDoubt,
    /// It never left.
    Not,
}

/// Requests sent and answered 2xx, counted over all clients: what the pipeline's own counts are compared with.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: AtomicU64,
    pub(crate) confirmed: AtomicU64,
}

/// One client of several gateways.
#[derive(Debug)]
pub(crate) struct Client {
    gateways: Vec<Target>,
    at: usize,
    connection: Option<Connection>,
    request: Vec<u8>,
    tally: Arc<Tally>,
}

impl Client {
    /// One that begins with the gateway of this number.
    pub(crate) fn new(gateways: Vec<Target>, first: usize, tally: Arc<Tally>) -> Self {
        Self { gateways, at: first, connection: None, request: Vec::new(), tally }
    }

    /// One exchange with the gateway that it is at; the next one, when this is not confirmed.
    ///
    /// # Errors
    /// When it is refused: 4xx, other than 429.
    pub(crate) async fn send(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Sent> {
        let index = self.at % self.gateways.len().max(1);
        let target = self.gateways.get(index).context("no gateway")?;
        if self.connection.is_none() {
            match tokio::time::timeout(ATTEMPT, Connection::open(&target.address)).await {
                Ok(Ok(connection)) => self.connection = Some(connection),
                _ => {
                    self.at += 1;
                    return Ok(Sent::Not);
                }
            }
        }
        let Some(connection) = &mut self.connection else { return Ok(Sent::Not) };
        frame(&mut self.request, target, method, path, body);
        self.tally.sent.fetch_add(1, Ordering::Relaxed);
        let answer = tokio::time::timeout(ATTEMPT, connection.exchange(&self.request)).await;
        match answer {
            Ok(Ok(answer)) if (200..300).contains(&answer.status) => {
                self.tally.confirmed.fetch_add(1, Ordering::Relaxed);
                return Ok(Sent::Confirmed);
            }
            Ok(Ok(answer)) if (400..500).contains(&answer.status) && answer.status != 429 => {
                bail!("{method} {path} was answered {}: {}", answer.status, String::from_utf8_lossy(answer.body));
            }
            _ => {}
        }
        self.connection = None;
        self.at += 1;
        Ok(Sent::InDoubt)
    }

    /// Sends it until it is confirmed. The same request may arrive more than once.
    ///
    /// # Errors
    /// When it is refused, or nobody confirms it within a minute.
    pub(crate) async fn insist(&mut self, method: &str, path: &str, body: &str) -> Result<()> {
        let began = Instant::now();
        while self.send(method, path, body.as_bytes()).await? != Sent::Confirmed {
            if began.elapsed() > INSIST {
                bail!("{method} {path}: nobody confirmed it within {INSIST:?}");
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Registers a scheduler.
    ///
    /// # Errors
    /// As [`insist`](Self::insist).
    pub(crate) async fn register(&mut self, body: &str) -> Result<()> {
        self.insist("POST", "/api/v1/schedulers/register", body).await
    }

    /// Reports a status.
    ///
    /// # Errors
    /// As [`insist`](Self::insist).
    pub(crate) async fn status(&mut self, id: &str, body: &str) -> Result<()> {
        self.insist("PUT", &format!("/api/v1/schedulers/{id}/status"), body).await
    }

    /// Reports a heartbeat.
    ///
    /// # Errors
    /// As [`insist`](Self::insist).
    pub(crate) async fn heartbeat(&mut self, id: &str, body: &str) -> Result<()> {
        self.insist("POST", &format!("/api/v1/schedulers/{id}/heartbeat"), body).await
    }

    /// Reads one page.
    ///
    /// # Errors
    /// When the answer isn't 200 with JSON.
    pub(crate) async fn get(&mut self, path: &str) -> Result<serde_json::Value> {
        let target = self.gateways.first().context("no gateway")?;
        if self.connection.is_none() {
            self.connection = Some(Connection::open(&target.address).await?);
        }
        let connection = self.connection.as_mut().context("no connection")?;
        frame(&mut self.request, target, "GET", path, b"");
        let read = tokio::time::timeout(Duration::from_secs(30), connection.exchange(&self.request)).await;
        let found = match read {
            Ok(Ok(answer)) if answer.status == 200 => {
                return serde_json::from_slice(answer.body).with_context(|| format!("GET {path}"));
            }
            Ok(Ok(answer)) => format!("{} {}", answer.status, String::from_utf8_lossy(answer.body)),
            Ok(Err(error)) => error.to_string(),
            Err(_) => String::from("no answer"),
        };
        self.connection = None;
        bail!("GET {path}: {found}")
    }
}
