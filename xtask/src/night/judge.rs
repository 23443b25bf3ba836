//! What must have been seen in the night's channel, and nothing else: one table, one summary, each trouble's alert, no false alarm.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What people read above the table.
pub(super) const TITLE: &str = "Night watch";
/// How long after its minute a trouble's alert is there at the latest; a trouble later than that before the end is not asked for.
const NOTICED_AFTER_MINUTES: u64 = 2;

/// What a job of the night does, as its script says.
struct Job {
    /// What people call it.
    name: &'static str,
    /// The minutes in which a trouble begins that is to be told.
    troubles: &'static [u64],
    /// Whether each of them is over before the next.
    recovers: bool,
}

const JOBS: [Job; 6] = [
    Job { name: "Good job", troubles: &[], recovers: true },
    Job { name: "Flaky job", troubles: &[3, 9], recovers: true },
    Job { name: "Hanging job", troubles: &[4, 8], recovers: true },
    Job { name: "Late job", troubles: &[6], recovers: true },
    Job { name: "Job that never starts", troubles: &[1], recovers: false },
    Job { name: "Worker with heartbeats", troubles: &[7], recovers: true },
];

/// One thing that the stand-in saw, as it tells it.
#[derive(Deserialize)]
pub(super) struct Seen {
    kind: String,
    ts: String,
    text: String,
}

/// What is wrong with what was seen in a night of so many minutes; a line for each.
pub(super) fn judge(seen: &[Seen], minutes: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    // A message as it was posted, and as it looked last.
    let posted: Vec<&Seen> = seen.iter().filter(|seen| seen.kind == "posted").collect();
    let last: BTreeMap<&str, &str> = seen.iter().map(|seen| (seen.ts.as_str(), seen.text.as_str())).collect();
    let (boards, alerts): (Vec<&Seen>, Vec<&Seen>) = posted.into_iter().partition(|seen| seen.text.contains(TITLE));
    // The table has its title as a heading; the summary names it in a sentence.
    let heading = format!("# {TITLE}");
    let (tables, summaries): (Vec<&Seen>, Vec<&Seen>) =
        boards.into_iter().partition(|seen| seen.text.contains(&heading));
    if summaries.len() != 1 {
        wrong.push(format!("{} summaries were posted instead of one", summaries.len()));
    }
    if tables.len() != 1 {
        wrong.push(format!("{} tables were posted instead of one", tables.len()));
    }
    for table in &tables {
        if !last.get(table.ts.as_str()).is_some_and(|text| text.contains("closed")) {
            wrong.push(String::from("the table was never closed"));
        }
    }
    for job in &JOBS {
        let due = |minute: &&u64| **minute + NOTICED_AFTER_MINUTES < minutes;
        let expected = job.troubles.iter().filter(due).count();
        let own: Vec<&&Seen> = alerts.iter().filter(|seen| seen.text.contains(job.name)).collect();
        // What began shortly before the end may be there or not.
        if own.len() < expected || own.len() > job.troubles.len() {
            wrong.push(format!("{}: {} alerts instead of {expected}", job.name, own.len()));
        }
        let green = own.iter().filter(|seen| last.get(seen.ts.as_str()).is_some_and(|text| text.contains("green")));
        let (over, wanted) = (green.count(), if job.recovers { expected } else { 0 });
        if over < wanted || (!job.recovers && over > 0) {
            wrong.push(format!("{}: {over} alerts were over at the end instead of {wanted}", job.name));
        }
    }
    for stray in alerts.iter().filter(|seen| !JOBS.iter().any(|job| seen.text.contains(job.name))) {
        wrong.push(format!("nobody expected this: {}", stray.text.lines().next().unwrap_or_default().trim()));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(kind: &str, ts: usize, text: impl Into<String>) -> Seen {
        Seen { kind: kind.into(), ts: ts.to_string(), text: text.into() }
    }

    /// A night in which everything was told as it should be.
    fn right() -> Vec<Seen> {
        let mut night = vec![seen("posted", 0, format!("# {TITLE}, 2026-11-25: under way | Good job |"))];
        for job in &JOBS {
            for _ in job.troubles {
                let ts = night.len();
                night.push(seen("posted", ts, format!("▌ red\n{} failed", job.name)));
                if job.recovers {
                    night.push(seen("edited", ts, format!("▌ green\n{} recovered", job.name)));
                }
            }
        }
        night.push(seen("posted", 100, format!("*{TITLE}, 2026-11-25*: ended with 5 problems")));
        night.push(seen("edited", 0, format!("# {TITLE}, 2026-11-25: 5 problems (closed)")));
        night
    }

    #[test]
    fn a_night_as_it_should_be_has_nothing_against_it() {
        assert_eq!(judge(&right(), 15), [""; 0]);
    }

    #[test]
    fn what_is_missing_too_much_or_never_over_is_told() {
        let mut night = right();
        night.retain(|seen| !seen.text.contains("Late job"));
        night.push(seen("posted", 101, "▌ red\nGood job failed"));
        night.push(seen("posted", 102, "▌ red\nSomething else"));
        night.push(seen("posted", 103, format!("# {TITLE} again")));
        night.push(seen("posted", 104, format!("*{TITLE}*: ended again")));
        night.retain(|seen| !seen.text.contains("Flaky job recovered"));
        let told = judge(&night, 15);
        assert_eq!(
            told,
            [
                "2 summaries were posted instead of one",
                "2 tables were posted instead of one",
                "the table was never closed",
                "Good job: 1 alerts instead of 0",
                "Flaky job: 0 alerts were over at the end instead of 2",
                "Late job: 0 alerts instead of 1",
                "Late job: 0 alerts were over at the end instead of 1",
                "nobody expected this: ▌ red",
            ]
        );
    }

    #[test]
    fn a_short_night_is_not_asked_for_what_comes_later() {
        let mut night = right();
        night.retain(|seen| !["Late job", "Worker"].iter().any(|name| seen.text.contains(name)));
        let told = judge(&night, 8);
        assert_eq!(told, [""; 0]);
    }
}
