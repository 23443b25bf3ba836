//! How soon people hear of a failure: from the report of it to the call of Slack's API that tells it, while others' reports keep coming in.
//!
//! The stand-in for Slack runs in this process, so that both ends are told by one clock. Failures are far enough apart, and in enough
//! channels, that neither the pace of a channel nor a digest holds any of them back.

mod failures;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use ronda_slack_standin::{Slack, StandIn, TOKEN};

use crate::broker::{self, Kind, PARTITIONS};
use crate::compare::{Figure, scratch};
use crate::load::{Plan, register_all, run};
use crate::pipeline::Ronda;
use crate::request::Shape;
use failures::{Course, Failures};

/// Schedulers that are well, and connections over which they report.
const SCHEDULERS: usize = 10_000;
const CONNECTIONS: usize = 64;
/// Reports a second that have to be carried meanwhile, and how many are sent.
const RATE_LIMIT: f64 = 10_000.0;
const RATE: u64 = 10_500;
/// What people may wait beyond the grouping wait, for 99 of 100 failures.
const LIMIT: Duration = Duration::from_millis(250);
/// How long the notifier waits for what follows on a failure: its default.
const GROUPING_WAIT: Duration = Duration::from_secs(2);
/// How long the last failure may take until it is told.
const TOLD_WITHIN: Duration = Duration::from_secs(20);

/// What to measure with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The `ronda` binary.
    pub ronda: PathBuf,
    /// The queue under it.
    pub kind: Kind,
    /// For how long, at this rate.
    pub duration: Duration,
    /// Failures a second among the reports.
    pub failures_per_second: f64,
    /// Reports a second of those that are well; `None`: as many as the limit asks for.
    pub rate: Option<u64>,
}

/// Measures.
///
/// # Errors
/// When something can't be started, or a report is refused.
pub async fn measure(settings: &Settings) -> Result<Vec<Figure>> {
    let directory = scratch("notify")?;
    let slack = StandIn::start_on(([127, 0, 0, 1], 0).into(), Slack::default()).await?;
    let broker = broker::start(settings.kind, false).await?;
    let mut environment = environment(&slack, directory.path())?;
    environment.extend(broker.iter().flat_map(broker::Running::environment));
    let ronda = Ronda::start(&settings.ronda, &directory.path().join("data"), &environment)?;
    let key = ronda.key()?;
    let target = ronda.target(&key);
    register_all(&target, SCHEDULERS).await?;
    let failures = Failures::register(&target, settings.duration, settings.failures_per_second).await?;
    let plan = Plan {
        target: target.clone(),
        connections: CONNECTIONS,
        duration: settings.duration,
        rate_per_second: Some(settings.rate.unwrap_or(RATE)),
        shape: Shape::Heartbeat,
        schedulers: SCHEDULERS,
        until_broken: false,
    };
    let load = tokio::spawn(async move { run(&plan).await });
    let courses = failures.report().await?;
    let outcome = load.await.context("the load panicked")??;
    slack.slack().until(TOLD_WITHIN, |slack| courses.iter().all(|course| !course.told_by(slack).is_empty())).await;
    let least = settings.rate.map_or(RATE_LIMIT, |rate| rate as f64 * 0.95);
    let mut figures = vec![Figure {
        name: "reports of others meanwhile",
        figure: format!(
            "{:.0}/s for {:.0} s on {}, p99 {:.1} ms",
            outcome.rate(),
            outcome.elapsed.as_secs_f64(),
            settings.kind.name(),
            outcome.latency.value_at_quantile(0.99) as f64 / 1_000.0
        ),
        limit: format!("at least {least:.0}/s"),
        holds: outcome.rate() >= least,
    }];
    figures.extend(compare(slack.slack(), &courses)?);
    Ok(figures)
}

/// A route for each channel, as teams have them.
fn environment(slack: &StandIn, folder: &Path) -> Result<Vec<(String, String)>> {
    let mut routes = String::new();
    for number in 0..failures::CHANNELS {
        let (team, channel) = (failures::team(number), failures::channel(number));
        writeln!(routes, "[[routes]]\nteams = [\"{team}\"]\nchannel = \"{channel}\"\n")?;
    }
    let file = folder.join("ronda.toml");
    std::fs::write(&file, routes).with_context(|| format!("writing {}", file.display()))?;
    let named = |name: &str, value: String| (name.to_owned(), value);
    Ok(vec![
        named("RONDA_CONFIG", file.display().to_string()),
        named("SLACK_API_URL", slack.api_url()),
        named("SLACK_BOT_TOKEN", TOKEN.to_owned()),
        named("SLACK_CHANNEL", failures::channel(0)),
        named("RONDA_STORAGE_PARTITIONS", PARTITIONS.to_string()),
        named("RONDA_NOTIFIER_GROUPING_WAIT_MS", GROUPING_WAIT.as_millis().to_string()),
    ])
}

/// What became of the failures, beside what must.
fn compare(slack: &Slack, courses: &[Course]) -> Result<Vec<Figure>> {
    let mut whole = Times::new()?;
    let (mut ingest, mut processing, mut telling) = (Times::new()?, Times::new()?, Times::new()?);
    let (mut once, mut early) = (0, 0);
    for course in courses {
        let told = course.told_by(slack);
        once += usize::from(told.len() == 1);
        let Some(told) = told.first().copied() else { continue };
        // Noted to the millisecond before.
        early += usize::from(told + Duration::from_millis(1) < course.sent + GROUPING_WAIT);
        whole.note(told, course.sent + GROUPING_WAIT)?;
        ingest.note(course.confirmed, course.sent)?;
        if let Some(committed) = course.committed {
            processing.note(committed, course.confirmed)?;
            telling.note(told, committed + GROUPING_WAIT)?;
        }
    }
    let p99 = whole.at(0.99);
    let part = |name, times: &Times| Figure { name, figure: times.to_string(), limit: "none".to_owned(), holds: true };
    Ok(vec![
        Figure {
            name: "from the report of a failure to the call that tells it, less the grouping wait of 2 s",
            figure: whole.to_string(),
            limit: format!("p99 under {} ms", LIMIT.as_millis()),
            // Of those that were never told nothing is known.
            holds: p99 < LIMIT && !whole.0.is_empty(),
        },
        part("of it: from the report to its confirmation", &ingest),
        part("of it: from there to the committed row, as a reader sees it", &processing),
        part("of it: from there to the call, less the grouping wait", &telling),
        Figure {
            name: "each failure told once, and none before the grouping wait is over",
            figure: format!("{once} of {}, {early} too early", courses.len()),
            limit: "all, none".to_owned(),
            holds: once == courses.len() && early == 0,
        },
    ])
}

/// How long things took, in microseconds.
struct Times(Histogram<u64>);

impl Times {
    fn new() -> Result<Self> {
        Ok(Self(Histogram::new(3).context("histogram")?))
    }

    /// From one time since the Unix epoch to another; 0 when that was before.
    fn note(&mut self, until: Duration, from: Duration) -> Result<()> {
        let micros = u64::try_from(until.saturating_sub(from).as_micros())?;
        self.0.record(micros).context("histogram")
    }

    fn at(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(quantile))
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = |quantile| self.at(quantile).as_secs_f64() * 1_000.0;
        write!(
            f,
            "p50 {:.0} ms, p99 {:.0} ms, most {:.0} ms of {}",
            millis(0.5),
            millis(0.99),
            millis(1.0),
            self.0.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Duration = Duration::from_millis(1_000);

    fn told(jobs: &[&str]) -> Slack {
        let slack = Slack::default().with_frozen_clock(0);
        slack.advance(SENT + GROUPING_WAIT + Duration::from_millis(200));
        for job in jobs {
            slack.app_posts(&failures::channel(1), &format!("🔴 *{job}* failed"), Vec::new());
        }
        slack
    }

    fn course(job: &str) -> Course {
        let at = |millis| Some(SENT + Duration::from_millis(millis));
        Course { job: job.to_owned(), sent: SENT, confirmed: SENT, committed: at(50) }
    }

    fn holds(slack: &Slack, courses: &[Course]) -> [bool; 2] {
        let figures = compare(slack, courses).unwrap();
        [figures[0].holds, figures[4].holds]
    }

    #[test]
    fn a_failure_counts_from_its_report_and_has_to_be_told_once_and_not_early() {
        let courses = [course("failing-00001"), course("failing-00002")];
        let both = ["failing-00001", "failing-00002"];
        assert_eq!(holds(&told(&both), &courses), [true, true]);
        assert_eq!(holds(&told(&both[..1]), &courses), [true, false], "one is missing");
        assert_eq!(holds(&told(&[both[0], both[0], both[1]]), &courses), [true, false], "one is told twice");
        let earlier = Course { sent: SENT - Duration::from_millis(60), ..course(both[1]) };
        assert_eq!(holds(&told(&both), &[course(both[0]), earlier]), [false, true], "260 ms");
        let later = Course { sent: SENT + Duration::from_millis(300), ..course(both[1]) };
        assert_eq!(holds(&told(&both), &[course(both[0]), later]), [true, false], "100 ms too early");
    }
}
