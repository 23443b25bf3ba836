//! The words of the domain's enumerations, for the OpenAPI document only. A test holds them to the domain's.

use serde::Deserialize;
use utoipa::ToSchema;

/// How a scheduler is, in one word.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = SchedulerStatus)]
pub enum SchedulerStatusWord {
    /// Registered; nothing has happened yet.
    New,
    /// The last thing that happened was good, or neutral.
    Healthy,
    /// A run is open.
    Running,
    /// An occurrence is due and has not started; its grace is not over.
    Late,
    /// The last occurrence ended badly.
    Failed,
    /// The last occurrence, or the heartbeat, fell silent or ran too long.
    Stale,
    /// The last occurrence did not start in time.
    Missed,
    /// Ronda could not hear, so it can't tell.
    Unknown,
    /// Nothing is expected of it.
    Paused,
}

/// Where an occurrence or a run is.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = OccurrenceStatus)]
pub enum OccurrenceStatusWord {
    /// Due, or about to be, and not yet started.
    Expected,
    /// A run is open.
    Running,
    /// It ended well.
    Succeeded,
    /// It ended badly.
    Failed,
    /// It was stopped by somebody.
    Cancelled,
    /// There was nothing to do.
    Skipped,
    /// It did not start in time.
    Missed,
    /// It fell silent or ran too long.
    Stale,
    /// Ronda could not hear, so it can't tell.
    Unknown,
}

/// Why a run is stale.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = StaleReason)]
pub enum StaleReasonWord {
    /// No heartbeat within `heartbeat_timeout_seconds`.
    NoHeartbeat,
    /// Longer than `max_run_seconds`.
    OverMaxRun,
}

/// How much a scheduler matters, least first.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Severity)]
pub enum SeverityWord {
    /// Worth knowing.
    Info,
    /// Worth looking at in the morning.
    Warning,
    /// Worth waking somebody.
    Critical,
}

/// The statuses that a job may report.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ReportedStatus)]
pub enum ReportedStatusWord {
    /// It has started, or is still going.
    Running,
    /// It ended well.
    Success,
    /// It ended badly.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// It decided that there was nothing to do.
    Skipped,
}

#[cfg(test)]
mod tests {
    use ronda_domain::record::{OccurrenceStatus, StaleReason};
    use ronda_domain::spec::Severity;
    use ronda_domain::view::SchedulerStatus;
    use serde::Serialize;
    use serde_json::{Value, json};
    use utoipa::PartialSchema;

    use super::*;

    fn words<T: PartialSchema>() -> Value {
        serde_json::to_value(T::schema()).unwrap()["enum"].clone()
    }

    #[test]
    fn the_document_has_the_domains_words() {
        fn of<T: Serialize>(all: &[T]) -> Value {
            json!(all)
        }
        use OccurrenceStatus as O;
        let occurrences = [
            O::Expected,
            O::Running,
            O::Succeeded,
            O::Failed,
            O::Cancelled,
            O::Skipped,
            O::Missed,
            O::Stale,
            O::Unknown,
        ];
        assert_eq!(words::<SchedulerStatusWord>(), of(&SchedulerStatus::ALL));
        assert_eq!(words::<OccurrenceStatusWord>(), of(&occurrences));
        assert_eq!(words::<StaleReasonWord>(), of(&[StaleReason::NoHeartbeat, StaleReason::OverMaxRun]));
        assert_eq!(words::<SeverityWord>(), of(&[Severity::Info, Severity::Warning, Severity::Critical]));
        assert_eq!(words::<ReportedStatusWord>(), of(&super::super::report::STATUS_WORDS));
    }
}
