//! The bodies of `POST …/acknowledge`, `…/mute` and `…/unmute`.

use ronda_domain::limits;
use ronda_domain::time::Timestamp;

use super::fields::Fields;
use super::invalid::{FieldError, Findings, Invalid};
use super::node;
use super::text::Lines;

/// Who says it, in the caller's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByBody {
    /// A name; `None`: whoever the key belongs to.
    pub by: Option<String>,
}

/// An acknowledgment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcknowledgeBody {
    /// Which alert, by its id; `None`: whichever is open.
    pub alert_id: Option<String>,
    /// Who says so; `None`: whoever the key belongs to.
    pub by: Option<String>,
}

/// A mute, checked in all but how far ahead its end is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MuteBody {
    /// When it ends.
    pub end: MuteEnd,
    /// Who says so; `None`: whoever the key belongs to.
    pub by: Option<String>,
}

/// When a mute ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MuteEnd {
    /// At this time.
    Until(Timestamp),
    /// So many seconds from now; at most [`limits::MAX_MUTE_SECONDS`].
    After(u32),
}

impl MuteEnd {
    /// When a mute ends that is said now.
    #[must_use]
    pub const fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Until(until) => until,
            Self::After(seconds) => now.plus_seconds(seconds),
        }
    }
}

/// Checks when a mute ends.
///
/// # Errors
/// Its end does not lie ahead, or too far ahead.
pub fn check_mute_end(until: Timestamp, now: Timestamp) -> Result<(), Invalid> {
    if now < until && until <= now.plus_seconds(limits::MAX_MUTE_SECONDS) {
        return Ok(());
    }
    let message = format!("must lie ahead, at most {} days", limits::MAX_MUTE_SECONDS / 86_400);
    let pointer = "/until".to_owned();
    Err(Invalid::fields(vec![FieldError { pointer, code: "out_of_range", message }]))
}

/// Reads the body of an acknowledgment; an empty one is one, too.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_acknowledge(body: &[u8]) -> Result<AcknowledgeBody, Invalid> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(AcknowledgeBody::default());
    }
    let node = node::read(body)?;
    let mut findings = Findings::default();
    let read = Fields::of(node, "", &mut findings).map(|mut fields| {
        let by = name(&mut fields);
        let alert_id = fields.text("alert_id", limits::MAX_ALERT_ID_BYTES, Lines::One);
        fields.end(&["by", "alert_id"]);
        AcknowledgeBody { alert_id, by }
    });
    findings.or(read)
}

/// Reads the body of an unmute; an empty one is one, too.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_by(body: &[u8]) -> Result<ByBody, Invalid> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(ByBody::default());
    }
    let node = node::read(body)?;
    let mut findings = Findings::default();
    let read = Fields::of(node, "", &mut findings).map(|mut fields| {
        let by = name(&mut fields);
        fields.end(&["by"]);
        ByBody { by }
    });
    findings.or(read)
}

/// Reads the body of a mute.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_mute(body: &[u8]) -> Result<MuteBody, Invalid> {
    let node = node::read(body)?;
    let mut findings = Findings::default();
    let read = Fields::of(node, "", &mut findings).and_then(|mut fields| {
        let by = name(&mut fields);
        let end = end(&mut fields);
        fields.end(&["until", "for_seconds", "by"]);
        end.map(|end| MuteBody { end, by })
    });
    findings.or(read)
}

fn name(fields: &mut Fields<'_>) -> Option<String> {
    fields.text("by", limits::MAX_ACTOR_NAME_BYTES, Lines::One).filter(|name| !name.trim().is_empty())
}

fn end(fields: &mut Fields<'_>) -> Option<MuteEnd> {
    let (has_until, has_seconds) = (fields.has("until"), fields.has("for_seconds"));
    let until = fields.time("until").map(MuteEnd::Until);
    let after = fields.integer("for_seconds", 1, limits::MAX_MUTE_SECONDS.into()).map(MuteEnd::After);
    match (has_until, has_seconds) {
        (true, true) => {
            let message = "must not be given together with until: either says when the mute ends";
            fields.findings().add("/for_seconds", "contradicts", message);
            None
        }
        (false, false) => fields.need("until", false, None, "when the mute ends; or for_seconds, how long it lasts"),
        _ => until.or(after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mute_ends_at_a_time_or_after_some() {
        let now = Timestamp::from_seconds(1_795_456_800);
        let at = parse_mute(br#"{"until":"2026-11-24T06:00:00+07:00","by":"Ratna"}"#).unwrap();
        assert_eq!(at.end.from(now), Timestamp::from_seconds(1_795_474_800));
        assert!(check_mute_end(at.end.from(now), now).is_ok());
        assert_eq!(at.by.as_deref(), Some("Ratna"));
        let after = parse_mute(br#"{"for_seconds":3600}"#).unwrap();
        assert_eq!((after.end.from(now), after.by), (now.plus_seconds(3_600), None));
    }

    #[test]
    fn an_end_is_needed_once_and_lies_ahead() {
        let found = |invalid: Invalid| {
            let fields = invalid.fields.into_iter();
            fields.map(|field| (field.pointer, field.code)).collect::<Vec<_>>()
        };
        let wrong = |body: &str| found(parse_mute(body.as_bytes()).unwrap_err());
        assert_eq!(wrong("{}"), [("/until".to_owned(), "required")]);
        let both = r#"{"until":"2026-11-24T06:00:00Z","for_seconds":1}"#;
        assert_eq!(wrong(both), [("/for_seconds".to_owned(), "contradicts")]);
        assert_eq!(wrong(r#"{"for_seconds":0}"#), [("/for_seconds".to_owned(), "out_of_range")]);
        assert_eq!(wrong(r#"{"for_seconds":2592001}"#), [("/for_seconds".to_owned(), "out_of_range")]);
        assert_eq!(wrong(r#"{"until":"soon"}"#), [("/until".to_owned(), "invalid_time")]);
        let body = parse_mute(br#"{"until":"2026-11-24T06:00:00Z"}"#).unwrap();
        for now in ["2026-11-24T06:00:00Z", "2026-10-25T05:59:59Z"] {
            let now = super::super::time::parse_rfc3339(now).unwrap();
            assert_eq!(
                found(check_mute_end(body.end.from(now), now).unwrap_err()),
                [("/until".to_owned(), "out_of_range")]
            );
        }
    }

    #[test]
    fn an_acknowledgment_may_name_its_alert() {
        assert_eq!(parse_acknowledge(b"").unwrap(), AcknowledgeBody::default());
        let body = parse_acknowledge(br#"{"by":"Ratna","alert_id":"alert:due:1:failed:0"}"#).unwrap();
        assert_eq!((body.by.as_deref(), body.alert_id.as_deref()), (Some("Ratna"), Some("alert:due:1:failed:0")));
        for wrong in [r#"{"alert_id":7}"#.to_owned(), format!(r#"{{"alert_id":"{}"}}"#, "a".repeat(513))] {
            assert!(parse_acknowledge(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn who_it_is_may_be_left_out() {
        assert_eq!(parse_by(b" ").unwrap(), ByBody { by: None });
        assert_eq!(parse_by(br#"{"by":" "}"#).unwrap(), ByBody { by: None });
        assert_eq!(parse_by(br#"{"by":"Ratna"}"#).unwrap().by.as_deref(), Some("Ratna"));
        assert!(parse_by(br#"{"by":"a\u0000"}"#).is_err() && parse_by(br#"{"who":"Ratna"}"#).is_err());
    }
}
