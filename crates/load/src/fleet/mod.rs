//! A fleet of replicas under trouble: two gateways, three processors and two notifiers, each a process, on a broker and a database. Load and jobs
//! go on for minutes while one replica after another is killed or stands still at random, and broker and database are restarted once each.
//! Then every report is looked up, and what people were told is compared with what happened.

mod cost;
mod scale;
mod stage;
mod trouble;
mod unfenced;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Serialize;

pub use cost::Cost;
pub use stage::Database;

use crate::broker::{self, Kind, PARTITIONS};
use crate::chaos::check;
use crate::chaos::client::{Client, Tally};
use crate::chaos::jobs::{self, Good, Reporters};
use crate::chaos::traffic::{self, Direct, Load, Traffic};
use crate::chaos::{BEFORE, joined, register, scratch};
use crate::compare::Figure;
use crate::runs::Account;
use stage::Stage;
use trouble::Trouble;

/// What all runs of one fleet are named by.
const TAG: &str = "fleet";
/// How often bad jobs come.
const BAD_EVERY: Duration = Duration::from_secs(20);
/// How long nothing more may be applied before what is missing counts as lost: a take-over takes a lease's time, and a broker's.
const PATIENCE: Duration = Duration::from_secs(90);

/// What to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The `ronda` binary, with all adapters.
    pub ronda: PathBuf,
    /// Which broker.
    pub kind: Kind,
    /// Which database.
    pub database: Database,
    /// How long it goes on.
    pub duration: Duration,
    /// How far apart troubles are, at most.
    pub every: Duration,
    /// What the order of troubles is made of.
    pub seed: u64,
    /// Reports a second over HTTP.
    pub rate: u64,
    /// Messages a second straight onto the queue.
    pub direct_rate: u64,
    /// How many of each service there are: gateways, processors, notifiers.
    pub replicas: [usize; 3],
    /// Only trouble that the fence is for, and nothing else.
    pub zombies: bool,
    /// Without the fence between owners, to see that the checker finds what comes of it: DynamoDB only.
    pub unfenced: bool,
    /// What replicas find in their environment beside what they need.
    pub environment: Vec<(String, String)>,
    /// Where logs and ledgers go; by default a folder that goes with the run when all is well.
    pub folder: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Broker and database.
    pub on: String,
    /// The seed.
    pub seed: u64,
    /// What was done, in order.
    pub troubles: Vec<String>,
    /// Reports over HTTP.
    pub http: Account,
    /// Reports straight onto the queue.
    pub direct: Account,
    /// Bad jobs, and alerts that tell of them.
    pub bad: usize,
    /// See `bad`.
    pub alerts: usize,
    /// Good jobs that were judged wrongly.
    pub false_alarms: usize,
    /// Everything that is not as it should be.
    pub wrong: Vec<String>,
}

impl Outcome {
    /// Whether everything was as it should be.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.wrong.is_empty() && self.http.is_even() && self.direct.is_even()
    }

    /// As a row of a table, below its head.
    #[must_use]
    pub fn markdown(&self) -> String {
        let (http, direct) = (&self.http, &self.direct);
        let kills = self.troubles.iter().filter(|trouble| trouble.contains("SIGKILL")).count();
        format!(
            "| on | troubles (SIGKILL) | sent | confirmed | of them direct | applied | lost | doubled | false alarms | alerts of bad jobs | as it should be |\n\
             |---|---|---|---|---|---|---|---|---|---|---|\n\
             | {} | {} ({kills}) | {} | {} | {} | {} | {} | {} | {} | {} of {} | {} |\n",
            self.on,
            self.troubles.len(),
            http.sent + direct.sent,
            http.confirmed + direct.confirmed,
            direct.confirmed,
            http.applied + direct.applied,
            http.lost + direct.lost,
            http.doubled + direct.doubled,
            self.false_alarms,
            self.alerts,
            self.bad,
            if self.holds() { "yes" } else { "NO" },
        )
    }
}

/// Does it all.
///
/// # Errors
/// When something can't be started or read. What is not as it should be is no error but in the outcome.
pub async fn run(settings: &Settings) -> Result<Outcome> {
    let scratch = scratch()?;
    let folder = settings.folder.as_deref().unwrap_or_else(|| scratch.path());
    std::fs::create_dir_all(folder)?;
    let outcome = Box::pin(go(settings, folder)).await;
    let is_well = matches!(&outcome, Ok(outcome) if outcome.holds());
    if !is_well && settings.folder.is_none() {
        let kept = scratch.keep();
        return outcome.with_context(|| format!("logs are in {}", kept.display()));
    }
    outcome
}

/// Measures how long partitions stand still when processors come, go, or are killed.
///
/// # Errors
/// When something can't be started, or does not come to rest.
pub async fn measure(settings: &Settings) -> Result<Vec<Figure>> {
    let scratch = scratch()?;
    let folder = settings.folder.as_deref().unwrap_or_else(|| scratch.path());
    scale::measure(settings, folder).await
}

/// Counts what heartbeats cost in the database.
///
/// # Errors
/// When something can't be started, or does not come to rest.
pub async fn cost(settings: &Settings) -> Result<Vec<Cost>> {
    let scratch = scratch()?;
    let folder = settings.folder.as_deref().unwrap_or_else(|| scratch.path());
    cost::measure(settings, folder).await
}

async fn go(settings: &Settings, folder: &Path) -> Result<Outcome> {
    let mut stage = Stage::start(settings, PARTITIONS, folder).await?;
    let since = Timestamp::now();
    let (connected, queue) = broker::commands(stage.broker.options()).await?;
    let has_direct = queue.capabilities().direct && settings.direct_rate > 0;
    let prefix = String::from("ronda");
    let direct = has_direct.then_some(Direct { queue, prefix, rate: settings.direct_rate });
    let load = Load { gateways: stage.gateways(), rate: settings.rate, lanes: lanes(settings.rate), direct };
    let tally = Arc::new(Tally::default());
    let reporters = Reporters { gateways: stage.gateways(), tally: Arc::clone(&tally) };
    register(&reporters, traffic::schedulers(&load)).await?;
    let good = Good::start(&reporters);
    let running = Traffic::start(&load, TAG, &tally);
    let (troubles, bad) = storm(settings, &mut stage, &reporters).await?;
    stage.until_ready().await?;
    let (http, direct) = running.end().await?;
    for (what, ledger) in [("http", &http), ("direct", &direct)] {
        std::fs::write(folder.join(format!("ledger-{what}.json")), serde_json::to_vec(ledger)?)?;
    }
    let from = since.checked_sub(BEFORE)?;
    let client = || Client::new(stage.gateways(), 0, Arc::default());
    let http = check::settle(&http, TAG, from, PATIENCE, &client).await?;
    let direct = check::settle(&direct, TAG, from, PATIENCE, &client).await?;
    let on = format!("{} and {}", settings.kind.name(), settings.database.name());
    let mut outcome = Outcome {
        on,
        seed: settings.seed,
        troubles,
        http,
        direct,
        bad: bad.len(),
        alerts: 0,
        false_alarms: 0,
        wrong: Vec::new(),
    };
    judge(&mut outcome, &stage, &bad, since, &mut client()).await?;
    good.end().await?;
    connected.close().await;
    outcome.wrong.extend(stage.unowned()?);
    Ok(outcome)
}

/// Few enough that a slow database has few rows to write: eight reports a second each.
fn lanes(rate: u64) -> usize {
    usize::try_from(rate / 8).unwrap_or(usize::MAX).clamp(4, traffic::HTTP_LANES)
}

/// Trouble after trouble until the time is over, and bad jobs meanwhile; answers what was done, and the bad jobs.
async fn storm(settings: &Settings, stage: &mut Stage, reporters: &Reporters) -> Result<(Vec<String>, Vec<String>)> {
    let began = Instant::now();
    let mut trouble = Trouble::new(settings);
    let (mut troubles, mut bad, mut next_bad) = (Vec::new(), Vec::new(), Duration::ZERO);
    while began.elapsed() < settings.duration {
        if began.elapsed() >= next_bad {
            let name = |what: &str| format!("bad-{:03}-{what}", bad.len());
            let (fails, silent) = (name("fails"), name("falls-silent"));
            bad.push(tokio::spawn(jobs::fail(reporters.clone(), fails)));
            bad.push(tokio::spawn(jobs::fall_silent(reporters.clone(), silent)));
            // What is due while nobody could have been heard ends as unknown, and nobody is told of it alone.
            if !trouble.is_deaf_about(began.elapsed()) {
                let never = format!("bad-{:03}-never-starts", bad.len());
                bad.push(tokio::spawn(jobs::never_start(reporters.clone(), never)));
            }
            next_bad += BAD_EVERY;
        }
        let what = trouble.next(stage, began.elapsed()).await?;
        troubles.push(format!("until {:.1} ({:.1} s): {what}", Timestamp::now(), began.elapsed().as_secs_f64()));
    }
    Ok((troubles, joined(bad).await?))
}

/// Adds what is wrong.
async fn judge(
    outcome: &mut Outcome,
    stage: &Stage,
    bad: &[String],
    since: Timestamp,
    client: &mut Client,
) -> Result<()> {
    for (what, account) in [("HTTP", &outcome.http), ("direct", &outcome.direct)] {
        if !account.is_even() {
            let (lost, doubled, told) = (account.lost, account.doubled, account.told.join("; "));
            outcome.wrong.push(format!("{what}: {lost} lost, {doubled} doubled: {told}"));
        }
    }
    let slack = stage.slack.slack();
    if let Err(error) = check::alerts(slack, bad).await {
        outcome.wrong.push(error.to_string());
    }
    for job in bad.iter().filter(|job| check::posts(slack, job) == 0) {
        outcome.wrong.push(check::story(client, job, since).await?);
    }
    for job in bad {
        let posts = check::posts(slack, job);
        outcome.alerts += posts;
        if posts > 1 {
            outcome.wrong.push(format!("{job} has {posts} alerts"));
        }
    }
    let mut alarms = check::false_judgements(client, jobs::good_names(), since).await?;
    alarms.extend(
        jobs::good_names().filter(|name| check::posts(slack, name) > 0).map(|name| format!("{name} has an alert")),
    );
    outcome.false_alarms = alarms.len();
    outcome.wrong.extend(alarms);
    let refused = check::refused(client).await?;
    outcome.wrong.extend(refused.iter().take(5).map(|error| format!("refused: {error}")));
    Ok(())
}
