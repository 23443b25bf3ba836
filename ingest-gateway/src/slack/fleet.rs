//! What the answers are made of: the tenant's jobs as they are now, read in bounded steps.

use ronda_domain::Scheduler;
use ronda_domain::id::{SchedulerId, TenantId};
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
            runbook_url: spec.runbook_url.to_string(),
            view: state.view(now),
        }
    }
}

/// All jobs of a tenant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fleet {
    /// How many there are of each status, in the order of [`SchedulerStatus::ALL`].
    pub(crate) counts: [usize; SchedulerStatus::ALL.len()],
    /// The first of those that need somebody, the worst first.
    pub(crate) bad: Vec<Job>,
    /// How many need somebody.
    pub(crate) bad_total: usize,
    /// Whether there are more than were looked at.
    pub(crate) is_cut: bool,
}

/// What needs somebody, the worst first.
const BAD: [SchedulerStatus; 4] =
    [SchedulerStatus::Failed, SchedulerStatus::Stale, SchedulerStatus::Missed, SchedulerStatus::Late];

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
        let Some(rank) = BAD.iter().position(|bad| *bad == status) else { return };
        self.bad_total += 1;
        let ranked = |job: &Job| BAD.iter().position(|bad| *bad == job.view.status).unwrap_or(BAD.len());
        let at = self.bad.partition_point(|job| ranked(job) <= rank);
        if at < MAX_LISTED {
            self.bad.insert(at, Job::new(id, state, now));
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
}
