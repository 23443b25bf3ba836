//! Seeded random storms: whatever fails, whoever is killed and whatever comes twice, a person sees each alert once, in its last state.
//!
//! | module | subject |
//! |---|---|
//! | `attention` | what people say: that they look after something, or want to hear nothing of it |
//! | `chance` | random numbers that a seed repeats |
//! | `world` | jobs, judged by the domain itself: what happened, and what is to be told of it |
//! | `model` | what a person is to see of it in the end |
//! | `stage` | store, event queue and the stand-in for Slack, one each a seed |
//! | `replica` | a notifier as a process of its own, which can be killed and made to stand still |
//! | `trouble` | faults at Slack, kills, stalls, hand-overs, and a person who deletes messages |
//! | `verdict` | what a person sees, held against the model |
//! | `forgetful` | a store that forgets claims: the proof that the test can fail |
//! | `storm` | one seed from beginning to end |
//!
//! A seed repeats what happens and what goes wrong, not the timing to the microsecond: two runs of it may differ in what meets what.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod attention;
mod chance;
mod forgetful;
mod model;
mod replica;
mod stage;
mod storm;
mod trouble;
mod verdict;
mod world;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use storm::{Claims, Outcome};

/// Seeds of a run in which nothing else is asked for.
const SEEDS: u64 = 32;
/// Seeds at once: each waits most of its time.
const AT_ONCE: usize = 40;
/// Seeds with which it is shown that the test can fail.
const FORGETFUL_SEEDS: u64 = 8;

fn asked_for(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is no number")))
}

fn at_once() -> usize {
    asked_for("RONDA_STORM_AT_ONCE").map_or(AT_ONCE, |asked| usize::try_from(asked).unwrap())
}

/// Lets the seeds' storms rage, and tells how each ended, in the order in which they did.
async fn rage(seeds: impl Iterator<Item = u64>, claims: Claims) -> Vec<Outcome> {
    let (room, mut storms) = (Arc::new(Semaphore::new(at_once())), JoinSet::new());
    for seed in seeds {
        let room = Arc::clone(&room);
        storms.spawn(async move {
            let _place = room.acquire_owned().await.unwrap();
            storm::run(seed, claims).await
        });
    }
    let mut outcomes = Vec::new();
    while let Some(outcome) = storms.join_next().await {
        let outcome = outcome.unwrap();
        if claims == Claims::Kept && !outcome.complaints.is_empty() {
            outcome.print();
        }
        outcomes.push(outcome);
    }
    outcomes
}

#[allow(clippy::print_stdout, reason = "figures are what such a run is for")]
fn tell(what: &str, outcomes: &[Outcome], begun: Instant) {
    let failed: Vec<u64> = outcomes.iter().filter(|o| !o.complaints.is_empty()).map(|o| o.seed).collect();
    let sum = |count: fn(&Outcome) -> u64| outcomes.iter().map(count).sum::<u64>();
    println!(
        "{what}: {} seeds in {:.0} s; {} alerts, {} replies, {} mutes, {} acknowledged, {} nights; {} faults planned, {} kills, {} stalls, {} hand-overs, {} deletions by hand; \
         {} posts, {} edits, {} lookups, {} deletions; failed: {failed:?}",
        outcomes.len(),
        begun.elapsed().as_secs_f64(),
        sum(|o| o.alerts),
        sum(|o| o.replies),
        sum(|o| o.mutes),
        sum(|o| o.acknowledgments),
        outcomes.len(),
        sum(|o| o.faults),
        sum(|o| o.kills),
        sum(|o| o.stalls),
        sum(|o| o.handovers),
        sum(|o| o.deleted_by_hand),
        sum(|o| o.posts),
        sum(|o| o.edits),
        sum(|o| o.lookups),
        sum(|o| o.deletions),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_each_alert_is_seen_once_in_its_last_state() {
    let begun = Instant::now();
    let outcomes = match asked_for("RONDA_STORM_SEED") {
        Some(seed) => {
            let outcomes = rage(std::iter::once(seed), Claims::Kept).await;
            outcomes.iter().for_each(Outcome::print);
            outcomes
        }
        None => rage(1..=asked_for("RONDA_STORM_SEEDS").unwrap_or(SEEDS), Claims::Kept).await,
    };
    tell("storms", &outcomes, begun);
    let failed: Vec<u64> = outcomes.iter().filter(|o| !o.complaints.is_empty()).map(|o| o.seed).collect();
    assert!(failed.is_empty(), "seeds that went wrong: {failed:?}; RONDA_STORM_SEED=<n> runs one of them alone");
    assert!(outcomes.iter().all(|outcome| outcome.alerts > 0), "a storm without alerts shows nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_claims_before_calls_the_same_storms_show_messages_twice() {
    if asked_for("RONDA_STORM_SEED").is_some() {
        return;
    }
    let begun = Instant::now();
    let seeds = asked_for("RONDA_STORM_SEEDS").map_or(FORGETFUL_SEEDS, |seeds| seeds.min(200));
    let outcomes = rage(1..=seeds, Claims::Forgotten).await;
    tell("storms without claims", &outcomes, begun);
    assert!(outcomes.iter().all(|outcome| outcome.claims_forgotten > 0), "the store forgot nothing");
    let twice = outcomes.iter().filter(|outcome| outcome.shows_something_twice()).count();
    assert!(twice > 0, "none of {seeds} seeds shows anything twice, so the storms would not find out");
}
