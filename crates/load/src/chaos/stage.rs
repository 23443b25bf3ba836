//! What the load goes against: a broker, `ronda up`, perhaps a second gateway, and a stand-in for Slack, each a process that can be broken.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ronda_slack_standin::{Slack, StandIn, TOKEN};
use ronda_testbed::{Server, free_port};

use crate::broker::{self, Kind, PARTITIONS, Running, TENANT};
use crate::connection::Connection;
use crate::request::Target;

const CHANNEL: &str = "C0CHAOS";
/// How long Ronda may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A part that can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The broker.
    Broker,
    /// The second gateway.
    Gateway,
    /// `ronda up`: the first gateway, and whatever consumes.
    Up,
}

impl std::str::FromStr for Part {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "broker" => Ok(Self::Broker),
            "gateway" => Ok(Self::Gateway),
            "up" => Ok(Self::Up),
            other => bail!("unknown part {other:?}: broker, gateway or up"),
        }
    }
}

impl Part {
    /// Its name, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Gateway => "second gateway",
            Self::Up => "ronda up",
        }
    }
}

/// Everything that runs.
pub(super) struct Stage {
    pub(super) slack: StandIn,
    pub(super) broker: Option<Running>,
    pub(super) data: PathBuf,
    pub(super) key: String,
    up: Server,
    gateway: Option<Server>,
    admin: String,
}

/// What it is made of.
pub(super) struct Programs<'a> {
    pub(super) ronda: &'a Path,
    pub(super) gateway: Option<&'a Path>,
    pub(super) kind: Kind,
    pub(super) environment: &'a [(String, String)],
}

impl Stage {
    /// Starts all of it, with its files in the folder.
    pub(super) async fn start(programs: &Programs<'_>, folder: &Path) -> Result<Self> {
        let slack = StandIn::start_on(([127, 0, 0, 1], 0).into(), Slack::default()).await?;
        let broker = broker::start(programs.kind, true).await?;
        let data = folder.join("data");
        let admin_port = free_port()?;
        let mut environment = environment(&slack, programs.environment);
        environment.extend(broker.iter().flat_map(Running::environment));
        let up = {
            let (ronda, data, environment) = (programs.ronda.to_owned(), data.clone(), environment.clone());
            let port = free_port()?;
            Server::start("ronda up", port, folder.join("up.log"), move || {
                let mut command = Command::new(&ronda);
                command.args(["up", "--listen", &format!("127.0.0.1:{port}")]);
                command.args(["--admin-listen", &format!("127.0.0.1:{admin_port}"), "--data"]).arg(&data);
                command.args(["--partitions", &PARTITIONS.to_string()]).envs(environment.clone());
                command
            })?
        };
        let admin = format!("127.0.0.1:{admin_port}");
        until_ready(&admin).await?;
        let key = key(programs.ronda, &data, &environment)?;
        let gateway = match (programs.gateway, &broker) {
            (Some(program), Some(broker)) => Some(second_gateway(program, broker, &key, folder)?),
            _ => None,
        };
        Ok(Self { slack, broker, data, key, up, gateway, admin })
    }

    /// What can be broken here.
    pub(super) fn parts(&self) -> Vec<Part> {
        let mut parts = vec![Part::Up];
        parts.extend(self.gateway.is_some().then_some(Part::Gateway));
        parts.extend(self.broker.is_some().then_some(Part::Broker));
        parts
    }

    /// Kills a part, as a crash does.
    pub(super) fn kill(&mut self, part: Part) {
        match part {
            Part::Up => self.up.kill(),
            Part::Gateway => self.gateway.iter_mut().for_each(Server::kill),
            Part::Broker => self.broker.iter_mut().for_each(Running::down),
        }
    }

    /// Starts it again, with what is on its disk.
    pub(super) fn restart(&mut self, part: Part) -> Result<()> {
        match part {
            Part::Up => self.up.restart(),
            Part::Gateway => self.gateway.iter_mut().try_for_each(Server::restart),
            Part::Broker => self.broker.iter_mut().try_for_each(Running::up),
        }
    }

    /// Stops it where it is.
    pub(super) fn stall(&mut self, part: Part) {
        match part {
            Part::Up => self.up.stall(),
            Part::Gateway => self.gateway.iter().for_each(Server::stall),
            Part::Broker => self.broker.iter_mut().for_each(Running::stall),
        }
    }

    /// Lets it go on.
    pub(super) fn resume(&mut self, part: Part) {
        match part {
            Part::Up => self.up.resume(),
            Part::Gateway => self.gateway.iter().for_each(Server::resume),
            Part::Broker => self.broker.iter_mut().for_each(Running::resume),
        }
    }

    /// Where reports may go.
    pub(super) fn gateways(&self) -> Vec<Target> {
        let servers = [Some(&self.up), self.gateway.as_ref()];
        let target = |server: &Server| Target { address: server.address().to_string(), key: self.key.clone() };
        servers.into_iter().flatten().map(target).collect()
    }

    /// Waits until `ronda up` says that it is ready; answers how long that took.
    pub(super) async fn until_ready(&self) -> Result<Duration> {
        until_ready(&self.admin).await
    }

    /// The sum of a metric over its series.
    pub(super) async fn metric(&self, name: &str) -> Result<f64> {
        Ok(Metrics::read(&self.admin).await?.sum(name, ""))
    }
}

/// A page of metrics.
pub(crate) struct Metrics(String);

impl Metrics {
    /// Reads it from an admin listener.
    pub(crate) async fn read(admin: &str) -> Result<Self> {
        Ok(Self(get(admin, "/metrics").await?.1))
    }

    /// The sum of a metric over those of its series that have this label, `name="value"`; over all without one.
    pub(crate) fn sum(&self, name: &str, label: &str) -> f64 {
        let of_it = |line: &&str| {
            let series = line.strip_prefix(name);
            series.is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))
        };
        self.0.lines().filter(of_it).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

pub(crate) async fn get(address: &str, path: &str) -> Result<(u16, String)> {
    let work = async {
        let mut connection = Connection::open(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
        let answer = connection.exchange(request.as_bytes()).await?;
        anyhow::Ok((answer.status, String::from_utf8_lossy(answer.body).into_owned()))
    };
    tokio::time::timeout(Duration::from_secs(5), work).await.context("no answer")?
}

pub(crate) async fn until_ready(admin: &str) -> Result<Duration> {
    let began = Instant::now();
    let mut last = String::from("nobody answered");
    while began.elapsed() < READY_WITHIN {
        match get(admin, "/health/ready").await {
            Ok((200, _)) => return Ok(began.elapsed()),
            Ok((_, body)) => last = body,
            Err(error) => last = format!("{error:#}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("ronda was not ready within {READY_WITHIN:?}: {last}")
}

pub(crate) fn environment(slack: &StandIn, more: &[(String, String)]) -> Vec<(String, String)> {
    let mut all = vec![
        (String::from("SLACK_API_URL"), slack.api_url()),
        (String::from("SLACK_BOT_TOKEN"), TOKEN.to_owned()),
        (String::from("SLACK_CHANNEL"), CHANNEL.to_owned()),
    ];
    all.extend_from_slice(more);
    all
}

/// A key that is not limited, made as an operator would.
fn key(ronda: &Path, data: &Path, environment: &[(String, String)]) -> Result<String> {
    let mut command = Command::new(ronda);
    command.args(["keys", "create", "--name", "chaos", "--rate-limit-per-minute", "0", "--json", "--data"]).arg(data);
    let output = command.envs(environment.iter().cloned()).output()?;
    if !output.status.success() {
        bail!("keys create: {}", String::from_utf8_lossy(&output.stderr));
    }
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).context("keys create --json")?;
    answer["key"].as_str().map(str::to_owned).context("keys create --json has no key")
}

/// A gateway of its own process on the same queue, with the same key.
fn second_gateway(program: &Path, broker: &Running, key: &str, folder: &Path) -> Result<Server> {
    let port = free_port()?;
    let (program, environment, key) = (program.to_owned(), broker.environment(), key.to_owned());
    Server::start("second gateway", port, folder.join("gateway.log"), move || {
        let mut command = Command::new(&program);
        command.args(["--listen", &format!("127.0.0.1:{port}"), "--partitions", &PARTITIONS.to_string()]);
        command.args(["--tenant", TENANT]).envs(environment.clone()).env("RONDA_HARNESS_KEY", &key);
        command
    })
}
