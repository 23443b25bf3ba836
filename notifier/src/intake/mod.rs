//! Derived events become changes of surfaces: a pure function of events, surfaces and the times passed in.

mod again;
mod alerts;
mod notices;
mod places;
mod waits;

use ronda_domain::event::EventKind;
use ronda_schemas::event::{EventEnvelope, SchedulerEvent};

use crate::config::Config;
use crate::manners::Manners;
use crate::shard::Shard;

pub(crate) use again::seen;
pub(crate) use alerts::is_worse;
pub(crate) use places::{Further, MAX_MENTIONS, mentions, open_alerts, show_anew, shown_by};
pub(crate) use waits::{hold, note_lateness, release};

/// Now, on both clocks, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    pub(crate) wall_ms: i64,
    pub(crate) mono_ms: u64,
}

/// Takes in one event that has not been seen before.
pub(crate) fn take_in(shard: &mut Shard, config: &Config, manners: &Manners, envelope: &EventEnvelope, now: Now) {
    match envelope {
        EventEnvelope::Scheduler(event) => {
            alerts::take_in(shard, config, manners, event, now);
            notices::unknown_followed(shard, event, now);
        }
        EventEnvelope::Blind(notice) => notices::blind(shard, config, notice, now),
        EventEnvelope::Lost(lost) => notices::lost(shard, config, lost, now),
        EventEnvelope::Held(held) => notices::held(shard, config, held, now),
    }
}

/// The surfaces of the alert that an event is about.
pub(crate) fn alerts_of(shard: &Shard, event: &SchedulerEvent) -> Vec<String> {
    match &event.event.kind {
        EventKind::AlertOpened { alert, .. }
        | EventKind::AlertChanged { alert, .. }
        | EventKind::AlertResolved { alert, .. }
        | EventKind::AlertAcknowledged { alert, .. } => places::shown_as(shard, &alerts::alert_key(event, alert)),
        EventKind::Lifecycle(_) | EventKind::Changed(_) | EventKind::Muted(_) | EventKind::Unmuted { .. } => Vec::new(),
    }
}
