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

/// The conditions that a matcher may have.
#[derive(Clone, Copy)]
enum Condition {
    Teams,
    Environments,
    Ids,
    Tags,
    Severities,
    Kinds,
}

impl Condition {
    const ALL: [Self; 6] = [Self::Teams, Self::Environments, Self::Ids, Self::Tags, Self::Severities, Self::Kinds];
}

impl Matcher {
    /// Whether it is for this one. Asked of each route for each alert, so nothing is said of what differs.
    pub(super) fn is_for(&self, subject: &Subject<'_>) -> bool {
        Condition::ALL.into_iter().all(|condition| self.meets(condition, subject))
    }

    /// Every condition that is not met; none: it is for this one.
    pub(super) fn differences(&self, subject: &Subject<'_>) -> Vec<Difference> {
        let unmet = Condition::ALL.into_iter().filter(|condition| !self.meets(*condition, subject));
        unmet.map(|condition| self.difference(condition, subject)).collect()
    }

    fn meets(&self, condition: Condition, subject: &Subject<'_>) -> bool {
        let any = |patterns: &[String], text: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| pattern::matches(pattern, text))
        };
        match condition {
            Condition::Teams => any(&self.teams, subject.team),
            Condition::Environments => any(&self.environments, subject.environment),
            Condition::Ids => any(&self.ids, subject.id),
            Condition::Tags => {
                let has = |pattern: &String| subject.tags.iter().any(|tag| pattern::matches(pattern, tag));
                self.tags.iter().all(has)
            }
            Condition::Severities => self.severities.is_empty() || self.severities.contains(&subject.severity),
            Condition::Kinds => self.kinds.is_empty() || self.kinds.contains(&subject.kind),
        }
    }

    fn difference(&self, condition: Condition, subject: &Subject<'_>) -> Difference {
        let (condition, wanted, is) = match condition {
            Condition::Teams => ("teams", self.teams.clone(), vec![subject.team.to_owned()]),
            Condition::Environments => {
                ("environments", self.environments.clone(), vec![subject.environment.to_owned()])
            }
            Condition::Ids => ("ids", self.ids.clone(), vec![subject.id.to_owned()]),
            Condition::Tags => ("tags", self.tags.clone(), subject.tags.iter().map(ToString::to_string).collect()),
            Condition::Severities => {
                let wanted = self.severities.iter().copied().map(severity_name).map(str::to_owned).collect();
                ("severities", wanted, vec![severity_name(subject.severity).to_owned()])
            }
            Condition::Kinds => {
                ("kinds", self.kinds.iter().map(ToString::to_string).collect(), vec![subject.kind.to_string()])
            }
        };
        Difference { condition, wanted, is }
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
