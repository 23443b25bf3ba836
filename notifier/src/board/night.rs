//! One night: which occurrences are expected, and what became of each.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use ronda_domain::event::Change;
use ronda_domain::id::SchedulerId;
use ronda_domain::record::{OccurrenceStatus, Subject};
use ronda_domain::schedule::dues;
use ronda_domain::spec::{Schedule, Severity};
use ronda_domain::time::Timestamp;
use ronda_schemas::event::SchedulerSummary;
use ronda_schemas::row::SchedulerRow;
use ronda_store::port::HistoryEntry;

use super::change::{self, Former, Standing};
use super::window::Window;
use super::{filter, matches};
use crate::config::Board;
use crate::hash::fnv64;
use crate::surface::{BoardFacts, BoardRow, Counts, Doubts, SummaryFacts};

/// Most occurrences of one scheduler that are expected in one night; a shorter interval than the window over this is
/// counted up to here.
const MAX_DUES: usize = 10_000;
/// Most occurrences tracked in one night, over all schedulers. At some 100 bytes each.
const MAX_TRACKED: usize = 500_000;
/// Most rows of the table: Slack's limit for a `data_table`.
const MAX_ROWS: usize = 200;
/// Most problems listed in a summary.
const MAX_SUMMARY_ROWS: usize = 20;
/// Longest error text kept for a row, in bytes.
const MAX_ERROR_BYTES: usize = 120;
/// How much later than its time-out a silence may be noticed, because a blind time or a pause gave it its time again.
const MAX_SILENCE_DELAY_SECONDS: u32 = 7 * 86_400;
/// Most replies for what comes after the end.
const MAX_LATE_REPLIES: u32 = 20;

/// Where one occurrence, or unscheduled run, is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    status: OccurrenceStatus,
    /// When this was judged: what is older changes nothing.
    at: Timestamp,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    late_start_ms: Option<i64>,
    error: Option<Box<str>>,
    exit_code: Option<i32>,
}

impl Entry {
    fn expected() -> Self {
        Self {
            status: OccurrenceStatus::Expected,
            at: Timestamp::MIN,
            started_at: None,
            ended_at: None,
            late_start_ms: None,
            error: None,
            exit_code: None,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Job {
    name: Box<str>,
    team: Box<str>,
    severity: Severity,
    entries: BTreeMap<Subject, Entry>,
}

/// What people want to know of a scheduler.
struct About<'a> {
    name: &'a str,
    team: &'a str,
    severity: Severity,
}

impl About<'_> {
    fn put_into(&self, job: &mut Job) {
        if *job.name != *self.name {
            job.name = self.name.into();
        }
        if *job.team != *self.team {
            job.team = self.team.into();
        }
        job.severity = self.severity;
    }
}

/// What is in the entries, counted as they change: asked for with every event.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    counts: Counts,
    /// Entries that a schedule expected.
    scheduled: usize,
    tracked: usize,
}

impl Tally {
    fn add(&mut self, subject: &Subject, status: OccurrenceStatus) {
        self.counts.add(status);
        self.scheduled += usize::from(matches!(subject, Subject::Occurrence { .. }));
        self.tracked += 1;
    }

    fn remove(&mut self, subject: &Subject, status: OccurrenceStatus) {
        self.counts.remove(status);
        self.scheduled -= usize::from(matches!(subject, Subject::Occurrence { .. }));
        self.tracked -= 1;
    }
}

/// One night of one board.
#[derive(Clone, Debug)]
pub(crate) struct Night {
    pub(crate) window: Window,
    jobs: BTreeMap<SchedulerId, Job>,
    tally: Tally,
    /// When it was closed.
    pub(crate) closed: Option<Timestamp>,
    /// Whether the table has changed since its facts were last taken.
    pub(crate) changed: bool,
    /// What is not known of it.
    pub(crate) doubts: Doubts,
    /// How often its schedulers are still to be read from the store: until then it is neither shown nor closed.
    pub(crate) to_be_read: u32,
    /// When the latest of what was read from the store was judged: the store may be ahead of the events.
    read_until: Timestamp,
    late_replies: u32,
    max_tracked: usize,
}

impl Night {
    pub(crate) fn new(window: Window, closed: Option<Timestamp>) -> Self {
        Self {
            window,
            jobs: BTreeMap::new(),
            tally: Tally::default(),
            closed,
            changed: true,
            doubts: Doubts::default(),
            to_be_read: 0,
            read_until: Timestamp::MIN,
            late_replies: 0,
            max_tracked: MAX_TRACKED,
        }
    }

    /// From when on a scheduler's history may hold something of this night. A silence stands in it under the last heartbeat,
    /// and is of the night in which it was noticed.
    pub(crate) fn history_from(window: &Window, row: &SchedulerRow) -> Timestamp {
        let spec = row.state.as_ref().map(|state| state.spec()).filter(|spec| spec.schedule == Schedule::None);
        match spec.and_then(|spec| spec.heartbeat_timeout_seconds) {
            Some(seconds) => window.start.minus_seconds(seconds.saturating_add(MAX_SILENCE_DELAY_SECONDS)),
            None => window.start,
        }
    }

    fn contains(&self, at: Timestamp) -> bool {
        self.window.start <= at && at < self.window.end
    }

    /// Whether something is of this night; `noticed` is when it was.
    fn concerns(&self, scheduler: &SchedulerId, subject: &Subject, noticed: Timestamp) -> bool {
        match subject {
            Subject::Silence { .. } => {
                let known = self.jobs.get(scheduler).is_some_and(|job| job.entries.contains_key(subject));
                known || self.contains(noticed)
            }
            other => self.contains(other.time()),
        }
    }

    /// Takes in a scheduler as stored, with its history since [`history_from`](Self::history_from): at the opening, after a
    /// restart, and whenever its description changed. What was known of it stays where it is newer.
    pub(crate) fn load(&mut self, board: &Board, row: &SchedulerRow, history: &[HistoryEntry]) {
        let Some(state) = &row.state else {
            self.remove(&row.key.scheduler);
            return;
        };
        let spec = state.spec();
        let subject = filter::Subject {
            id: row.key.scheduler.as_str(),
            team: &spec.team,
            environment: &spec.environment,
            tags: &spec.tags,
        };
        self.changed = true;
        if !matches(&board.filter, &subject) {
            self.remove(&row.key.scheduler);
            return;
        }
        // Whatever is still waiting is decided anew: the schedule may be another one. What was due before the earliest that
        // the state waits for has started, or was missed, and stands in the history.
        self.withdraw(&row.key.scheduler);
        let about = About { name: &spec.name, team: &spec.team, severity: spec.severity };
        if let Some(next) = state.view(self.window.start).next_due {
            let from = self.window.start.max(next);
            let expected: Vec<Timestamp> =
                dues(&spec.schedule, state.registered_at(), from, self.window.end, MAX_DUES).collect();
            for due in expected {
                self.put(&row.key.scheduler, &about, Subject::Occurrence { due }, Entry::expected());
            }
        }
        for entry in history {
            let record = &entry.occurrence;
            let run = entry.runs.last();
            let corrected = record.corrections.last().map(|correction| correction.at);
            let at = [record.started_at, record.ended_at, corrected].into_iter().flatten().max();
            let noticed = record.ended_at.or(at).unwrap_or(Timestamp::MIN);
            // A scheduler that was removed and made again has a history of before.
            let before = record.subject.time() < state.registered_at();
            if before || !self.concerns(&row.key.scheduler, &record.subject, noticed) {
                continue;
            }
            let at = at.unwrap_or(Timestamp::MIN);
            self.read_until = self.read_until.max(at);
            // Of what came after the end the event may still come, and is to be told then: to it, this is a moment older.
            let is_late = self.closed.is_some_and(|closed| at > closed);
            let entry = Entry {
                status: record.status,
                at: if is_late { at.plus_millis(-1) } else { at },
                started_at: record.started_at,
                ended_at: record.ended_at,
                late_start_ms: record.late_start_ms,
                error: run.and_then(|run| run.error.as_deref()).map(cut),
                exit_code: run.and_then(|run| run.exit_code),
            };
            self.put(&row.key.scheduler, &about, record.subject.clone(), entry);
        }
    }

    /// A scheduler was removed, or is not shown any more: it leaves the night, with all that happened.
    pub(crate) fn remove(&mut self, scheduler: &SchedulerId) {
        let Some(job) = self.jobs.remove(scheduler) else { return };
        for (subject, entry) in job.entries {
            self.tally.remove(&subject, entry.status);
        }
        self.changed = true;
    }

    fn withdraw(&mut self, scheduler: &SchedulerId) {
        let Some(job) = self.jobs.get_mut(scheduler) else { return };
        let tally = &mut self.tally;
        job.entries.retain(|subject, entry| {
            let stays = entry.status != OccurrenceStatus::Expected;
            if !stays {
                tally.remove(subject, entry.status);
            }
            stays
        });
        if job.entries.is_empty() {
            self.jobs.remove(scheduler);
        }
        self.changed = true;
    }

    fn put(&mut self, scheduler: &SchedulerId, about: &About<'_>, subject: Subject, entry: Entry) -> bool {
        let known = self.jobs.get(scheduler).is_some_and(|job| job.entries.contains_key(&subject));
        if !known && self.tally.tracked >= self.max_tracked {
            self.doubts.untracked = true;
            return true;
        }
        let job = self.jobs.entry(scheduler.clone()).or_default();
        about.put_into(job);
        match job.entries.get_mut(&subject) {
            Some(known) if known.at > entry.at || *known == entry => false,
            Some(known) => {
                self.tally.remove(&subject, known.status);
                self.tally.add(&subject, entry.status);
                *known = entry;
                true
            }
            None => {
                self.tally.add(&subject, entry.status);
                job.entries.insert(subject, entry);
                true
            }
        }
    }

    /// Takes in that an occurrence, run or heartbeat changed. Answers whether that is worth a reply, because the night
    /// had ended.
    pub(crate) fn apply(
        &mut self,
        board: &Board,
        scheduler: &SchedulerId,
        summary: &SchedulerSummary,
        change: &Change,
        at: Timestamp,
    ) -> bool {
        let subject = filter::Subject {
            id: scheduler.as_str(),
            team: &summary.team,
            environment: &summary.environment,
            tags: &summary.tags,
        };
        let noticed = change.ended_at.unwrap_or(at);
        if !self.concerns(scheduler, &change.subject, noticed) || !matches(&board.filter, &subject) {
            return false;
        }
        let entry = Entry {
            status: change.to,
            at,
            started_at: change.started_at,
            ended_at: change.ended_at,
            late_start_ms: change.late_start_ms,
            error: change.error.as_deref().map(cut),
            exit_code: change.exit_code,
        };
        let about = About { name: &summary.name, team: &summary.team, severity: summary.severity };
        if !self.put(scheduler, &about, change.subject.clone(), entry) {
            return false;
        }
        self.changed = true;
        let worth_it = self.closed.is_some() && change.to.is_ended() && self.late_replies < MAX_LATE_REPLIES;
        if worth_it {
            self.late_replies += 1;
        }
        worth_it
    }

    pub(crate) const fn counts(&self) -> Counts {
        self.tally.counts
    }

    /// Whether anything is expected, or happened.
    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether the night is over, seen from the partitions' least clock: everything expected has ended well, or the
    /// window is past and nothing is open any more, or the grace after it is past too.
    /// With a doubt left it lasts as long as its window. What was read from the store counts once the events have come as far.
    pub(crate) fn is_over(&self, watermark: Timestamp, grace_seconds: u32) -> bool {
        if watermark < self.read_until {
            return false;
        }
        let counts = self.counts();
        if watermark >= self.window.end {
            return counts.open() == 0 || watermark >= self.window.end.plus_seconds(grace_seconds);
        }
        let well = counts.open() == 0 && counts.problems() == 0 && !self.doubts.any();
        watermark >= self.window.start && self.tally.scheduled > 0 && well
    }

    /// What the table has to say now.
    pub(crate) fn facts(&self, board: &Board, former: Option<&Former>) -> BoardFacts {
        let mut rows = self.rows(former);
        let hidden = rows.split_off(rows.len().min(MAX_ROWS));
        let hidden_problems = hidden.iter().filter(|row| row.problems > 0).count();
        let hidden_others = hidden.len() - hidden_problems;
        BoardFacts {
            title: board.title.clone(),
            date: self.window.date.clone(),
            timezone: board.timezone.clone(),
            start: self.window.start,
            end: self.window.end,
            counts: self.counts(),
            jobs: u32::try_from(self.jobs.len()).unwrap_or(u32::MAX),
            rows,
            hidden_problems: u32::try_from(hidden_problems).unwrap_or(u32::MAX),
            hidden_others: u32::try_from(hidden_others).unwrap_or(u32::MAX),
            closed: self.closed,
            doubts: self.doubts,
            tenant: board.tenant.as_str().into(),
            bad: change::bad(self.standings()),
            change: former.map(|former| former.against(&self.window, self.standings())),
        }
    }

    /// How each scheduler stands, by the hash of its id.
    fn standings(&self) -> impl Iterator<Item = (u64, Standing)> {
        self.jobs.iter().map(|(id, job)| (fnv64(id.as_str()), job.standing()))
    }

    /// What the summary has to say.
    pub(crate) fn summary(&self, board: &Board, former: Option<&Former>) -> SummaryFacts {
        let mut problems = self.rows(former);
        problems.retain(|row| row.problems > 0 || row.open.is_some());
        let hidden = problems.split_off(problems.len().min(MAX_SUMMARY_ROWS));
        SummaryFacts {
            title: board.title.clone(),
            date: self.window.date.clone(),
            timezone: board.timezone.clone(),
            start: self.window.start,
            end: self.window.end,
            counts: self.counts(),
            jobs: u32::try_from(self.jobs.len()).unwrap_or(u32::MAX),
            problems,
            hidden_problems: u32::try_from(hidden.len()).unwrap_or(u32::MAX),
            doubts: self.doubts,
            tenant: board.tenant.as_str().into(),
            change: former.map(|former| former.against(&self.window, self.standings())),
        }
    }

    /// One a scheduler, what needs a person first: by what is wrong, then by how much it matters, then by time.
    fn rows(&self, former: Option<&Former>) -> Vec<BoardRow> {
        let was_bad = |id: &SchedulerId| former.is_some_and(|former| former.was_bad(fnv64(id.as_str())));
        let row = |(id, job): (&SchedulerId, &Job)| row_of(job, was_bad(id));
        let mut rows: Vec<BoardRow> = self.jobs.iter().filter_map(row).collect();
        let need = |row: &BoardRow| (rank(row.status), Reverse(row.severity), row.time);
        rows.sort_by(|a, b| need(a).cmp(&need(b)).then_with(|| a.name.cmp(&b.name)));
        rows
    }
}

impl Job {
    fn standing(&self) -> Standing {
        let statuses = || self.entries.values().map(|entry| entry.status);
        if statuses().any(is_problem) {
            Standing::Bad
        } else if statuses().all(OccurrenceStatus::is_ended) {
            Standing::Well
        } else {
            Standing::Open
        }
    }
}

fn row_of(job: &Job, was_bad: bool) -> Option<BoardRow> {
    // The worst one, and of several the last; of those that are still to come, the next.
    let worst = |(subject, entry): &(&Subject, &Entry)| {
        let time = subject.time().as_millis();
        let order = if entry.status == OccurrenceStatus::Expected { time } else { time.saturating_neg() };
        (rank(entry.status), order)
    };
    let (subject, entry) = job.entries.iter().min_by_key(worst)?;
    let count = |is_such: fn(OccurrenceStatus) -> bool| {
        u32::try_from(job.entries.values().filter(|entry| is_such(entry.status)).count()).unwrap_or(u32::MAX)
    };
    let is_open = |status: OccurrenceStatus| !status.is_ended();
    let first_open = job.entries.iter().find(|(_, entry)| is_open(entry.status)).map(|(subject, _)| subject.time());
    Some(BoardRow {
        status: entry.status,
        name: job.name.clone(),
        time: subject.time(),
        started_at: entry.started_at,
        ended_at: entry.ended_at,
        late_start_ms: entry.late_start_ms,
        error: entry.error.clone(),
        exit_code: entry.exit_code,
        done: count(OccurrenceStatus::is_good),
        total: u32::try_from(job.entries.len()).unwrap_or(u32::MAX),
        problems: count(is_problem),
        team: job.team.clone(),
        severity: job.severity,
        again: was_bad && job.standing() == Standing::Bad,
        open: first_open.map(|due| (count(is_open), due)),
    })
}

/// What needs a person comes first.
const fn rank(status: OccurrenceStatus) -> u8 {
    match status {
        OccurrenceStatus::Failed => 0,
        OccurrenceStatus::Stale => 1,
        OccurrenceStatus::Missed => 2,
        OccurrenceStatus::Unknown => 3,
        OccurrenceStatus::Running => 4,
        OccurrenceStatus::Expected => 5,
        OccurrenceStatus::Cancelled => 6,
        OccurrenceStatus::Skipped => 7,
        OccurrenceStatus::Succeeded => 8,
    }
}

const fn is_problem(status: OccurrenceStatus) -> bool {
    rank(status) < rank(OccurrenceStatus::Running)
}

fn cut(text: &str) -> Box<str> {
    crate::render::cap(text, MAX_ERROR_BYTES).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(status: OccurrenceStatus, at: i64) -> Entry {
        Entry { status, at: Timestamp::from_seconds(at), ..Entry::expected() }
    }

    #[test]
    fn a_full_night_still_follows_what_it_tracks_and_is_not_clear() {
        let at = Timestamp::from_seconds;
        let mut night = Night::new(Window { date: "2026-11-24".into(), start: at(0), end: at(100) }, None);
        night.max_tracked = 2;
        let id = SchedulerId::new("job").unwrap();
        let about = About { name: "job", team: "", severity: Severity::Warning };
        for due in [1, 2, 3] {
            night.put(&id, &about, Subject::Occurrence { due: at(due) }, Entry::expected());
        }
        for due in [1, 2, 3] {
            night.put(&id, &about, Subject::Occurrence { due: at(due) }, entry(OccurrenceStatus::Succeeded, due));
        }
        let counts = night.counts();
        assert_eq!((counts.succeeded, counts.open(), night.doubts.untracked), (2, 0, true));
        assert!(!night.is_over(at(50), 300), "what is not tracked may not have ended well");
        assert!(night.is_over(at(100), 300));
    }
}
