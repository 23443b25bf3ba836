//! The body of `POST /api/v1/schedulers/register`.

use ronda_domain::draft::{ScheduleDraft, SpecDraft};
use ronda_domain::id::{SchedulerId, check_id};
use ronda_domain::spec::SchedulerSpec;

use super::fields::Fields;
use super::invalid::{Findings, Invalid};
use super::node::{self, Node};
use super::time::format_rfc3339;

/// The fields of a registration, its id first, in the order in which people are told of them.
pub const FIELDS: [&str; 15] = [
    "id",
    "name",
    "description",
    "team",
    "environment",
    "tags",
    "schedule",
    "start_grace_seconds",
    "early_window_seconds",
    "max_run_seconds",
    "heartbeat_timeout_seconds",
    "alert_after",
    "recover_after",
    "severity",
    "runbook_url",
];
const SCHEDULE_FIELDS: [&str; 4] = ["cron", "timezone", "every_seconds", "anchor"];

/// The one id that no scheduler can have: its address would be that of this very request.
pub const RESERVED_ID: &str = "register";

/// A scheduler to be registered, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// Its id.
    pub id: SchedulerId,
    /// Its description, with defaults filled in.
    pub spec: SchedulerSpec,
}

/// Reads the body of a register.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_register(body: &[u8]) -> Result<Registration, Invalid> {
    let node = node::read(body)?;
    let mut findings = Findings::default();
    let registration = Fields::of(node, "", &mut findings).map(draft).and_then(|draft| checked(draft, &mut findings));
    findings.or(registration)
}

/// What the domain has to say to it.
pub(crate) fn checked(draft: SpecDraft, findings: &mut Findings) -> Option<Registration> {
    let id = SchedulerId::new(&draft.id).ok();
    match draft.validate() {
        Ok(spec) => id.map(|id| Registration { id, spec }),
        Err(errors) => {
            findings.merge(errors);
            None
        }
    }
}

/// Everything of the right type; what is wrong is noted and left out, and the rest is for the domain to judge.
pub(crate) fn draft(mut fields: Fields<'_>) -> SpecDraft {
    let number = |fields: &mut Fields<'_>, name: &str| fields.integer(name, i64::MIN.into(), i64::MAX.into());
    let given = fields.has("id");
    let id = fields.id("id", check_id);
    if id.as_deref() == Some(RESERVED_ID) {
        let message = "must not be 'register': the address /api/v1/schedulers/register has another meaning";
        fields.findings().add("/id", "reserved", message);
    }
    let id = fields.need("id", given, id, "how reports will name the scheduler, such as nightly-billing");
    let draft = SpecDraft {
        id: id.unwrap_or_default(),
        name: fields.raw_text("name"),
        description: fields.raw_text("description"),
        team: fields.raw_text("team"),
        environment: fields.raw_text("environment"),
        tags: tags(&mut fields),
        schedule: schedule(&mut fields),
        start_grace_seconds: number(&mut fields, "start_grace_seconds"),
        early_window_seconds: number(&mut fields, "early_window_seconds"),
        max_run_seconds: number(&mut fields, "max_run_seconds"),
        heartbeat_timeout_seconds: number(&mut fields, "heartbeat_timeout_seconds"),
        alert_after: number(&mut fields, "alert_after"),
        recover_after: number(&mut fields, "recover_after"),
        severity: fields.raw_text("severity"),
        runbook_url: fields.raw_text("runbook_url"),
    };
    fields.end(&FIELDS);
    draft
}

fn tags(fields: &mut Fields<'_>) -> Option<Vec<String>> {
    let at = fields.pointer("tags");
    let items = match fields.take("tags")? {
        Node::Array(items) => items,
        other => {
            fields.findings().add(at, "wrong_type", format!("must be an array of strings, and is {}", other.kind()));
            return None;
        }
    };
    let mut tags = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        match item {
            Node::Text(tag) => tags.push(tag),
            other => {
                let message = format!("must be a string, and is {}", other.kind());
                fields.findings().add(format!("{at}/{index}"), "wrong_type", message);
                // Keeps the places of the others, and passes the domain's checks.
                tags.push("x".to_owned());
            }
        }
    }
    Some(tags)
}

fn schedule(fields: &mut Fields<'_>) -> Option<ScheduleDraft> {
    let at = fields.pointer("schedule");
    let node = fields.take("schedule")?;
    let mut inner = Fields::of(node, &at, fields.findings())?;
    if !SCHEDULE_FIELDS.iter().any(|name| inner.has(name)) {
        let message = "must have cron or every_seconds; leave it out, or null, for no schedule";
        inner.findings().add(&at, "incomplete", message);
    }
    let draft = ScheduleDraft {
        cron: inner.raw_text("cron"),
        timezone: inner.raw_text("timezone"),
        every_seconds: inner.integer("every_seconds", i64::MIN.into(), i64::MAX.into()),
        anchor: inner.time("anchor").map(format_rfc3339),
    };
    inner.end(&SCHEDULE_FIELDS);
    Some(draft)
}
