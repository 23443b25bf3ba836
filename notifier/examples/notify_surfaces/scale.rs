//! Few and many surfaces side by side: what so many changes cost, what it costs that nothing changes, what each takes, and how long it takes
//! until all are there. Each in a process of its own, so that memory is only its own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ronda_domain::record::OccurrenceStatus;
use ronda_notifier::Config;
use ronda_notifier::route::{Matcher, Route};

use crate::counts::{Counters, ProcessorTime, resident_bytes};
use crate::rig::{self, Rig, TEAMS};
use crate::{Figure, Outcome};

const FEW: usize = 1_000;
const MANY: usize = 100_000;
/// So many of them change.
const CHANGES: [usize; 5] = [1, 10, 100, 1_000, 10_000];
/// How much more a change may cost among many than among few.
const TIMES_LIMIT: f64 = 2.0;
/// What it may cost that nothing changes, as a share of a processor, and how long that is measured.
const IDLE_LIMIT: f64 = 0.01;
const IDLE: Duration = Duration::from_secs(5);
/// How long a take-over may take: as long as one of a partition of schedulers.
const TAKE_OVER_LIMIT: Duration = Duration::from_secs(5);

/// What a process of its own does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// Posts them.
    Make,
    /// Takes them over and lets some change.
    Work,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Make => "make",
            Self::Work => "work",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Make, Self::Work].into_iter().find(|part| part.name() == name)
    }
}

/// What so many changes cost.
struct Cost {
    changes: usize,
    looked_at: u64,
    calls: u64,
    rows: u64,
    processor: Duration,
}

/// What was found with so many surfaces.
#[derive(Default)]
struct Found {
    take_over: Duration,
    /// More than before, in bytes.
    resident: u64,
    /// Share of a processor while nothing changes.
    idle: f64,
    costs: Vec<Cost>,
}

pub(crate) fn measure(directory: &Path) -> Outcome<Vec<Figure>> {
    let (few, many) = (found(directory, FEW)?, found(directory, MANY)?);
    let mut figures = Vec::new();
    for cost in &many.costs {
        let among_few = few.costs.iter().find(|among_few| among_few.changes == cost.changes);
        figures.push(compare(cost, among_few));
    }
    let bytes = many.resident.saturating_sub(few.resident) / (MANY - FEW) as u64;
    figures.push(Figure {
        name: "processor time while nothing changes".to_owned(),
        figure: format!("{:.2} % among {MANY}, {:.2} % among {FEW}", many.idle * 100.0, few.idle * 100.0),
        limit: format!("{:.0} %", IDLE_LIMIT * 100.0),
        holds: many.idle < IDLE_LIMIT,
    });
    figures.push(Figure {
        name: format!("to take over {MANY} surfaces"),
        figure: format!("{:.2} s ({FEW}: {:.2} s)", many.take_over.as_secs_f64(), few.take_over.as_secs_f64()),
        limit: format!("under {} s", TAKE_OVER_LIMIT.as_secs()),
        holds: many.take_over < TAKE_OVER_LIMIT,
    });
    figures.push(Figure {
        name: "memory for each".to_owned(),
        figure: format!("{bytes} bytes"),
        limit: "none".to_owned(),
        holds: true,
    });
    Ok(figures)
}

/// A cost beside that of as many changes among few surfaces, where there can be as many.
fn compare(cost: &Cost, among_few: Option<&Cost>) -> Figure {
    let each = |cost: &Cost| {
        let of = |count: u64| count as f64 / cost.changes as f64;
        let micros = cost.processor.as_secs_f64() * 1e6 / cost.changes as f64;
        (of(cost.looked_at), of(cost.calls), of(cost.rows), micros)
    };
    let text = |cost: &Cost| {
        let (looked_at, calls, rows, micros) = each(cost);
        format!("{looked_at:.1} looked at, {calls:.1} calls, {rows:.1} rows written, {micros:.0} µs each")
    };
    let beside = among_few.map_or_else(String::new, |few| format!("; among {FEW}: {}", text(few)));
    // The least of them are mostly what a round costs.
    let holds = among_few.is_none_or(|few| {
        let ((looked_at, calls, rows, micros), least) = (each(cost), each(few));
        let is_as_much = looked_at <= least.0 * TIMES_LIMIT && rows <= least.2 * TIMES_LIMIT && calls <= least.1;
        is_as_much && (cost.changes < 100 || micros <= least.3 * TIMES_LIMIT)
    });
    let aside = if cost.changes < 100 { ", time aside" } else { "" };
    let limit =
        among_few.map_or_else(|| "none".to_owned(), |_| format!("{TIMES_LIMIT:.0} times as among {FEW}{aside}"));
    Figure { name: format!("{} of {MANY} change", cost.changes), figure: text(cost) + &beside, limit, holds }
}

fn found(directory: &Path, count: usize) -> Outcome<Found> {
    let own = directory.join(count.to_string());
    std::fs::create_dir_all(&own)?;
    run(Part::Make, &own, count)?;
    let lines = run(Part::Work, &own, count)?;
    let mut found = Found::default();
    for line in lines.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["take-over", micros] => found.take_over = Duration::from_micros(micros.parse()?),
            ["resident", bytes] => found.resident = bytes.parse()?,
            ["idle", share] => found.idle = share.parse()?,
            ["cost", changes, looked_at, calls, rows, micros] => found.costs.push(Cost {
                changes: changes.parse()?,
                looked_at: looked_at.parse()?,
                calls: calls.parse()?,
                rows: rows.parse()?,
                processor: Duration::from_micros(micros.parse()?),
            }),
            _ => return Err(format!("not understood: {line}").into()),
        }
    }
    Ok(found)
}

/// This very program for one part; answers what it printed.
fn run(part: Part, directory: &Path, count: usize) -> Outcome<String> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(directory).args([part.name(), &count.to_string()]);
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{} {count}: {}", part.name(), output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

pub(crate) async fn carry_out(part: Part, directory: &Path, count: usize) -> Outcome<()> {
    match part {
        Part::Make => make(directory, count).await,
        Part::Work => work(directory, count).await,
    }
}

/// Each team has a channel of its own: a channel takes one call at a time. Nothing waits and nothing becomes a digest.
fn config() -> Config {
    let route = |number: usize| Route {
        matcher: Matcher { teams: vec![format!("team-{number:02}")], ..Matcher::default() },
        channel: Some(format!("C{number:02}")),
        ..Route::default()
    };
    Config {
        channel: "C".to_owned(),
        grouping_wait_ms: 0,
        storm_threshold: usize::MAX / 2,
        storm_window_seconds: 1,
        routes: (0..TEAMS).map(route).collect(),
        ..Config::default()
    }
}

async fn make(directory: &Path, count: usize) -> Outcome<()> {
    let mut rig = Rig::open(directory, config(), Arc::new(rig::Instant::default()))?;
    rig.take_over().await?;
    rig.publish((0..count).map(|job| (job, rig::opened(OccurrenceStatus::Failed)))).await?;
    rig.until(|status| status.posts == count as u64 && status.backlog == 0).await?;
    rig.stop().await
}

async fn work(directory: &Path, count: usize) -> Outcome<()> {
    let (counters, channel) = (Counters::install()?, Arc::new(rig::Instant::default()));
    let mut rig = Rig::open(directory, config(), Arc::clone(&channel) as _)?;
    let before = resident_bytes()?;
    let began = Instant::now();
    rig.take_over().await?;
    println!("take-over {}", began.elapsed().as_micros());
    println!("resident {}", resident_bytes()?.saturating_sub(before));
    // What a take-over leaves behind in the store's own threads is not what is measured.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle_from = ProcessorTime::now()?;
    tokio::time::sleep(IDLE).await;
    let idle = ProcessorTime::now()?.since(&idle_from);
    println!("idle {}", idle.as_secs_f64() / IDLE.as_secs_f64());
    let mut edits = 0;
    for (round, changes) in (2..).zip(CHANGES.into_iter().filter(|changes| *changes <= count)) {
        let counts = || {
            let counted = ["ronda_notifier_surfaces_looked_at_total", "ronda_notifier_rows_written_total"];
            (counted.map(|name| counters.get(name)), channel.calls())
        };
        let (([looked_at, rows], calls), processor) = (counts(), ProcessorTime::now()?);
        // Neighbours, so that the channels are as many among few as among many.
        let changed = 0..changes;
        rig.publish(changed.map(|job| (job, rig::failed_again(round)))).await?;
        edits += changes as u64;
        rig.until(|status| status.edits == edits && status.backlog == 0).await?;
        let (([looked_at_then, rows_then], calls_then), processor_then) = (counts(), ProcessorTime::now()?);
        println!(
            "cost {changes} {} {} {} {}",
            looked_at_then - looked_at,
            calls_then - calls,
            rows_then - rows,
            processor_then.since(&processor).as_micros()
        );
    }
    rig.stop().await
}
