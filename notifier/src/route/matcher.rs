//! Which alerts a route is for.

use std::fmt;
use std::str::FromStr;

use ronda_domain::record::OccurrenceStatus;
use ronda_domain::spec::Severity;
use thiserror::Error;

use crate::pattern;

/// What an alert is about when it is opened or gets worse. That it is over is told wherever it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A run failed.
    Failed,
    /// A run takes too long, or a run or worker sends no heartbeat any more.
    Stale,
    /// A run did not start in time.
    Missed,
    /// A run that was missed has started after all.
    StartedLate,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Failed, Self::Stale, Self::Missed, Self::StartedLate];

    /// As it is written in settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Stale => "stale",
            Self::Missed => "missed",
            Self::StartedLate => "started_late",
        }
    }

    /// Of what an alert says is wrong.
    pub(crate) const fn of(status: OccurrenceStatus) -> Self {
        match status {
            OccurrenceStatus::Stale => Self::Stale,
            OccurrenceStatus::Missed => Self::Missed,
            OccurrenceStatus::Running => Self::StartedLate,
            _ => Self::Failed,
        }
    }
}

/// No kind of alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be \"failed\", \"stale\", \"missed\" or \"started_late\"")]
pub struct NotAKind;

impl FromStr for Kind {
    type Err = NotAKind;

    fn from_str(name: &str) -> Result<Self, NotAKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or(NotAKind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is looked at of an alert.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The scheduler's id.
    pub id: &'a str,
    /// Its team; may be empty.
    pub team: &'a str,
    /// Its environment; may be empty.
    pub environment: &'a str,
    /// Its labels.
    pub tags: &'a [Box<str>],
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong with it.
    pub kind: Kind,
}

/// Conditions, all of which must be met; an empty list is none. In texts `*` is any text and `?` any character.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    /// Its team is of one of these patterns.
    pub teams: Vec<String>,
    /// Its environment is of one of these patterns.
    pub environments: Vec<String>,
    /// Each of these patterns is met by one of its labels.
    pub tags: Vec<String>,
    /// Its id is of one of these patterns.
    pub ids: Vec<String>,
    /// It matters just so much as one of these says.
    pub severities: Vec<Severity>,
    /// It is of one of these kinds.
    pub kinds: Vec<Kind>,
}

/// A condition that is not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which, by its name in the settings.
    pub condition: &'static str,
    /// What it wants.
    pub wanted: Vec<String>,
    /// What there is.
    pub is: Vec<String>,
}

impl Matcher {
    /// Every condition that is not met; none: it is for this one.
    pub(super) fn differences(&self, subject: &Subject<'_>) -> Vec<Difference> {
        let owned = |texts: &[String]| texts.to_vec();
        let any = |patterns: &[String], text: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| pattern::matches(pattern, text))
        };
        let mut found = Vec::new();
        let mut unmet = |condition, wanted, is| found.push(Difference { condition, wanted, is });
        for (condition, patterns, text) in [
            ("teams", &self.teams, subject.team),
            ("environments", &self.environments, subject.environment),
            ("ids", &self.ids, subject.id),
        ] {
            if !any(patterns, text) {
                unmet(condition, owned(patterns), vec![text.to_owned()]);
            }
        }
        let has = |pattern: &String| subject.tags.iter().any(|tag| pattern::matches(pattern, tag));
        if !self.tags.iter().all(has) {
            unmet("tags", owned(&self.tags), subject.tags.iter().map(ToString::to_string).collect());
        }
        if !(self.severities.is_empty() || self.severities.contains(&subject.severity)) {
            let names = self.severities.iter().copied().map(severity_name).map(str::to_owned).collect();
            unmet("severities", names, vec![severity_name(subject.severity).to_owned()]);
        }
        if !(self.kinds.is_empty() || self.kinds.contains(&subject.kind)) {
            let names = self.kinds.iter().map(ToString::to_string).collect();
            unmet("kinds", names, vec![subject.kind.to_string()]);
        }
        found
    }
}

/// How a severity is written in settings.
#[must_use]
pub const fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}
