//! Broker, database, a stand-in for Slack, and the replicas, each a process that can be broken.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ronda_slack_standin::{Slack, StandIn};
use ronda_testbed::{AwsProxy, Cassandra, DynamoDb, Server, free_port};

use super::{Settings, unfenced};
use crate::broker::{self, Running};
use crate::chaos::stage::{Metrics, environment, until_ready};
use crate::request::Target;

/// A lease's period: short, so that there are many take-overs.
pub(super) const LEASE: Duration = Duration::from_secs(4);
/// The names of services, as `ronda` takes them.
const SERVICES: [&str; 3] = [GATEWAY, PROCESSOR, "notifier"];
const GATEWAY: &str = "ingest-gateway";
const PROCESSOR: &str = "processor";
const ABSENT: &str = "the database can't be had";

/// Which database is under Ronda.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// Apache Cassandra.
    Cassandra,
    /// Amazon DynamoDB, as DynamoDB Local plays it.
    DynamoDb,
}

impl std::str::FromStr for Database {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "cassandra" => Ok(Self::Cassandra),
            "dynamodb" => Ok(Self::DynamoDb),
            other => bail!("unknown store {other:?}: cassandra or dynamodb"),
        }
    }
}

impl Database {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cassandra => "cassandra",
            Self::DynamoDb => "dynamodb",
        }
    }
}

/// A database that runs.
enum Rows {
    Cassandra(Cassandra),
    /// And what may stand before it.
    DynamoDb(DynamoDb, Option<AwsProxy>),
}

impl Rows {
    async fn start(database: Database, is_unfenced: bool) -> Result<Self> {
        ensure!(!is_unfenced || database == Database::DynamoDb, "only DynamoDB can be had without the fence");
        Ok(match database {
            Database::Cassandra => Self::Cassandra(Cassandra::start(true).context(ABSENT)?),
            Database::DynamoDb => {
                let server = DynamoDb::start(true).context(ABSENT)?;
                let proxy = if is_unfenced { Some(unfenced::proxy(server.address()).await?) } else { None };
                Self::DynamoDb(server, proxy)
            }
        })
    }

    /// What a process needs in its environment to be let in.
    fn environment(&self) -> Vec<(String, String)> {
        let url = |url: String| (String::from("RONDA_STORE_URL"), url);
        match self {
            Self::Cassandra(server) => vec![url(format!("cassandra://{}/ronda", server.address()))],
            Self::DynamoDb(server, proxy) => {
                let address = proxy.as_ref().map_or_else(|| server.address(), AwsProxy::address);
                vec![
                    url(format!("dynamodb://eu-central-1?endpoint=http://{address}")),
                    (String::from("RONDA_STORE_CREDENTIALS_FILE"), server.credentials_file().display().to_string()),
                ]
            }
        }
    }

    fn restart(&mut self) -> Result<()> {
        match self {
            Self::Cassandra(server) => server.restart(),
            Self::DynamoDb(server, _) => server.restart(),
        }
    }

    fn kill(&mut self) {
        match self {
            Self::Cassandra(server) => server.kill(),
            Self::DynamoDb(server, _) => server.kill(),
        }
    }
}

/// One process of a service.
pub(super) struct Replica {
    /// For people.
    pub(super) name: String,
    service: &'static str,
    pub(super) server: Server,
    admin: String,
}

/// Everything that runs.
pub(super) struct Stage {
    // Processes first: what they lean on goes last.
    pub(super) replicas: Vec<Replica>,
    pub(super) slack: StandIn,
    pub(super) broker: Running,
    rows: Rows,
    ronda: PathBuf,
    environment: Vec<(String, String)>,
    folder: PathBuf,
    key: String,
}

impl Stage {
    /// Starts all of it, with its files in the folder.
    pub(super) async fn start(settings: &Settings, partitions: u32, folder: &Path) -> Result<Self> {
        let slack = StandIn::start_on(([127, 0, 0, 1], 0).into(), Slack::default()).await?;
        let broker = broker::start(settings.kind, true).await?.context("a fleet needs a broker")?;
        let rows = Rows::start(settings.database, settings.unfenced).await?;
        let mut all = environment(&slack, &broker.environment());
        all.extend(rows.environment());
        all.push((String::from("RONDA_STORAGE_PARTITIONS"), partitions.to_string()));
        all.push((String::from("RONDA_REPLICAS_LEASE_MS"), LEASE.as_millis().to_string()));
        // A client of the load has less patience than a registration has by default.
        all.push((String::from("RONDA_SERVER_APPLY_WAIT_MS"), String::from("500")));
        all.extend(settings.environment.iter().cloned());
        let ronda = settings.ronda.clone();
        done(&ronda, &["store", "migrate"], &all)?;
        done(&ronda, &["queue", "init"], &all)?;
        let made =
            done(&ronda, &["keys", "create", "--name", "fleet", "--rate-limit-per-minute", "0", "--json"], &all)?;
        let made: serde_json::Value = serde_json::from_str(&made).context("keys create --json")?;
        let key = made["key"].as_str().map(str::to_owned).context("keys create --json has no key")?;
        let mut replicas = Vec::new();
        for (service, count) in SERVICES.into_iter().zip(settings.replicas) {
            for number in 1..=count {
                replicas.push(Replica::start(&ronda, service, number, &all, folder)?);
            }
        }
        let folder = folder.to_owned();
        let stage = Self { replicas, slack, broker, rows, ronda, environment: all, folder, key };
        stage.until_ready().await?;
        Ok(stage)
    }

    /// Where reports may go.
    pub(super) fn gateways(&self) -> Vec<Target> {
        let gateways = self.replicas.iter().filter(|replica| replica.service == GATEWAY);
        gateways.map(|it| Target { address: it.server.address().to_string(), key: self.key.clone() }).collect()
    }

    /// What the first processor counts.
    pub(super) async fn processor_metrics(&self) -> Result<Metrics> {
        let processor = self.replicas.iter().find(|replica| replica.is_processor()).context("there is one")?;
        Metrics::read(&processor.admin).await
    }

    /// Waits until every replica says that it is ready.
    pub(super) async fn until_ready(&self) -> Result<()> {
        for replica in &self.replicas {
            until_ready(&replica.admin).await.with_context(|| replica.name.clone())?;
        }
        Ok(())
    }

    /// Kills the database and starts it again.
    pub(super) async fn restart_database(&mut self, down: Duration) -> Result<()> {
        self.rows.kill();
        tokio::time::sleep(down).await;
        self.rows.restart()
    }

    /// Takes the broker away and gives it back; answers what that was.
    pub(super) async fn restart_broker(&mut self, down: Duration) -> Result<String> {
        self.broker.down();
        tokio::time::sleep(down).await;
        self.broker.up()?;
        Ok(self.broker.outage().to_owned())
    }

    /// Starts processors, or ends them in order, all at once, until there are so many.
    pub(super) async fn scale_processors(&mut self, wanted: usize) -> Result<()> {
        let mut going = Vec::new();
        while self.replicas.iter().filter(|it| it.is_processor()).count() > wanted {
            let last = self.replicas.iter().rposition(Replica::is_processor).context("there is one")?;
            let mut replica = self.replicas.remove(last);
            going.push(tokio::task::spawn_blocking(move || replica.server.stop_in_order()));
        }
        for ended in going {
            ended.await??;
        }
        let there = self.replicas.iter().filter(|it| it.is_processor()).count();
        for number in there + 1..=wanted {
            let started = Replica::start(&self.ronda, PROCESSOR, number, &self.environment, &self.folder)?;
            self.replicas.push(started);
        }
        Ok(())
    }

    /// Those who work on partitions of the command queue, each once; fewer than there are while a partition is nobody's or on its way.
    pub(super) fn owners(&self) -> Result<BTreeSet<String>> {
        let partitions = self.partitions()?;
        let settled = partitions.iter().filter(|partition| partition["next_owner"].is_null());
        Ok(settled.filter_map(|partition| partition["owner"].as_str().map(str::to_owned)).collect())
    }

    /// Kills the processor that works on the first partition.
    pub(super) fn kill_owner(&mut self) -> Result<()> {
        let partitions = self.partitions()?;
        let owner = partitions.first().and_then(|partition| partition["owner"].as_str()).context("it is somebody's")?;
        let pid: u32 = owner.rsplit(':').next().unwrap_or_default().parse()?;
        let replica = self.replicas.iter_mut().find(|replica| replica.server.pid() == Some(pid));
        replica.context("it is one of ours")?.server.kill();
        Ok(())
    }

    fn partitions(&self) -> Result<Vec<serde_json::Value>> {
        let told = done(&self.ronda, &["partitions", "--json"], &self.environment)?;
        let mut told: serde_json::Value = serde_json::from_str(&told).context("partitions --json")?;
        told["partitions"].as_array_mut().map(std::mem::take).context("partitions --json lists partitions")
    }

    /// The partitions that nobody works on, as `ronda partitions` says.
    pub(super) fn unowned(&self) -> Result<Vec<String>> {
        let partitions = self.partitions()?;
        let unowned = partitions.iter().filter(|partition| !partition["owner"].is_string());
        Ok(unowned.map(|partition| format!("nobody works on it: {partition}")).collect())
    }
}

impl Replica {
    pub(super) fn is_processor(&self) -> bool {
        self.service == PROCESSOR
    }

    fn start(
        ronda: &Path,
        service: &'static str,
        number: usize,
        environment: &[(String, String)],
        folder: &Path,
    ) -> Result<Self> {
        let (ronda, environment) = (ronda.to_owned(), environment.to_vec());
        let (port, admin_port) = (free_port()?, free_port()?);
        let listens = if service == GATEWAY { port } else { admin_port };
        let log = folder.join(format!("{service}-{number}.log"));
        let empty = folder.to_owned();
        let server = Server::start(service, listens, log, move || {
            let mut command = Command::new(&ronda);
            command.current_dir(&empty).args([service, "--listen", &format!("127.0.0.1:{port}")]);
            command.args(["--admin-listen", &format!("127.0.0.1:{admin_port}")]).envs(environment.clone());
            command
        })?;
        Ok(Self { name: format!("{service} {number}"), service, server, admin: format!("127.0.0.1:{admin_port}") })
    }
}

/// What a command of `ronda` says.
fn done(ronda: &Path, arguments: &[&str], environment: &[(String, String)]) -> Result<String> {
    let output = Command::new(ronda).args(arguments).envs(environment.iter().cloned()).output()?;
    if !output.status.success() {
        bail!("ronda {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
