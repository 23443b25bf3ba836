//! Many connections at once for a while, at full speed or at a rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;

use crate::connection::Connection;
use crate::ledger::Ledger;
use crate::request::{self, Shape, Target};

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Against whom.
    pub target: Target,
    /// So many connections at once.
    pub connections: usize,
    /// For how long.
    pub duration: Duration,
    /// Heartbeats a second over all connections; `None`: as many as go.
    pub rate_per_second: Option<u64>,
    /// What each request carries.
    pub shape: Shape,
    /// Schedulers that the heartbeats are for.
    pub schedulers: usize,
    /// Whether a broken connection ends the load rather than being a failure: the server is going to be killed.
    pub until_broken: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Events acknowledged with a 2xx.
    pub acknowledged: u64,
    /// Requests answered otherwise, or not at all.
    pub failed: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Latency of requests, in microseconds.
    pub latency: Histogram<u64>,
    /// Counts by scheduler.
    pub ledger: Ledger,
}

impl Outcome {
    /// Events acknowledged a second.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    pub fn rate(&self) -> f64 {
        self.acknowledged as f64 / self.elapsed.as_secs_f64()
    }
}

/// Registers schedulers `0..count`, over several connections.
///
/// # Errors
/// When one of them is refused.
pub async fn register_all(target: &Target, count: usize) -> Result<()> {
    let tasks: Vec<_> = (0..64)
        .map(|lane| {
            let target = target.clone();
            tokio::spawn(async move {
                let mut connection = Connection::open(&target.address).await?;
                let mut out = Vec::new();
                for number in (lane..count).step_by(64) {
                    request::register(&mut out, &target, number);
                    let answer = connection.exchange(&out).await?;
                    if !(200..300).contains(&answer.status) {
                        bail!("registering was answered {}: {}", answer.status, String::from_utf8_lossy(answer.body));
                    }
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// Carries out a plan.
///
/// # Errors
/// When no connection can be made, or one breaks although it should not.
pub async fn run(plan: &Plan) -> Result<Outcome> {
    let stop = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let tasks: Vec<_> =
        (0..plan.connections).map(|lane| tokio::spawn(drive(plan.clone(), lane, started, Arc::clone(&stop)))).collect();
    let mut outcome = Outcome {
        acknowledged: 0,
        failed: 0,
        elapsed: Duration::ZERO,
        latency: Histogram::new(3).context("histogram")?,
        ledger: Ledger::default(),
    };
    for task in tasks {
        let lane = task.await??;
        outcome.acknowledged += lane.acknowledged;
        outcome.failed += lane.failed;
        outcome.latency.add(&lane.latency).context("histogram")?;
        outcome.ledger.add(&lane.ledger);
    }
    outcome.elapsed = started.elapsed();
    Ok(outcome)
}

async fn drive(plan: Plan, lane: usize, started: Instant, stop: Arc<AtomicBool>) -> Result<Outcome> {
    let mut connection = Connection::open(&plan.target.address).await.context("connecting")?;
    let batch = if let Shape::Events(count) = plan.shape { count } else { 1 };
    // Each connection has schedulers of its own, so their counts never meet.
    let own: Vec<usize> = (lane..plan.schedulers.max(plan.connections)).step_by(plan.connections).collect();
    let mut outcome = Outcome {
        acknowledged: 0,
        failed: 0,
        elapsed: Duration::ZERO,
        latency: Histogram::new(3).context("histogram")?,
        ledger: Ledger::default(),
    };
    let (mut out, mut scratch) = (Vec::new(), Vec::new());
    let mut sequence = 0u64;
    let mut pace = Pace::new(&plan, batch, lane, started);
    while started.elapsed() < plan.duration && !stop.load(Ordering::Relaxed) {
        pace.wait().await;
        let schedulers = chosen(&own, sequence, batch);
        request::next(&mut out, &mut scratch, &plan.target, plan.shape, &schedulers, sequence);
        let before = Instant::now();
        let answer = connection.exchange(&out).await;
        let micros = u64::try_from(before.elapsed().as_micros()).unwrap_or(u64::MAX);
        let acknowledged = matches!(&answer, Ok(answer) if (200..300).contains(&answer.status));
        outcome.ledger.count(&schedulers, acknowledged);
        outcome.latency.record(micros).context("histogram")?;
        sequence += 1;
        if acknowledged {
            outcome.acknowledged += schedulers.len() as u64;
            continue;
        }
        outcome.failed += 1;
        match answer {
            Ok(answer) if plan.until_broken || answer.status == 503 => {}
            Ok(answer) => bail!("answered {}: {}", answer.status, String::from_utf8_lossy(answer.body)),
            Err(_) if plan.until_broken => {
                stop.store(true, Ordering::Relaxed);
                break;
            }
            Err(error) => return Err(error).context("connection broke"),
        }
    }
    Ok(outcome)
}

fn chosen(own: &[usize], sequence: u64, batch: usize) -> Vec<usize> {
    let start = usize::try_from(sequence).unwrap_or(0).wrapping_mul(batch);
    (0..batch).map(|offset| own[(start + offset) % own.len()]).collect()
}

/// When the next request is due, at a steady rate over all connections.
struct Pace {
    every: Option<Duration>,
    next: Instant,
}

impl Pace {
    fn new(plan: &Plan, batch: usize, lane: usize, started: Instant) -> Self {
        let every = plan.rate_per_second.map(|rate| {
            let requests_per_second = (rate / batch as u64).max(1);
            Duration::from_secs(1) * u32::try_from(plan.connections).unwrap_or(1)
                / u32::try_from(requests_per_second).unwrap_or(u32::MAX)
        });
        let shift =
            every.unwrap_or_default() * u32::try_from(lane).unwrap_or(0) / u32::try_from(plan.connections).unwrap_or(1);
        Self { every, next: started + shift }
    }

    async fn wait(&mut self) {
        let Some(every) = self.every else { return };
        tokio::time::sleep_until(self.next.into()).await;
        self.next += every;
    }
}
