//! What the answers are made of: the tenant's jobs as they are now, read in bounded steps.

use std::cmp::Reverse;

use ronda_domain::Scheduler;
use ronda_domain::attention::Acknowledgment;
use ronda_domain::id::{SchedulerId, TenantId};
use ronda_domain::spec::Severity;
use ronda_domain::time::Timestamp;
use ronda_domain::view::{SchedulerStatus, SchedulerView};
use ronda_schemas::row::SchedulerRow;
use ronda_store::error::StoreError;

use crate::reads::Watermarks;
use crate::refusals::in_time;
use crate::state::AppState;

/// Rows asked for at once.
const BATCH: usize = 500;
/// Most jobs that one question looks at.
const MAX_SCANNED: usize = 50_000;
/// Most jobs kept for a list; more are only counted.
pub(crate) const MAX_LISTED: usize = 20;
/// Names that are offered instead of one that is not known.
const MAX_NEAR: usize = 3;
/// From how alike on a name is offered, of 1.
const NEAR_ENOUGH: f64 = 0.75;

/// One job as it is.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) team: String,
    pub(crate) severity: Severity,
    pub(crate) runbook_url: String,
    pub(crate) view: SchedulerView,
}

impl Job {
    fn new(id: &SchedulerId, state: &Scheduler, now: Timestamp) -> Self {
        let spec = state.spec();
        Self {
            name: if spec.name.is_empty() { id.as_str().to_owned() } else { spec.name.to_string() },
            id: id.as_str().to_owned(),
            team: spec.team.to_string(),
            severity: spec.severity,
            runbook_url: spec.runbook_url.to_string(),
            view: state.view(now),
        }
    }

    /// Who looks after what is wrong with it.
    pub(crate) fn somebody(&self) -> Option<&Acknowledgment> {
        self.view.alert.as_ref()?.acknowledgment.as_ref()
    }

    /// Whether it is one that somebody has to look after.
    pub(crate) fn is_bad(&self) -> bool {
        BAD.contains(&self.view.status)
    }

    fn need(&self) -> Need {
        Need {
            severity: Reverse(self.severity),
            has_somebody: self.somebody().is_some(),
            is_muted: self.view.mute.is_some(),
            kind: BAD.iter().position(|bad| *bad == self.view.status),
        }
    }
}

/// How much a job that is not well needs somebody, the most first: what comes earlier here counts more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Need {
    severity: Reverse<Severity>,
    has_somebody: bool,
    is_muted: bool,
    /// Its status, by its place in [`BAD`].
    kind: Option<usize>,
}

/// All jobs of a tenant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fleet {
    /// How many there are of each status, in the order of [`SchedulerStatus::ALL`].
    pub(crate) counts: [usize; SchedulerStatus::ALL.len()],
    /// The first of those that are not well, what needs somebody most first.
    pub(crate) bad: Vec<Job>,
    /// How many are not well.
    pub(crate) bad_total: usize,
    /// How many of these have somebody.
    pub(crate) attended: usize,
    /// Whether there are more than were looked at.
    pub(crate) is_cut: bool,
}

/// What is not well, the worst first. What is late may still start in time.
pub(crate) const BAD: [SchedulerStatus; 3] = [SchedulerStatus::Failed, SchedulerStatus::Stale, SchedulerStatus::Missed];

impl Fleet {
    pub(crate) fn total(&self) -> usize {
        self.counts.iter().sum()
    }

    pub(crate) fn count(&self, status: SchedulerStatus) -> usize {
        SchedulerStatus::ALL.iter().position(|known| *known == status).map_or(0, |at| self.counts[at])
    }

    fn add(&mut self, id: &SchedulerId, state: &Scheduler, now: Timestamp) {
        let status = state.status_at(now);
        if let Some(at) = SchedulerStatus::ALL.iter().position(|known| *known == status) {
            self.counts[at] += 1;
        }
        if !BAD.contains(&status) {
            return;
        }
        let job = Job::new(id, state, now);
        self.bad_total += 1;
        self.attended += usize::from(job.somebody().is_some());
        let at = self.bad.partition_point(|other| other.need() <= job.need());
        if at < MAX_LISTED {
            self.bad.insert(at, job);
            self.bad.truncate(MAX_LISTED);
        }
    }
}

/// What became of a search for one job.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    One(Box<Job>),
    /// Several are called so: their ids.
    Several(Vec<String>),
    /// None is; the ids that are nearest.
    None(Vec<String>),
}

/// All jobs of a tenant.
pub(crate) async fn fleet(state: &AppState, tenant: &TenantId) -> Result<Fleet, StoreError> {
    let mut fleet = Fleet::default();
    let mut watermarks = Watermarks::new(&*state.store, state.publisher.partitions());
    let mut rows = Rows::of(tenant);
    while let Some(batch) = rows.next(state).await? {
        for SchedulerRow { key, state, .. } in batch {
            let Some(scheduler) = state else { continue };
            let now = in_time(watermarks.of(&key)).await?;
            fleet.add(&key.scheduler, &scheduler, now);
        }
    }
    fleet.is_cut = rows.is_cut;
    Ok(fleet)
}

/// The job that somebody means by what is no id: by its id or name in any case of letters.
pub(crate) async fn search(state: &AppState, tenant: &TenantId, text: &str) -> Result<Found, StoreError> {
    let wanted = text.to_lowercase();
    let (mut same, mut near) = (Vec::new(), Vec::new());
    let mut rows = Rows::of(tenant);
    while let Some(batch) = rows.next(state).await? {
        for SchedulerRow { key, state, .. } in batch {
            let Some(scheduler) = state else { continue };
            let (id, name) = (key.scheduler.as_str(), scheduler.spec().name.to_lowercase());
            let lower = id.to_lowercase();
            if lower == wanted || name == wanted {
                same.push(id.to_owned());
                continue;
            }
            let alike = likeness(&wanted, &lower).max(likeness(&wanted, &name));
            if alike >= NEAR_ENOUGH {
                let at = near.partition_point(|(other, _): &(f64, String)| *other >= alike);
                near.insert(at, (alike, id.to_owned()));
                near.truncate(MAX_NEAR);
            }
        }
    }
    match same.as_slice() {
        [] => Ok(Found::None(near.into_iter().map(|(_, id)| id).collect())),
        [only] => Ok(match one(state, tenant, only).await? {
            Some(job) => Found::One(Box::new(job)),
            // Deleted in this moment.
            None => Found::None(Vec::new()),
        }),
        _ => {
            same.truncate(MAX_LISTED);
            Ok(Found::Several(same))
        }
    }
}

/// The jobs that words begin with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beginning {
    /// How many of the words are the id or name.
    pub(crate) words: usize,
    /// The ids of all that are called so; empty: none is.
    pub(crate) ids: Vec<String>,
}

impl Beginning {
    /// Takes in another job, of which so many of the words are the name.
    fn add(&mut self, words: usize, id: &str) {
        if words > self.words {
            *self = Self { words, ids: Vec::new() };
        }
        if words > 0 && words == self.words && self.ids.len() < MAX_LISTED {
            self.ids.push(id.to_owned());
        }
    }
}

/// The jobs of the longest id or name that the words begin with, in any case of letters.
pub(crate) async fn beginning(state: &AppState, tenant: &TenantId, words: &[String]) -> Result<Beginning, StoreError> {
    let words: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    let mut found = Beginning::default();
    let mut rows = Rows::of(tenant);
    while let Some(batch) = rows.next(state).await? {
        for SchedulerRow { key, state, .. } in batch {
            let Some(scheduler) = state else { continue };
            let id = key.scheduler.as_str();
            let as_name = begun_by(&words, &scheduler.spec().name.to_lowercase());
            found.add(as_name.max(begun_by(&words, &id.to_lowercase())), id);
        }
    }
    Ok(found)
}

/// How many of the words are the name, if they begin with it; else none.
fn begun_by(words: &[String], name: &str) -> usize {
    let mut count = 0;
    for part in name.split_whitespace() {
        if words.get(count).is_none_or(|word| word != part) {
            return 0;
        }
        count += 1;
    }
    count
}

/// One job by its id.
pub(crate) async fn one(state: &AppState, tenant: &TenantId, id: &str) -> Result<Option<Job>, StoreError> {
    let row = in_time(state.store.scheduler(tenant.as_str(), id)).await?;
    let Some(SchedulerRow { key, state: Some(scheduler), .. }) = row else { return Ok(None) };
    let mut watermarks = Watermarks::new(&*state.store, state.publisher.partitions());
    let now = in_time(watermarks.of(&key)).await?;
    Ok(Some(Job::new(&key.scheduler, &scheduler, now)))
}

/// How alike a wanted name and one that there is are, from 0 to 1. A part of it is nearly it.
fn likeness(wanted: &str, there: &str) -> f64 {
    // Longer texts are no names, and comparing them takes the square of their length.
    if wanted.len() > 128 || there.len() > 256 {
        return 0.0;
    }
    if wanted.len() >= 3 && there.contains(wanted) {
        return 0.9;
    }
    strsim::jaro_winkler(wanted, there)
}

/// The rows of a tenant, batch by batch.
struct Rows<'t> {
    tenant: &'t TenantId,
    after: Option<SchedulerId>,
    scanned: usize,
    ended: bool,
    is_cut: bool,
}

impl<'t> Rows<'t> {
    const fn of(tenant: &'t TenantId) -> Self {
        Self { tenant, after: None, scanned: 0, ended: false, is_cut: false }
    }

    async fn next(&mut self, state: &AppState) -> Result<Option<Vec<SchedulerRow>>, StoreError> {
        if self.ended {
            return Ok(None);
        }
        if self.scanned >= MAX_SCANNED {
            (self.ended, self.is_cut) = (true, true);
            return Ok(None);
        }
        let rows = in_time(state.store.schedulers(self.tenant, self.after.as_ref(), BATCH)).await?;
        self.ended = rows.len() < BATCH;
        self.scanned += rows.len();
        self.after = rows.last().map(|row| row.key.scheduler.clone());
        Ok(Some(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_or_a_part_of_a_name_finds_it() {
        assert!(likeness("nightly-biling", "nightly-billing") >= NEAR_ENOUGH);
        assert!(likeness("billing", "nightly-billing") >= NEAR_ENOUGH);
        assert!(likeness("zzz", "nightly-billing") < NEAR_ENOUGH);
        assert_eq!(likeness(&"a".repeat(1_000), "a"), 0.0);
    }

    #[test]
    fn the_longest_name_that_words_begin_with_is_meant() {
        let words: Vec<String> = ["nightly", "billing", "soon"].map(str::to_owned).into();
        assert_eq!(begun_by(&words, "nightly"), 1);
        assert_eq!(begun_by(&words, "nightly  billing"), 2);
        for other in ["", "night", "nightly report", "nightly billing soon enough", "billing"] {
            assert_eq!(begun_by(&words, other), 0, "{other:?}");
        }
        let mut found = Beginning::default();
        for (words, id) in [(0, "a"), (1, "b"), (2, "c"), (1, "d"), (2, "e")] {
            found.add(words, id);
        }
        assert_eq!(found, Beginning { words: 2, ids: vec!["c".into(), "e".into()] });
    }

    #[test]
    fn what_is_critical_comes_first_then_what_has_nobody() {
        let need = |severity, has_somebody, is_muted, kind| Need {
            severity: Reverse(severity),
            has_somebody,
            is_muted,
            kind: Some(kind),
        };
        let sorted = [
            need(Severity::Critical, false, false, 0),
            need(Severity::Critical, false, false, 2),
            need(Severity::Critical, false, true, 0),
            need(Severity::Critical, true, false, 0),
            need(Severity::Warning, false, false, 0),
            need(Severity::Info, false, false, 0),
        ];
        assert!(sorted.is_sorted());
    }
}
