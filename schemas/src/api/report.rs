//! Bodies of status and heartbeat, and their fast path.

use std::borrow::Cow;
use std::fmt;

use ronda_domain::id::check_run_id;
use ronda_domain::input::{HeartbeatReport, ProgressReport, ReportedStatus, StatusReport};
use ronda_domain::limits;
use ronda_domain::time::Timestamp;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::invalid::Invalid;
use super::text::{Lines, Text, control_character};
use super::time::parse_rfc3339;
use super::{MAX_DURATION_MS, MAX_PROGRESS_UNITS, report_slow};

/// The body of `PUT …/status`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusBody<'a> {
    /// Where the run is.
    pub status: ReportedStatus,
    /// Which run.
    pub run_id: Option<Cow<'a, str>>,
    /// The client's own time.
    pub occurred_at: Option<Timestamp>,
    /// What went wrong.
    pub error: Option<Cow<'a, str>>,
    /// The process's exit code.
    pub exit_code: Option<i32>,
    /// How long it took, in milliseconds; at most [`MAX_DURATION_MS`].
    pub duration_ms: Option<u64>,
    /// Further facts as pairs, in the order given, no key twice.
    pub metadata: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl StatusBody<'_> {
    /// The same as the domain takes it.
    #[must_use]
    pub fn report(&self) -> StatusReport<'_> {
        StatusReport {
            status: self.status,
            run_id: self.run_id.as_deref(),
            occurred_at: self.occurred_at,
            error: self.error.as_deref(),
            exit_code: self.exit_code,
            duration_ms: self.duration_ms,
            metadata: self.metadata.iter().map(|(key, value)| (&**key, &**value)).collect(),
        }
    }
}

/// The body of `POST …/heartbeat`, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeartbeatBody<'a> {
    /// Which run.
    pub run_id: Option<Cow<'a, str>>,
    /// The client's own time.
    pub occurred_at: Option<Timestamp>,
    /// How far it has come.
    pub progress: Option<ProgressBody<'a>>,
}

/// Progress in a heartbeat. `done` may exceed `total`: a job that finds more work than it had counted is alive all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressBody<'a> {
    /// Units done; at most [`MAX_PROGRESS_UNITS`].
    pub done: u64,
    /// Units in all, when known.
    pub total: Option<u64>,
    /// What it is doing.
    pub message: Option<Cow<'a, str>>,
}

impl HeartbeatBody<'_> {
    /// The same as the domain takes it.
    #[must_use]
    pub fn report(&self) -> HeartbeatReport<'_> {
        HeartbeatReport {
            run_id: self.run_id.as_deref(),
            occurred_at: self.occurred_at,
            progress: self.progress.as_ref().map(|progress| ProgressReport {
                done: progress.done,
                total: progress.total,
                message: progress.message.as_deref(),
            }),
        }
    }
}

/// Reads the body of `PUT …/status`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_status(body: &[u8]) -> Result<StatusBody<'_>, Invalid> {
    match fast::<StatusWire<'_>>(body).and_then(StatusWire::check) {
        Some(status) => Ok(status),
        None => report_slow::status(body),
    }
}

/// Reads the body of `POST …/heartbeat`; an empty one is a heartbeat that says nothing more.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_heartbeat(body: &[u8]) -> Result<HeartbeatBody<'_>, Invalid> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(HeartbeatBody::default());
    }
    match fast::<HeartbeatWire<'_>>(body).and_then(HeartbeatWire::check) {
        Some(heartbeat) => Ok(heartbeat),
        None => report_slow::heartbeat(body),
    }
}

fn fast<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    let text = std::str::from_utf8(body).ok()?;
    serde_json::from_str::<ObjectOnly<T>>(text).ok().map(|object| object.0)
}

/// A struct that is written as an object. serde's derived readers take arrays for structs as well.
pub(super) struct ObjectOnly<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ObjectOnly<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = ObjectOnly<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(ObjectOnly)
            }
        }
        deserializer.deserialize_map(ObjectVisitor(std::marker::PhantomData))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusWire<'a> {
    #[serde(borrow)]
    status: Text<'a>,
    #[serde(default, borrow)]
    run_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    error: Option<Text<'a>>,
    #[serde(default)]
    exit_code: Option<i32>,
    #[serde(default)]
    duration_ms: Option<u64>,
    #[serde(default, borrow)]
    occurred_at: Option<Text<'a>>,
    #[serde(default, borrow)]
    metadata: Option<Pairs<'a>>,
}

impl<'a> StatusWire<'a> {
    fn check(self) -> Option<StatusBody<'a>> {
        Checked {
            run_id: self.run_id,
            error: self.error,
            exit_code: self.exit_code,
            duration_ms: self.duration_ms,
            occurred_at: self.occurred_at,
            metadata: self.metadata,
        }
        .status(&self.status)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeartbeatWire<'a> {
    #[serde(default, borrow)]
    run_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    occurred_at: Option<Text<'a>>,
    #[serde(default, borrow)]
    progress: Option<ObjectOnly<ProgressWire<'a>>>,
}

impl<'a> HeartbeatWire<'a> {
    fn check(self) -> Option<HeartbeatBody<'a>> {
        checked_heartbeat(self.run_id, self.occurred_at, self.progress)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProgressWire<'a> {
    done: u64,
    #[serde(default)]
    total: Option<u64>,
    #[serde(default, borrow)]
    message: Option<Text<'a>>,
}

/// The fields of a status but the status, read and not yet checked.
pub(super) struct Checked<'a> {
    pub(super) run_id: Option<Text<'a>>,
    pub(super) error: Option<Text<'a>>,
    pub(super) exit_code: Option<i32>,
    pub(super) duration_ms: Option<u64>,
    pub(super) occurred_at: Option<Text<'a>>,
    pub(super) metadata: Option<Pairs<'a>>,
}

impl<'a> Checked<'a> {
    /// The status when nothing is wrong with it.
    pub(super) fn status(self, status: &Text<'_>) -> Option<StatusBody<'a>> {
        if self.duration_ms.is_some_and(|duration| duration > MAX_DURATION_MS) {
            return None;
        }
        Some(StatusBody {
            status: status_of(&status.0)?,
            run_id: checked_run_id(self.run_id)?,
            occurred_at: checked_time(self.occurred_at)?,
            error: checked_text(self.error, limits::MAX_ERROR_BYTES, Lines::Many)?,
            exit_code: self.exit_code,
            duration_ms: self.duration_ms,
            metadata: self.metadata.map_or_else(Vec::new, |pairs| pairs.0),
        })
    }
}

/// The heartbeat when nothing is wrong with it.
pub(super) fn checked_heartbeat<'a>(
    run_id: Option<Text<'a>>,
    occurred_at: Option<Text<'a>>,
    progress: Option<ObjectOnly<ProgressWire<'a>>>,
) -> Option<HeartbeatBody<'a>> {
    let progress = match progress {
        None => None,
        Some(ObjectOnly(wire)) => {
            if wire.done > MAX_PROGRESS_UNITS || wire.total.is_some_and(|total| total > MAX_PROGRESS_UNITS) {
                return None;
            }
            let message = checked_text(wire.message, limits::MAX_PROGRESS_MESSAGE_BYTES, Lines::One)?;
            Some(ProgressBody { done: wire.done, total: wire.total, message })
        }
    };
    Some(HeartbeatBody { run_id: checked_run_id(run_id)?, occurred_at: checked_time(occurred_at)?, progress })
}

/// The words for [`ReportedStatus`].
pub const STATUS_WORDS: [&str; 5] = ["running", "success", "failed", "cancelled", "skipped"];

pub(super) fn status_of(word: &str) -> Option<ReportedStatus> {
    Some(match word {
        "running" => ReportedStatus::Running,
        "success" => ReportedStatus::Success,
        "failed" => ReportedStatus::Failed,
        "cancelled" => ReportedStatus::Cancelled,
        "skipped" => ReportedStatus::Skipped,
        _ => return None,
    })
}

// In these, the outer `None` is "something is wrong"; the inner one is "absent".
#[allow(clippy::option_option, reason = "wrong, absent and there are three cases")]
fn checked_run_id(run_id: Option<Text<'_>>) -> Option<Option<Cow<'_, str>>> {
    match run_id {
        None => Some(None),
        Some(Text(text)) => check_run_id(&text).is_ok().then_some(Some(text)),
    }
}

#[allow(clippy::option_option, reason = "wrong, absent and there are three cases")]
fn checked_text(text: Option<Text<'_>>, max_bytes: usize, lines: Lines) -> Option<Option<Cow<'_, str>>> {
    match text {
        None => Some(None),
        Some(Text(text)) => {
            (text.len() <= max_bytes && control_character(&text, lines).is_none()).then_some(Some(text))
        }
    }
}

#[allow(clippy::option_option, reason = "wrong, absent and there are three cases")]
#[allow(clippy::needless_pass_by_value, reason = "the same shape as its neighbours")]
fn checked_time(text: Option<Text<'_>>) -> Option<Option<Timestamp>> {
    match text {
        None => Some(None),
        Some(Text(text)) => parse_rfc3339(&text).map(Some),
    }
}

/// A status's metadata: an object of bounded strings, no name twice.
pub(super) struct Pairs<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs: Vec<(Cow<'de, str>, Cow<'de, str>)> = Vec::new();
                // Only whether it is wrong matters here: the slow path finds the words for it.
                let wrong = |pairs: &[(Cow<'_, str>, Cow<'_, str>)], key: &str, value: &str| {
                    pairs.len() == limits::MAX_METADATA_PAIRS
                        || key.is_empty()
                        || key.len() > limits::MAX_METADATA_KEY_BYTES
                        || value.len() > limits::MAX_METADATA_VALUE_BYTES
                        || control_character(key, Lines::One).is_some()
                        || control_character(value, Lines::One).is_some()
                        || pairs.iter().any(|(other, _)| other == key)
                };
                while let Some((Text(key), Text(value))) = map.next_entry()? {
                    if wrong(&pairs, &key, &value) {
                        return Err(serde::de::Error::custom("wrong metadata"));
                    }
                    pairs.push((key, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}
