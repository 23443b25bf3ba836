//! What is promised when the process is killed: every 2xx is found afterwards, nothing counts twice, no alert is seen twice.
//!
//! `CRASH_ROUNDS` and `CRASH_RATE` (heartbeats a second) make it harder.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::{Duration, Instant};

use ronda_load::account::settle;
use ronda_load::connection::Connection;
use ronda_load::ledger::Ledger;
use ronda_load::load::{Plan, register_all, run};
use ronda_load::pipeline::Ronda;
use ronda_load::request::{Shape, Target, frame};
use ronda_slack_standin::{SeenKind, Slack, StandIn, TOKEN};

const SCHEDULERS: usize = 2_000;
const CHANNEL: &str = "C0NIGHT";
const FAILURES_A_ROUND: usize = 3;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

async fn slack() -> (StandIn, Vec<(String, String)>) {
    let stand_in = StandIn::start_on(([127, 0, 0, 1], 0).into(), Slack::default()).await.unwrap();
    let environment = vec![
        ("SLACK_API_URL".to_owned(), stand_in.api_url()),
        ("SLACK_BOT_TOKEN".to_owned(), TOKEN.to_owned()),
        ("SLACK_CHANNEL".to_owned(), CHANNEL.to_owned()),
    ];
    (stand_in, environment)
}

async fn call(target: &Target, method: &str, path: &str, body: &str) -> u16 {
    let mut request = Vec::new();
    frame(&mut request, target, method, path, body.as_bytes());
    let mut connection = Connection::open(&target.address).await.unwrap();
    connection.exchange(&request).await.map_or(0, |answer| answer.status)
}

/// Registers a job and lets it fail; answers its name once the failure was acknowledged.
async fn failing_job(target: &Target, round: u64, number: usize) -> String {
    let id = format!("crash-{round}-{number}");
    let registered = call(target, "POST", "/api/v1/schedulers/register", &format!(r#"{{"id":"{id}"}}"#)).await;
    assert!(matches!(registered, 200..=202), "registering {id} was answered {registered}");
    let body = r#"{"status":"failed","error":"killed on purpose"}"#;
    let failed = call(target, "PUT", &format!("/api/v1/schedulers/{id}/status"), body).await;
    assert_eq!(failed, 202, "the failure of {id}");
    id
}

async fn round(target: &Target, ronda: &mut Ronda, number: u64, rate: u64) -> (Ledger, Vec<String>) {
    let plan = Plan {
        target: target.clone(),
        connections: 64,
        duration: Duration::from_secs(60),
        rate_per_second: Some(rate),
        shape: Shape::Heartbeat,
        schedulers: SCHEDULERS,
        until_broken: true,
    };
    let load = tokio::spawn(async move { run(&plan).await });
    let mut failed = Vec::new();
    for job in 0..FAILURES_A_ROUND {
        failed.push(failing_job(target, number, job).await);
    }
    // Differs from round to round, so that the kill meets different moments; nothing is waited for but the load itself.
    tokio::time::sleep(Duration::from_millis(1_500 + 317 * number % 1_000)).await;
    failed.push(failing_job(target, number, FAILURES_A_ROUND).await);
    ronda.server.kill().unwrap();
    (load.await.unwrap().unwrap().ledger, failed)
}

/// How many posts are an alert of this job.
fn posted(stand_in: &StandIn, job: &str) -> usize {
    stand_in.slack().seen().iter().filter(|seen| seen.kind == SeenKind::Posted && seen.is_alert_of(job)).count()
}

async fn wait_for_alerts(stand_in: &StandIn, jobs: &[String]) {
    let began = Instant::now();
    while jobs.iter().any(|job| posted(stand_in, job) == 0) {
        assert!(
            began.elapsed() < Duration::from_secs(180),
            "no alert for {:?}; seen: {:#?}",
            jobs.iter().filter(|job| posted(stand_in, job) == 0).collect::<Vec<_>>(),
            stand_in.slack().seen().iter().map(|seen| seen.text.clone()).collect::<Vec<_>>()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_of_a_load_nothing_is_lost_and_no_alert_is_seen_twice() {
    let (rounds, rate) = (setting("CRASH_ROUNDS", 3), setting("CRASH_RATE", 2_000));
    let binary = std::env::var("CRASH_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_ronda").to_owned());
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (stand_in, environment) = slack().await;
    let mut ledger = Ledger::default();
    let mut failed = Vec::new();
    let mut key = None;
    for number in 0..rounds {
        let mut ronda = Ronda::start(Path::new(&binary), directory.path(), &environment).unwrap();
        let key = key.get_or_insert_with(|| ronda.key().unwrap()).clone();
        let target = ronda.target(&key);
        register_all(&target, SCHEDULERS).await.unwrap();
        let (counts, jobs) = round(&target, &mut ronda, number, rate).await;
        ledger.add(&counts);
        failed.extend(jobs);
    }
    let ronda = Ronda::start(Path::new(&binary), directory.path(), &environment).unwrap();
    let counted = settle(&ronda, &key.unwrap(), &ledger).await.unwrap();
    let total = ledger.total();
    println!("{rounds} kills: {} sent, {} acknowledged, {counted} counted", total.sent, total.acknowledged);
    wait_for_alerts(&stand_in, &failed).await;
    for job in &failed {
        assert_eq!(posted(&stand_in, job), 1, "{job}");
    }
}
