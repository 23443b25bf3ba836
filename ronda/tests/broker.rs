//! `ronda up` with its queues on a real NATS server.
#![cfg(feature = "nats")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use ronda_testbed::{Nats, NatsOptions};

const DEADLINE: Duration = Duration::from_secs(60);
/// How soon after its broker everything has to be well again.
const HEALTHY_WITHIN: Duration = Duration::from_secs(2);

/// A server, or word that there is none to be had.
fn nats() -> Option<Nats> {
    match Nats::start(&NatsOptions::default()) {
        Ok(nats) => Some(nats),
        Err(error) => {
            // Past the harness, which keeps to itself what a passing test says.
            let _ = writeln!(std::io::stderr(), "!! SKIPPED ronda on NATS: {error:#}");
            None
        }
    }
}

fn ronda(dir: &Path, queue: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ronda"));
    command.current_dir(dir).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RONDA_") || name.starts_with("SLACK_")) {
        command.env_remove(name);
    }
    command.env("RONDA_QUEUE_URL", queue);
    command
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a command that must succeed; answers what it said.
fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    said(&output)
}

/// Runs a command that must end with this code and say so.
fn refused(command: &mut Command, code: i32, wanted: &str) {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{command:?}: {}", said(&output));
    assert!(said(&output).contains(wanted), "{wanted:?} is not in: {}", said(&output));
}

/// A key that is not counted against a limit: tests ask often.
fn key(dir: &Path, queue: &str) -> String {
    let create = ["keys", "create", "--name", "test", "--rate-limit-per-minute", "0"];
    done(ronda(dir, queue).args(create)).lines().next().unwrap().to_owned()
}

/// Looks until something is so. Answers how long that took.
fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < DEADLINE, "not so within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    started.elapsed()
}

struct Up {
    process: Child,
    lines: Receiver<String>,
    screen: String,
}

impl Up {
    fn start(dir: &Path, queue: &str) -> Self {
        Self::start_with(dir, queue, &[])
    }

    fn start_with(dir: &Path, queue: &str, more: &[&str]) -> Self {
        let mut up = Self::spawn(dir, queue, more);
        up.read_screen();
        up
    }

    fn spawn(dir: &Path, queue: &str, more: &[&str]) -> Self {
        let mut command = ronda(dir, queue);
        command.args(["up", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]).args(more);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log")).unwrap();
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let output = process.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Once the screen is read nobody listens; reading goes on.
                let _ = sender.send(line);
            }
        });
        Self { process, lines, screen: String::new() }
    }

    fn read_screen(&mut self) {
        while !self.screen.contains("Ctrl-C") {
            let line = self.lines.recv_timeout(DEADLINE);
            self.screen.push_str(&line.unwrap_or_else(|_| panic!("no screen, only: {}", self.screen)));
            self.screen.push('\n');
        }
    }

    fn after(&self, label: &str) -> String {
        let line = self.screen.lines().find_map(|line| line.trim_start().strip_prefix(label)).unwrap_or_default();
        line.trim().to_owned()
    }

    fn api(&self) -> String {
        self.after("API").trim_start_matches("http://").trim_end_matches("/api/v1").to_owned()
    }

    /// Status, head and body of the answer to a request.
    fn call(&self, key: &str, method: &str, path: &str, body: &str) -> (u16, String) {
        exchange(&self.api(), key, method, path, body).unwrap()
    }

    fn is_ready(&self) -> bool {
        let admin = self.after("Health").trim_start_matches("http://").split('/').next().unwrap().to_owned();
        exchange(&admin, "", "GET", "/health/ready", "").is_ok_and(|(status, _)| status == 200)
    }

    fn stop(mut self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let mut ended = None;
        until("it stops", || {
            ended = self.process.try_wait().unwrap();
            ended.is_some()
        });
        assert!(ended.unwrap().success(), "{ended:?}");
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn exchange(address: &str, key: &str, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nx-api-key: {key}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let status = text.get(9..12).and_then(|code| code.parse().ok());
    status.map(|status| (status, text)).ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}

fn report(up: &Up, key: &str, id: &str, run: &str, status: &str) -> (u16, String) {
    let body = format!(r#"{{"status":"{status}","run_id":"{run}"}}"#);
    up.call(key, "PUT", &format!("/api/v1/schedulers/{id}/status"), &body)
}

#[test]
fn what_was_reported_outlasts_a_kill_and_a_change_of_partitions() {
    let Some(nats) = nats() else { return };
    let (dir, url) = (tempfile::tempdir().unwrap(), nats.url());
    let run = |arguments: &[&str]| {
        let mut command = ronda(dir.path(), &url);
        command.args(arguments);
        command
    };
    refused(&mut run(&["queue", "check"]), 9, "ronda queue init");
    assert!(done(&mut run(&["queue", "init"])).contains("made stream RONDA_COMMANDS"));
    assert!(done(&mut run(&["queue", "check"])).contains("as they shall be"));
    let again = done(run(&["queue", "init"]).env("RONDA_QUEUE_REPLICAS", "3"));
    assert!(again.contains("nothing was made") && again.contains("but stream RONDA_COMMANDS: has 1 copies"), "{again}");
    let key = key(dir.path(), &url);
    let up = Up::start(dir.path(), &url);
    assert!(up.screen.contains(&format!("{url} ronda")), "{}", up.screen);
    let ids: Vec<String> = (0..20).map(|number| format!("job-{number}")).collect();
    for id in &ids {
        let (status, answer) = up.call(&key, "POST", "/api/v1/schedulers/register", &format!(r#"{{"id":"{id}"}}"#));
        assert!(matches!(status, 200..=202), "{answer}");
        assert_eq!(report(&up, &key, id, "r1", "running").0, 202);
    }
    until("the status is seen", || up.call(&key, "GET", "/api/v1/schedulers/job-7", "").1.contains(r#""running""#));
    until("up is ready", || up.is_ready());
    let lag = done(&mut run(&["queue", "lag"]));
    assert!(lag.lines().any(|line| line.starts_with("commands ") && line.ends_with('Z')), "{lag}");
    assert!(done(&mut run(&["dead-letters", "list"])).contains("There are no dead letters"));
    refused(&mut run(&["queue", "repartition", "--partitions", "8"]), 7, "stop it first");
    for id in &ids {
        assert_eq!(report(&up, &key, id, "r1", "success").0, 202);
    }
    // SIGKILL, with what is in hand.
    drop(up);

    let start = ["up", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    refused(run(&start).args(["--partitions", "8"]), 9, "8 are asked for");
    refused(run(&start).args(["--queue", "embedded:"]), 4, "belongs to the queues on");
    refused(run(&start).env("RONDA_QUEUE_PREFIX", "other"), 4, "not to those on");
    refused(run(&start).args(["--data", "other"]), 4, "have been worked off by another Ronda");

    let up = Up::start(dir.path(), &url);
    for id in &ids {
        let path = format!("/api/v1/schedulers/{id}/history");
        until("the run has ended", || up.call(&key, "GET", &path, "").1.contains("succeeded"));
    }
    for id in &ids {
        assert_eq!(report(&up, &key, id, "r2", "running").0, 202);
    }
    up.stop();
    let told = done(&mut run(&["queue", "repartition", "--partitions", "8"]));
    assert!(told.contains("8 partitions now, and had 4"), "{told}");
    assert!(done(&mut run(&["queue", "repartition", "--partitions", "8"])).contains("already"));
    let up = Up::start_with(dir.path(), &url, &["--partitions", "8"]);
    for id in &ids {
        let path = format!("/api/v1/schedulers/{id}/history");
        let (status, history) = up.call(&key, "GET", &path, "");
        assert!(status == 200 && history.contains("r1"), "{history}");
        // Shown once the partition's clock has come past it, which the gateway that was killed held back.
        let scheduler = format!("/api/v1/schedulers/{id}");
        until("the second run is there", || up.call(&key, "GET", &scheduler, "").1.contains(r#""r2""#));
        assert_eq!(report(&up, &key, id, "r2", "success").0, 202);
        until("the second run has ended", || up.call(&key, "GET", &path, "").1.contains("r2"));
    }
    up.stop();
}

#[test]
fn writes_are_refused_while_the_broker_is_away_and_taken_again_at_once() {
    let Some(mut nats) = nats() else { return };
    let (dir, url) = (tempfile::tempdir().unwrap(), nats.url());
    let key = key(dir.path(), &url);
    let up = Up::start(dir.path(), &url);
    assert!(matches!(up.call(&key, "POST", "/api/v1/schedulers/register", r#"{"id":"demo"}"#).0, 200..=202));
    until("up is ready", || up.is_ready());
    nats.server().kill();
    until("a write is refused", || {
        let (status, answer) = report(&up, &key, "demo", "r1", "running");
        assert!(matches!(status, 202 | 503), "{answer}");
        let answer = answer.to_ascii_lowercase();
        status == 503 && answer.contains("retry-after: ") && answer.contains("queue_unavailable")
    });
    until("it says that nothing was taken", || {
        report(&up, &key, "demo", "r1", "running").1.contains("nothing of this was handed to it")
    });
    until("up is not ready", || !up.is_ready());
    for command in [["queue", "lag"], ["dead-letters", "list"]] {
        refused(ronda(dir.path(), &url).args(command), 9, "can't be reached");
    }
    assert_eq!(up.call(&key, "GET", "/api/v1/schedulers/demo", "").0, 200, "what is in the store is still read");
    nats.server().restart().unwrap();
    let took = until("up is ready", || up.is_ready() && report(&up, &key, "demo", "r1", "running").0 == 202);
    assert!(took <= HEALTHY_WITHIN, "healthy only {took:?} after the broker was back");
    until("it is applied", || up.call(&key, "GET", "/api/v1/schedulers/demo", "").1.contains(r#""running""#));
    up.stop();
}

#[test]
fn a_broker_that_is_away_at_the_start_is_waited_for() {
    let Some(mut nats) = nats() else { return };
    let (dir, url) = (tempfile::tempdir().unwrap(), nats.url());
    nats.server().kill();
    refused(ronda(dir.path(), &url).args(["queue", "check"]), 9, "can't be reached");
    let mut up = Up::spawn(dir.path(), &url, &[]);
    let log = || std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
    until("it says what it waits for", || log().contains("can't be reached yet"));
    nats.server().restart().unwrap();
    up.read_screen();
    up.stop();
}

/// A stream of the same name has other messages at the same places, and an end behind the store's positions before long.
#[test]
fn a_stream_that_was_made_anew_is_refused_however_far_it_has_come() {
    let Some(mut nats) = nats() else { return };
    let (dir, other, url) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), nats.url());
    let up = Up::start(dir.path(), &url);
    until("up is ready", || up.is_ready());
    up.stop();
    nats.server().kill();
    std::fs::remove_dir_all(nats.data()).unwrap();
    nats.server().restart().unwrap();
    let mut start = ronda(dir.path(), &url);
    start.args(["up", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    refused(&mut start, 4, "it was made anew since");
    // Another Ronda's pulses.
    let up = Up::start(other.path(), &url);
    until("it has come as far", || {
        let output = start.output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{}", said(&output));
        said(&output).contains("positions in the old one mean nothing")
    });
    up.stop();
}
