//! One command: what it can be, and its slow path.

use std::borrow::Cow;

use ronda_domain::draft::SpecDraft;
use ronda_domain::id::check_id;
use ronda_domain::input::Input;
use ronda_domain::spec::SchedulerSpec;

use super::DirectCommand;
use crate::api::event::{BulkEvent, EventBody, event_fields};
use crate::api::fields::Fields;
use crate::api::invalid::Findings;
use crate::api::node::Node;
use crate::api::register;

/// The words for what a command asks for.
pub const TYPES: [&str; 6] = ["status", "heartbeat", "register", "delete", "pause", "resume"];

/// What a direct command asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum DirectBody<'a> {
    /// A report.
    Event(EventBody<'a>),
    /// `"type":"register"`
    Register(Box<SchedulerSpec>),
    /// `"type":"delete"`
    Delete,
    /// `"type":"pause"`
    Pause,
    /// `"type":"resume"`
    Resume,
}

impl DirectBody<'_> {
    /// The same as the domain takes it.
    #[must_use]
    pub fn input(&self) -> Input<'_> {
        match self {
            Self::Event(body) => body.input(),
            Self::Register(spec) => Input::Register(spec.clone()),
            Self::Delete => Input::Delete,
            Self::Pause => Input::Pause,
            Self::Resume => Input::Resume,
        }
    }

    /// Whether only an administrator may ask for it.
    #[must_use]
    pub const fn needs_admin(&self) -> bool {
        matches!(self, Self::Delete | Self::Pause | Self::Resume)
    }

    /// Its word, of [`TYPES`].
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Event(EventBody::Status(_)) => "status",
            Self::Event(EventBody::Heartbeat(_)) => "heartbeat",
            Self::Register(_) => "register",
            Self::Delete => "delete",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }
}

impl<'a> From<BulkEvent<'a>> for DirectCommand<'a> {
    fn from(event: BulkEvent<'a>) -> Self {
        Self { scheduler_id: event.scheduler_id, body: DirectBody::Event(event.body), named: None }
    }
}

/// What the command seems to be for, whatever is wrong with it: scheduler and word.
pub(super) fn hints(node: &Node) -> (String, &'static str) {
    let Node::Object(pairs) = node else { return (String::new(), "message") };
    let text = |name: &str| {
        pairs.iter().find_map(|(key, value)| match value {
            Node::Text(text) if key == name => Some(text.as_str()),
            _ => None,
        })
    };
    let kind = text("type").and_then(|kind| TYPES.into_iter().find(|known| *known == kind));
    let scheduler = text("scheduler_id").or_else(|| text("id"));
    (scheduler.unwrap_or_default().to_owned(), kind.unwrap_or("message"))
}

/// A command whose fields are read; a registration is still to be checked by the domain.
pub(super) enum Draft {
    Whole(Cow<'static, str>, DirectBody<'static>),
    Register(Box<SpecDraft>),
}

impl Draft {
    /// Reads the fields; what is wrong is noted.
    pub(super) fn of(mut fields: Fields<'_>) -> Option<Self> {
        let given = fields.has("type");
        let kind = fields.word("type", &TYPES, |word| TYPES.into_iter().find(|known| *known == word));
        // Without a type it can't be told which fields it should have: nothing is said about the others.
        let kind = fields.need("type", given, kind, "one of status, heartbeat, register, delete, pause, resume")?;
        let body = match kind {
            "status" | "heartbeat" => {
                let event = event_fields(fields, Some(kind == "status"))?;
                return Some(Self::Whole(event.scheduler_id, DirectBody::Event(event.body)));
            }
            "register" => return Some(Self::Register(Box::new(register::draft(fields)))),
            "delete" => DirectBody::Delete,
            "pause" => DirectBody::Pause,
            _ => DirectBody::Resume,
        };
        let given = fields.has("scheduler_id");
        let id = fields.id("scheduler_id", check_id);
        let id = fields.need("scheduler_id", given, id, "the id that the scheduler was registered with");
        fields.end(&["type", "scheduler_id"]);
        Some(Self::Whole(Cow::Owned(id?), body))
    }

    /// Checks what is left to be checked.
    pub(super) fn finish(self, findings: &mut Findings) -> Option<(Cow<'static, str>, DirectBody<'static>)> {
        match self {
            Self::Whole(id, body) => Some((id, body)),
            Self::Register(draft) => {
                let registration = register::checked(*draft, findings)?;
                let id = registration.id.as_str().to_owned();
                Some((Cow::Owned(id), DirectBody::Register(Box::new(registration.spec))))
            }
        }
    }
}
