//! The brokers, each with the settings with which it keeps what it confirmed over a kill.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use ronda_queue::{Broker, BrokerOptions, Queue, Role};
use ronda_testbed::{ElasticMq, Nats, NatsOptions, RabbitMq};

/// Partitions of the command queue.
pub(super) const PARTITIONS: u32 = 4;

/// Which queue is under Ronda.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The one inside the process.
    Embedded,
    /// NATS JetStream.
    Nats,
    /// Amazon SQS, as ElasticMQ plays it.
    Sqs,
    /// RabbitMQ quorum queues.
    RabbitMq,
}

impl std::str::FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "embedded" => Ok(Self::Embedded),
            "nats" => Ok(Self::Nats),
            "sqs" => Ok(Self::Sqs),
            "rabbitmq" => Ok(Self::RabbitMq),
            other => bail!("unknown queue {other:?}: embedded, nats, sqs or rabbitmq"),
        }
    }
}

impl Kind {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Nats => "nats",
            Self::Sqs => "sqs",
            Self::RabbitMq => "rabbitmq",
        }
    }
}

/// A broker that runs.
pub(super) struct Running {
    process: Process,
    /// Its address, as Ronda takes it.
    pub(super) url: String,
    credentials: Option<PathBuf>,
}

enum Process {
    Nats(Nats),
    Sqs(ElasticMq),
    RabbitMq(RabbitMq),
}

/// Starts a broker; none for the embedded queue.
pub(super) fn start(kind: Kind) -> Result<Option<Running>> {
    Ok(Some(match kind {
        Kind::Embedded => return Ok(None),
        Kind::Nats => {
            // By default what it confirmed within the last two minutes is lost with the machine (not with the process).
            let nats = Nats::start(&NatsOptions { sync_always: true, ..NatsOptions::default() })?;
            Running { url: nats.url(), process: Process::Nats(nats), credentials: None }
        }
        Kind::Sqs => {
            let server = ElasticMq::start(true)?;
            let url = format!("sqs://eu-central-1?endpoint=http://{}", server.address());
            let credentials = Some(server.credentials_file()?);
            Running { url, process: Process::Sqs(server), credentials }
        }
        Kind::RabbitMq => {
            let server = RabbitMq::start()?;
            Running { url: RabbitMq::url(server.address()), process: Process::RabbitMq(server), credentials: None }
        }
    }))
}

impl Running {
    /// What the queues are made with.
    pub(super) fn options(&self) -> BrokerOptions {
        BrokerOptions {
            client_name: String::from("ronda-load"),
            partitions: PARTITIONS,
            credentials_file: self.credentials.clone(),
            ..BrokerOptions::new(&self.url)
        }
    }

    /// What a process needs in its environment to be let in.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let file = self.credentials.iter().map(|file| (String::from("RONDA_QUEUE_CREDENTIALS_FILE"), path(file)));
        file.chain([(String::from("RONDA_QUEUE_URL"), self.url.clone())]).collect()
    }

    pub(super) fn kill(&mut self) {
        match &mut self.process {
            Process::Nats(nats) => nats.server().kill(),
            Process::Sqs(server) => server.kill(),
            Process::RabbitMq(server) => server.kill(),
        }
    }

    pub(super) fn restart(&mut self) -> Result<()> {
        match &mut self.process {
            Process::Nats(nats) => nats.server().restart(),
            Process::Sqs(server) => server.restart(),
            Process::RabbitMq(server) => server.restart(),
        }
    }

    pub(super) fn stall(&mut self) {
        match &mut self.process {
            Process::Nats(nats) => nats.server().stall(),
            Process::Sqs(server) => server.stall(),
            Process::RabbitMq(server) => server.stall(),
        }
    }

    pub(super) fn resume(&mut self) {
        match &mut self.process {
            Process::Nats(nats) => nats.server().resume(),
            Process::Sqs(server) => server.resume(),
            Process::RabbitMq(server) => server.resume(),
        }
    }
}

fn path(file: &Path) -> String {
    file.display().to_string()
}

/// The queue of commands, for those who publish onto it directly.
pub(super) async fn commands(options: BrokerOptions) -> Result<(Arc<dyn Broker>, Arc<dyn Queue>)> {
    let broker = ronda_queue::connect(options).await.context("connecting to the broker")?;
    let queue = broker.queue(Role::Commands).await.context("opening the queue of commands")?;
    Ok((broker, queue))
}
