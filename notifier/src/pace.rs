//! When a channel may be called: one post or edit at a time each, posts and edits at their rates, silence when asked for.

use std::collections::BTreeMap;

use crate::channel::Pacing;
use crate::surface::Work;

/// Most edits or lookups that may follow each other without a pause, when there were none for a while.
const EDIT_BURST: u64 = 4;

#[derive(Clone, Debug, Default)]
struct Place {
    busy: bool,
    next_post_ms: u64,
    broken_until_ms: u64,
}

/// What is known of the channels' rates. In memory only: times are monotonic milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    post_interval_ms: u64,
    edit_interval_ms: u64,
    places: BTreeMap<String, Place>,
    /// Nothing at all is called before this: the service asked for silence.
    silent_until_ms: u64,
    /// No lookup before this: their limit is another one than the posts'.
    lookups_silent_until_ms: u64,
    /// The edits' token bucket, as the time at which it would be empty.
    edits_until_ms: u64,
}

impl Pace {
    pub(crate) fn new(pacing: Pacing) -> Self {
        let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            post_interval_ms: millis(pacing.post_interval),
            edit_interval_ms: millis(pacing.edit_interval),
            places: BTreeMap::new(),
            silent_until_ms: 0,
            lookups_silent_until_ms: 0,
            edits_until_ms: 0,
        }
    }

    /// Whether this call may be made now.
    pub(crate) fn allows(&self, channel: &str, work: &Work, now_ms: u64) -> bool {
        let place = self.places.get(channel);
        // A lookup takes its time, posts nothing, and waits for nobody.
        let waits = |place: &Place| place.busy && *work != Work::Find;
        if now_ms < self.silent_until_ms
            || place.is_some_and(|place| waits(place) || now_ms < place.broken_until_ms)
            || (*work == Work::Find && now_ms < self.lookups_silent_until_ms)
        {
            return false;
        }
        match work {
            Work::Post => place.is_none_or(|place| now_ms >= place.next_post_ms),
            Work::Edit { .. } | Work::Find | Work::Delete { .. } => {
                self.edits_until_ms <= now_ms + self.edit_interval_ms * (EDIT_BURST - 1)
            }
        }
    }

    /// A call begins.
    pub(crate) fn begin(&mut self, channel: &str, work: &Work, now_ms: u64) {
        let place = self.places.entry(channel.to_owned()).or_default();
        place.busy |= *work != Work::Find;
        match work {
            Work::Post => place.next_post_ms = now_ms + self.post_interval_ms,
            Work::Edit { .. } | Work::Find | Work::Delete { .. } => {
                self.edits_until_ms = self.edits_until_ms.max(now_ms) + self.edit_interval_ms;
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
    pub(crate) fn silence_lookups(&mut self, until_ms: u64) {
        self.lookups_silent_until_ms = self.lookups_silent_until_ms.max(until_ms);
    }

    /// The service asked for silence.
    pub(crate) fn silence(&mut self, until_ms: u64) {
        self.silent_until_ms = self.silent_until_ms.max(until_ms);
    }

    /// A channel refuses us. Answers whether that is new.
    pub(crate) fn broken(&mut self, channel: &str, now_ms: u64, until_ms: u64) -> bool {
        let place = self.places.entry(channel.to_owned()).or_default();
        // Told again only when it had been well in between.
        let new = place.broken_until_ms == 0;
        place.broken_until_ms = until_ms.max(now_ms);
        new
    }

    /// A channel took a call.
    pub(crate) fn well(&mut self, channel: &str) {
        if let Some(place) = self.places.get_mut(channel) {
            place.broken_until_ms = 0;
        }
    }
}
