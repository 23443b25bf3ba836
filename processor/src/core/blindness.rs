//! Gaps: what lies before the clock's next step and was heard by no gateway.

use ronda_domain::Scheduler;
use ronda_domain::input::Gap;
use ronda_domain::time::Timestamp;
use ronda_schemas::event::BlindReason;
use ronda_schemas::frame::FrameHeader;

use super::gateways::{Gateways, News};

/// Most schedulers that a notice names.
pub(crate) const MAX_NAMED: usize = 50;

/// What could not be heard, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blind {
    /// What nobody heard, however short: schedulers are not judged by it.
    pub(crate) gap: Gap,
    /// What people are told of it; `None`: nothing, it is too short.
    pub(crate) told: Option<Gap>,
    pub(crate) reason: BlindReason,
}

/// What nobody heard between the clock's last time and the one that it may now go to; with frames lost, all that they spanned.
///
/// At most one gap a frame: several are taken for the one that spans them.
pub(crate) fn find(
    gateways: &Gateways,
    news: &News,
    header: &FrameHeader,
    before: Timestamp,
    reached: Timestamp,
) -> Option<Blind> {
    let unheard = uncovered(gateways, before, reached, 0);
    if news.lost.is_empty() {
        let (told, reason) = match news.is_stepped {
            true => (unheard, BlindReason::ClockStep),
            false => (uncovered(gateways, before, reached, gateways.hole_ms()), BlindReason::NoPulse),
        };
        return unheard.map(|gap| Blind { gap, told, reason });
    }
    let from = news.previous_wall.unwrap_or(before).min(before);
    // A gateway whose clock is far ahead of the others' must not take the partition's clock with it.
    let others = gateways.entries().iter().filter(|entry| entry.live && entry.gateway != header.gateway);
    let others = others.map(|entry| entry.wall.plus_millis(gateways.hole_ms())).max();
    let bound = others.map_or(header.wall, |others| others.min(header.wall));
    let until = unheard.map_or(bound, |gap| gap.until.max(bound)).max(before);
    let gap = Gap { from, until };
    (until > from).then_some(Blind { gap, told: Some(gap), reason: BlindReason::LostFrames })
}

/// What lies between the two times and no gateway covers, pieces of no more than the tolerance left out.
fn uncovered(gateways: &Gateways, before: Timestamp, reached: Timestamp, tolerance_ms: i64) -> Option<Gap> {
    let mut spans: Vec<_> = gateways.entries().iter().map(|entry| (entry.covered_from, entry.wall)).collect();
    spans.sort_unstable();
    let mut heard_until = before;
    let mut gap: Option<Gap> = None;
    for (from, until) in spans {
        if from > reached {
            break;
        }
        if from.millis_since(heard_until) > tolerance_ms {
            gap = Some(Gap { from: gap.map_or(heard_until, |gap| gap.from), until: from });
        }
        heard_until = heard_until.max(until);
    }
    gap
}

/// Whether the gap took something from this scheduler that a person should know of.
pub(crate) fn concerns(state: &Scheduler, gap: Gap) -> bool {
    state.is_concerned_by(gap)
}
