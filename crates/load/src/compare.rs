//! Ronda beside its limits, in one run: each figure with the bound that it has to keep.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};

use crate::account::settle;
use crate::load::{Outcome, Plan, register_all, run};
use crate::pipeline::{Ronda, Server};
use crate::request::{Shape, Target};

/// What to measure with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The `ronda` binary.
    pub binary: PathBuf,
    /// How long each measurement lasts.
    pub duration: Duration,
    /// How long the whole pipeline is held at its rate.
    pub pipeline_duration: Duration,
    /// Only measurements whose name contains this.
    pub only: Option<String>,
}

/// One figure beside its limit.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What was measured.
    pub name: &'static str,
    /// The figure, for people.
    pub figure: String,
    /// The bound, for people.
    pub limit: String,
    /// Whether it keeps it.
    pub holds: bool,
}

/// Schedulers of the ingest measurements.
const SCHEDULERS: usize = 10_000;
/// Connections of the ingest measurements.
const CONNECTIONS: usize = 256;

/// Measures everything that `only` lets through.
///
/// # Errors
/// When something can't be started, or an event is lost.
pub async fn measure(settings: &Settings) -> Result<Vec<Figure>> {
    let wanted = |name: &str| settings.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let mut figures = Vec::new();
    if wanted("ingest") {
        let limits =
            IngestLimits { name: "durable single events over HTTP, 256 connections", ratio: Some(0.6), p99_ms: 10.0 };
        figures.extend(single_ingest(settings, &[], &limits).await?);
    }
    if wanted("events") {
        figures.extend(bulk_ingest(settings, &[]).await?);
    }
    if wanted("pipeline") {
        figures.extend(whole_pipeline(settings).await?);
    }
    if wanted("start") {
        figures.extend(start_up(settings).await?);
    }
    Ok(figures)
}

fn plan(target: Target, shape: Shape, duration: Duration) -> Plan {
    Plan {
        target,
        connections: CONNECTIONS,
        duration,
        rate_per_second: None,
        shape,
        schedulers: SCHEDULERS,
        until_broken: false,
    }
}

fn millis(outcome: &Outcome, quantile: f64) -> f64 {
    Duration::from_micros(outcome.latency.value_at_quantile(quantile)).as_secs_f64() * 1_000.0
}

/// What single events have to keep.
pub(crate) struct IngestLimits {
    pub(crate) name: &'static str,
    /// Least share of what the bare handler makes; `None`: only told.
    pub(crate) ratio: Option<f64>,
    pub(crate) p99_ms: f64,
}

/// Single events beside the bare handler, on what the environment says.
pub(crate) async fn single_ingest(
    settings: &Settings,
    environment: &[(String, String)],
    limits: &IngestLimits,
) -> Result<Vec<Figure>> {
    let directory = scratch("ingest")?;
    let ronda = Ronda::start(&settings.binary, directory.path(), environment)?;
    let target = ronda.target(&ronda.key()?);
    register_all(&target, SCHEDULERS).await?;
    beside_handler(settings, &target, limits).await
}

/// Single events to some gateway, in turns with the bare handler.
pub(crate) async fn beside_handler(settings: &Settings, target: &Target, limits: &IngestLimits) -> Result<Vec<Figure>> {
    let bare = Server::bare()?;
    let bare_target = Target { address: bare.address.clone(), key: target.key.clone() };
    let (mut ours, mut theirs): (Vec<Outcome>, Vec<Outcome>) = (Vec::new(), Vec::new());
    // In turns, so that both meet the same moods of the machine; the first round of each warms up.
    for round in 0..4 {
        let bare_outcome = run(&plan(bare_target.clone(), Shape::Status, settings.duration)).await?;
        let ronda_outcome = run(&plan(target.clone(), Shape::Status, settings.duration)).await?;
        if round > 0 {
            theirs.push(bare_outcome);
            ours.push(ronda_outcome);
        }
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let ratio = ours.rate() / theirs.rate();
    let p99 = millis(&ours, 0.99);
    Ok(vec![
        Figure {
            name: limits.name,
            figure: format!("{:.0}/s, {ratio:.2} of the bare handler's {:.0}/s", ours.rate(), theirs.rate()),
            limit: limits.ratio.map_or_else(|| String::from("none"), |least| format!("at least {least:.2}")),
            holds: limits.ratio.is_none_or(|least| ratio >= least),
        },
        Figure {
            name: "their latency",
            figure: format!(
                "p50 {:.1} ms, p99 {p99:.1} ms (bare: p99 {:.1} ms)",
                millis(&ours, 0.5),
                millis(&theirs, 0.99)
            ),
            limit: format!("p99 under {} ms", limits.p99_ms),
            holds: p99 < limits.p99_ms,
        },
    ])
}

fn median(mut outcomes: Vec<Outcome>) -> Outcome {
    outcomes.sort_by(|a, b| a.rate().total_cmp(&b.rate()));
    outcomes.swap_remove(outcomes.len() / 2)
}

/// `POST /api/v1/events`, on what the environment says.
pub(crate) async fn bulk_ingest(settings: &Settings, environment: &[(String, String)]) -> Result<Vec<Figure>> {
    let directory = scratch("events")?;
    let ronda = Ronda::start(&settings.binary, directory.path(), environment)?;
    let key = ronda.key()?;
    register_all(&ronda.target(&key), SCHEDULERS).await?;
    let mut plan = plan(ronda.target(&key), Shape::Events(500), settings.duration);
    plan.connections = 16;
    let outcome = run(&plan).await?;
    let rate = outcome.rate();
    Ok(vec![Figure {
        name: "POST /api/v1/events, 500 a request, accepted and durable",
        figure: format!("{rate:.0} events/s, p99 {:.0} ms", millis(&outcome, 0.99)),
        limit: "at least 400,000/s".to_owned(),
        holds: rate >= 400_000.0,
    }])
}

async fn whole_pipeline(settings: &Settings) -> Result<Vec<Figure>> {
    const RATE: u64 = 44_000;
    let directory = scratch("pipeline")?;
    let ronda = Ronda::start(&settings.binary, directory.path(), &[])?;
    let key = ronda.key()?;
    register_all(&ronda.target(&key), SCHEDULERS).await?;
    let mut plan = plan(ronda.target(&key), Shape::Heartbeat, settings.pipeline_duration);
    plan.rate_per_second = Some(RATE);
    let load = tokio::spawn(async move { run(&plan).await });
    let mut worst_lag = 0.0_f64;
    while !load.is_finished() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        worst_lag = worst_lag.max(lag_seconds(&ronda).await?);
    }
    let outcome = load.await??;
    let counted = settle(&ronda, &key, &outcome.ledger).await?;
    let rate = outcome.rate();
    Ok(vec![
        Figure {
            name: "whole pipeline, HTTP in to rows committed",
            figure: format!("{rate:.0} heartbeats/s for {:.0} s", outcome.elapsed.as_secs_f64()),
            limit: "at least 40,000/s".to_owned(),
            holds: rate >= 40_000.0,
        },
        Figure {
            name: "its lag, sampled twice a second",
            figure: format!("at most {worst_lag:.2} s"),
            limit: "under 1 s".to_owned(),
            // A partition's clock is one pulse period old when nothing comes in.
            holds: worst_lag < 1.0,
        },
        Figure {
            name: "every event accounted for",
            figure: format!("{} acknowledged, {counted} counted", outcome.acknowledged),
            limit: "equal".to_owned(),
            holds: counted == outcome.acknowledged,
        },
    ])
}

/// How far the slowest partition's watermark is behind the wall clock.
async fn lag_seconds(ronda: &Ronda) -> Result<f64> {
    let watermarks = ronda.metric("ronda_processor_watermark_timestamp_seconds").await?;
    ensure!(!watermarks.is_empty(), "no watermark metric");
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    Ok(now - watermarks.into_iter().fold(f64::INFINITY, f64::min))
}

async fn start_up(settings: &Settings) -> Result<Vec<Figure>> {
    const MANY: usize = 100_000;
    let directory = scratch("start")?;
    let empty_bytes = {
        let other = scratch("empty")?;
        Ronda::start(&settings.binary, other.path(), &[])?.resident_bytes()?
    };
    {
        let ronda = Ronda::start(&settings.binary, directory.path(), &[])?;
        let key = ronda.key()?;
        register_all(&ronda.target(&key), MANY).await?;
    }
    let ronda = Ronda::start(&settings.binary, directory.path(), &[])?;
    let bytes = ronda.resident_bytes()?.saturating_sub(empty_bytes) / MANY as u64;
    let counted: f64 = ronda.metric("ronda_processor_schedulers").await?.into_iter().sum();
    Ok(vec![
        Figure {
            name: "start-up with 100,000 schedulers",
            figure: format!("{:.2} s to ready, {counted:.0} in memory", ronda.start_up.as_secs_f64()),
            limit: "under 3 s".to_owned(),
            holds: ronda.start_up < Duration::from_secs(3) && counted >= MANY as f64,
        },
        Figure {
            name: "memory for each of them, whole process less an empty one's",
            figure: format!("{bytes} bytes"),
            limit: "under 1,024 bytes".to_owned(),
            holds: bytes < 1_024,
        },
    ])
}

/// A directory of its own on the disk that the build is on: a memory file system would make durability free.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn scratch(name: &str) -> Result<Scratch> {
    let program = std::env::current_exe()?;
    let beside = program.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
    let path = beside.join(format!("ronda-load-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&path)?;
    Ok(Scratch(path))
}
