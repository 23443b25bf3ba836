//! Jobs that fail one after another, and when what became of that.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use ronda_slack_standin::{SeenKind, Slack};
use tokio::time::{Instant, sleep, sleep_until};

use crate::connection::Connection;
use crate::request::{Target, frame};

/// In so many channels failures are told in turn: one that takes a message a second never has two at once.
pub(super) const CHANNELS: usize = 10;
/// Whether a failure is committed is looked for this often, and for so long.
const LOOK_EVERY: Duration = Duration::from_millis(3);
const LOOK_FOR: Duration = Duration::from_secs(5);
/// How long what comes before may warm up.
const WARM_UP: Duration = Duration::from_secs(3);

pub(super) fn team(number: usize) -> String {
    format!("team-{number}")
}

pub(super) fn channel(number: usize) -> String {
    format!("C0NOTIFY{number}")
}

/// Jobs that are registered and will fail.
pub(super) struct Failures {
    target: Target,
    /// When each fails, after the beginning.
    at: Vec<Duration>,
}

/// What became of one failure, in times since the Unix epoch.
#[derive(Clone, Debug)]
pub(super) struct Course {
    pub(super) job: String,
    /// Right before its report.
    pub(super) sent: Duration,
    /// When that was answered with a 202.
    pub(super) confirmed: Duration,
    /// When whoever reads first saw it; `None`: not in time.
    pub(super) committed: Option<Duration>,
}

impl Failures {
    /// Registers as many as fail in this time at this rate, not in step with anything else that is periodic.
    pub(super) async fn register(target: &Target, duration: Duration, per_second: f64) -> Result<Self> {
        ensure!(per_second > 0.0 && per_second <= CHANNELS as f64 / 2.0, "more failures than {CHANNELS} channels take");
        let every = Duration::from_secs_f64(1.0 / per_second);
        let mut at = Vec::new();
        let mut next = WARM_UP;
        let mut lot = 1_u64;
        while next < duration {
            at.push(next);
            lot = lot.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Between half and one and a half of it.
            next += every.mul_f64(0.5 + (lot >> 33) as f64 / f64::from(1_u32 << 31));
        }
        let failures = Self { target: target.clone(), at };
        let mut connection = Connection::open(&target.address).await?;
        for number in 0..failures.at.len() {
            let (job, team) = (job(number), team(number % CHANNELS));
            let body = format!(r#"{{"id":"{job}","name":"{job}","team":"{team}"}}"#);
            exchange(&mut connection, target, "POST", "/api/v1/schedulers/register", &body).await?;
        }
        Ok(failures)
    }

    /// Lets each fail when it is to, and watches it.
    pub(super) async fn report(self) -> Result<Vec<Course>> {
        let began = Instant::now();
        let watched = self.at.iter().enumerate().map(|(number, at)| {
            let (target, at) = (self.target.clone(), began + *at);
            tokio::spawn(async move { fail(&target, job(number), at).await })
        });
        let watched: Vec<_> = watched.collect();
        let mut courses = Vec::with_capacity(watched.len());
        for course in watched {
            courses.push(course.await.context("a watcher panicked")??);
        }
        Ok(courses)
    }
}

impl Course {
    /// When Slack was asked to tell it.
    pub(super) fn told_by(&self, slack: &Slack) -> Vec<Duration> {
        let seen = slack.seen();
        let told = seen.iter().filter(|seen| seen.kind == SeenKind::Posted && seen.is_alert_of(&self.job));
        told.map(|seen| Duration::from_millis(seen.at_ms)).collect()
    }
}

fn job(number: usize) -> String {
    format!("failing-{number:05}")
}

async fn fail(target: &Target, job: String, at: Instant) -> Result<Course> {
    // Connections are there before, as those of jobs that report are not: what they take is not Ronda's.
    sleep_until(at - Duration::from_millis(100)).await;
    let mut connection = Connection::open(&target.address).await?;
    sleep_until(at).await;
    let sent = now()?;
    let path = format!("/api/v1/schedulers/{job}/status");
    let body = r#"{"status":"failed","run_id":"1","exit_code":1,"error":"on purpose"}"#;
    exchange(&mut connection, target, "PUT", &path, body).await?;
    let confirmed = now()?;
    let mut committed = None;
    let path = format!("/api/v1/schedulers/{job}");
    while committed.is_none() && at.elapsed() < LOOK_FOR {
        sleep(LOOK_EVERY).await;
        let answer = exchange(&mut connection, target, "GET", &path, "").await?;
        let answer: serde_json::Value = serde_json::from_slice(&answer)?;
        committed = (!answer["alert"].is_null()).then(now).transpose()?;
    }
    Ok(Course { job, sent, confirmed, committed })
}

async fn exchange(
    connection: &mut Connection,
    target: &Target,
    method: &str,
    path: &str,
    body: &str,
) -> Result<Vec<u8>> {
    let mut request = Vec::new();
    frame(&mut request, target, method, path, body.as_bytes());
    let answer = connection.exchange(&request).await.with_context(|| format!("{method} {path}"))?;
    let said = || String::from_utf8_lossy(answer.body);
    ensure!((200..300).contains(&answer.status), "{method} {path} was answered {}: {}", answer.status, said());
    Ok(answer.body.to_vec())
}

fn now() -> Result<Duration> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}
