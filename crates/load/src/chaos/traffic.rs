//! Load that goes on whatever breaks: lanes of runs over HTTP and straight onto the queue, each with a ledger of its own.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use jiff::Timestamp;
use ronda_queue::{Origin, Queue};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::client::{Client, Sent, Tally};
use crate::broker::{TENANT, fnv1a32};
use crate::request::Target;
use crate::runs::RunLedger;

/// Schedulers of one lane.
const SCHEDULERS: usize = 8;
/// Lanes over HTTP: enough for five thousand reports a second when an answer takes a tenth of a second.
pub(crate) const HTTP_LANES: usize = 512;
/// Lanes straight onto the queue.
const DIRECT_LANES: usize = 16;
/// Heartbeats of a run.
const HEARTBEATS: u64 = 3;
/// Wait after something was not confirmed.
const BACK_OFF: Duration = Duration::from_millis(200);
/// How long a direct publish may wait for its confirmation.
const CONFIRM_WITHIN: Duration = Duration::from_secs(5);

/// A queue that load goes onto directly.
#[derive(Clone)]
pub(crate) struct Direct {
    pub(crate) queue: Arc<dyn Queue>,
    /// What the names on the broker begin with.
    pub(crate) prefix: String,
    /// Messages a second.
    pub(crate) rate: u64,
}

/// What load goes where.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) gateways: Vec<Target>,
    /// Reports a second over HTTP.
    pub(crate) rate: u64,
    /// Over so many lanes.
    pub(crate) lanes: usize,
    pub(crate) direct: Option<Direct>,
}

/// The names of the schedulers of a load.
pub(crate) fn schedulers(load: &Load) -> Vec<String> {
    let http = (0..load.lanes).flat_map(|lane| lane_schedulers("load", lane));
    let lanes = if load.direct.is_some() { DIRECT_LANES } else { 0 };
    http.chain((0..lanes).flat_map(|lane| lane_schedulers("direct", lane))).collect()
}

fn lane_schedulers(kind: &str, lane: usize) -> Vec<String> {
    (0..SCHEDULERS).map(|number| format!("{kind}-{lane:03}-{number}")).collect()
}

/// Load that is under way.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    http: Vec<JoinHandle<Result<RunLedger>>>,
    direct: Vec<JoinHandle<Result<RunLedger>>>,
}

impl Traffic {
    /// Begins; the runs' ids begin with the tag.
    pub(crate) fn start(load: &Load, tag: &str, tally: &Arc<Tally>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let lane = |way: Way, kind: &str, lane: usize, lanes: usize, rate: u64| {
            let plan = Lane {
                schedulers: lane_schedulers(kind, lane),
                tag: format!("{tag}-{lane}"),
                every: Duration::from_secs(1) * u32::try_from(lanes).unwrap_or(1)
                    / u32::try_from(rate.max(1)).unwrap_or(u32::MAX),
            };
            tokio::spawn(plan.drive(way, Arc::clone(&stop)))
        };
        let http = (0..load.lanes).map(|number| {
            let client = Client::new(load.gateways.clone(), number, Arc::clone(tally));
            lane(Way::Http(client), "load", number, load.lanes, load.rate)
        });
        let http = http.collect();
        let direct = load.direct.iter().flat_map(|direct| {
            (0..DIRECT_LANES).map(|number| {
                let publisher = Publisher { direct: direct.clone(), tally: Arc::clone(tally), number: 0 };
                lane(Way::Direct(publisher), "direct", number, DIRECT_LANES, direct.rate)
            })
        });
        let direct = direct.collect();
        Self { stop, http, direct }
    }

    /// Ends it, each lane after its run; answers the ledgers of HTTP and of direct load.
    ///
    /// # Errors
    /// When something was refused.
    pub(crate) async fn end(self) -> Result<(RunLedger, RunLedger)> {
        self.stop.store(true, Ordering::Relaxed);
        Ok((joined(self.http).await?, joined(self.direct).await?))
    }
}

async fn joined(lanes: Vec<JoinHandle<Result<RunLedger>>>) -> Result<RunLedger> {
    let mut all = RunLedger::default();
    for lane in lanes {
        all.add(lane.await.context("a lane panicked")??);
    }
    Ok(all)
}

/// One after another, a few reports a run.
struct Lane {
    schedulers: Vec<String>,
    tag: String,
    every: Duration,
}

impl Lane {
    async fn drive(self, mut way: Way, stop: Arc<AtomicBool>) -> Result<RunLedger> {
        let mut ledger = RunLedger::default();
        let mut pace = tokio::time::interval(self.every);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for (number, scheduler) in self.schedulers.iter().cycle().enumerate() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let run = format!("{}-{number}", self.tag);
            for step in 0..=HEARTBEATS {
                pace.tick().await;
                let is_end = step == HEARTBEATS;
                match way.report(scheduler, &run, is_end).await? {
                    Sent::Confirmed => ledger.note(scheduler, &run, is_end, Some(Timestamp::now())),
                    sent => {
                        if sent == Sent::InDoubt {
                            ledger.note(scheduler, &run, is_end, None);
                        }
                        // A run in doubt stays open, and a scheduler has room for few of them.
                        tokio::time::sleep(BACK_OFF).await;
                        break;
                    }
                }
            }
        }
        Ok(ledger)
    }
}

/// How a lane's reports get there.
enum Way {
    Http(Client),
    Direct(Publisher),
}

impl Way {
    async fn report(&mut self, scheduler: &str, run: &str, is_end: bool) -> Result<Sent> {
        match self {
            Self::Http(client) if is_end => {
                let body = format!(r#"{{"status":"success","run_id":"{run}"}}"#);
                client.send("PUT", &format!("/api/v1/schedulers/{scheduler}/status"), body.as_bytes()).await
            }
            Self::Http(client) => {
                let body = format!(r#"{{"run_id":"{run}"}}"#);
                client.send("POST", &format!("/api/v1/schedulers/{scheduler}/heartbeat"), body.as_bytes()).await
            }
            Self::Direct(publisher) => Ok(publisher.publish(scheduler, run, is_end).await),
        }
    }
}

/// Publishes as a fleet does that has no HTTP: one command a message.
struct Publisher {
    direct: Direct,
    tally: Arc<Tally>,
    number: u64,
}

impl Publisher {
    async fn publish(&mut self, scheduler: &str, run: &str, is_end: bool) -> Sent {
        let mut body = String::new();
        // Writing to a String can't fail.
        let _ = if is_end {
            write!(body, r#"{{"type":"status","status":"success","scheduler_id":"{scheduler}","run_id":"{run}"}}"#)
        } else {
            write!(body, r#"{{"type":"heartbeat","scheduler_id":"{scheduler}","run_id":"{run}"}}"#)
        };
        self.number += 1;
        let queue = &self.direct.queue;
        let partition = fnv1a32(TENANT, scheduler) % queue.partitions().max(1);
        let origin = Origin {
            tenant: Some(TENANT.to_owned()),
            message_id: Some(format!("{run}-{}", self.number)),
            headers: Vec::new(),
            source: format!("{}.in.{TENANT}.{scheduler}", self.direct.prefix),
            published_ms: None,
        };
        count(&self.tally.sent);
        let publish = queue.publish_direct(partition, Bytes::from(body), &origin);
        match tokio::time::timeout(CONFIRM_WITHIN, publish).await {
            Ok(Ok(_)) => {
                count(&self.tally.confirmed);
                Sent::Confirmed
            }
            _ => Sent::InDoubt,
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
