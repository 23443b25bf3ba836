//! One command of a frame: what a client asked for, with its texts borrowed from the frame.
//!
//! Layout: `[tenant, scheduler, age_ms, kind, payload]`; the payload's layout depends on `kind`. A command that has a message of its own says
//! so at the end: `[source, sequence, index]`.

use std::fmt;

use ronda_domain::attention::By;
use ronda_domain::id::MessageId;
use ronda_domain::input::{HeartbeatReport, Input, ProgressReport, ReportedStatus, StatusReport};
use ronda_domain::spec::SchedulerSpec;
use ronda_domain::time::Timestamp;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What one client asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Command<'a> {
    /// Whose scheduler.
    pub tenant: &'a str,
    /// Which scheduler.
    pub scheduler: &'a str,
    /// How long before its frame's wall time it was received, in milliseconds.
    pub age_ms: u32,
    /// What to do. Never [`Input::Tick`], [`Input::Blind`] or [`Input::Late`]: those are the clock's, and can't be encoded.
    pub input: Input<'a>,
    /// Which message it is, wherever it stands: what may be sent twice is the same message both times. `None`: its place in its frame.
    pub message: Option<MessageId>,
}

const REGISTER: u8 = 0;
const DELETE: u8 = 1;
const PAUSE: u8 = 2;
const RESUME: u8 = 3;
const STATUS: u8 = 4;
const HEARTBEAT: u8 = 5;
const ACKNOWLEDGE: u8 = 6;
const MUTE: u8 = 7;
const UNMUTE: u8 = 8;
/// As `ACKNOWLEDGE`, of one alert and no other.
const ACKNOWLEDGE_ALERT: u8 = 9;

/// Source, id, name.
type ByWire<'a> = (&'a str, &'a str, &'a str);

impl Command<'_> {
    /// The oldest version of a frame whose readers know this kind of command.
    pub(crate) const fn frame_version(&self) -> u32 {
        match self.input {
            Input::Acknowledge { alert: Some(_), .. } => 6,
            Input::Acknowledge { alert: None, .. } | Input::Mute { .. } | Input::Unmute { .. } => 5,
            _ => 1,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct StatusWire<'a>(
    u8,
    #[serde(borrow)] Option<&'a str>,
    Option<Timestamp>,
    Option<&'a str>,
    Option<i32>,
    Option<u64>,
    #[serde(borrow)] Vec<(&'a str, &'a str)>,
);

#[derive(Clone, Copy, Serialize, Deserialize)]
struct HeartbeatWire<'a>(
    #[serde(borrow)] Option<&'a str>,
    Option<Timestamp>,
    #[serde(borrow)] Option<(u64, Option<u64>, Option<&'a str>)>,
);

const fn status_code(status: ReportedStatus) -> u8 {
    match status {
        ReportedStatus::Running => 0,
        ReportedStatus::Success => 1,
        ReportedStatus::Failed => 2,
        ReportedStatus::Cancelled => 3,
        ReportedStatus::Skipped => 4,
    }
}

const fn status_of(code: u8) -> Option<ReportedStatus> {
    Some(match code {
        0 => ReportedStatus::Running,
        1 => ReportedStatus::Success,
        2 => ReportedStatus::Failed,
        3 => ReportedStatus::Cancelled,
        4 => ReportedStatus::Skipped,
        _ => return None,
    })
}

impl Serialize for Command<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(5 + usize::from(self.message.is_some()))?;
        tuple.serialize_element(self.tenant)?;
        tuple.serialize_element(self.scheduler)?;
        tuple.serialize_element(&self.age_ms)?;
        match &self.input {
            Input::Register(spec) => {
                tuple.serialize_element(&REGISTER)?;
                tuple.serialize_element(spec)?;
            }
            Input::Delete => unit(&mut tuple, DELETE)?,
            Input::Pause => unit(&mut tuple, PAUSE)?,
            Input::Resume => unit(&mut tuple, RESUME)?,
            Input::Status(report) => {
                tuple.serialize_element(&STATUS)?;
                tuple.serialize_element(&status_wire(report))?;
            }
            Input::Heartbeat(report) => {
                tuple.serialize_element(&HEARTBEAT)?;
                tuple.serialize_element(&HeartbeatWire(
                    report.run_id,
                    report.occurred_at,
                    report.progress.map(|progress| (progress.done, progress.total, progress.message)),
                ))?;
            }
            Input::Acknowledge { alert: None, by } => {
                tuple.serialize_element(&ACKNOWLEDGE)?;
                tuple.serialize_element(&by_wire(*by))?;
            }
            Input::Acknowledge { alert: Some(alert), by } => {
                tuple.serialize_element(&ACKNOWLEDGE_ALERT)?;
                tuple.serialize_element(&(alert, by_wire(*by)))?;
            }
            Input::Mute { until, by } => {
                tuple.serialize_element(&MUTE)?;
                tuple.serialize_element(&(until, by_wire(*by)))?;
            }
            Input::Unmute { by } => {
                tuple.serialize_element(&UNMUTE)?;
                tuple.serialize_element(&by_wire(*by))?;
            }
            Input::Tick | Input::Blind(_) | Input::Late(_) => {
                return Err(serde::ser::Error::custom("a partition's clock is not a command"));
            }
        }
        if let Some(MessageId { source, sequence, index }) = self.message {
            tuple.serialize_element(&(source, sequence, index))?;
        }
        tuple.end()
    }
}

fn unit<T: SerializeTuple>(tuple: &mut T, kind: u8) -> Result<(), T::Error> {
    tuple.serialize_element(&kind)?;
    tuple.serialize_element(&())
}

const fn by_wire(by: By<'_>) -> ByWire<'_> {
    (by.source, by.id, by.name)
}

const fn by_of((source, id, name): ByWire<'_>) -> By<'_> {
    By { source, id, name }
}

fn status_wire<'a>(report: &StatusReport<'a>) -> StatusWire<'a> {
    StatusWire(
        status_code(report.status),
        report.run_id,
        report.occurred_at,
        report.error,
        report.exit_code,
        report.duration_ms,
        report.metadata.clone(),
    )
}

impl<'de> Deserialize<'de> for Command<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple(5, CommandVisitor)
    }
}

struct CommandVisitor;

impl<'de> Visitor<'de> for CommandVisitor {
    type Value = Command<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a command: [tenant, scheduler, age_ms, kind, payload] and perhaps a message")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let tenant = next(&mut seq, "tenant")?;
        let scheduler = next(&mut seq, "scheduler")?;
        let age_ms = next(&mut seq, "age_ms")?;
        let kind: u8 = next(&mut seq, "kind")?;
        let input = match kind {
            REGISTER => Input::Register(next::<Box<SchedulerSpec>, _>(&mut seq, "spec")?),
            DELETE => next::<(), _>(&mut seq, "nothing").map(|()| Input::Delete)?,
            PAUSE => next::<(), _>(&mut seq, "nothing").map(|()| Input::Pause)?,
            RESUME => next::<(), _>(&mut seq, "nothing").map(|()| Input::Resume)?,
            STATUS => Input::Status(status_report(next(&mut seq, "status")?)?),
            HEARTBEAT => Input::Heartbeat(heartbeat_report(next(&mut seq, "heartbeat")?)),
            ACKNOWLEDGE => Input::Acknowledge { alert: None, by: by_of(next(&mut seq, "person")?) },
            ACKNOWLEDGE_ALERT => {
                let (alert, by) = next(&mut seq, "acknowledgment")?;
                Input::Acknowledge { alert: Some(alert), by: by_of(by) }
            }
            MUTE => {
                let (until, by) = next(&mut seq, "mute")?;
                Input::Mute { until, by: by_of(by) }
            }
            UNMUTE => Input::Unmute { by: by_of(next(&mut seq, "person")?) },
            other => return Err(A::Error::custom(format!("unknown kind of command {other}"))),
        };
        let message = seq.next_element::<(u64, u64, u32)>()?;
        let message = message.map(|(source, sequence, index)| MessageId { source, sequence, index });
        // A newer release may have added fields.
        while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {}
        Ok(Command { tenant, scheduler, age_ms, input, message })
    }
}

fn next<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(seq: &mut A, what: &'static str) -> Result<T, A::Error> {
    seq.next_element()?.ok_or_else(|| A::Error::custom(format!("the command ends before its {what}")))
}

fn status_report<'a, E: serde::de::Error>(wire: StatusWire<'a>) -> Result<StatusReport<'a>, E> {
    let status = status_of(wire.0).ok_or_else(|| E::custom(format!("unknown status {}", wire.0)))?;
    Ok(StatusReport {
        status,
        run_id: wire.1,
        occurred_at: wire.2,
        error: wire.3,
        exit_code: wire.4,
        duration_ms: wire.5,
        metadata: wire.6,
    })
}

fn heartbeat_report(wire: HeartbeatWire<'_>) -> HeartbeatReport<'_> {
    HeartbeatReport {
        run_id: wire.0,
        occurred_at: wire.1,
        progress: wire.2.map(|(done, total, message)| ProgressReport { done, total, message }),
    }
}
