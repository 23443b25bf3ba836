//! The brokers, each with the settings with which it keeps what it confirmed over a kill, or what is done to it instead.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use ronda_queue::{Broker, BrokerOptions, Queue, Role};
use ronda_testbed::{ElasticMq, Link, Mode, Nats, NatsOptions, RabbitMq};

/// The tenant of every key that is made without naming one.
pub(crate) const TENANT: &str = "default";
/// Partitions of the command queue.
pub(crate) const PARTITIONS: u32 = 4;

/// How an error begins that says why there is no broker; `cargo xtask test` counts it as skipped.
const ABSENT: &str = "the broker can't be had";

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
pub(crate) struct Running {
    process: Process,
    /// Its address, as Ronda takes it.
    pub(crate) url: String,
    credentials: Option<PathBuf>,
}

enum Process {
    Nats(Nats),
    /// Nobody can kill Amazon SQS, and ElasticMQ forgets the order of a queue over a restart, which SQS never does. It is out of reach instead.
    Sqs(ElasticMq, Option<Link>),
    RabbitMq(RabbitMq),
}

/// Starts a broker; none for the embedded queue. A `durable` one loses nothing that it confirmed, whatever is
/// done to it here.
pub(crate) async fn start(kind: Kind, durable: bool) -> Result<Option<Running>> {
    Ok(Some(match kind {
        Kind::Embedded => return Ok(None),
        Kind::Nats => {
            // By default what it confirmed within the last two minutes is lost with the machine (not with the process).
            let nats = Nats::start(&NatsOptions { sync_always: durable, ..NatsOptions::default() }).context(ABSENT)?;
            Running { url: nats.url(), process: Process::Nats(nats), credentials: None }
        }
        Kind::Sqs => {
            let server = ElasticMq::start(false).context(ABSENT)?;
            let link = if durable { Some(Link::to(server.address()).await?) } else { None };
            let address = link.as_ref().map_or_else(|| server.address(), Link::address);
            let url = format!("sqs://eu-central-1?endpoint=http://{address}");
            let credentials = Some(server.credentials_file());
            Running { url, process: Process::Sqs(server, link), credentials }
        }
        Kind::RabbitMq => {
            let server = RabbitMq::start().context(ABSENT)?;
            Running { url: RabbitMq::url(server.address()), process: Process::RabbitMq(server), credentials: None }
        }
    }))
}

impl Running {
    /// What the queues are made with.
    pub(crate) fn options(&self) -> BrokerOptions {
        BrokerOptions {
            client_name: String::from("ronda-load"),
            partitions: PARTITIONS,
            credentials_file: self.credentials.clone(),
            ..BrokerOptions::new(&self.url)
        }
    }

    /// What a process needs in its environment to be let in.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let file = self.credentials.iter().map(|file| (String::from("RONDA_QUEUE_CREDENTIALS_FILE"), path(file)));
        // On SQS a message names no tenant.
        let tenant = (String::from("RONDA_QUEUE_DIRECT_TENANT"), TENANT.to_owned());
        file.chain([(String::from("RONDA_QUEUE_URL"), self.url.clone()), tenant]).collect()
    }

    /// What [`down`](Self::down) does, for people.
    pub(crate) const fn outage(&self) -> &'static str {
        match self.process {
            Process::Sqs(..) => "all connections to the broker cut",
            Process::Nats(_) | Process::RabbitMq(_) => "SIGKILL of the broker",
        }
    }

    /// Takes it away: nobody is answered any more, and what was under way is in doubt.
    pub(crate) fn down(&mut self) {
        match &mut self.process {
            Process::Nats(nats) => nats.server().kill(),
            Process::Sqs(_, link) => link.iter().for_each(|link| link.set(Mode::Cut)),
            Process::RabbitMq(server) => server.kill(),
        }
    }

    /// Gives it back, with all that it has confirmed.
    pub(crate) fn up(&mut self) -> Result<()> {
        match &mut self.process {
            Process::Nats(nats) => nats.server().restart(),
            Process::Sqs(_, link) => {
                link.iter().for_each(|link| link.set(Mode::Pass));
                Ok(())
            }
            Process::RabbitMq(server) => server.restart(),
        }
    }

    pub(crate) fn stall(&mut self) {
        match &mut self.process {
            Process::Nats(nats) => nats.server().stall(),
            Process::Sqs(server, _) => server.stall(),
            Process::RabbitMq(server) => server.stall(),
        }
    }

    pub(crate) fn resume(&mut self) {
        match &mut self.process {
            Process::Nats(nats) => nats.server().resume(),
            Process::Sqs(server, _) => server.resume(),
            Process::RabbitMq(server) => server.resume(),
        }
    }
}

fn path(file: &Path) -> String {
    file.display().to_string()
}

/// The queue of commands, for those who publish onto it directly.
pub(crate) async fn commands(options: BrokerOptions) -> Result<(Arc<dyn Broker>, Arc<dyn Queue>)> {
    let broker = ronda_queue::connect(options).await.context("connecting to the broker")?;
    let queue = broker.queue(Role::Commands).await.context("opening the queue of commands")?;
    Ok((broker, queue))
}

/// FNV-1a 32 of tenant, then id: which partition a scheduler is in, as any publisher computes it.
pub(crate) fn fnv1a32(tenant: &str, scheduler: &str) -> u32 {
    let bytes = tenant.bytes().chain(scheduler.bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_those_of_everybody_else() {
        // The published test vectors of FNV-1a 32.
        assert_eq!(fnv1a32("", ""), 0x811c_9dc5);
        assert_eq!(fnv1a32("", "a"), 0xe40c_292c);
        assert_eq!(fnv1a32("foo", "bar"), 0xbf9c_f968);
    }
}
