//! A small HTTP client: one server, one key, JSON both ways.

use std::path::Path;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::cli::Server;
use crate::exit::{Code, Failure, chain};
use crate::text::printable;

/// Longer than the longest wait that a server grants.
const TIMEOUT: Duration = Duration::from_secs(330);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Talks to one server.
pub struct Client {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
}

/// A successful answer.
pub struct Sent {
    /// Its status.
    pub status: u16,
    /// Its body; null when there was none.
    pub body: Value,
}

impl Client {
    /// For the server that the flags and the environment name.
    ///
    /// # Errors
    /// When the address is not one.
    pub fn new(server: &Server) -> Result<Self, Failure> {
        let url = url::Url::parse(&server.url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        if url.is_none() {
            let message =
                format!("{:?} is not an address; write --url http://127.0.0.1:3000 or set RONDA_URL", server.url);
            return Err(Failure::new(Code::Usage, message));
        }
        let http = builder(server.url.starts_with("https:")).build().map_err(|error| Failure::other(chain(&error)))?;
        Ok(Self { http, base: server.url.trim_end_matches('/').to_owned(), key: server.api_key.clone() })
    }

    /// For a server on a Unix socket.
    ///
    /// # Errors
    /// When the client can't be set up.
    pub fn on_socket(path: &Path) -> Result<Self, Failure> {
        let http = builder(false).unix_socket(path).build().map_err(|error| Failure::other(chain(&error)))?;
        Ok(Self { http, base: String::from("http://localhost"), key: None })
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// `Unreachable` when there is no answer, `Refused` with the server's own words when it refuses.
    pub async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
        wait: Option<u32>,
    ) -> Result<Sent, Failure> {
        let mut url = url::Url::parse(&self.base).map_err(|error| Failure::new(Code::Usage, error.to_string()))?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http.request(method, url);
        if let Some(key) = &self.key {
            request = request.header("x-api-key", key);
        }
        if let Some(seconds) = wait {
            request = request.header("prefer", format!("wait={seconds}"));
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(|error| self.unreachable(&error))?;
        let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if status.is_success() { Ok(Sent { status: status.as_u16(), body }) } else { Err(self.refused(status, &body)) }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let hint = if error.is_connect() { "; is 'ronda up' running there? (--url, RONDA_URL)" } else { "" };
        Failure::new(Code::Unreachable, format!("{} gave no answer: {}{hint}", self.base, chain(error)))
    }

    fn refused(&self, status: StatusCode, problem: &Value) -> Failure {
        let text = |key: &str| problem[key].as_str().map(printable).unwrap_or_default();
        let mut message = match (text("title"), text("detail")) {
            (title, detail) if title.is_empty() && detail.is_empty() => format!("the server answered {status}"),
            (title, detail) => format!("{title}. {detail}"),
        };
        for error in problem["errors"].as_array().into_iter().flatten() {
            let part = |key: &str| error[key].as_str().map(printable).unwrap_or_default();
            let what = if error["message"].is_string() { part("message") } else { part("detail") };
            message.push_str(&format!("\n  {} {what}", part("pointer")));
        }
        if status == StatusCode::UNAUTHORIZED && self.key.is_none() {
            message.push_str("\n  no key was given: set RONDA_API_KEY; 'ronda keys create --name me' makes one");
        }
        Failure::new(Code::Refused, message)
    }
}

fn builder(tls: bool) -> reqwest::ClientBuilder {
    ronda_notifier::slack::install_tls_provider();
    let builder = reqwest::Client::builder()
        .user_agent(concat!("ronda/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT);
    // Without TLS no certificate will be looked at, so none is needed on the machine.
    if tls { builder } else { builder.tls_certs_only([]) }
}
