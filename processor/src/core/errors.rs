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
pub(crate) fn entry(
    tenant: TenantId,
    command: &Command<'_>,
    at: Timestamp,
    message: MessageId,
    why: Reason,
) -> ErrorRow {
    ErrorRow {
        tenant,
        at,
        message,
        scheduler: cut(command.scheduler, MAX_SCHEDULER_BYTES).into(),
        command: name(&command.input).into(),
        code: why.code.into(),
        detail: why.detail.into(),
    }
}

/// The longest beginning of a text that has at most so many bytes.
pub(super) fn cut(text: &str, max_bytes: usize) -> &str {
    let mut end = text.len().min(max_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

const fn name(input: &Input<'_>) -> &'static str {
    match input {
        Input::Register(_) => "register",
        Input::Delete => "delete",
        Input::Pause => "pause",
        Input::Resume => "resume",
        Input::Acknowledge { .. } => "acknowledge",
        Input::Mute { .. } => "mute",
        Input::Unmute { .. } => "unmute",
        Input::Status(_) => "status",
        Input::Heartbeat(_) => "heartbeat",
        Input::Tick => "tick",
        Input::Blind(_) => "blind",
        Input::Late(_) => "late",
    }
}
