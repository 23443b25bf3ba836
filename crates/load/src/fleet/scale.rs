//! How long a partition stands still when processors come, go, or are killed: as whoever waits for his own report sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::stage::{LEASE, Stage};
use super::{Settings, lanes};
use crate::broker::{PARTITIONS, TENANT, fnv1a32};
use crate::chaos::client::Tally;
use crate::chaos::jobs::Reporters;
use crate::chaos::register;
use crate::chaos::traffic::{self, Load, Traffic};
use crate::compare::Figure;
use crate::connection::Connection;
use crate::load::register_all;
use crate::request::Target;

/// Processors at the most.
const MOST: usize = 4;
/// How long nothing changes before and after.
const AROUND: Duration = Duration::from_secs(10);
/// How long a change may take until the partitions are where they shall be.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// Longest time without an applied report while processors come and go.
const STILL_LIMIT: Duration = Duration::from_secs(1);
/// Schedulers of the partition that is taken over.
const SCHEDULERS: usize = 100_000;
/// How long that may take beyond the lease.
const TAKE_OVER_LIMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(200);

/// Measures both.
///
/// # Errors
/// When something can't be started, or does not come to rest.
pub(super) async fn measure(settings: &Settings, folder: &std::path::Path) -> Result<Vec<Figure>> {
    let mut figures = Box::pin(scaling(settings, &folder.join("scaling"))).await?;
    figures.push(Box::pin(take_over(settings, &folder.join("take-over"))).await?);
    Ok(figures)
}

/// From one processor to four and back, under load.
async fn scaling(settings: &Settings, folder: &std::path::Path) -> Result<Vec<Figure>> {
    std::fs::create_dir_all(folder)?;
    let settings = Settings { replicas: [1, 1, 1], ..settings.clone() };
    let mut stage = Stage::start(&settings, PARTITIONS, folder).await?;
    let load = Load { gateways: stage.gateways(), rate: settings.rate, lanes: lanes(settings.rate), direct: None };
    let tally = Arc::new(Tally::default());
    let reporters = Reporters { gateways: stage.gateways(), tally: Arc::clone(&tally) };
    let mut schedulers = traffic::schedulers(&load);
    let probes: Vec<_> = (0..PARTITIONS).map(probe_of).collect();
    schedulers.extend(probes.iter().cloned());
    register(&reporters, schedulers).await?;
    let traffic = Traffic::start(&load, "scale", &tally);
    let gateway = stage.gateways().into_iter().next().context("there is a gateway")?;
    let mut still = Vec::new();
    for wanted in [MOST, 1] {
        let watched = Watch::start(&gateway, &probes);
        sleep(AROUND).await;
        stage.scale_processors(wanted).await?;
        let began = Instant::now();
        while stage.owners()?.len() != wanted {
            ensure!(began.elapsed() < SETTLED_WITHIN, "not {wanted} owners within {SETTLED_WITHIN:?}");
            sleep(POLL).await;
        }
        sleep(AROUND).await;
        still.push(watched.end().await?);
    }
    traffic.end().await?;
    let names = ["from 1 processor to 4, under load", "from 4 processors to 1, under load"];
    Ok(names.into_iter().zip(still).map(|(name, still)| figure(name, still, STILL_LIMIT)).collect())
}

/// The owner of a partition with many schedulers is killed.
async fn take_over(settings: &Settings, folder: &std::path::Path) -> Result<Figure> {
    std::fs::create_dir_all(folder)?;
    let settings = Settings { replicas: [1, 2, 1], ..settings.clone() };
    let mut stage = Stage::start(&settings, 1, folder).await?;
    let gateway = stage.gateways().into_iter().next().context("there is a gateway")?;
    register_all(&gateway, SCHEDULERS).await?;
    let probes = vec![String::from("load-000000")];
    // Also: until all of them are applied.
    apply(&gateway, &probes[0], 300).await?;
    let watched = Watch::start(&gateway, &probes);
    sleep(AROUND).await;
    stage.kill_owner()?;
    sleep(LEASE + TAKE_OVER_LIMIT * 3).await;
    let still = watched.end().await?.saturating_sub(LEASE);
    Ok(figure("take-over of a partition with 100,000 schedulers, less the lease", still, TAKE_OVER_LIMIT))
}

fn figure(name: &'static str, still: Duration, limit: Duration) -> Figure {
    Figure {
        name,
        figure: format!("no report applied for {:.2} s at the longest", still.as_secs_f64()),
        limit: format!("under {} s", limit.as_secs()),
        holds: still < limit,
    }
}

/// A scheduler of this partition.
fn probe_of(partition: u32) -> String {
    let names = (0..).map(|number: u32| format!("probe-{number}"));
    names.into_iter().find(|name| fnv1a32(TENANT, name) % PARTITIONS == partition).unwrap_or_default()
}

/// Reports to each scheduler again and again, each when the one before was applied.
struct Watch {
    stop: Arc<AtomicBool>,
    probes: Vec<JoinHandle<Result<Duration>>>,
}

impl Watch {
    fn start(gateway: &Target, schedulers: &[String]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let probe = |scheduler: &String| {
            let (gateway, scheduler, stop) = (gateway.clone(), scheduler.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut longest = Duration::ZERO;
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    apply(&gateway, &scheduler, 60).await?;
                    longest = longest.max(began.elapsed());
                }
                Ok(longest)
            })
        };
        Self { probes: schedulers.iter().map(probe).collect(), stop }
    }

    /// The longest time that one took.
    async fn end(self) -> Result<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        let mut longest = Duration::ZERO;
        for probe in self.probes {
            longest = longest.max(probe.await??);
        }
        Ok(longest)
    }
}

/// Reports a heartbeat and waits until it is applied, for so many seconds at most.
async fn apply(gateway: &Target, scheduler: &str, within_seconds: u64) -> Result<()> {
    let began = Instant::now();
    let Target { address, key } = gateway;
    let request = format!(
        "POST /api/v1/schedulers/{scheduler}/heartbeat HTTP/1.1\r\nhost: {address}\r\nx-api-key: {key}\r\nprefer: wait=30\r\n\
         content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    loop {
        let mut connection = Connection::open(address).await?;
        let status = connection.exchange(request.as_bytes()).await?.status;
        match status {
            200 => return Ok(()),
            202 | 503 => {}
            other => anyhow::bail!("a heartbeat was answered {other}"),
        }
        ensure!(began.elapsed() < Duration::from_secs(within_seconds), "not applied within {within_seconds} s");
    }
}
