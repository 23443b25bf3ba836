//! What is promised with several gateways, each a process of its own on a real NATS server: `ronda up` with one, and a second one whose
//! clock is set apart, that is stopped, killed, or leaves. It is the gateway of the product; only its store is a stand-in.
#![cfg(feature = "nats")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod fleet;

use std::future::Future;
use std::io::Write as _;
use std::time::{Duration, Instant};

use clap::Parser as _;
use fleet::{Client, Fleet, GATEWAY, Job, QUICK, USUAL, Ways, due_once_in, in_time, since_epoch};
use ronda_testbed::{Nats, NatsOptions};

/// What a busy machine may add to a bound, commits half a second apart included.
const MACHINE: Duration = Duration::from_secs(3);
/// Period of scheduled jobs, in seconds.
const EVERY_SECONDS: u64 = 5;
/// More than the clocks are apart: by default it is a tenth of the period, and a start by the slow clock would count for the time before.
const EARLY_SECONDS: u64 = 4;

/// Not a test: what the stories start as the second gateway. Among the tests it has nothing to do.
#[test]
fn the_second_gateway() {
    let Ok(arguments) = std::env::var(GATEWAY) else { return };
    let arguments = ronda_gateway_harness::Arguments::parse_from(arguments.split(' '));
    tokio::runtime::Runtime::new().unwrap().block_on(ronda_gateway_harness::run(arguments)).unwrap();
}

/// All at once, because what they do is mostly to wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_gateways_keep_one_clock() {
    let nats = match Nats::start(&NatsOptions::default()) {
        Ok(nats) => nats,
        Err(error) => {
            // Past the harness, which keeps to itself what a passing test says.
            let _ = writeln!(std::io::stderr(), "!! SKIPPED several gateways on NATS: {error:#}");
            return;
        }
    };
    let url = nats.url();
    let stories = [
        story("clocks three seconds apart alarm nobody, and are shown", clocks_apart(url.clone())),
        story("a gateway that stands still for 20 s loses nothing and alarms nobody", stands_still(url.clone())),
        story("a killed gateway holds the clock for the bounded time only", is_killed(url.clone())),
        story("one that leaves in order does not hold it at all", leaves(url.clone())),
        story("one that comes back after it was dropped only corrects", comes_back(url)),
    ];
    let mut failed = Vec::new();
    for (name, story) in stories {
        if story.await.is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

fn story(
    name: &'static str,
    told: impl Future<Output = ()> + Send + 'static,
) -> (&'static str, tokio::task::JoinHandle<()>) {
    (name, tokio::spawn(told))
}

/// Workers and scheduled jobs, each registered through the first gateway; half of them stick to the second, and half use both in turn.
async fn good_jobs(fleet: &Fleet, worker_timeout_seconds: u64, until: Instant) -> Vec<tokio::task::JoinHandle<Job>> {
    let mut registrar = Client::of(&fleet.first);
    let mut jobs = Vec::new();
    for number in 0..12 {
        let client = match number % 4 {
            0 | 1 => Client::of(&fleet.second),
            2 => Client::between(&[&fleet.first, &fleet.second]),
            _ => Client::between(&[&fleet.second, &fleet.first]),
        };
        let id = format!("good-{number}");
        if number % 2 == 0 {
            registrar.register(&id, &format!(r#","heartbeat_timeout_seconds":{worker_timeout_seconds}"#)).await;
            jobs.push(tokio::spawn(Job::worker(client, id, until)));
        } else {
            let schedule = format!(
                r#","schedule":{{"every_seconds":{EVERY_SECONDS},"anchor":"2026-01-01T00:00:00Z"}},"early_window_seconds":{EARLY_SECONDS}"#
            );
            // It is expected from the time at which it is registered on, which may take a while.
            let since = since_epoch();
            registrar.register(&id, &schedule).await;
            jobs.push(tokio::spawn(Job::scheduled(client, id, EVERY_SECONDS, since, until)));
        }
    }
    jobs
}

/// Waits for the jobs' end, and for the clock to have come past it.
async fn all_went_well(fleet: &Fleet, jobs: Vec<tokio::task::JoinHandle<Job>>, waited: bool) {
    let mut done = Vec::new();
    for job in jobs {
        done.push(in_time("a job's end", job).await.unwrap());
    }
    fleet.until_clock_is_here().await;
    for job in &done {
        assert!(!job.confirmed.is_empty(), "{} has done nothing", job.id);
        fleet.went_well(job, waited).await;
    }
}

async fn clocks_apart(broker: String) {
    let fleet = Fleet::start(&broker, "apart", Ways { offset_ms: -3_000, ..USUAL }).await;
    let jobs = good_jobs(&fleet, 5, Instant::now() + Duration::from_secs(20)).await;
    // A pulse may be a period old when the other one is heard.
    fleet.until_metric("ronda_processor_gateway_skew_seconds", |skew| (1.9..=3.2).contains(&skew)).await;
    let mut silent = Client::between(&[&fleet.first, &fleet.second]);
    silent.register("silent", r#","heartbeat_timeout_seconds":5"#).await;
    silent.heartbeat("silent").await;
    fleet.until_told("silent", "sends no heartbeat").await;
    all_went_well(&fleet, jobs, false).await;
}

async fn stands_still(broker: String) {
    let fleet = Fleet::start(&broker, "still", USUAL).await;
    // So long that whatever the stall put off is judged: thirty periods and a time-out after it began.
    let jobs = good_jobs(&fleet, 5, Instant::now() + Duration::from_secs(42)).await;
    let mut silent = Client::of(&fleet.first);
    silent.register("silent", r#","heartbeat_timeout_seconds":5"#).await;
    silent.register("never", &due_once_in(8)).await;
    silent.heartbeat("silent").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    fleet.gateway.stall();
    let stalled = Instant::now();
    fleet.until_live(1).await;
    let held = fleet.until_clock_is_here().await;
    assert!(stalled.elapsed() < USUAL.silent() + USUAL.silent() / 5 + MACHINE, "{:?}, {held:?}", stalled.elapsed());
    tokio::time::sleep(Duration::from_secs(20).saturating_sub(stalled.elapsed())).await;
    fleet.gateway.resume();
    fleet.until_told("silent", "sends no heartbeat").await;
    fleet.until_told("never", "did not start").await;
    all_went_well(&fleet, jobs, true).await;
}

async fn is_killed(broker: String) {
    let mut fleet = Fleet::start(&broker, "killed", QUICK).await;
    let mut client = Client::between(&[&fleet.first, &fleet.second]);
    client.register("silent", r#","heartbeat_timeout_seconds":5"#).await;
    client.heartbeat("silent").await;
    fleet.gateway.kill();
    let held = fleet.until_clock_is_here().await;
    assert!(held < QUICK.silent() + MACHINE, "{held:?}");
    fleet.until_live(1).await;
    let mut client = Client::of(&fleet.first);
    client.register("never", &due_once_in(2)).await;
    fleet.until_told("never", "did not start").await;
    fleet.until_told("silent", "sends no heartbeat").await;
}

async fn leaves(broker: String) {
    let mut fleet = Fleet::start(&broker, "leaves", USUAL).await;
    let mut client = Client::of(&fleet.second);
    let mut registrar = Client::of(&fleet.first);
    registrar.register("last", "").await;
    client.status("last", "success", "r0").await;
    drop(client);
    fleet.gateway.stop_in_order().unwrap();
    let held = fleet.until_clock_is_here().await;
    assert!(held < MACHINE, "{held:?}");
    fleet.until_live(1).await;
    fleet.went_well(&Job::over("last", "r0"), false).await;
}

async fn comes_back(broker: String) {
    let fleet = Fleet::start(&broker, "back", QUICK).await;
    let mut client = Client::of(&fleet.first);
    client.register("beats", r#","heartbeat_timeout_seconds":8"#).await;
    client.register("runs", r#","heartbeat_timeout_seconds":4"#).await;
    client.register("starts", &due_once_in(3)).await;
    let mut beats = Client::of(&fleet.second);
    beats.heartbeat("beats").await;
    let mut runs = Client::of(&fleet.second);
    runs.status("runs", "running", "r0").await;
    fleet.gateway.stall();
    // They wait in its socket until it goes on, long after it was taken for dead.
    let beating = tokio::spawn(async move { beats.heartbeat("beats").await });
    let running = tokio::spawn(async move { runs.status("runs", "success", "r0").await });
    let mut starts = Client::of(&fleet.second);
    let starting = tokio::spawn(async move { starts.status("starts", "running", "r0").await });
    fleet.until_live(1).await;
    fleet.until_told("beats", "sends no heartbeat").await;
    fleet.until_told("runs", "fell silent").await;
    fleet.until_told("starts", "did not start").await;
    fleet.gateway.resume();
    for waited in [beating, running, starting] {
        in_time("the answer of a gateway that is back", waited).await.unwrap();
    }
    // In this order: the beats were but one each, and their sender is silent again soon.
    fleet.until_told("beats", "is alive again").await;
    fleet.until_told("runs", "completed late").await;
    fleet.until_told("starts", "started late").await;
    fleet.until_live(2).await;
    for (id, from, to) in [("runs", "stale", "succeeded"), ("starts", "missed", "running")] {
        let history = fleet.history(id).await;
        assert_eq!(history.len(), 1, "{id}: {history:#?}");
        let corrections = history[0]["corrections"].as_array().unwrap();
        assert_eq!(corrections.len(), 1, "{id}: {history:#?}");
        assert_eq!((&corrections[0]["from"], &corrections[0]["to"]), (&from.into(), &to.into()), "{id}");
    }
}
