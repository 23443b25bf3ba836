//! Rounds of trouble: one part of the pipeline is killed, or stands still for ten seconds, while load goes on and jobs report; then what
//! Ronda says is compared with what was confirmed and with what people were told.

pub(crate) mod check;
pub(crate) mod client;
pub(crate) mod jobs;
mod lose;
pub(crate) mod stage;
mod table;
pub(crate) mod traffic;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use ronda_queue::Broker;
use tokio::task::JoinHandle;

pub use crate::broker::Kind;
pub use stage::Part;
pub use table::{Counted, Deed, Result as Outcome, Round};

use crate::broker;
use client::{Client, Sent, Tally};
use jobs::{Good, Reporters};
use stage::{Programs, Stage};
use traffic::{Direct, Load, Traffic};

/// How long what was killed is gone.
const DOWN: Duration = Duration::from_secs(2);
/// How long a stop lasts.
const STALL: Duration = Duration::from_secs(10);
/// How long nothing more may be applied before what is missing counts as lost: a consumer that was killed may hold messages for a while.
const PATIENCE: Duration = Duration::from_secs(45);
/// How far a round's first message may lie before its beginning, by the partition's clock.
pub(crate) const BEFORE: Duration = Duration::from_secs(60);

/// How long it takes on a slow broker until what was sent is applied, when nothing is broken.
const APPLIED_WITHIN: Duration = Duration::from_secs(3);

/// The scheduler that is reported to when it is asked whether reports are confirmed.
const PROBE: &str = "probe";
/// How long that may take after a fault.
const CONFIRMS_WITHIN: Duration = Duration::from_secs(60);

/// What to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The `ronda` binary; with the brokers' adapters, when one is used.
    pub ronda: PathBuf,
    /// `ronda-gateway-harness`: a gateway that runs by itself, on a broker's queue.
    pub gateway: Option<PathBuf>,
    /// Which queue.
    pub kind: Kind,
    /// So many rounds of each kind of trouble.
    pub rounds: usize,
    /// Only these parts are broken; empty: all that run.
    pub only: Vec<Part>,
    /// What is done to them.
    pub deeds: Vec<Deed>,
    /// How long load goes on before a fault, and after everything is ready again.
    pub around: Duration,
    /// Reports a second over HTTP.
    pub rate: u64,
    /// Messages a second straight onto the queue, where that can be.
    pub direct_rate: u64,
    /// Whether confirmed frames are lost on purpose, when `ronda up` is killed.
    pub lose: bool,
    /// Where logs and ledgers go; by default a folder that goes with the run when all is well.
    pub folder: Option<PathBuf>,
}

/// Carries out all rounds.
///
/// # Errors
/// When something can't be started or read. What is not as it should be is no error but in the outcome.
pub async fn run(settings: &Settings) -> Result<Outcome> {
    let scratch = scratch()?;
    let folder = settings.folder.as_deref().unwrap_or_else(|| scratch.path());
    std::fs::create_dir_all(folder)?;
    let outcome = Storm::start(settings, folder).await?.all(settings).await;
    let is_well = matches!(&outcome, Ok(outcome) if outcome.holds() || settings.lose);
    if !is_well && settings.folder.is_none() {
        let kept = scratch.keep();
        return outcome.with_context(|| format!("logs are in {}", kept.display()));
    }
    outcome
}

/// Beside the program, on a real disk: a memory file system would make durability free.
pub(crate) fn scratch() -> Result<tempfile::TempDir> {
    let program = std::env::current_exe()?;
    let beside = program.parent().unwrap_or_else(|| Path::new("."));
    tempfile::Builder::new().prefix("ronda-chaos-").tempdir_in(beside).context("a folder for the run")
}

/// The stage and everything that goes on throughout.
struct Storm {
    stage: Stage,
    folder: PathBuf,
    tally: Arc<Tally>,
    load: Load,
    good: Good,
    /// Kept open for the direct load.
    broker: Option<Arc<dyn Broker>>,
    /// Bad jobs of all rounds.
    bad: Vec<String>,
    /// Good jobs with an alert, which earlier rounds told.
    told: BTreeSet<String>,
    /// Entries of the error feed that earlier rounds told.
    refused: usize,
}

impl Storm {
    async fn start(settings: &Settings, folder: &Path) -> Result<Self> {
        // Commits far apart, so that what is cut off is not applied yet.
        let slow = (String::from("RONDA_PROCESSOR_COMMIT_INTERVAL_MS"), String::from("10000"));
        let environment = if settings.lose { vec![slow] } else { Vec::new() };
        let programs = Programs {
            ronda: &settings.ronda,
            gateway: settings.gateway.as_deref(),
            kind: settings.kind,
            environment: &environment,
        };
        let stage = Stage::start(&programs, folder).await?;
        let (mut broker, mut direct) = (None, None);
        if let Some(running) = &stage.broker {
            let (connected, queue) = broker::commands(running.options()).await?;
            if queue.capabilities().direct && settings.direct_rate > 0 {
                direct = Some(Direct { queue, prefix: String::from("ronda"), rate: settings.direct_rate });
            }
            broker = Some(connected);
        }
        let tally = Arc::new(Tally::default());
        let load = Load { gateways: stage.gateways(), rate: settings.rate, lanes: traffic::HTTP_LANES, direct };
        let reporters = Reporters { gateways: stage.gateways(), tally: Arc::clone(&tally) };
        let mut schedulers = traffic::schedulers(&load);
        schedulers.push(PROBE.to_owned());
        register(&reporters, schedulers).await?;
        let good = Good::start(&reporters);
        Ok(Self {
            stage,
            folder: folder.to_owned(),
            tally,
            load,
            good,
            broker,
            bad: Vec::new(),
            told: BTreeSet::new(),
            refused: 0,
        })
    }

    async fn all(mut self, settings: &Settings) -> Result<Outcome> {
        let parts: Vec<Part> = self
            .stage
            .parts()
            .into_iter()
            .filter(|part| settings.only.is_empty() || settings.only.contains(part))
            .collect();
        let mut rounds = Vec::new();
        for _ in 0..settings.rounds {
            for part in &parts {
                for deed in &settings.deeds {
                    let number = rounds.len() + 1;
                    let what = table::deed(*part, *deed, self.stage.broker.as_ref());
                    let round = self.round(settings, number, *part, *deed).await;
                    rounds.push(round.with_context(|| format!("round {number}, {what}"))?);
                }
            }
        }
        self.good.end().await?;
        // Once more, for what came late.
        if let Some(last) = rounds.last_mut() {
            let again = self.bad.iter().filter(|job| check::posts(self.stage.slack.slack(), job) > 1);
            last.wrong.extend(again.map(|job| format!("{job} has more than one alert in the end")));
        }
        if let Some(broker) = &self.broker {
            broker.close().await;
        }
        let direct_rate = self.load.direct.as_ref().map_or(0, |direct| direct.rate);
        Ok(Outcome { queue: settings.kind.name(), rate: settings.rate, direct_rate, rounds })
    }

    fn reporters(&self) -> Reporters {
        Reporters { gateways: self.stage.gateways(), tally: Arc::clone(&self.tally) }
    }

    fn client(&self) -> Client {
        Client::new(self.stage.gateways(), 0, Arc::default())
    }

    async fn round(&mut self, settings: &Settings, number: usize, part: Part, deed: Deed) -> Result<Round> {
        let tag = format!("r{number:03}");
        let since = Timestamp::now();
        let before = self.counts_before().await?;
        let traffic = Traffic::start(&self.load, &tag, &self.tally);
        let reporters = self.reporters();
        let name = |what: &str| format!("bad-{number:03}-{what}");
        let mut bad = vec![
            tokio::spawn(jobs::fail(reporters.clone(), name("fails"))),
            tokio::spawn(jobs::fall_silent(reporters.clone(), name("falls-silent"))),
        ];
        // Not always at the same moment of a second.
        tokio::time::sleep(settings.around + Duration::from_millis(317 * number as u64 % 1_000)).await;
        bad.push(tokio::spawn(jobs::fail(reporters.clone(), name("fails-meanwhile"))));
        let ready = self.break_part(settings, part, deed).await?;
        bad.push(tokio::spawn(jobs::never_start(reporters, name("never-starts"))));
        tokio::time::sleep(settings.around).await;
        let (http, direct) = traffic.end().await?;
        let bad = joined(bad).await?;
        self.bad.extend_from_slice(&bad);
        self.keep(&tag, "http", &http)?;
        self.keep(&tag, "direct", &direct)?;
        let from = since.checked_sub(BEFORE)?;
        let client = || self.client();
        let patience = if settings.lose { PATIENCE / 3 } else { PATIENCE };
        let mut round = Round {
            number,
            deed: table::deed(part, deed, self.stage.broker.as_ref()),
            http: check::settle(&http, &tag, from, patience, &client).await?,
            direct: check::settle(&direct, &tag, from, patience, &client).await?,
            counted: None,
            ready_ms: u64::try_from(ready.as_millis())?,
            refused: 0,
            false_alarms: 0,
            bad: bad.len(),
            alerts: 0,
            wrong: Vec::new(),
        };
        if (part, deed) != (Part::Up, Deed::Kill) {
            round.counted = Some(self.counted(before).await?);
        }
        self.judge(&mut round, &bad, since).await?;
        Ok(round)
    }

    /// Does it, and waits until reports are confirmed again; answers how long that took.
    async fn break_part(&mut self, settings: &Settings, part: Part, deed: Deed) -> Result<Duration> {
        let began;
        match deed {
            Deed::Kill => {
                self.stage.kill(part);
                let lost = match (settings.lose && part == Part::Up, &self.stage.broker) {
                    (false, _) => None,
                    (true, None) => Some(lose::cut_log(&self.stage.data)?),
                    (true, Some(broker)) => {
                        lose::steal(broker.options()).await?;
                        None
                    }
                };
                tokio::time::sleep(DOWN).await;
                began = Instant::now();
                if let Err(error) = self.stage.restart(part) {
                    // What was cut off had been applied in part: Ronda sees that, and won't start.
                    lost.ok_or(error)?.restore()?;
                    self.stage.restart(part)?;
                }
            }
            Deed::Stall => {
                self.stage.stall(part);
                tokio::time::sleep(STALL).await;
                began = Instant::now();
                self.stage.resume(part);
            }
        }
        self.stage.until_ready().await?;
        let first = self.stage.gateways().into_iter().take(1).collect();
        let mut probe = Client::new(first, 0, Arc::clone(&self.tally));
        let path = format!("/api/v1/schedulers/{PROBE}/heartbeat");
        while probe.send("POST", &path, b"{}").await? != Sent::Confirmed {
            anyhow::ensure!(began.elapsed() < CONFIRMS_WITHIN, "nothing was confirmed within {CONFIRMS_WITHIN:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(began.elapsed())
    }

    /// What the pipeline counted, and what clients sent and had confirmed.
    async fn counts(&self) -> Result<Counted> {
        let confirmed = self.tally.confirmed.load(Ordering::Relaxed);
        let applied = self.stage.metric("ronda_processor_commands_applied_total").await?
            + self.stage.metric("ronda_processor_commands_refused_total").await?;
        let sent = self.tally.sent.load(Ordering::Relaxed);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        Ok(Counted { confirmed, applied: applied as u64, sent })
    }

    /// The counts that a round's are compared with. What was sent by then may be applied only after a while, and would be taken for the
    /// round's: so what was sent is looked up first.
    async fn counts_before(&self) -> Result<Counted> {
        let sent = self.tally.sent.load(Ordering::Relaxed);
        tokio::time::sleep(APPLIED_WITHIN).await;
        Ok(Counted { sent, ..self.counts().await? })
    }

    /// What was counted since. The good jobs go on meanwhile, so this looks until it fits, for a while.
    async fn counted(&self, before: Counted) -> Result<Counted> {
        let began = Instant::now();
        loop {
            let confirmed = self.tally.confirmed.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            let now = self.counts().await?;
            let counted = Counted {
                confirmed: confirmed - before.confirmed,
                applied: now.applied.saturating_sub(before.applied),
                sent: now.sent - before.sent,
            };
            if counted.is_even() || began.elapsed() > Duration::from_secs(20) {
                return Ok(counted);
            }
        }
    }

    /// Adds what is wrong with a round.
    async fn judge(&mut self, round: &mut Round, bad: &[String], since: Timestamp) -> Result<()> {
        for (what, account) in [("HTTP", &round.http), ("direct", &round.direct)] {
            if !account.is_even() {
                let (lost, doubled, told) = (account.lost, account.doubled, account.told.join("; "));
                round.wrong.push(format!("{what}: {lost} lost, {doubled} doubled: {told}"));
            }
        }
        if let Some(counted) = round.counted.filter(|counted| !counted.is_even()) {
            round.wrong.push(format!("the processor's counts don't fit: {counted:?}"));
        }
        let slack = self.stage.slack.slack();
        if let Err(error) = check::alerts(slack, bad).await {
            round.wrong.push(error.to_string());
        }
        for job in bad {
            let posts = check::posts(slack, job);
            round.alerts += posts;
            if posts > 1 {
                round.wrong.push(format!("{job} has {posts} alerts"));
            }
        }
        let mut client = self.client();
        let mut alarms = check::false_judgements(&mut client, jobs::good_names(), since).await?;
        for name in jobs::good_names().filter(|name| check::posts(slack, name) > 0) {
            if self.told.insert(name.clone()) {
                alarms.push(format!("{name} has an alert"));
            }
        }
        round.false_alarms = alarms.len();
        round.wrong.extend(alarms);
        let refused = check::refused(&mut client).await?;
        round.refused = refused.len().saturating_sub(self.refused);
        self.refused = refused.len();
        round.wrong.extend(refused.iter().take(round.refused).take(5).map(|error| format!("refused: {error}")));
        // Their alerts are over, so that the next round's are alone.
        for job in bad {
            jobs::delete(&mut client, job).await?;
        }
        Ok(())
    }

    fn keep(&self, tag: &str, what: &str, ledger: &crate::runs::RunLedger) -> Result<()> {
        let path = self.folder.join(format!("ledger-{tag}-{what}.json"));
        std::fs::write(&path, serde_json::to_vec(ledger)?).with_context(|| format!("writing {}", path.display()))
    }
}

pub(crate) async fn register(reporters: &Reporters, schedulers: Vec<String>) -> Result<()> {
    let tasks: Vec<_> = schedulers
        .chunks(schedulers.len().div_ceil(32).max(1))
        .map(|part| {
            let (mut client, part) = (reporters.client(0), part.to_vec());
            tokio::spawn(async move {
                for id in part {
                    client.register(&format!(r#"{{"id":"{id}"}}"#)).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

pub(crate) async fn joined(jobs: Vec<JoinHandle<Result<String>>>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for job in jobs {
        names.push(job.await??);
    }
    Ok(names)
}
