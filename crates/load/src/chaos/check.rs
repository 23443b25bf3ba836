//! The checker: reads over HTTP what Ronda made of a round, and compares.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use ronda_slack_standin::{SeenKind, Slack};
use serde_json::Value;

use super::client::Client;
use crate::runs::{Account, Found, RunLedger, RunName};

/// How long the pipeline may take to apply what was confirmed.
const APPLIED_WITHIN: Duration = Duration::from_secs(180);
/// How long an alert may take.
const ALERT_WITHIN: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(300);
/// How many schedulers are read at once.
const READERS: usize = 4;

/// Waits until everything confirmed is applied, and compares. What is lost is only known once nothing more has come for a while.
///
/// # Errors
/// When nothing can be read.
pub(crate) async fn settle(
    ledger: &RunLedger,
    tag: &str,
    since: jiff::Timestamp,
    patience: Duration,
    client: &dyn Fn() -> Client,
) -> Result<Account> {
    let began = Instant::now();
    let (mut applied, mut grew) = (0, Instant::now());
    let mut found = BTreeMap::new();
    let mut waiting: Vec<String> = ledger.runs.keys().cloned().collect();
    loop {
        let mut readers = Vec::new();
        for part in waiting.chunks(waiting.len().div_ceil(READERS).max(1)) {
            readers.push(tokio::spawn(read_all(client(), part.to_vec(), tag.to_owned(), since)));
        }
        let mut failure = None;
        for reader in readers {
            match reader.await? {
                Ok(more) => found.extend(more),
                Err(error) => failure = Some(error),
            }
        }
        let account = ledger.account(&found);
        if account.applied > applied {
            (applied, grew) = (account.applied, Instant::now());
        }
        let is_over = began.elapsed() > APPLIED_WITHIN || grew.elapsed() > patience;
        match failure {
            None if account.lost == 0 || is_over => return Ok(account),
            Some(error) if is_over => return Err(error),
            _ => {}
        }
        waiting.retain(|scheduler| is_incomplete(ledger, &found, scheduler));
        tokio::time::sleep(POLL).await;
    }
}

fn is_incomplete(ledger: &RunLedger, found: &BTreeMap<RunName, Found>, scheduler: &str) -> bool {
    ledger.runs.get(scheduler).into_iter().flatten().any(|(run, reported)| {
        let found = found.get(&(scheduler.to_owned(), run.clone()));
        let (heartbeats, ended) = found.map_or((0, false), |found| (found.heartbeats, found.ended));
        heartbeats < reported.heartbeats.acknowledged || (reported.end.acknowledged > 0 && !ended)
    })
}

async fn read_all(
    mut client: Client,
    schedulers: Vec<String>,
    tag: String,
    since: jiff::Timestamp,
) -> Result<BTreeMap<RunName, Found>> {
    let mut found = BTreeMap::new();
    for scheduler in schedulers {
        read_runs(&mut client, &scheduler, &tag, since, &mut found).await?;
    }
    Ok(found)
}

/// The runs of one scheduler whose ids begin with the tag.
async fn read_runs(
    client: &mut Client,
    scheduler: &str,
    tag: &str,
    since: jiff::Timestamp,
    found: &mut BTreeMap<RunName, Found>,
) -> Result<()> {
    // What is open first: a run that ends in between is then seen twice rather than not at all.
    let detail = client.get(&format!("/api/v1/schedulers/{scheduler}")).await?;
    for entry in history(client, scheduler, since).await? {
        for run in items(&entry["runs"]).filter(|run| is_of(run, tag)) {
            let seen = found_of(found, scheduler, run);
            seen.entries
                .push(format!("{} at {} with {} heartbeats", entry["status"], entry["time"], run["heartbeats"]));
            seen.ended |= run["status"] == "succeeded";
        }
    }
    for run in items(&detail["open_runs"]).filter(|run| is_of(run, tag)) {
        found_of(found, scheduler, run);
    }
    Ok(())
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn is_of(run: &Value, tag: &str) -> bool {
    run["run_id"].as_str().is_some_and(|id| id.strip_prefix(tag).is_some_and(|rest| rest.starts_with('-')))
}

fn found_of<'a>(found: &'a mut BTreeMap<RunName, Found>, scheduler: &str, run: &Value) -> &'a mut Found {
    let name = (scheduler.to_owned(), run["run_id"].as_str().unwrap_or_default().to_owned());
    let seen = found.entry(name).or_default();
    seen.heartbeats = seen.heartbeats.max(run["heartbeats"].as_u64().unwrap_or(0));
    seen
}

/// All entries of a history since a time.
async fn history(client: &mut Client, scheduler: &str, since: jiff::Timestamp) -> Result<Vec<Value>> {
    let mut entries = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/api/v1/schedulers/{scheduler}/history?limit=500&from={since}{after}");
        let mut page = client.get(&path).await?;
        if let Some(items) = page["items"].as_array_mut() {
            entries.append(items);
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => after = format!("&cursor={cursor}"),
            None => return Ok(entries),
        }
    }
}

/// What was judged wrongly of jobs that did what they should: a line for each entry that is, or once was, missed or stale.
///
/// # Errors
/// When a history can't be read.
pub(crate) async fn false_judgements(
    client: &mut Client,
    names: impl Iterator<Item = String>,
    since: jiff::Timestamp,
) -> Result<Vec<String>> {
    let is_false = |word: &Value| word == "missed" || word == "stale" || word == "failed";
    let mut found = Vec::new();
    for name in names {
        for entry in history(client, &name, since).await? {
            let was = items(&entry["corrections"]).any(|correction| is_false(&correction["from"]));
            if was || is_false(&entry["status"]) {
                found.push(format!("{name}: {} at {}", entry["status"], entry["time"]));
            }
        }
    }
    Ok(found)
}

/// What Ronda says of a job, for people: its state and its history.
///
/// # Errors
/// When it can't be read.
pub(crate) async fn story(client: &mut Client, job: &str, since: jiff::Timestamp) -> Result<String> {
    let detail = client.get(&format!("/api/v1/schedulers/{job}")).await?;
    Ok(format!("{job}: {detail}; {:?}", history(client, job, since).await?))
}

/// The entries of the error feed. Whether a job was there to be deleted is none of them: who got no answer deletes it again.
///
/// # Errors
/// When it can't be read.
pub(crate) async fn refused(client: &mut Client) -> Result<Vec<Value>> {
    let mut page = client.get("/api/v1/errors?limit=500").await?;
    let mut entries = page["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
    entries.retain(|entry| !is_second_delete(entry));
    Ok(entries)
}

fn is_second_delete(entry: &Value) -> bool {
    entry["command"] == "delete" && entry["code"] == "unknown_scheduler"
}

/// Waits until each of these jobs has an alert, and answers how many posts name each.
///
/// # Errors
/// When one has none in time.
pub(crate) async fn alerts(slack: &Slack, jobs: &[String]) -> Result<()> {
    let began = Instant::now();
    loop {
        let missing: Vec<_> = jobs.iter().filter(|job| posts(slack, job) == 0).collect();
        if missing.is_empty() {
            return Ok(());
        }
        if began.elapsed() > ALERT_WITHIN {
            bail!("no alert within {ALERT_WITHIN:?} for {missing:?}");
        }
        tokio::time::sleep(POLL).await;
    }
}

/// How many posts are an alert of this job.
pub(crate) fn posts(slack: &Slack, job: &str) -> usize {
    slack.seen().iter().filter(|seen| seen.kind == SeenKind::Posted && seen.is_alert_of(job)).count()
}
