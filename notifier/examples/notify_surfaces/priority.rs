//! In which order calls are made while Slack asks for silence again and again: a backlog of edits, replies and a table, and failures that come
//! in between.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ronda_domain::id::TenantId;
use ronda_domain::record::OccurrenceStatus;
use ronda_notifier::{Board, Config, SlackChannel, SlackConfig};
use ronda_runtime::Secret;
use ronda_slack_standin::{Fault, FaultRule, Seen, SeenKind, Slack, StandIn, TOKEN};

use crate::rig::{self, Rig};
use crate::{Figure, Outcome};

const CHANNEL: &str = "C1";
/// Alerts that recover: each is an edit and a reply.
const RECOVERING: usize = 12;
/// Alerts of each of the other two kinds.
const OTHERS: usize = 6;
/// Failures that come one after another meanwhile.
const FAILURES: usize = 12;
const FAILURE_EVERY: Duration = Duration::from_secs(3);
/// Every so many-eth post is answered with 429 beside those that come too fast for Slack.
const REFUSED_EVERY: u64 = 4;
const RETRY_AFTER_SECONDS: u64 = 3;
/// How long after it is published an event may take until it counts as known to the notifier, beyond the grouping wait.
const KNOWN_AFTER_MS: u64 = 400;
const GROUPING_WAIT_MS: u64 = 500;
const PATIENCE: Duration = Duration::from_secs(240);

/// What a call tells, the most urgent first: DESIGN's order, and new messages before changes of old ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Failed,
    Stale,
    Missed,
    Over,
    Table,
}

/// What was to be told from when on.
struct Due {
    job: usize,
    class: Class,
    kind: SeenKind,
    from_ms: u64,
}

pub(crate) async fn measure(directory: &Path) -> Outcome<Vec<Figure>> {
    let slack = StandIn::start_on(([127, 0, 0, 1], 0).into(), Slack::default().enforcing_rate()).await?;
    let mut config = SlackConfig::new(Secret::new(TOKEN));
    config.api_url = slack.api_url();
    // Faster than Slack takes it, so that it says so.
    (config.post_interval_ms, config.edit_interval_ms) = (300, 300);
    let mut rig = Rig::open(directory, settings()?, Arc::new(SlackChannel::new(config)?))?;
    rig.take_over().await?;
    rig.publish((0..RECOVERING).map(|job| (job, rig::opened(OccurrenceStatus::Failed)))).await?;
    rig.until(|status| status.posts >= RECOVERING as u64 && status.backlog == 0).await?;
    let begun_ms = slack.slack().now_ms();
    let before = slack.slack().seen().len();
    let calls = || ["chat.postMessage", "chat.update"].map(|method| slack.slack().calls(method)).iter().sum::<u64>();
    let calls_before = calls();
    for number in 1..=FAILURES as u64 {
        let fault = Fault::RateLimited { retry_after_seconds: RETRY_AFTER_SECONDS };
        slack.slack().fail(FaultRule {
            skip: if number == 1 { 0 } else { REFUSED_EVERY - 1 },
            ..FaultRule::next("chat.postMessage", fault)
        });
    }
    let mut due = Vec::new();
    let others = RECOVERING..RECOVERING + OTHERS;
    let missed = others.end..others.end + OTHERS;
    let recoveries = (0..RECOVERING).map(|job| (job, rig::recovered()));
    let stale = others.clone().map(|job| (job, rig::opened(OccurrenceStatus::Stale)));
    let late = missed.clone().map(|job| (job, rig::opened(OccurrenceStatus::Missed)));
    rig.publish(recoveries.chain(late).chain(stale)).await?;
    let known = |wait_ms: u64| slack.slack().now_ms() + KNOWN_AFTER_MS + wait_ms;
    for job in 0..RECOVERING {
        due.push(Due { job, class: Class::Over, kind: SeenKind::Edited, from_ms: known(0) });
        due.push(Due { job, class: Class::Over, kind: SeenKind::Replied, from_ms: known(0) });
    }
    let posted = |job, class| Due { job, class, kind: SeenKind::Posted, from_ms: known(GROUPING_WAIT_MS) };
    due.extend(others.map(|job| posted(job, Class::Stale)));
    due.extend(missed.clone().map(|job| posted(job, Class::Missed)));
    for job in missed.end..missed.end + FAILURES {
        tokio::time::sleep(FAILURE_EVERY).await;
        rig.publish([(job, rig::opened(OccurrenceStatus::Failed))]).await?;
        due.push(posted(job, Class::Failed));
    }
    let all_told = |slack: &Slack| {
        let seen = slack.seen();
        due.iter().all(|due| seen[before..].iter().any(|seen| is_of(seen, due)))
    };
    let is_whole = slack.slack().until(PATIENCE, all_told).await;
    let seen = slack.slack().seen().split_off(before);
    let refused = (calls() - calls_before).saturating_sub(seen.len() as u64);
    rig.stop().await?;
    Ok(figures(&seen, &due, is_whole, begun_ms, refused))
}

fn settings() -> Outcome<Config> {
    let all_day =
        Board { start: "00:00".to_owned(), end: "00:00".to_owned(), ..Board::nightly(TenantId::new("acme")?) };
    Ok(Config {
        channel: CHANNEL.to_owned(),
        grouping_wait_ms: GROUPING_WAIT_MS,
        storm_threshold: 1_000,
        boards: vec![all_day],
        ..Config::default()
    })
}

fn is_table(seen: &Seen) -> bool {
    seen.text.contains("Night watch")
}

fn is_of(seen: &Seen, due: &Due) -> bool {
    seen.kind == due.kind && seen.is_alert_of(&rig::name(due.job))
}

fn figures(seen: &[Seen], due: &[Due], is_whole: bool, begun_ms: u64, refused: u64) -> Vec<Figure> {
    let calls: Vec<(&Seen, Class)> = seen.iter().filter_map(|seen| Some((seen, class_of(seen, due)?))).collect();
    let inversions: Vec<String> = (0..calls.len()).filter_map(|at| inversion(&calls, at, due, begun_ms)).collect();
    let letter = |(seen, class): &(&Seen, Class)| {
        let letter = ["F", "S", "M", "o", "t"][*class as usize];
        if is_edit(seen) { format!("({letter})") } else { letter.to_owned() }
    };
    println!("order (F failed, S stale, M missed, o over, t table; edits in brackets):");
    println!("  {}", calls.iter().map(letter).collect::<Vec<_>>().join(" "));
    inversions.iter().for_each(|inversion| println!("  !! {inversion}"));
    let told = due.iter().filter(|due| seen.iter().filter(|seen| is_of(seen, due)).count() == 1).count();
    let seconds = seen.last().map_or(0, |last| last.at_ms.saturating_sub(begun_ms)) / 1_000;
    vec![
        Figure {
            name: "calls before a more urgent one that was due, of the same limit".to_owned(),
            figure: format!("{} of {} in {seconds} s, {refused} more refused with 429", inversions.len(), calls.len()),
            limit: "0, with at least 10 refused".to_owned(),
            holds: inversions.is_empty() && refused >= 10,
        },
        Figure {
            name: "told all the same, each once".to_owned(),
            figure: format!("{told} of {}", due.len()),
            limit: "all".to_owned(),
            holds: is_whole && told == due.len(),
        },
    ]
}

fn class_of(seen: &Seen, due: &[Due]) -> Option<Class> {
    if is_table(seen) {
        return Some(Class::Table);
    }
    due.iter().find(|due| is_of(seen, due)).map(|due| due.class)
}

fn is_edit(seen: &Seen) -> bool {
    seen.kind == SeenKind::Edited
}

/// What was due when this call was made, is more urgent, of the same limit, and came later.
fn inversion(calls: &[(&Seen, Class)], at: usize, due: &[Due], begun_ms: u64) -> Option<String> {
    let (call, class) = calls[at];
    let later = &calls[at + 1..];
    let overtaken = due.iter().find(|due| {
        let is_of_limit = (due.kind == SeenKind::Edited) == is_edit(call);
        let is_later = later.iter().any(|(seen, _)| is_of(seen, due));
        is_of_limit && due.class < class && due.from_ms < call.at_ms && is_later
    })?;
    let seconds = |at_ms: u64| at_ms.saturating_sub(begun_ms) as f64 / 1_000.0;
    Some(format!(
        "{class:?} at {:.1} s before {:?} {}, due since {:.1} s",
        seconds(call.at_ms),
        overtaken.class,
        rig::name(overtaken.job),
        seconds(overtaken.from_ms)
    ))
}
