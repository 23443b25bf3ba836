//! Ronda as an operator has it on a broker: a directory, settings, the binary; and publishers that put messages onto its queues straight.
#![allow(unreachable_pub, dead_code, reason = "a part of several test programs, each of which uses some of it")]

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ronda_domain::id::partition_of;
use ronda_queue::{Broker, BrokerOptions, Origin, Queue, QueueError, Role};
use ronda_testbed::{Server, free_port};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const DEADLINE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The tenant of keys that name none.
pub const TENANT: &str = "default";
/// What is reserved for the commands on the broker, on which several stories are.
const MAX_BYTES: u64 = 67_108_864;
const EVENT_PARTITIONS: u32 = 1;

/// Past the harness, which keeps to itself what a passing test says.
pub fn loudly(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

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

/// A broker as clients come to it.
#[derive(Clone)]
pub struct At {
    pub url: String,
    pub credentials_file: Option<PathBuf>,
    pub pulse_period_ms: u64,
}

impl At {
    pub fn quick(url: impl Into<String>) -> Self {
        Self { url: url.into(), credentials_file: None, pulse_period_ms: 200 }
    }
}

/// One Ronda on a broker, with queues of its own.
pub struct Site {
    at: At,
    prefix: String,
    settings: Vec<(&'static str, String)>,
    port: u16,
    dir: TempDir,
}

impl Site {
    pub fn new(at: &At, prefix: &str, also: &[(&'static str, &str)]) -> Self {
        let mut settings = vec![
            ("RONDA_QUEUE_URL", at.url.clone()),
            ("RONDA_QUEUE_PREFIX", prefix.to_owned()),
            ("RONDA_QUEUE_MAX_BYTES", MAX_BYTES.to_string()),
            // So that the clock, which direct messages get their time from, moves on.
            ("RONDA_SERVER_PULSE_PERIOD_MS", at.pulse_period_ms.to_string()),
            // Each costs the broker a poll.
            ("RONDA_QUEUE_EVENT_PARTITIONS", EVENT_PARTITIONS.to_string()),
        ];
        settings.extend(
            at.credentials_file.iter().map(|file| ("RONDA_QUEUE_CREDENTIALS_FILE", file.display().to_string())),
        );
        settings.extend(also.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let (port, dir) = (free_port().unwrap(), tempfile::tempdir().unwrap());
        Self { at: at.clone(), prefix: prefix.to_owned(), settings, port, dir }
    }

    /// A file beside its data.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The binary without any setting of whoever runs the tests.
    fn ronda(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ronda"));
        command.current_dir(self.dir.path()).stdin(Stdio::null()).args(arguments);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RONDA_") || name.starts_with("SLACK_")) {
            command.env_remove(name);
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.env("RONDA_URL", format!("http://127.0.0.1:{}", self.port)).env("no_proxy", "127.0.0.1");
        command
    }

    /// Runs a command that has to succeed; answers what it said.
    pub fn done(&self, arguments: &[&str]) -> String {
        succeeded(self.ronda(arguments))
    }

    /// The same as JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let text = self.done(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// Runs a command that must end with this code and say so.
    pub fn refused(&self, arguments: &[&str], code: i32, wanted: &str) -> String {
        let output = self.ronda(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(wanted), "{arguments:?}: {wanted:?} is not in: {}", said(&output));
        said(&output)
    }

    /// The same of one that may first say something else with the same code: a server that has just come back can be slow to answer.
    pub fn refused_in_the_end(&self, arguments: &[&str], code: i32, wanted: &str) -> String {
        until(&format!("{arguments:?} says {wanted:?}"), || {
            let output = self.refused(arguments, code, "");
            output.contains(wanted).then_some(output)
        })
    }

    /// Starts `ronda up`. What it logs is shown when it does not start.
    pub fn up(&self, more: &[&str]) -> Server {
        let port = self.port;
        let addresses =
            ["up", "--listen", &format!("127.0.0.1:{port}"), "--admin-listen", "127.0.0.1:0"].map(str::to_owned);
        let arguments: Vec<String> = addresses.into_iter().chain(more.iter().map(|more| (*more).to_owned())).collect();
        let environment: Vec<_> = self.settings.clone();
        let (dir, log) = (self.dir.path().to_owned(), self.dir.path().join("up.log"));
        let started = Server::start("ronda up", port, log, move || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_ronda"));
            command.current_dir(&dir).args(&arguments);
            for (name, _) in
                std::env::vars().filter(|(name, _)| name.starts_with("RONDA_") || name.starts_with("SLACK_"))
            {
                command.env_remove(name);
            }
            command.envs(environment.iter().map(|(name, value)| (name, value)));
            command
        });
        started.unwrap()
    }

    /// What `up` has said, its screen included.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("up.log")).unwrap_or_default()
    }

    /// The answer of `up` to whether it is ready.
    pub fn health(&self) -> String {
        let log = self.log();
        let address = log.lines().find_map(|line| line.trim_start().strip_prefix("Health")).expect("the screen");
        let address = address.trim().trim_start_matches("http://").split('/').next().unwrap();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(stream, "GET /health/ready HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// A key of a tenant that is not counted against a limit: tests ask often.
    pub fn key(&self, tenant: &str, scopes: &str) -> String {
        let made = self.json(&[
            "keys",
            "create",
            "--name",
            "test",
            "--rate-limit-per-minute",
            "0",
            "--tenant",
            tenant,
            "--scope",
            scopes,
        ]);
        made["key"].as_str().unwrap().to_owned()
    }

    /// What the API answers to a client's command, as whoever has the key; `None` when it refuses.
    pub fn asked(&self, key: &str, arguments: &[&str]) -> Option<Value> {
        let output = self.ronda(arguments).arg("--json").env("RONDA_API_KEY", key).output().unwrap();
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// The runs of a scheduler, once they are as wanted.
    pub fn until_runs(&self, key: &str, scheduler: &str, is_wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let mut last = None;
        let began = Instant::now();
        while began.elapsed() < DEADLINE {
            let page = self.asked(key, &["schedulers", "history", scheduler]).unwrap_or_default();
            let items = page["items"].as_array().into_iter().flatten();
            let runs: Vec<Value> = items.flat_map(|item| item["runs"].as_array()).flatten().cloned().collect();
            if is_wanted(&runs) {
                return runs;
            }
            last = Some(runs);
            std::thread::sleep(LOOK_AGAIN);
        }
        let letters = self.json(&["dead-letters", "list"]);
        panic!(
            "{scheduler} is not as wanted within {DEADLINE:?}: {last:#?}\n{letters:#}\n{:#?}",
            self.asked(key, &["errors"])
        );
    }

    /// The dead letters, once there are so many.
    pub fn until_letters(&self, count: usize) -> Vec<Value> {
        let mut last = Vec::new();
        let began = Instant::now();
        while began.elapsed() < DEADLINE {
            last = self.json(&["dead-letters", "list"])["items"].as_array().unwrap().clone();
            if last.len() == count {
                return last;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        panic!("not {count} dead letters within {DEADLINE:?}: {last:#?}");
    }

    /// A publisher with a number of partitions, as this Ronda's own user of the broker.
    pub fn publisher(&self, partitions: u32) -> Publisher {
        Publisher::connect(&self.at, &self.prefix, partitions).unwrap()
    }
}

pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn succeeded(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// One that publishes straight onto the commands.
pub struct Publisher {
    queue: Arc<dyn Queue>,
    broker: Arc<dyn Broker>,
    runtime: Runtime,
    partitions: u32,
    number: AtomicU64,
}

impl Publisher {
    pub fn connect(at: &At, prefix: &str, partitions: u32) -> Result<Self, QueueError> {
        let runtime = Runtime::new().unwrap();
        let options = BrokerOptions {
            prefix: prefix.to_owned(),
            partitions,
            max_bytes: MAX_BYTES,
            event_partitions: EVENT_PARTITIONS,
            credentials_file: at.credentials_file.clone(),
            ..BrokerOptions::new(&at.url)
        };
        let (broker, queue) = runtime.block_on(async {
            let broker = ronda_queue::connect(options).await?;
            let queue = broker.queue(Role::Commands).await?;
            Ok::<_, QueueError>((broker, queue))
        })?;
        Ok(Self { queue, broker, runtime, partitions, number: AtomicU64::new(0) })
    }

    /// Publishes bytes onto a partition, under an id of their own.
    pub fn onto(&self, partition: u32, message: impl Into<Vec<u8>>, headers: &[(&str, &str)]) {
        self.try_onto(partition, TENANT, message, headers).unwrap();
    }

    pub fn try_onto(
        &self,
        partition: u32,
        tenant: &str,
        message: impl Into<Vec<u8>>,
        headers: &[(&str, &str)],
    ) -> Result<(), QueueError> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let message_id = Some(format!("{partition}-{number}-{}", std::process::id()));
        let origin = Origin { tenant: Some(tenant.to_owned()), message_id, headers, ..Origin::default() };
        self.runtime.block_on(self.queue.publish_direct(partition, message.into().into(), &origin)).map(drop)
    }

    /// Publishes a command onto its scheduler's partition.
    pub fn command(&self, scheduler: &str, command: &str) {
        self.onto(self.partition(scheduler), command, &[]);
    }

    /// Whether somebody has taken messages away, on a log.
    pub fn is_worked_off(&self) -> bool {
        let depths = (0..self.partitions).map(|partition| self.runtime.block_on(self.queue.depth(partition)).unwrap());
        let depths: Vec<_> = depths.collect();
        // The first one of all is gone, which stays so; how many there are goes up and down.
        let oldest = depths.iter().filter_map(|depth| depth.oldest).min();
        depths.iter().any(|depth| depth.newest.is_some()) && oldest.is_none_or(|oldest| oldest.0 > 1)
    }

    pub fn partition(&self, scheduler: &str) -> u32 {
        partition_of(TENANT, scheduler, self.partitions)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.runtime.block_on(self.broker.close());
    }
}
