//! What is answered of all jobs: counts, and those that are not well, what needs somebody most first. Pure.

use jiff::tz::TimeZone;
use ronda_domain::view::SchedulerStatus;

use super::answer::{Answer, MAX_ALL_BYTES, light, person, severity};
use super::escape::mrkdwn;
use super::fleet::{BAD, Fleet, Job};
use super::when::shown;

/// Most jobs that are named beside the counts.
const MAX_WORST: usize = 5;
/// Most bytes of the lines of jobs: the rest is for what stands around them.
const MAX_LINES_BYTES: usize = MAX_ALL_BYTES - 1_000;

/// The statuses in the order in which people are told, what needs somebody first.
const COUNTED: [SchedulerStatus; 9] = [
    SchedulerStatus::Failed,
    SchedulerStatus::Stale,
    SchedulerStatus::Missed,
    SchedulerStatus::Late,
    SchedulerStatus::Unknown,
    SchedulerStatus::Running,
    SchedulerStatus::Healthy,
    SchedulerStatus::New,
    SchedulerStatus::Paused,
];

impl Answer {
    /// Counts, and the worst.
    pub(crate) fn status(fleet: &Fleet, zone: &TimeZone) -> Self {
        if fleet.total() == 0 {
            return Self::new("No jobs are registered yet.".to_owned());
        }
        let counts: Vec<String> = COUNTED
            .iter()
            .map(|status| (fleet.count(*status), status.as_str()))
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        Self::new(headline(fleet))
            .with([counts.join(" · ")])
            .with(listed(fleet, MAX_WORST, "; `/ronda list failing` shows more", zone))
            .with(cut(fleet))
    }

    /// Every job that is not well.
    pub(crate) fn failing(fleet: &Fleet, zone: &TimeZone) -> Self {
        Self::new(headline(fleet)).with(listed(fleet, fleet.bad.len(), "", zone)).with(cut(fleet))
    }
}

/// How many are not well, and how many of these have somebody.
fn headline(fleet: &Fleet) -> String {
    let (bad, all) = (fleet.bad_total, jobs(fleet.total()));
    if bad == 0 {
        return format!("{} Nothing is failing: {all}.", light(false));
    }
    let mut kinds = BAD.iter().filter(|status| fleet.count(**status) > 0);
    let what = match (kinds.next(), kinds.next()) {
        (Some(only), None) => only.as_str(),
        _ => "not well",
    };
    let care = match (bad, fleet.attended) {
        (1, 0) => "nobody is on it".to_owned(),
        (1, _) => "somebody is on it".to_owned(),
        (_, 0) => "none of them has somebody".to_owned(),
        (_, 1) => "1 of them has somebody".to_owned(),
        (_, attended) if attended >= bad => "all of them have somebody".to_owned(),
        (_, attended) => format!("{attended} of them have somebody"),
    };
    format!("{} *{bad} {what}*, {care} · {all} in all", light(true))
}

/// A line for each of the first that are not well, while there is room, and how many more there are.
fn listed(fleet: &Fleet, most: usize, advice: &str, zone: &TimeZone) -> Vec<String> {
    let (mut lines, mut attended, mut left) = (Vec::new(), 0, MAX_LINES_BYTES);
    for job in fleet.bad.iter().take(most) {
        let line = line(job, zone);
        let Some(rest) = left.checked_sub(line.len() + 1) else { break };
        left = rest;
        attended += usize::from(job.somebody().is_some());
        lines.push(line);
    }
    let more = fleet.bad_total.saturating_sub(lines.len());
    if more > 0 {
        let alone = more.saturating_sub(fleet.attended.saturating_sub(attended));
        let alone = if alone > 0 { format!(", {alone} without anybody") } else { String::new() };
        lines.push(format!("…and {more} more{alone}{advice}."));
    }
    lines
}

fn line(job: &Job, zone: &TimeZone) -> String {
    let since = match (&job.view.alert, &job.view.last) {
        (Some(alert), _) => Some(alert.opened_at),
        (None, Some(last)) => last.ended_at.or(last.started_at),
        _ => None,
    };
    let since = since.map(|at| format!(" since {}", shown(at, zone))).unwrap_or_default();
    let mark = if job.somebody().is_some() { "👀" } else { "•" };
    let mut parts = vec![
        format!("{mark} *{}* `{}` {}{since}", mrkdwn(&job.name, 60), job.id, job.view.status),
        severity(job.severity).to_owned(),
    ];
    parts.extend((!job.team.is_empty()).then(|| mrkdwn(&job.team, 40)));
    parts.extend(job.somebody().map(|earlier| format!("{} is on it", person(&earlier.by))));
    parts.extend(job.view.mute.as_ref().map(|mute| format!("🔕 until {}", shown(mute.until, zone))));
    parts.join(" · ")
}

fn jobs(count: usize) -> String {
    if count == 1 { "1 job".to_owned() } else { format!("{count} jobs") }
}

fn cut(fleet: &Fleet) -> Option<String> {
    fleet.is_cut.then(|| format!("Only the first {} were looked at.", jobs(fleet.total())))
}

#[cfg(test)]
mod tests {
    use ronda_domain::attention::{Acknowledgment, Actor, Mute};
    use ronda_domain::record::Subject;
    use ronda_domain::spec::Severity;
    use ronda_domain::time::Timestamp;
    use ronda_domain::view::{AlertView, SchedulerView};

    use super::*;
    use crate::slack::fleet::MAX_LISTED;

    const AT: Timestamp = Timestamp::from_millis(1_795_882_859_593);

    fn actor(name: &str) -> Actor {
        Actor { source: "slack".into(), id: "U1".into(), name: name.into() }
    }

    fn view(status: SchedulerStatus, by: Option<&str>) -> SchedulerView {
        let acknowledgment = by.map(|name| Acknowledgment { by: actor(name), at: AT });
        let subject = Subject::Occurrence { due: AT };
        SchedulerView {
            status,
            paused: false,
            next_due: None,
            open_runs: Vec::new(),
            last: None,
            alert: Some(AlertView { id: "a".into(), opened_at: AT, subject, streak: 1, acknowledgment }),
            mute: by.map(|name| Mute { by: actor(name), at: AT, until: AT }),
            last_heartbeat_at: None,
            bad_streak: 1,
            good_streak: 0,
            registered_at: AT,
            updated_at: AT,
            revision: 1,
        }
    }

    /// As many as are listed, of so many.
    fn fleet(name: &str, by: Option<&str>, bad_total: usize, attended: usize) -> Fleet {
        let job = |number| Job {
            id: format!("{number:0>128}"),
            name: name.to_owned(),
            team: name.to_owned(),
            severity: Severity::Critical,
            runbook_url: String::new(),
            view: view(SchedulerStatus::Failed, by),
        };
        let mut fleet = Fleet { bad_total, attended, bad: (0..MAX_LISTED).map(job).collect(), ..Fleet::default() };
        fleet.counts[SchedulerStatus::ALL.iter().position(|known| *known == SchedulerStatus::Failed).unwrap()] =
            bad_total;
        fleet
    }

    fn shown_of(answer: &Answer) -> String {
        let json = answer.to_json();
        let blocks = json["blocks"].as_array().unwrap();
        let texts: Vec<&str> = blocks.iter().map(|block| block["text"]["text"].as_str().unwrap()).collect();
        assert!(blocks.len() < 50 && texts.iter().all(|text| text.len() <= 3_000), "{texts:?}");
        texts.join("\n")
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let nasty = "<!channel>&".repeat(20);
        for (name, by) in [("a", None), (nasty.as_str(), Some(nasty.as_str()))] {
            let answer = Answer::failing(&fleet(name, by, 2_000, 1_990), &TimeZone::UTC);
            let text = shown_of(&answer);
            let named = text.lines().filter(|line| line.contains(" failed since ")).count();
            assert!(named > 5 && text.contains(&format!("…and {} more", 2_000 - named)), "{named}: {text}");
            assert!(!text.contains("<!channel"), "{text}");
        }
    }

    #[test]
    fn those_that_have_somebody_are_told_from_those_that_have_nobody() {
        let first = |bad, attended| headline(&fleet("a", None, bad, attended));
        assert_eq!(first(1, 0), "🔴 *1 failed*, nobody is on it · 1 job in all");
        assert_eq!(first(1, 1), "🔴 *1 failed*, somebody is on it · 1 job in all");
        assert_eq!(first(7, 0), "🔴 *7 failed*, none of them has somebody · 7 jobs in all");
        assert_eq!(first(7, 1), "🔴 *7 failed*, 1 of them has somebody · 7 jobs in all");
        assert_eq!(first(7, 2), "🔴 *7 failed*, 2 of them have somebody · 7 jobs in all");
        assert_eq!(first(7, 7), "🔴 *7 failed*, all of them have somebody · 7 jobs in all");
        assert_eq!(first(0, 0), "🟢 Nothing is failing: 0 jobs.");
        let mut mixed = fleet("a", None, 3, 0);
        mixed.counts = [1; SchedulerStatus::ALL.len()];
        assert_eq!(headline(&mixed), "🔴 *3 not well*, none of them has somebody · 9 jobs in all");
    }

    #[test]
    fn of_those_that_are_not_named_it_is_told_how_many_have_nobody() {
        let last = |attended| {
            let lines = listed(&fleet("a", None, 25, attended), 5, "!", &TimeZone::UTC);
            lines.last().cloned().unwrap()
        };
        assert_eq!(last(0), "…and 20 more, 20 without anybody!.");
        assert_eq!(last(8), "…and 20 more, 12 without anybody!.");
        assert_eq!(last(20), "…and 20 more!.");
    }
}
