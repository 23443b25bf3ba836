//! Which schedulers a list shows.

use ronda_domain::Scheduler;
use ronda_domain::view::SchedulerStatus;

use super::query::Query;
use crate::problem::Problem;

/// The filters of a list; all of them must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) status: Option<SchedulerStatus>,
    team: Option<String>,
    environment: Option<String>,
    tags: Vec<String>,
    /// In lower case.
    text: Option<String>,
}

/// What a list is asked for.
#[derive(Debug)]
pub(super) struct ListRequest {
    pub(super) filter: Filter,
    pub(super) limit: usize,
    pub(super) cursor: Option<String>,
}

impl ListRequest {
    pub(super) fn parse(raw: Option<&str>) -> Result<Self, Problem> {
        let mut query = Query::new(raw);
        let filter = Filter {
            status: query.parsed("status", str::parse),
            team: query.one("team"),
            environment: query.one("environment"),
            tags: query.all("tag"),
            text: query.one("q").map(|text| text.to_lowercase()).filter(|text| !text.is_empty()),
        };
        let request = Self { filter, limit: query.limit(), cursor: query.cursor() };
        query.end(&["status", "team", "environment", "tag", "q", "limit", "cursor"])?;
        Ok(request)
    }
}

impl Filter {
    /// Whether the description fits; the status depends on the time and is judged apart.
    pub(super) fn fits(&self, id: &str, state: &Scheduler) -> bool {
        let spec = state.spec();
        let same = |filter: &Option<String>, value: &str| filter.as_deref().is_none_or(|filter| filter == value);
        same(&self.team, &spec.team)
            && same(&self.environment, &spec.environment)
            && self.tags.iter().all(|tag| spec.tags.iter().any(|has| **has == **tag))
            && self.text.as_deref().is_none_or(|text| {
                [id, &spec.name, &spec.description].into_iter().any(|place| place.to_lowercase().contains(text))
            })
    }

    /// Everything that tells this filter from another, for its cursors.
    pub(super) fn canonical(&self) -> String {
        format!("{self:?}")
    }
}
