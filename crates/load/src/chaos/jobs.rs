//! Jobs that people would watch: good ones, of which nothing may be told, and bad ones, each of which is told once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::client::{Client, Tally};
use crate::request::Target;

/// Workers that only send heartbeats, and jobs with a schedule.
const WORKERS: usize = 20;
const JOBS: usize = 20;
/// A worker's period, and how long it may be silent: less than an outage lasts.
const BEAT: Duration = Duration::from_secs(2);
const SILENT_SECONDS: u64 = 8;
/// A job's period, and how late it may start.
const PERIOD_SECONDS: i64 = 10;
const GRACE_SECONDS: u64 = 8;

/// The names of all good ones.
pub(crate) fn good_names() -> impl Iterator<Item = String> {
    let workers = (0..WORKERS).map(|number| format!("good-worker-{number:02}"));
    workers.chain((0..JOBS).map(|number| format!("good-job-{number:02}")))
}

/// What jobs need to report.
#[derive(Clone)]
pub(crate) struct Reporters {
    pub(crate) gateways: Vec<Target>,
    pub(crate) tally: Arc<Tally>,
}

impl Reporters {
    pub(crate) fn client(&self, first: usize) -> Client {
        Client::new(self.gateways.clone(), first, Arc::clone(&self.tally))
    }
}

/// The good ones, at work.
pub(crate) struct Good {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Result<()>>>,
}

impl Good {
    pub(crate) fn start(reporters: &Reporters) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let task = |(number, name): (usize, String)| {
            let (client, stop) = (reporters.client(number), Arc::clone(&stop));
            if number < WORKERS {
                tokio::spawn(worker(client, name, stop))
            } else {
                tokio::spawn(job(client, name, stop))
            }
        };
        let tasks = good_names().enumerate().map(task).collect();
        Self { stop, tasks }
    }

    /// Ends them.
    ///
    /// # Errors
    /// When one of them was refused, or could not report for a minute.
    pub(crate) async fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.context("a good job panicked")??;
        }
        Ok(())
    }
}

async fn worker(mut client: Client, name: String, stop: Arc<AtomicBool>) -> Result<()> {
    client.register(&format!(r#"{{"id":"{name}","heartbeat_timeout_seconds":{SILENT_SECONDS}}}"#)).await?;
    while !stop.load(Ordering::Relaxed) {
        client.heartbeat(&name, "{}").await?;
        tokio::time::sleep(BEAT).await;
    }
    // It leaves in order.
    delete(&mut client, &name).await
}

/// Starts when it is due, or as soon as the run before has ended, and ends two seconds later.
async fn job(mut client: Client, name: String, stop: Arc<AtomicBool>) -> Result<()> {
    let period_ms = PERIOD_SECONDS * 1_000;
    // From before it is registered, which may take until after a due time that counts.
    let mut last_ms = Timestamp::now().as_millisecond().div_euclid(period_ms) * period_ms;
    client
        .register(&format!(
            r#"{{"id":"{name}","schedule":{{"every_seconds":{PERIOD_SECONDS},"anchor":"2026-01-01T00:00:00Z"}},"start_grace_seconds":{GRACE_SECONDS}}}"#
        ))
        .await?;
    while !stop.load(Ordering::Relaxed) {
        let now_ms = Timestamp::now().as_millisecond();
        let due_ms = next_due_ms(last_ms, now_ms);
        last_ms = due_ms;
        tokio::time::sleep(Duration::from_millis(u64::try_from(due_ms - now_ms).unwrap_or(0))).await;
        let run = due_ms / 1_000;
        client.status(&name, &format!(r#"{{"status":"running","run_id":"{run}"}}"#)).await?;
        tokio::time::sleep(BEAT).await;
        client.status(&name, &format!(r#"{{"status":"success","run_id":"{run}"}}"#)).await?;
    }
    delete(&mut client, &name).await
}

/// The next one that can still start in time: an outage may have made the run before longer than a period.
fn next_due_ms(last_ms: i64, now_ms: i64) -> i64 {
    let period_ms = PERIOD_SECONDS * 1_000;
    let earliest_ms = now_ms - GRACE_SECONDS.cast_signed() * 1_000 / 2;
    let due_ms = last_ms + period_ms;
    if due_ms >= earliest_ms { due_ms } else { (earliest_ms.div_euclid(period_ms) + 1) * period_ms }
}

pub(crate) async fn delete(client: &mut Client, name: &str) -> Result<()> {
    client.insist("DELETE", &format!("/api/v1/schedulers/{name}"), "").await
}

/// Fails.
///
/// # Errors
/// When that could not be reported.
pub(crate) async fn fail(reporters: Reporters, name: String) -> Result<String> {
    let mut client = reporters.client(0);
    client.register(&format!(r#"{{"id":"{name}"}}"#)).await?;
    // With a run id, so that reporting it again is safe.
    client.status(&name, r#"{"status":"failed","run_id":"1","error":"on purpose"}"#).await?;
    Ok(name)
}

/// Sends one heartbeat of a run, and falls silent.
///
/// # Errors
/// When that could not be reported.
pub(crate) async fn fall_silent(reporters: Reporters, name: String) -> Result<String> {
    let mut client = reporters.client(0);
    client.register(&format!(r#"{{"id":"{name}","heartbeat_timeout_seconds":5}}"#)).await?;
    client.heartbeat(&name, r#"{"run_id":"1"}"#).await?;
    Ok(name)
}

/// Is due in a few seconds, and never starts.
///
/// # Errors
/// When it could not be registered.
pub(crate) async fn never_start(reporters: Reporters, name: String) -> Result<String> {
    let mut client = reporters.client(0);
    let anchor = Timestamp::from_second(Timestamp::now().as_second() + 4)?;
    client
        .register(&format!(
            r#"{{"id":"{name}","schedule":{{"every_seconds":86400,"anchor":"{anchor}"}},"start_grace_seconds":2,"early_window_seconds":0}}"#
        ))
        .await?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_job_leaves_no_due_time_out_that_it_can_still_keep() {
        assert_eq!(next_due_ms(40_000, 43_000), 50_000);
        assert_eq!(next_due_ms(40_000, 50_100), 50_000, "the run before has just ended");
        assert_eq!(next_due_ms(40_000, 55_000), 60_000, "too late for the one between");
        assert_eq!(next_due_ms(40_000, 93_000), 90_000);
    }
}
