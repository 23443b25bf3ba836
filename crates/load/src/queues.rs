//! Ronda on a broker beside its limits, in one run: each figure with the bound that it has to keep.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::broker::{self, Kind, PARTITIONS, Running};
use crate::compare::{Figure, IngestLimits, Settings, beside_handler, bulk_ingest, scratch, single_ingest};
use crate::load::register_all;
use crate::nats::Publisher;
use crate::pipeline::{Ronda, Server};
use crate::request::{Target, scheduler_id};

/// Schedulers that direct messages are of.
const SCHEDULERS: usize = 10_000;
/// Direct messages, each of them confirmed.
const MESSAGES: usize = 2_000_000;
/// Connections that they come over.
const PUBLISHERS: usize = 2;
/// So many of a connection's messages are unconfirmed at once.
const WINDOW: usize = 2_048;
/// How long all of them may take to be applied.
const APPLIED_WITHIN: Duration = Duration::from_secs(120);

/// Programs that take part, beside the binary.
#[derive(Clone, Copy, Debug, Default)]
pub struct Programs<'a> {
    /// Measures publishers of frames: the example `broker_throughput` of `ronda-queue`.
    pub publishers: Option<&'a Path>,
    /// A gateway that runs by itself: `ronda-gateway-harness`.
    pub gateway: Option<&'a Path>,
}

/// Measures everything that `only` lets through: on NATS JetStream a gateway alone and the whole way, on SQS and RabbitMQ what the adapters
/// make of frames beside a bare publisher. Without a program its figures are left out.
///
/// # Errors
/// When something can't be started, or a message is lost.
pub async fn measure(settings: &Settings, programs: Programs<'_>) -> Result<Vec<Figure>> {
    let wanted = |name: &str| settings.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let mut figures = Vec::new();
    if let Some(program) = programs.gateway.filter(|_| wanted("gateway")) {
        figures.extend(gateway_alone(settings, program).await?);
    }
    if wanted("ingest") {
        let nats = nats().await?;
        let limits = IngestLimits {
            name: "the same, and all of it applied and committed on the same two cores meanwhile",
            ratio: None,
            p99_ms: 15.0,
        };
        figures.extend(single_ingest(settings, &environment(&nats), &limits).await?);
    }
    if wanted("events") {
        let nats = nats().await?;
        figures.extend(bulk_ingest(settings, &environment(&nats)).await?);
    }
    if wanted("direct") {
        figures.push(direct(settings).await?);
    }
    for (kind, name) in [(Kind::Sqs, "sqs"), (Kind::RabbitMq, "rabbitmq")] {
        if let Some(program) = programs.publishers.filter(|_| wanted(name)) {
            let failed = |error: anyhow::Error| Figure {
                name: "frames onto a broker",
                figure: format!("{}: {error:#}", kind.name()),
                limit: String::from("to be measured"),
                holds: false,
            };
            figures.push(beside_bare(kind, program).await.unwrap_or_else(failed));
        }
    }
    Ok(figures)
}

/// From the request to the 202: a gateway by itself on JetStream, as it is deployed, with whatever consumes elsewhere.
async fn gateway_alone(settings: &Settings, program: &Path) -> Result<Vec<Figure>> {
    const KEY: &str = "ronda_load_gateway_alone";
    let nats = nats().await?;
    let broker = ronda_queue::connect(nats.options()).await?;
    broker.init().await?;
    let gateway = Server::gateway(program, PARTITIONS, KEY, &environment(&nats))?;
    let target = Target { address: gateway.address.clone(), key: KEY.to_owned() };
    let limits =
        IngestLimits { name: "single events over HTTP to JetStream, 256 connections", ratio: Some(0.65), p99_ms: 15.0 };
    let figures = beside_handler(settings, &target, &limits).await?;
    broker.close().await;
    Ok(figures)
}

/// What the adapter makes of frames beside a bare publisher of equal ones on the same server, as the queues' own program measures it.
async fn beside_bare(kind: Kind, program: &Path) -> Result<Figure> {
    const LIMIT: f64 = 0.8;
    let broker = broker::start(kind, false).await?.context("there is no broker")?;
    let output = Command::new(program).arg(&broker.url).envs(broker.environment()).output()?;
    let table = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    let (ours, bare) = (median(&table, "| adapter |"), median(&table, "| bare "));
    let (ours, bare) = (ours.context("no figure of the adapter")?, bare.context("no figure of a bare publisher")?);
    let ratio = ours / bare;
    Ok(Figure {
        name: if kind == Kind::Sqs { "frames onto SQS (ElasticMQ)" } else { "frames onto RabbitMQ" },
        figure: format!("{ours:.0}/s, {ratio:.2} of a bare publisher's {bare:.0}/s"),
        limit: format!("at least {LIMIT}"),
        holds: ratio >= LIMIT,
    })
}

/// The middle one of the rates, messages a second, in the lines that begin so.
fn median(table: &str, beginning: &str) -> Option<f64> {
    let lines = table.lines().filter(|line| line.starts_with(beginning));
    let mut rates: Vec<f64> = lines.filter_map(|line| line.split('|').nth(2)?.trim().parse().ok()).collect();
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied()
}

/// With the settings that it has by default.
async fn nats() -> Result<Running> {
    broker::start(Kind::Nats, false).await?.context("there is no NATS server")
}

fn environment(broker: &Running) -> Vec<(String, String)> {
    let mut environment = broker.environment();
    environment.push((String::from("RONDA_STORAGE_PARTITIONS"), PARTITIONS.to_string()));
    environment
}

/// One command a message, from the first publish to the last applied row. Published as any client does, to the subject of its scheduler.
async fn direct(settings: &Settings) -> Result<Figure> {
    const LIMIT: f64 = 100_000.0;
    let directory = scratch("direct")?;
    let nats = nats().await?;
    let ronda = Ronda::start(&settings.binary, directory.path(), &environment(&nats))?;
    register_all(&ronda.target(&ronda.key()?), SCHEDULERS).await?;
    let before = applied(&ronda).await?;
    let began = Instant::now();
    let address = nats.url.trim_start_matches("nats://").to_owned();
    let publishers: Vec<_> =
        (0..PUBLISHERS).map(|first| tokio::spawn(publish(address.clone(), first, began))).collect();
    for publisher in publishers {
        publisher.await??;
    }
    let published = began.elapsed();
    while applied(&ronda).await? - before < MESSAGES as f64 {
        ensure!(began.elapsed() < APPLIED_WITHIN, "not all direct messages were applied within {APPLIED_WITHIN:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let elapsed = began.elapsed();
    let rate = MESSAGES as f64 / elapsed.as_secs_f64();
    Ok(Figure {
        name: "direct messages on NATS, one command each, published and applied",
        figure: format!(
            "{rate:.0}/s (all confirmed after {:.1} s, applied after {:.1} s)",
            published.as_secs_f64(),
            elapsed.as_secs_f64()
        ),
        limit: format!("at least {LIMIT:.0}/s"),
        holds: rate >= LIMIT,
    })
}

async fn publish(address: String, first: usize, began: Instant) -> Result<()> {
    let mut publisher = Publisher::connect(&address, &format!("load-{first}-{}", began.elapsed().as_nanos())).await?;
    let messages = (first..MESSAGES).step_by(PUBLISHERS).map(|number| {
        let scheduler = scheduler_id(number % SCHEDULERS);
        let body = format!(r#"{{"type":"heartbeat","scheduler_id":"{scheduler}"}}"#);
        (format!("ronda.in.{}.{scheduler}", broker::TENANT), body)
    });
    publisher.publish(messages, WINDOW).await
}

async fn applied(ronda: &Ronda) -> Result<f64> {
    Ok(ronda.metric("ronda_processor_commands_applied_total").await?.into_iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_rate_of_each_publisher_is_taken() {
        let table = "| publisher | messages/s |\n|---|---|\n| bare lapin | 900 | 7 |\n| adapter | 100 | 1 |\n| adapter, being read | 5 | 1 |\n\
                     | bare lapin | 1000 | 7 |\n| adapter | 300 | 1 |\n| bare lapin | 800 | 7 |\n| adapter | 200 | 1 |\n";
        assert_eq!(median(table, "| adapter |"), Some(200.0));
        assert_eq!(median(table, "| bare "), Some(900.0));
        assert_eq!(median(table, "| other "), None);
    }
}
