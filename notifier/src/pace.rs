//! When a channel may be called: one post or edit at a time each, posts and edits at their rates, silence when asked for.

use std::collections::BTreeMap;

use crate::channel::Pacing;
use crate::manners::Manners;
use crate::surface::Work;

/// Most edits or lookups that may follow each other without a pause, when there were none for a while.
const EDIT_BURST: u64 = 4;

#[derive(Clone, Debug, Default)]
struct Place {
    busy: bool,
    next_post_ms: u64,
    broken_until_ms: u64,
    doubt: Doubt,
    /// Where its service's limits hold for it alone.
    lane: Lane,
}

/// Posts of which nobody knows whether they can be seen, since the last call that went well.
#[derive(Clone, Copy, Debug, Default)]
struct Doubt {
    posts: u32,
    /// The next one waits until this.
    until_ms: u64,
}

/// What holds for all places that share one service's limits.
#[derive(Clone, Debug, Default)]
struct Lane {
    /// Nothing at all is called before this: the service asked for silence.
    silent_until_ms: u64,
    /// No lookup before this: their limit is another one than the posts'.
    lookups_silent_until_ms: u64,
    /// The edits' token bucket, as the time at which it would be empty.
    edits_until_ms: u64,
}

/// How long a place gets no further post after the first one in doubt, in milliseconds; twice as long after each that follows. Looking up what
/// became of it ends the wait sooner, as any call does that goes well. Without it every alert of an outage would be tried once, and
/// each looked up afterwards and told by itself, where one digest tells them all.
const FIRST_DOUBT_MS: u64 = 2_000;
const LONGEST_DOUBT_MS: u64 = 5 * 60_000;

/// What is known of the channels' rates. In memory only: times are monotonic milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    manners: Manners,
    places: BTreeMap<String, Place>,
    /// Of kinds whose limits hold for all of their places.
    shared: BTreeMap<&'static str, Lane>,
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Pace {
    pub(crate) fn new(manners: Manners) -> Self {
        Self { manners, places: BTreeMap::new(), shared: BTreeMap::new() }
    }

    fn lane(&mut self, channel: &str) -> &mut Lane {
        let manner = self.manners.of(channel);
        if manner.shares_limits {
            self.shared.entry(manner.kind).or_default()
        } else {
            &mut self.places.entry(channel.to_owned()).or_default().lane
        }
    }

    /// Whether this call may be made now.
    pub(crate) fn allows(&self, channel: &str, work: &Work, now_ms: u64) -> bool {
        let place = self.places.get(channel);
        let manner = self.manners.of(channel);
        let lane = if manner.shares_limits { self.shared.get(manner.kind) } else { place.map(|place| &place.lane) };
        // A lookup takes its time, posts nothing, and waits for nobody.
        let waits = |place: &Place| place.busy && *work != Work::Find;
        let is_silent = |lane: &Lane| {
            now_ms < lane.silent_until_ms || (*work == Work::Find && now_ms < lane.lookups_silent_until_ms)
        };
        if lane.is_some_and(is_silent) || place.is_some_and(|place| waits(place) || now_ms < place.broken_until_ms) {
            return false;
        }
        match work {
            Work::Post => place.is_none_or(|place| now_ms >= place.next_post_ms.max(place.doubt.until_ms)),
            Work::Edit { .. } | Work::Find | Work::Delete { .. } => {
                let interval_ms = millis(manner.pacing.edit_interval);
                lane.is_none_or(|lane| lane.edits_until_ms <= now_ms + interval_ms * (EDIT_BURST - 1))
            }
        }
    }

    /// A call begins.
    pub(crate) fn begin(&mut self, channel: &str, work: &Work, now_ms: u64) {
        let Pacing { post_interval, edit_interval } = self.manners.of(channel).pacing;
        let place = self.places.entry(channel.to_owned()).or_default();
        place.busy |= *work != Work::Find;
        match work {
            Work::Post => place.next_post_ms = now_ms + millis(post_interval),
            Work::Edit { .. } | Work::Find | Work::Delete { .. } => {
                let lane = self.lane(channel);
                lane.edits_until_ms = lane.edits_until_ms.max(now_ms) + millis(edit_interval);
            }
        }
    }

    /// A call has ended.
    pub(crate) fn end(&mut self, channel: &str, work: &Work) {
        if let Some(place) = self.places.get_mut(channel).filter(|_| *work != Work::Find) {
            place.busy = false;
        }
    }

    /// The service asked for silence of lookups.
    pub(crate) fn silence_lookups(&mut self, channel: &str, until_ms: u64) {
        let lane = self.lane(channel);
        lane.lookups_silent_until_ms = lane.lookups_silent_until_ms.max(until_ms);
    }

    /// The service asked for silence.
    pub(crate) fn silence(&mut self, channel: &str, until_ms: u64) {
        let lane = self.lane(channel);
        lane.silent_until_ms = lane.silent_until_ms.max(until_ms);
    }

    /// A channel refuses us. Answers whether that is new.
    pub(crate) fn broken(&mut self, channel: &str, now_ms: u64, until_ms: u64) -> bool {
        let place = self.places.entry(channel.to_owned()).or_default();
        // Told again only when it had been well in between.
        let new = place.broken_until_ms == 0;
        place.broken_until_ms = until_ms.max(now_ms);
        new
    }

    /// Nobody knows what became of a post.
    pub(crate) fn doubtful(&mut self, channel: &str, now_ms: u64) {
        let doubt = &mut self.places.entry(channel.to_owned()).or_default().doubt;
        let pause_ms = FIRST_DOUBT_MS.saturating_mul(1_u64.checked_shl(doubt.posts).unwrap_or(u64::MAX));
        *doubt = Doubt { posts: doubt.posts.saturating_add(1), until_ms: now_ms + pause_ms.min(LONGEST_DOUBT_MS) };
    }

    /// A channel took a call.
    pub(crate) fn well(&mut self, channel: &str) {
        if let Some(place) = self.places.get_mut(channel) {
            place.broken_until_ms = 0;
            place.doubt = Doubt::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::channel::{Capabilities, Manner};

    fn pace(shares_limits: bool) -> Pace {
        let pacing = Pacing { post_interval: Duration::ZERO, edit_interval: Duration::from_secs(1) };
        let manner = Manner { kind: "some", pacing, capabilities: Capabilities::ALL, shares_limits };
        Pace::new(Manners::everywhere(manner))
    }

    #[test]
    fn after_a_post_in_doubt_the_next_waits_ever_longer_until_a_call_goes_well() {
        let mut pace = pace(true);
        let mut now_ms = 0;
        for wait_ms in [2_000, 4_000, 8_000] {
            pace.doubtful("a", now_ms);
            assert!(!pace.allows("a", &Work::Post, now_ms + wait_ms - 1));
            assert!(pace.allows("a", &Work::Find, now_ms), "looking it up waits for nothing");
            assert!(pace.allows("b", &Work::Post, now_ms), "another place is none the worse for it");
            now_ms += wait_ms;
            assert!(pace.allows("a", &Work::Post, now_ms));
        }
        (0..100).for_each(|_| pace.doubtful("a", now_ms));
        assert!(pace.allows("a", &Work::Post, now_ms + LONGEST_DOUBT_MS));
        pace.well("a");
        assert!(pace.allows("a", &Work::Post, now_ms));
        pace.doubtful("a", now_ms);
        assert!(pace.allows("a", &Work::Post, now_ms + FIRST_DOUBT_MS));
    }

    #[test]
    fn silence_and_edits_are_a_services_or_a_places() {
        for shares_limits in [true, false] {
            let mut pace = pace(shares_limits);
            pace.silence("a", 1_000);
            assert!(!pace.allows("a", &Work::Post, 999));
            assert_eq!(pace.allows("b", &Work::Post, 999), !shares_limits);
            assert!(pace.allows("a", &Work::Post, 1_000) && pace.allows("b", &Work::Post, 1_000));

            for _ in 0..=EDIT_BURST {
                pace.begin("a", &Work::Find, 2_000);
            }
            assert!(!pace.allows("a", &Work::Find, 2_000));
            assert_eq!(pace.allows("b", &Work::Find, 2_000), !shares_limits);
        }
    }
}
