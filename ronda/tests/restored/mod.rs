//! A Ronda that is backed up, goes on, and is put back: its processes, whoever asks it, and people who look into Slack.
#![allow(unreachable_pub, reason = "a part of one test program")]

pub mod copies;
pub mod jobs;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use ronda_slack_standin::{SeenKind, StandIn, TOKEN};
use ronda_testbed::{Server, free_port};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub const DEADLINE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Items of a page: so few that a history and a list have several.
const PAGE: usize = 3;

/// Looks until there is something. Says after a minute what it was looking for.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Past the harness, which keeps to itself what a passing test says.
pub fn loudly(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Settings by the names of their variables.
pub type Settings = Vec<(&'static str, String)>;

/// A folder, settings, and people.
pub struct Site {
    pub settings: Settings,
    /// Where whoever reports finds the API, whatever runs there.
    pub port: u16,
    dir: TempDir,
    slack: StandIn,
    _runtime: Runtime,
}

impl Site {
    pub fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let slack = runtime.block_on(StandIn::start()).unwrap();
        let settings = vec![
            ("RONDA_QUEUE_MAX_BYTES", String::from("67108864")),
            // What is asserted of an end in order would wait for it otherwise.
            ("RONDA_REPLICAS_LEASE_MS", String::from("2000")),
            ("RONDA_NOTIFIER_GROUPING_WAIT_MS", String::from("0")),
            ("SLACK_API_URL", slack.api_url()),
            ("SLACK_BOT_TOKEN", TOKEN.to_owned()),
            ("SLACK_CHANNEL", String::from("C0BACKUP")),
        ];
        Self { settings, port: free_port().unwrap(), dir: tempfile::tempdir().unwrap(), slack, _runtime: runtime }
    }

    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Puts settings in the place of those of the same names.
    pub fn set(&mut self, settings: Settings) {
        self.settings.retain(|(name, _)| settings.iter().all(|(new, _)| new != name));
        self.settings.extend(settings);
    }

    /// Runs a command that has to succeed.
    pub fn done(&self, arguments: &[&str]) -> String {
        let output = ronda(self.dir.path(), &self.settings).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same as JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.done(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// A key of a tenant, and its id.
    pub fn key(&self, tenant: &str) -> (Api, String) {
        let arguments = ["keys", "create", "--name", "test", "--rate-limit-per-minute", "0", "--tenant", tenant];
        let made = self.json(&arguments);
        let api = Api { port: self.port, key: made["key"].as_str().unwrap().to_owned(), waits: true };
        (api, made["id"].as_str().unwrap().to_owned())
    }

    /// Starts `up`, or a service alone, which listens on the site's port if whoever reports talks to it.
    pub fn start(&self, service: &'static str) -> Server {
        let admin = free_port().unwrap();
        let is_asked = matches!(service, "up" | "ingest-gateway");
        let listens = if is_asked { self.port } else { admin };
        let mut arguments = vec![service.to_owned(), String::from("--admin-listen"), format!("127.0.0.1:{admin}")];
        if is_asked {
            arguments.extend([String::from("--listen"), format!("127.0.0.1:{listens}")]);
        }
        let (dir, settings) = (self.dir.path().to_owned(), self.settings.clone());
        let log = self.dir.path().join(format!("{service}-{admin}.log"));
        let started = Server::start(service, listens, log, move || {
            let mut command = ronda(&dir, &settings);
            command.args(&arguments);
            command
        });
        started.unwrap()
    }

    /// What people were told of a job: how often anew, and how its message reads now.
    pub fn told(&self, job: &str) -> (usize, String) {
        let seen = self.slack.slack().seen();
        let of_it = || seen.iter().filter(|seen| seen.kind != SeenKind::Replied && seen.is_alert_of(job));
        let posts = of_it().filter(|seen| seen.kind == SeenKind::Posted).count();
        (posts, of_it().next_back().map(|seen| seen.text.clone()).unwrap_or_default())
    }

    /// Waits until a job's one message says this.
    pub fn until_told(&self, job: &str, words: &str) {
        until(&format!("people are told {words:?} of {job}, not {:?}", self.told(job)), || {
            let (posts, text) = self.told(job);
            assert!(posts <= 1, "{job} was told {posts} times: {}", self.transcript());
            text.contains(words).then_some(())
        });
    }

    /// How many messages say this.
    pub fn notices(&self, words: &str) -> usize {
        let seen = self.slack.slack().seen();
        seen.iter().filter(|seen| seen.kind == SeenKind::Posted && seen.text.contains(words)).count()
    }

    pub fn transcript(&self) -> String {
        let seen = self.slack.slack().seen();
        seen.iter().map(|seen| format!("\n{:?} {}: {}", seen.kind, seen.ts, seen.text)).collect()
    }

    /// All that can be asked of some tenants, and all keys, line by line.
    pub fn known(&self, tenants: &[&Api]) -> String {
        let mut known = json!({ "tenants": tenants.iter().map(|api| api.known()).collect::<Vec<_>>(), "keys": self.json(&["keys", "list"]) });
        forget_the_clock(&mut known);
        format!("{known:#}")
    }
}

/// The binary without any setting of whoever runs the tests.
fn ronda(dir: &Path, settings: &Settings) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ronda"));
    command.current_dir(dir).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RONDA_") || name.starts_with("SLACK_")) {
        command.env_remove(name);
    }
    command.envs(settings.iter().map(|(name, value)| (name, value))).env("no_proxy", "127.0.0.1");
    command
}

/// The API, as whoever has a key finds it.
#[derive(Clone)]
pub struct Api {
    port: u16,
    key: String,
    /// Whether it waits until its reports are applied.
    waits: bool,
}

impl Api {
    /// The same, as one who does not wait for what becomes of a report.
    pub fn hasty(&self) -> Self {
        Self { waits: false, ..self.clone() }
    }

    /// One request on a connection of its own.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> std::io::Result<(u16, Value)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(DEADLINE))?;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        write!(
            stream,
            "{method} /api/v1/{path} HTTP/1.1\r\nhost: ronda\r\nconnection: close\r\nx-api-key: {}\r\n{}\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.key,
            if self.waits { "prefer: wait=20\r\n" } else { "" },
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let cut_off = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(cut_off)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(cut_off)?;
        Ok((status, serde_json::from_str(body).unwrap_or_default()))
    }

    /// A request that has to succeed at once.
    pub fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(method, path, body).unwrap();
        assert!((200..300).contains(&status), "{method} {path} {body}: {status} {answer}");
        answer
    }

    pub fn get(&self, path: &str) -> Value {
        self.done("GET", path, &Value::Null)
    }

    /// Whether its key is taken.
    pub fn is_let_in(&self) -> bool {
        let (status, answer) = self.ask("GET", "schedulers", &Value::Null).unwrap();
        assert!(matches!(status, 200 | 401), "{status} {answer}");
        status == 200
    }

    pub fn status(&self, job: &str, status: &str, run: &str) {
        let mut body = json!({ "status": status, "run_id": run });
        if status == "failed" {
            body["error"] = json!(format!("{job} has no disk left"));
        }
        self.done("PUT", &format!("schedulers/{job}/status"), &body);
    }

    /// A list or a feed, page by page.
    pub fn pages(&self, path: &str) -> Vec<Value> {
        let (mut pages, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{path}?limit={PAGE}{cursor}"));
            let next = page["next_cursor"].as_str().map(|next| format!("&cursor={next}"));
            pages.push(page);
            match next {
                Some(next) => cursor = next,
                None => return pages,
            }
        }
    }

    /// The runs of a job, newest first.
    pub fn runs(&self, job: &str) -> Vec<Value> {
        let items = self.pages(&format!("schedulers/{job}/history"));
        let items = items.iter().flat_map(|page| page["items"].as_array().unwrap());
        items.flat_map(|item| item["runs"].as_array().unwrap()).cloned().collect()
    }

    /// All that a tenant can ask for, each page as it comes.
    fn known(&self) -> Value {
        let list = self.pages("schedulers");
        let items = list.iter().flat_map(|page| page["items"].as_array().unwrap());
        let jobs: Vec<Value> = items
            .map(|item| {
                let id = item["id"].as_str().unwrap();
                json!({
                    "show": self.get(&format!("schedulers/{id}")),
                    "history": self.pages(&format!("schedulers/{id}/history")),
                })
            })
            .collect();
        json!({ "list": list, "jobs": jobs, "errors": self.pages("errors") })
    }
}

/// Takes out the time at which it was asked, which goes on.
fn forget_the_clock(known: &mut Value) {
    match known {
        Value::Object(fields) => {
            fields.remove("as_of");
            fields.values_mut().for_each(forget_the_clock);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_the_clock),
        _ => {}
    }
}

/// Nothing differs; or says what.
pub fn assert_same(known: &str, before: &str) {
    let (known, before) = (known.lines().collect::<Vec<_>>(), before.lines().collect::<Vec<_>>());
    let differ = before.iter().zip(&known).enumerate().filter(|(_, (was, is))| was != is).take(20);
    let differ: Vec<_> = differ.map(|(line, (was, is))| format!("{line}: {was} is {is}")).collect();
    assert!(
        differ.is_empty() && known.len() == before.len(),
        "{} lines, were {}: {differ:#?}",
        known.len(),
        before.len()
    );
}

/// Copies a folder with all that is in it.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let place = to.join(path.file_name().unwrap());
        if path.is_dir() { copy_folder(&path, &place) } else { std::fs::copy(&path, &place).map(drop).unwrap() }
    }
}
