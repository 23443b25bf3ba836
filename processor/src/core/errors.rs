//! Commands that were accepted and can't be applied: entries for their tenants' error feeds.

use ronda_domain::id::{MessageId, TenantId};
use ronda_domain::input::Input;
use ronda_domain::time::Timestamp;
use ronda_schemas::command::Command;
use ronda_schemas::row::ErrorRow;

/// Longest scheduler name repeated in an entry, in bytes: nobody checked it.
const MAX_SCHEDULER_BYTES: usize = 256;

/// Why a command was refused.
pub(crate) struct Reason {
    pub(crate) code: &'static str,
    pub(crate) detail: String,
}

/// The entry for a refused command.
pub(crate) fn entry(tenant: TenantId, command: &Command<'_>, at: Timestamp, message: MessageId, why: Reason) -> ErrorRow {
    ErrorRow {
        tenant,
        at,
        message,
        scheduler: cut(command.scheduler).into(),
        command: name(&command.input).into(),
        code: why.code.into(),
        detail: why.detail.into(),
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_SCHEDULER_BYTES)).unwrap_or(text)
}

const fn name(input: &Input<'_>) -> &'static str {
    match input {
        Input::Register(_) => "register",
        Input::Delete => "delete",
        Input::Pause => "pause",
        Input::Resume => "resume",
        Input::Status(_) => "status",
        Input::Heartbeat(_) => "heartbeat",
        Input::Tick => "tick",
        Input::Blind(_) => "blind",
    }
}
