//! Which schedulers a board shows.

use crate::config::BoardFilter;
use crate::pattern;

/// What a filter looks at.
pub(crate) struct Subject<'a> {
    pub(crate) id: &'a str,
    pub(crate) team: &'a str,
    pub(crate) environment: &'a str,
    pub(crate) tags: &'a [Box<str>],
}

/// Whether the filter lets a scheduler through.
pub(crate) fn matches(filter: &BoardFilter, subject: &Subject<'_>) -> bool {
    filter.team.as_deref().is_none_or(|team| team == subject.team)
        && filter.environment.as_deref().is_none_or(|environment| environment == subject.environment)
        && filter.tags.iter().all(|tag| subject.tags.iter().any(|has| **has == **tag))
        && (filter.ids.is_empty() || filter.ids.iter().any(|pattern| pattern::matches(pattern, subject.id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_must_be_met() {
        let tags: [Box<str>; 2] = ["money".into(), "eu".into()];
        let subject = Subject { id: "billing", team: "payments", environment: "production", tags: &tags };
        let mut filter = BoardFilter::default();
        assert!(matches(&filter, &subject));
        filter.team = Some("payments".into());
        filter.tags = vec!["money".into()];
        filter.ids = vec!["x".into(), "bill*".into()];
        assert!(matches(&filter, &subject));
        filter.tags.push("us".into());
        assert!(!matches(&filter, &subject));
    }
}
