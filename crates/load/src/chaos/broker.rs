//! The brokers, each with the settings with which it keeps what it confirmed over a kill.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use ronda_queue::{Broker, BrokerOptions, Queue, Role};
use ronda_testbed::Server;

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
    pub(super) server: Server,
    pub(super) url: String,
}

/// Starts a broker; none for the embedded queue.
pub(super) fn start(kind: Kind, folder: &Path) -> Result<Option<Running>> {
    let _ = folder;
    match kind {
        Kind::Embedded => Ok(None),
        other => bail!("{} is not there yet", other.name()),
    }
}

/// The queue of commands, for those who publish onto it directly.
pub(super) async fn commands(url: &str) -> Result<(Arc<dyn Broker>, Arc<dyn Queue>)> {
    let options = BrokerOptions { client_name: String::from("ronda-load"), ..BrokerOptions::new(url) };
    let broker = ronda_queue::connect(options).await.context("connecting to the broker")?;
    let queue = broker.queue(Role::Commands).await.context("opening the queue of commands")?;
    Ok((broker, queue))
}
