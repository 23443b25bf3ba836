//! Services as processes of their own, on a broker and a database that they share: through the real binary, as an operator has them.
#![cfg(all(feature = "nats", feature = "dynamodb"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use ronda_testbed::{DynamoDb, Nats, NatsOptions, Server, free_port};
use serde_json::Value;
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(60);
/// So long that nothing here can come of one that ran out.
const LEASE_MS: u64 = 600_000;

/// Looks until there is something. Says after a minute what it was looking for.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Broker, database, and what processes need to come to them.
struct Site {
    _nats: Nats,
    _dynamodb: DynamoDb,
    dir: TempDir,
    settings: Vec<(&'static str, String)>,
}

impl Site {
    /// None, and why, where there are no servers.
    fn start(lease_ms: u64) -> Result<Self, String> {
        let missing = |error| format!("{error:#}");
        let nats = Nats::start(&NatsOptions::default()).map_err(missing)?;
        let dynamodb = DynamoDb::start(false).map_err(missing)?;
        let settings = vec![
            ("RONDA_QUEUE_URL", nats.url()),
            ("RONDA_QUEUE_MAX_BYTES", String::from("67108864")),
            ("RONDA_STORE_URL", format!("dynamodb://eu-central-1?endpoint=http://{}", dynamodb.address())),
            ("RONDA_STORE_CREDENTIALS_FILE", dynamodb.credentials_file().display().to_string()),
            ("RONDA_REPLICAS_LEASE_MS", lease_ms.to_string()),
        ];
        Ok(Self { _nats: nats, _dynamodb: dynamodb, dir: tempfile::tempdir().unwrap(), settings })
    }

    /// The same, and tells why where there are none.
    fn with_leases_of(lease_ms: u64) -> Option<Self> {
        // Past the harness, which keeps to itself what a passing test says.
        let skipped = |missing| {
            let _ = writeln!(std::io::stderr(), "!! SKIPPED replicas on NATS and DynamoDB Local: {missing}");
        };
        Self::start(lease_ms).map_err(skipped).ok()
    }

    /// The binary without any setting of whoever runs the tests.
    fn ronda(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ronda"));
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RONDA_") || name.starts_with("SLACK_")) {
            command.env_remove(name);
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value))).env("no_proxy", "127.0.0.1");
        command
    }

    fn done(&self, arguments: &[&str]) -> String {
        let output = self.ronda().args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn refused(&self, arguments: &[&str], code: i32, wanted: &str) {
        let output = self.ronda().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(wanted), "{arguments:?}: {wanted:?} is not in: {}", said(&output));
    }

    /// A service in a process of its own.
    fn service(&self, service: &'static str) -> Replica {
        let (port, admin) = (free_port().unwrap(), free_port().unwrap());
        let listens = if service == "ingest-gateway" { port } else { admin };
        let program = env!("CARGO_BIN_EXE_ronda");
        let (dir, settings) = (self.dir.path().to_owned(), self.settings.clone());
        let log = self.dir.path().join(format!("{service}-{admin}.log"));
        let server = Server::start(service, listens, log, move || {
            let mut command = Command::new(program);
            command.current_dir(&dir).args([service, "--listen", &format!("127.0.0.1:{port}")]);
            command.args(["--admin-listen", &format!("127.0.0.1:{admin}")]);
            command.envs(settings.iter().map(|(name, value)| (name, value)));
            command
        });
        Replica { server: server.unwrap(), port }
    }

    fn partitions(&self) -> Value {
        serde_json::from_str(&self.done(&["partitions", "--json"])).unwrap()
    }

    /// Which processes own the partitions of a queue, by number; none while one is nobody's or on its way.
    fn owners(&self, queue: &str) -> Option<Vec<u32>> {
        let told = self.partitions();
        let owner = |partition: &Value| {
            let settled = partition["next_owner"].is_null().then(|| partition["owner"].as_str())?;
            settled?.rsplit(':').next()?.parse().ok()
        };
        told[queue].as_array().unwrap().iter().map(owner).collect()
    }
}

struct Replica {
    server: Server,
    port: u16,
}

impl Replica {
    fn pid(&self) -> u32 {
        self.server.pid().unwrap()
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn replicas_share_the_work_and_hand_it_over_at_once() {
    let Some(site) = Site::with_leases_of(LEASE_MS) else { return };
    tables_are_made_by_a_migration_alone(&site);
    let key = site.done(&["keys", "create", "--name", "one", "--json"]);
    let key: Value = serde_json::from_str(&key).unwrap();
    let gateway = site.service("ingest-gateway");
    let (url, key) = (format!("http://127.0.0.1:{}", gateway.port), key["key"].as_str().unwrap().to_owned());
    let report = |arguments: &[&str]| {
        let at = ["--url", &url];
        let output = site.ronda().args([arguments, &at].concat()).env("RONDA_API_KEY", &key).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        said(&output)
    };

    let mut first = site.service("processor");
    let notifier = site.service("notifier");
    let all = |pid: u32| Some(vec![pid; 4]);
    until("the first processor has all partitions", || (site.owners("partitions") == all(first.pid())).then_some(()));
    until("the notifier has all partitions", || (site.owners("event_partitions") == all(notifier.pid())).then_some(()));
    report(&["register", "nightly"]);
    report(&["status", "nightly", "failed", "--error", "disk full", "--wait", "20"]);
    assert!(report(&["schedulers", "list"]).contains("nightly"));

    // A second one gets its half, though leases last for long: the first lets go.
    let second = site.service("processor");
    until("both have two", || {
        let owners = site.owners("partitions")?;
        let has = |pid: u32| owners.iter().filter(|owner| **owner == pid).count();
        (has(first.pid()) == 2 && has(second.pid()) == 2).then_some(())
    });
    report(&["status", "nightly", "success", "--wait", "20"]);
    // One that ends in order hands over at once.
    let began = Instant::now();
    first.server.stop_in_order().unwrap();
    until("the second has all", || (site.owners("partitions") == all(second.pid())).then_some(()));
    assert!(began.elapsed() < Duration::from_millis(LEASE_MS / 10), "{:?}", began.elapsed());
    report(&["heartbeat", "nightly", "--wait", "20"]);
    let epochs: Vec<u64> = site.partitions()["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|partition| partition["epoch"].as_u64().unwrap())
        .collect();
    assert!(epochs.iter().all(|epoch| *epoch >= 2) && epochs.iter().any(|epoch| *epoch >= 3), "{epochs:?}");
    // What is told of the queues comes with the clocks that the store has.
    assert!(site.done(&["queue", "lag"]).contains("commands"), "{}", site.done(&["queue", "lag"]));
}

/// Nothing but a migration makes tables, and a store keeps to its queues.
fn tables_are_made_by_a_migration_alone(site: &Site) {
    site.refused(&["store", "check"], 10, "ronda store migrate");
    site.refused(&["processor", "--admin-listen", "127.0.0.1:0"], 10, "ronda store migrate");
    site.refused(&["keys", "create", "--name", "one"], 10, "ronda store migrate");
    assert!(site.done(&["store", "migrate"]).contains("ronda-partitions"));
    assert!(site.done(&["store", "migrate"]).contains("nothing was made"));
    assert!(site.done(&["store", "check"]).contains("as they shall be"));
    // A forgotten address of the broker makes no queues as files that nobody would look at.
    let forgotten = site.ronda().args(["queue", "init"]).env_remove("RONDA_QUEUE_URL").output().unwrap();
    assert_eq!(forgotten.status.code(), Some(3), "{}", said(&forgotten));
    assert!(said(&forgotten).contains("set queue.url"), "{}", said(&forgotten));
    let mut processor = site.service("processor");
    until("its partitions are its", || site.owners("partitions"));
    processor.server.stop_in_order().unwrap();
    let other = ["processor", "--admin-listen", "127.0.0.1:0"];
    let mut other_queues = site.ronda();
    let output = other_queues.args(other).env("RONDA_QUEUE_PREFIX", "other").output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(said(&output).contains("belongs to the queues on"), "{}", said(&output));
}

/// A running replica would take its partitions back from a repartitioning, and go on by the old number.
#[test]
fn a_repartitioning_waits_for_no_replica_and_goes_past_no_living_one() {
    let Some(site) = Site::with_leases_of(2_000) else { return };
    site.done(&["store", "migrate"]);
    site.done(&["queue", "init"]);
    let repartition = ["queue", "repartition", "--partitions", "8"];
    for service in ["processor", "notifier"] {
        let mut replica = site.service(service);
        site.refused(&repartition, 7, &format!("the {service} "));
        // It leaves a row behind, which is nobody's after a lease.
        replica.server.kill();
    }
    let mut gateway = site.service("ingest-gateway");
    site.refused(&repartition, 7, "the queues get more messages");
    gateway.server.stop_in_order().unwrap();
    let mut stalled = site.service("processor");
    stalled.server.stall();
    assert!(site.done(&repartition).contains("8 partitions now, and had 4"));
    site.refused(&["processor", "--admin-listen", "127.0.0.1:0"], 9, "repartition");

    // One that slept through it would keep its lease and do nothing with it, while those that could work wait for it.
    stalled.server.resume();
    assert_eq!(stalled.server.ends().unwrap().code(), Some(10));
}
