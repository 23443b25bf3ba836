//! What heartbeats cost in a database: what a processor asks of it, counted, with commits close together and far apart.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::time::sleep;

use super::Settings;
use super::stage::Stage;
use crate::broker::PARTITIONS;
use crate::load::{Plan, register_all, run};
use crate::request::{Shape, Target};

/// Schedulers that beat.
const SCHEDULERS: usize = 1_200;
/// Each beats so often: as once a minute, only ten times as fast, and all else with it.
const PERIOD: Duration = Duration::from_secs(6);
/// Heartbeats of a request.
const BATCH: usize = 20;
/// How far apart commits are, in milliseconds: less than a period, as by default, and five periods.
const INTERVALS_MS: [u32; 2] = [500, 30_000];
/// How long it is measured: two of the longer intervals.
const MEASURED: Duration = Duration::from_secs(60);
/// How long the last commit may take after that.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(250);

/// What was asked in one measurement.
#[derive(Clone, Debug)]
pub struct Cost {
    /// Broker and database.
    pub on: String,
    /// How far apart commits were at least, as many periods of a heartbeat.
    pub periods: f64,
    /// Heartbeats that were applied.
    pub heartbeats: f64,
    /// Commits of all partitions.
    pub commits: f64,
    /// What the processor asked, by kind: reads, writes, conditional writes. On Cassandra a row is a write, on DynamoDB a conditional one.
    pub requests: [f64; 3],
    /// Write units that DynamoDB says were consumed.
    pub write_units: f64,
}

impl Cost {
    /// Writes of rows for each heartbeat: everything written but the partitions' own rows, of which a commit has one. What leases write is among it.
    #[must_use]
    pub fn writes_per_heartbeat(&self) -> f64 {
        (self.requests[1] + self.requests[2] - self.commits) / self.heartbeats.max(1.0)
    }

    /// As a row of a table, below its head.
    #[must_use]
    pub fn markdown(&self, with_head: bool) -> String {
        const HEAD: &str = "| on | commits apart, in periods of a heartbeat | heartbeats | commits | reads | writes | conditional writes | write units | rows written a heartbeat |\n\
                            |---|---|---|---|---|---|---|---|---|\n";
        let [reads, writes, conditional] = self.requests;
        format!(
            "{}| {} | {:.2} | {} | {} | {reads} | {writes} | {conditional} | {} | {:.3} |\n",
            if with_head { HEAD } else { "" },
            self.on,
            self.periods,
            self.heartbeats,
            self.commits,
            self.write_units,
            self.writes_per_heartbeat(),
        )
    }
}

/// Measures it.
///
/// # Errors
/// When something can't be started, or does not come to rest.
pub(super) async fn measure(settings: &Settings, folder: &Path) -> Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for interval_ms in INTERVALS_MS {
        costs.push(Box::pin(one(settings, &folder.join(interval_ms.to_string()), interval_ms)).await?);
    }
    Ok(costs)
}

async fn one(settings: &Settings, folder: &Path, interval_ms: u32) -> Result<Cost> {
    std::fs::create_dir_all(folder)?;
    let interval = (String::from("RONDA_PROCESSOR_COMMIT_INTERVAL_MS"), interval_ms.to_string());
    let settings = Settings { replicas: [1, 1, 1], environment: vec![interval], ..settings.clone() };
    let stage = Stage::start(&settings, PARTITIONS, folder).await?;
    let gateway = stage.gateways().swap_remove(0);
    register_all(&gateway, SCHEDULERS).await?;
    // The first heartbeat of each opens its run.
    let mut applied = Counts::read(&stage).await?.applied + beat(&gateway, PERIOD).await?;
    let before = Counts::after(&stage, applied).await?;
    applied += beat(&gateway, MEASURED).await?;
    let after = Counts::after(&stage, applied).await?;
    let since = |of: fn(&Counts) -> f64| of(&after) - of(&before);
    Ok(Cost {
        on: format!("{} and {}", settings.kind.name(), settings.database.name()),
        periods: f64::from(interval_ms) / 1_000.0 / PERIOD.as_secs_f64(),
        heartbeats: since(|counts| counts.applied),
        commits: since(|counts| counts.commits),
        requests: [0, 1, 2].map(|kind| after.requests[kind] - before.requests[kind]),
        write_units: since(|counts| counts.write_units),
    })
}

/// Each scheduler beats once a period; answers how many heartbeats were accepted.
async fn beat(gateway: &Target, during: Duration) -> Result<f64> {
    let plan = Plan {
        target: gateway.clone(),
        connections: 4,
        duration: during,
        rate_per_second: Some(SCHEDULERS as u64 / PERIOD.as_secs()),
        shape: Shape::Events(BATCH),
        schedulers: SCHEDULERS,
        until_broken: false,
    };
    let outcome = run(&plan).await?;
    ensure!(outcome.failed == 0, "{} requests were refused", outcome.failed);
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    let accepted = outcome.acknowledged as f64;
    Ok(accepted)
}

/// What the processor has counted.
#[derive(Clone, Debug)]
struct Counts {
    applied: f64,
    commits: f64,
    requests: [f64; 3],
    write_units: f64,
}

impl Counts {
    async fn read(stage: &Stage) -> Result<Self> {
        let metrics = stage.processor_metrics().await?;
        let kind = |kind: &str| metrics.sum("ronda_store_requests_total", &format!("kind=\"{kind}\""));
        Ok(Self {
            applied: metrics.sum("ronda_processor_commands_applied_total", ""),
            commits: metrics.sum("ronda_processor_commits_total", ""),
            requests: ["read", "write", "conditional_write"].map(kind),
            write_units: metrics.sum("ronda_store_write_units_total", ""),
        })
    }

    /// As soon as so many are applied.
    async fn after(stage: &Stage, applied: f64) -> Result<Self> {
        let began = Instant::now();
        loop {
            let counts = Self::read(stage).await?;
            if counts.applied >= applied {
                return Ok(counts);
            }
            ensure!(began.elapsed() < SETTLED_WITHIN, "{} of {applied} are applied", counts.applied);
            sleep(POLL).await;
        }
    }
}
