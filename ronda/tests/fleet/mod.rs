//! `ronda up` and a second gateway on one NATS server, each a process, with people who look into Slack.
#![allow(unreachable_pub, reason = "a part of one test program")]

use std::future::Future;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ronda_load::connection::Connection;
use ronda_load::request::{Target, frame};
use ronda_slack_standin::{SeenKind, Slack, StandIn, TOKEN};
use ronda_testbed::{Server, free_port};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

const CHANNEL: &str = "C0FLEET";
const PARTITIONS: usize = 4;
const DEADLINE: Duration = Duration::from_secs(60);
/// How soon a client says again what was not taken.
const AGAIN: Duration = Duration::from_millis(400);
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// The variable by which this very program knows that it is to be a gateway, and how.
pub const GATEWAY: &str = "FLEET_GATEWAY";

/// How a fleet differs from the usual one.
#[derive(Clone, Copy)]
pub struct Ways {
    pub period_ms: u64,
    pub silent_periods: u64,
    /// How far the second gateway's clock is ahead.
    pub offset_ms: i64,
}

/// As it is without any setting.
pub const USUAL: Ways = Ways { period_ms: 1_000, silent_periods: 10, offset_ms: 0 };
/// A silent gateway is dropped after a second, and what it could have heard is late for three.
pub const QUICK: Ways = Ways { period_ms: 200, silent_periods: 5, offset_ms: 0 };

impl Ways {
    /// For how long the clock waits for a gateway that fell silent.
    pub const fn silent(self) -> Duration {
        Duration::from_millis(self.period_ms * self.silent_periods)
    }
}

/// Everything that runs for one story.
pub struct Fleet {
    pub first: Target,
    pub second: Target,
    pub gateway: Server,
    slack: StandIn,
    admin: String,
    _up: Server,
    _dir: TempDir,
}

impl Fleet {
    /// Starts it on a broker, with queues of its own.
    pub async fn start(broker: &str, prefix: &str, ways: Ways) -> Self {
        let slack = StandIn::start_on(([127, 0, 0, 1], 0).into(), Slack::default()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let settings = [
            ("RONDA_QUEUE_URL", broker.to_owned()),
            ("RONDA_QUEUE_PREFIX", prefix.to_owned()),
            // What is reserved for it on the broker, on which all stories are.
            ("RONDA_QUEUE_MAX_BYTES", String::from("67108864")),
            ("RONDA_STORAGE_PARTITIONS", PARTITIONS.to_string()),
            ("RONDA_SERVER_PULSE_PERIOD_MS", ways.period_ms.to_string()),
            ("RONDA_PROCESSOR_GATEWAY_SILENT_PERIODS", ways.silent_periods.to_string()),
            ("RONDA_NOTIFIER_GROUPING_WAIT_MS", String::from("0")),
            ("SLACK_API_URL", slack.api_url()),
            ("SLACK_BOT_TOKEN", TOKEN.to_owned()),
            ("SLACK_CHANNEL", CHANNEL.to_owned()),
        ];
        let (port, admin) = (free_port().unwrap(), format!("127.0.0.1:{}", free_port().unwrap()));
        let addresses =
            ["--listen".to_owned(), format!("127.0.0.1:{port}"), "--admin-listen".to_owned(), admin.clone()];
        let place = dir.path().to_owned();
        let ronda = move || ronda(&place, &settings);
        let made =
            ronda().args(["keys", "create", "--name", "fleet", "--rate-limit-per-minute", "0"]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let key = String::from_utf8(made.stdout).unwrap().lines().next().unwrap().to_owned();
        let up = Server::start("ronda up", port, dir.path().join("up.log"), move || {
            let mut command = ronda();
            command.arg("up").args(&addresses);
            command
        });
        let up = up.unwrap();
        let gateway = second_gateway(broker, prefix, &key, ways, dir.path());
        let target = |server: &Server| Target { address: server.address().to_string(), key: key.clone() };
        let (first, second) = (target(&up), target(&gateway));
        let fleet = Self { first, second, gateway, slack, admin, _up: up, _dir: dir };
        fleet.until_live(2).await;
        fleet
    }

    /// The values of a metric, one a partition.
    pub async fn metric(&self, name: &str) -> Vec<f64> {
        let admin = Target { address: self.admin.clone(), key: String::new() };
        let (_, page) = Client::of(&admin).exchange("GET", "/metrics", "").await.unwrap();
        let of_it = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        page.lines().filter(of_it).map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect()
    }

    /// Waits until a metric is so in every partition. Answers how long that took.
    pub async fn until_metric(&self, name: &str, is_so: impl Fn(f64) -> bool) -> Duration {
        let (began, mut values) = (Instant::now(), Vec::new());
        while began.elapsed() < DEADLINE {
            values = self.metric(name).await;
            if values.len() == PARTITIONS && values.iter().all(|value| is_so(*value)) {
                return began.elapsed();
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        panic!("{name} within {DEADLINE:?}: {values:?}");
    }

    /// Waits until so many gateways hold the clock of every partition.
    pub async fn until_live(&self, gateways: u32) -> Duration {
        self.until_metric("ronda_processor_live_gateways", |live| live.to_bits() == f64::from(gateways).to_bits()).await
    }

    /// Waits until the clock of every partition has come to what the machine's shows now.
    pub async fn until_clock_is_here(&self) -> Duration {
        let now_seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        self.until_metric("ronda_processor_watermark_timestamp_seconds", |clock| clock >= now_seconds).await
    }

    /// The entries of a history, newest first.
    pub async fn history(&self, id: &str) -> Vec<Value> {
        let path = format!("/api/v1/schedulers/{id}/history?limit=500");
        let (status, page) = Client::of(&self.first).exchange("GET", &path, "").await.unwrap();
        assert_eq!(status, 200, "{page}");
        let page: Value = serde_json::from_str(&page).unwrap();
        page["items"].as_array().unwrap_or_else(|| panic!("{page}")).clone()
    }

    /// What people have been told of a job: how often anew, and how its message reads now.
    pub fn told(&self, id: &str) -> (usize, String) {
        let seen = self.slack.slack().seen();
        let of_it = || seen.iter().filter(|seen| seen.kind != SeenKind::Replied && seen.is_alert_of(id));
        let posts = of_it().filter(|seen| seen.kind == SeenKind::Posted).count();
        (posts, of_it().next_back().map(|seen| seen.text.clone()).unwrap_or_default())
    }

    /// Waits until a job's message says this; there must be no other one of it. Answers how long that took.
    pub async fn until_told(&self, id: &str, words: &str) -> Duration {
        let began = Instant::now();
        while began.elapsed() < DEADLINE {
            let (posts, text) = self.told(id);
            assert!(posts <= 1, "{id}: {:#?}", self.slack.slack().seen());
            if text.contains(words) {
                return began.elapsed();
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let history = self.history(id).await;
        panic!("{words:?} of {id} within {DEADLINE:?}: {:#?}, its history is {history:#?}", self.slack.slack().seen());
    }

    /// Nobody was alarmed for this job, nothing was found amiss with it, and whatever was acknowledged is in its history. Its due times
    /// may be unknown, if it waited for an answer over some of them.
    pub async fn went_well(&self, job: &Job, waited: bool) {
        let (posts, text) = self.told(&job.id);
        assert_eq!(posts, 0, "{}: {text}", job.id);
        let history = self.history(&job.id).await;
        for entry in &history {
            // A report that was long on its way counts for what is due by then: that one is taken up again, and those before are unknown.
            let corrections = entry["corrections"].as_array().unwrap().iter();
            let said = corrections.flat_map(|said| [&said["from"], &said["to"]]).chain([&entry["status"]]);
            for word in said.map(|word| word.as_str().unwrap()) {
                let is_fine = matches!(word, "succeeded" | "expected" | "running") || (waited && word == "unknown");
                assert!(is_fine, "{}: {entry:#}", job.id);
            }
        }
        let runs: Vec<_> = history.iter().flat_map(|entry| entry["runs"].as_array().unwrap()).collect();
        for run in &job.confirmed {
            let found = runs.iter().filter(|found| found["run_id"] == run.as_str()).collect::<Vec<_>>();
            assert_eq!(found.len(), 1, "{run} of {}: {history:#?}", job.id);
            assert_eq!(found[0]["status"], "succeeded", "{run} of {}", job.id);
        }
    }
}

/// The binary without any setting of whoever runs the tests.
fn ronda(dir: &Path, settings: &[(&'static str, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ronda"));
    command.current_dir(dir);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RONDA_") || name.starts_with("SLACK_")) {
        command.env_remove(name);
    }
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    command
}

/// This very program again, as a gateway: see the test of that name.
fn second_gateway(broker: &str, prefix: &str, key: &str, ways: Ways, dir: &Path) -> Server {
    let port = free_port().unwrap();
    let Ways { period_ms, offset_ms, .. } = ways;
    let arguments = format!(
        "gateway --queue {broker} --prefix {prefix} --partitions {PARTITIONS} --listen 127.0.0.1:{port} \
         --pulse-period-ms {period_ms} --clock-offset-ms {offset_ms}"
    );
    let key = key.to_owned();
    let started = Server::start("second gateway", port, dir.join("gateway.log"), move || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "the_second_gateway", "--nocapture"]);
        command.env(GATEWAY, &arguments).env("RONDA_HARNESS_KEY", &key);
        command
    });
    started.unwrap()
}

/// Keeps one connection to each gateway, and waits as long as an answer takes.
pub struct Client {
    gateways: Vec<Target>,
    connections: Vec<Option<Connection>>,
    next: usize,
}

impl Client {
    /// One that sticks to a gateway.
    pub fn of(gateway: &Target) -> Self {
        Self::between(&[gateway])
    }

    /// One that goes from each gateway to the next with every request.
    pub fn between(gateways: &[&Target]) -> Self {
        let gateways: Vec<_> = gateways.iter().map(|gateway| (*gateway).clone()).collect();
        Self { connections: gateways.iter().map(|_| None).collect(), gateways, next: 0 }
    }

    /// One exchange: status and body.
    pub async fn exchange(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
        let at = self.next % self.gateways.len();
        self.next += 1;
        let mut request = Vec::new();
        frame(&mut request, &self.gateways[at], method, path, body.as_bytes());
        let connection = match &mut self.connections[at] {
            Some(connection) => connection,
            none => none.insert(Connection::open(&self.gateways[at].address).await?),
        };
        let answer = connection.exchange(&request).await?;
        Ok((answer.status, String::from_utf8_lossy(answer.body).into_owned()))
    }

    /// One exchange that has to be acknowledged; it is said again while the answer is 503.
    async fn confirmed(&mut self, method: &str, path: &str, body: &str) {
        let began = Instant::now();
        loop {
            let (status, answer) = self.exchange(method, path, body).await.unwrap();
            if matches!(status, 200..=202) {
                return;
            }
            assert!(status == 503 && began.elapsed() < DEADLINE, "{method} {path}: {status} {answer}");
            tokio::time::sleep(AGAIN).await;
        }
    }

    pub async fn register(&mut self, id: &str, more: &str) {
        let body = format!(r#"{{"id":"{id}","start_grace_seconds":5{more}}}"#);
        self.confirmed("POST", "/api/v1/schedulers/register", &body).await;
    }

    pub async fn heartbeat(&mut self, id: &str) {
        self.confirmed("POST", &format!("/api/v1/schedulers/{id}/heartbeat"), "{}").await;
    }

    pub async fn status(&mut self, id: &str, status: &str, run: &str) {
        let body = format!(r#"{{"status":"{status}","run_id":"{run}"}}"#);
        self.confirmed("PUT", &format!("/api/v1/schedulers/{id}/status"), &body).await;
    }
}

/// What was acknowledged to a job up to some moment. It works on for as long as this is there: one that ended then would rightly be found
/// missing, if whoever looks at it takes their time.
pub struct Job {
    pub id: String,
    pub confirmed: Vec<String>,
    _work: JoinSet<()>,
}

/// Runs that were acknowledged.
type Confirmed = Arc<Mutex<Vec<String>>>;

impl Job {
    /// One that is over, with its one acknowledged run.
    pub fn over(id: &str, run: &str) -> Self {
        Self { id: id.to_owned(), confirmed: vec![run.to_owned()], _work: JoinSet::new() }
    }

    /// Says that it is alive each half second, and reports a run with every word.
    pub async fn worker(mut client: Client, id: String, until: Instant) -> Self {
        Self::at_work(id.clone(), until, |confirmed| async move {
            for number in 0.. {
                client.heartbeat(&id).await;
                let run = format!("r{number}");
                client.status(&id, "running", &run).await;
                client.status(&id, "success", &run).await;
                confirmed.lock().unwrap().push(run);
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        })
        .await
    }

    /// Starts whenever it is due after a time since the epoch, as its schedule is `every_seconds` from that on, and ends a second later.
    pub async fn scheduled(
        mut client: Client,
        id: String,
        every_seconds: u64,
        since: Duration,
        until: Instant,
    ) -> Self {
        Self::at_work(id.clone(), until, |confirmed| async move {
            let mut after = since;
            loop {
                let due_seconds = (after.as_secs() / every_seconds + 1) * every_seconds;
                tokio::time::sleep(Duration::from_secs(due_seconds).saturating_sub(since_epoch())).await;
                let run = format!("due{due_seconds}");
                client.status(&id, "running", &run).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
                client.status(&id, "success", &run).await;
                confirmed.lock().unwrap().push(run);
                after = since_epoch();
            }
        })
        .await
    }

    async fn at_work<W: Future<Output = ()> + Send + 'static>(
        id: String,
        until: Instant,
        begin: impl FnOnce(Confirmed) -> W,
    ) -> Self {
        let confirmed = Confirmed::default();
        let mut work = JoinSet::new();
        work.spawn(begin(Arc::clone(&confirmed)));
        let ended = tokio::time::timeout_at(until.into(), work.join_next()).await;
        assert!(ended.is_err(), "{id} could not work: {ended:?}");
        let confirmed = confirmed.lock().unwrap().clone();
        Self { id, confirmed, _work: work }
    }
}

/// What the machine's clock shows.
pub fn since_epoch() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap()
}

/// A schedule that is due in so many seconds, and not again for a day: more fields of a registration.
pub fn due_once_in(seconds: i64) -> String {
    let anchor = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() + seconds).unwrap();
    format!(r#","schedule":{{"every_seconds":86400,"anchor":"{anchor}"}},"early_window_seconds":0"#)
}

/// Runs it in time.
pub async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"))
}
