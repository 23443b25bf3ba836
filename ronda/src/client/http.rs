//! A small HTTP client: one server, one key, JSON both ways, and some patience.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::header::RETRY_AFTER;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::refusal::{self, Asked, Refused};
use crate::cli::Server;
use ronda_host::exit::{Code, Failure, chain};

/// Longer than the longest wait that a server grants.
const TIMEOUT: Duration = Duration::from_secs(330);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long writes are tried when nothing else is said, in seconds: a restart of Ronda, or a minute's rate limit, loses no report.
pub const WRITES_RETRY_SECONDS: u32 = 60;
/// Pauses where the server names none: this one first, then doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Jobs that start together must not come back together: so much is added to a pause at most, in milliseconds.
const MAX_JITTER_MS: u32 = 1_000;

/// Problems that say that there is no such thing, or that it can't have such a name.
const NOT_THERE: [&str; 4] = ["unknown_scheduler", "invalid_path", "not_found", "method_not_allowed"];

/// Talks to one server.
pub struct Client {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
    patience: Duration,
    /// Whether what is wrong is told by the names of flags, or by those of the body.
    by_flags: bool,
    /// Whether that is the process of a data directory, which says with which exit code a command ends that it refuses.
    on_socket: bool,
}

/// A request to send.
pub struct Request<'a> {
    /// Its method.
    pub method: Method,
    /// Its path, by segments.
    pub path: &'a [&'a str],
    /// Its query.
    pub query: &'a [(&'a str, String)],
    /// Its body.
    pub body: Option<&'a Value>,
    /// Ask for the resulting state, and wait so many seconds for it.
    pub wait: Option<u32>,
    /// Sending it again must not count twice, and nothing in it says that it is the same: give it a key.
    pub once: bool,
}

impl<'a> Request<'a> {
    /// A plain one.
    #[must_use]
    pub const fn new(method: Method, path: &'a [&'a str]) -> Self {
        Self { method, path, query: &[], body: None, wait: None, once: false }
    }
}

/// A successful answer.
pub struct Sent {
    /// Its status.
    pub status: u16,
    /// Its body; null when there was none.
    pub body: Value,
}

/// What asking for one thing found.
pub enum Lookup {
    /// It is there.
    There(Value),
    /// There is no such thing.
    Missing,
    /// The key may not read.
    Hidden,
}

/// Why an attempt failed.
enum Failed {
    NoAnswer(String),
    Refused(Refused),
}

/// Why no further attempt is made.
struct GaveUp {
    failed: Failed,
    attempts: u32,
    spent: Duration,
}

impl Client {
    /// For reading from the server that the flags and the environment name: somebody waits, so it is asked once unless told otherwise.
    ///
    /// # Errors
    /// When the address is not one.
    pub fn for_reads(server: &Server) -> Result<Self, Failure> {
        Self::new(server, 0)
    }

    /// For writing to that server: tried again for [`WRITES_RETRY_SECONDS`] unless told otherwise.
    ///
    /// # Errors
    /// When the address is not one.
    pub fn for_writes(server: &Server) -> Result<Self, Failure> {
        Self::new(server, WRITES_RETRY_SECONDS)
    }

    fn new(server: &Server, retry_seconds: u32) -> Result<Self, Failure> {
        let address = server.address();
        let url = url::Url::parse(&address).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        if url.is_none() {
            let message = format!("{address:?} is not an address; write --url http://127.0.0.1:3000 or set RONDA_URL");
            return Err(Failure::new(Code::Usage, message));
        }
        let http = builder(address.starts_with("https:")).build().map_err(|error| Failure::other(chain(&error)))?;
        Ok(Self {
            http,
            base: address.trim_end_matches('/').to_owned(),
            key: server.key(),
            patience: Duration::from_secs(server.retry_seconds.unwrap_or(retry_seconds).into()),
            by_flags: true,
            on_socket: false,
        })
    }

    /// The same for a body that the user wrote: what is wrong with it is told by its own names.
    #[must_use]
    pub fn with_own_body(mut self) -> Self {
        self.by_flags = false;
        self
    }

    /// For a server on a Unix socket.
    ///
    /// # Errors
    /// When the client can't be set up.
    pub fn on_socket(path: &Path) -> Result<Self, Failure> {
        let http = builder(false).unix_socket(path).build().map_err(|error| Failure::other(chain(&error)))?;
        let base = String::from("http://localhost");
        Ok(Self { http, base, key: None, patience: Duration::ZERO, by_flags: true, on_socket: true })
    }

    /// Sends a plain request; see [`carry_out`](Self::carry_out).
    ///
    /// # Errors
    /// As [`carry_out`](Self::carry_out).
    pub async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
        wait: Option<u32>,
    ) -> Result<Sent, Failure> {
        self.carry_out(Request { query, body, wait, ..Request::new(method, path) }).await
    }

    /// Sends a request and reads the answer. While nobody answers, and on 429 and 503, it is sent again after what the server asks for,
    /// as long as the client's patience lasts.
    ///
    /// # Errors
    /// `Unreachable` when there is no answer, `Refused` with the server's own words when it refuses.
    pub async fn carry_out(&self, request: Request<'_>) -> Result<Sent, Failure> {
        self.tried(&request).await?.map_err(|gave_up| self.failure(&gave_up))
    }

    /// Reads one thing that may not be there.
    ///
    /// # Errors
    /// As [`carry_out`](Self::carry_out).
    pub async fn look_up(&self, path: &[&str]) -> Result<Lookup, Failure> {
        match self.tried(&Request::new(Method::GET, path)).await? {
            Ok(sent) => Ok(Lookup::There(sent.body)),
            Err(gave_up) => match &gave_up.failed {
                Failed::Refused(refused) if NOT_THERE.contains(&refused.code()) => Ok(Lookup::Missing),
                Failed::Refused(refused) if refused.code() == "forbidden" => Ok(Lookup::Hidden),
                _ => Err(self.failure(&gave_up)),
            },
        }
    }

    async fn tried(&self, request: &Request<'_>) -> Result<Result<Sent, GaveUp>, Failure> {
        let key = if request.once { Some(fresh_key()?) } else { None };
        let (started, mut attempts) = (Instant::now(), 0);
        loop {
            let failed = match self.attempt(request, key.as_deref()).await? {
                Ok(sent) => return Ok(Ok(sent)),
                Err(failed) => failed,
            };
            attempts += 1;
            let spent = started.elapsed();
            let gave_up = GaveUp { failed, attempts, spent };
            match pause(&gave_up.failed, attempts - 1) {
                Some(pause) if spent + pause <= self.patience => {
                    if attempts == 1 {
                        let (what, seconds) = (self.failure(&gave_up), self.patience.as_secs());
                        let mut err = std::io::stderr().lock();
                        let _ = writeln!(err, "ronda: {what}\nronda: trying again for up to {seconds} s");
                    }
                    tokio::time::sleep(pause).await;
                }
                _ => return Ok(Err(gave_up)),
            }
        }
    }

    async fn attempt(&self, request: &Request<'_>, key: Option<&str>) -> Result<Result<Sent, Failed>, Failure> {
        let mut url = url::Url::parse(&self.base).map_err(|error| Failure::new(Code::Usage, error.to_string()))?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(request.path);
        }
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(request.query);
        }
        let mut out = self.http.request(request.method.clone(), url);
        if let Some(key) = &self.key {
            out = out.header("x-api-key", key);
        }
        if let Some(key) = key {
            out = out.header("idempotency-key", key);
        }
        if let Some(seconds) = request.wait {
            out = out.header("prefer", format!("wait={seconds}"));
        }
        if let Some(body) = request.body {
            out = out.json(body);
        }
        let answer = match out.send().await {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(Failed::NoAnswer(self.no_answer(&error)))),
        };
        let status = answer.status();
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let bytes = match answer.bytes().await {
            Ok(bytes) => bytes,
            Err(error) => return Ok(Err(Failed::NoAnswer(self.no_answer(&error)))),
        };
        let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(if status.is_success() {
            Ok(Sent { status: status.as_u16(), body })
        } else {
            Err(Failed::Refused(Refused { status, retry_after_seconds: retry_after, problem: body }))
        })
    }

    fn no_answer(&self, error: &reqwest::Error) -> String {
        let what = chain(error);
        let hint = if self.base.starts_with("https:") && what.contains("InvalidContentType") {
            "; it does not speak TLS there: write http:// (--url, RONDA_URL)"
        } else if error.is_connect() {
            "; is 'ronda up' running there? (--url, RONDA_URL)"
        } else {
            ""
        };
        format!("{} gave no answer: {what}{hint}", self.base)
    }

    fn failure(&self, gave_up: &GaveUp) -> Failure {
        let (code, mut message) = match &gave_up.failed {
            Failed::NoAnswer(what) => (Code::Unreachable, what.clone()),
            Failed::Refused(refused) => {
                let asked = Asked { base: &self.base, has_key: self.key.is_some(), by_flags: self.by_flags };
                let own = refused.exit_code().filter(|_| self.on_socket);
                (own.unwrap_or(Code::Refused), refusal::told(refused, &asked))
            }
        };
        if gave_up.attempts > 1 {
            message.push_str(&format!("\n  tried {} times in {} s", gave_up.attempts, gave_up.spent.as_secs()));
        }
        Failure::new(code, message)
    }
}

/// How long to wait before the next attempt; `None`: another one would end the same way.
fn pause(failed: &Failed, attempt: u32) -> Option<Duration> {
    let own = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(attempt)).min(LONGEST_PAUSE);
    let asked = match failed {
        Failed::NoAnswer(_) => own,
        Failed::Refused(refused) if is_passing(refused) => refused.retry_after_seconds.map_or(own, Duration::from_secs),
        Failed::Refused(_) => return None,
    };
    // Without randomness all come back together, which is no reason not to come back.
    let jitter = getrandom::u32().unwrap_or(0) % MAX_JITTER_MS;
    Some(asked + Duration::from_millis(jitter.into()))
}

/// Whether the same request may be taken in a moment.
fn is_passing(refused: &Refused) -> bool {
    let is_busy = matches!(refused.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    // An attempt of ours that we have given up goes on at the server.
    is_busy || refused.code() == "idempotency_in_progress"
}

fn fresh_key() -> Result<String, Failure> {
    let random = || getrandom::u64().map_err(|error| Failure::other(error.to_string()));
    Ok(format!("ronda-cli-{:016x}{:016x}", random()?, random()?))
}

/// A client with this program's name and patience; without TLS it needs no certificates on the machine.
pub(super) fn builder(tls: bool) -> reqwest::ClientBuilder {
    ronda_notifier::slack::install_tls_provider();
    let builder = reqwest::Client::builder()
        .user_agent(concat!("ronda/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT);
    // Without TLS no certificate will be looked at, so none is needed on the machine.
    if tls { builder } else { builder.tls_certs_only([]) }
}
