//! From what a client wrote to a [`SchedulerSpec`], with every wrong field told at once.

use crate::spec::SchedulerSpec;

/// A description as it comes out of JSON: nothing checked, anything absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpecDraft {
    /// The scheduler's id (part of the key, not of the spec); the default of `name`.
    pub id: String,
    /// See [`SchedulerSpec::name`].
    pub name: Option<String>,
    /// See [`SchedulerSpec::description`].
    pub description: Option<String>,
    /// See [`SchedulerSpec::team`].
    pub team: Option<String>,
    /// See [`SchedulerSpec::environment`].
    pub environment: Option<String>,
    /// See [`SchedulerSpec::tags`].
    pub tags: Option<Vec<String>>,
    /// See [`SchedulerSpec::schedule`]; absent: none.
    pub schedule: Option<ScheduleDraft>,
    /// Seconds; see [`SchedulerSpec::start_grace_seconds`].
    pub start_grace_seconds: Option<i64>,
    /// Seconds; see [`SchedulerSpec::early_window_seconds`].
    pub early_window_seconds: Option<i64>,
    /// Seconds; see [`SchedulerSpec::max_run_seconds`].
    pub max_run_seconds: Option<i64>,
    /// Seconds; see [`SchedulerSpec::heartbeat_timeout_seconds`].
    pub heartbeat_timeout_seconds: Option<i64>,
    /// See [`SchedulerSpec::alert_after`].
    pub alert_after: Option<i64>,
    /// See [`SchedulerSpec::recover_after`].
    pub recover_after: Option<i64>,
    /// `info`, `warning` or `critical`.
    pub severity: Option<String>,
    /// See [`SchedulerSpec::runbook_url`].
    pub runbook_url: Option<String>,
}

/// A schedule as it comes out of JSON: either `cron` (with `timezone`) or `every_seconds` (with `anchor`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScheduleDraft {
    /// Five fields, or an `@` name.
    pub cron: Option<String>,
    /// IANA name; `UTC` when absent.
    pub timezone: Option<String>,
    /// Period in seconds.
    pub every_seconds: Option<i64>,
    /// RFC 3339 time that due times are counted from.
    pub anchor: Option<String>,
}

/// One thing that is wrong with a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the register body, such as `/schedule/cron`.
    pub pointer: String,
    /// A short constant name for machines.
    pub code: &'static str,
    /// What is wrong and what to do, for people.
    pub message: String,
}

impl SpecDraft {
    /// Checks everything, fills in defaults.
    ///
    /// # Errors
    /// Every wrong field, in the order of the fields above.
    pub fn validate(self) -> Result<SchedulerSpec, Vec<FieldError>> {
        Err(Vec::new())
    }
}
