//! What people say of what is wrong: that somebody looks after it, and that nobody wants to hear of a scheduler for a while.

use serde::{Deserialize, Serialize};

use crate::effects::{Effects, Refusal};
use crate::event::{Event, EventKind};
use crate::id::MessageId;
use crate::limits::{
    CLOCKS_APART_MS, MAX_ACTOR_ID_BYTES, MAX_ACTOR_NAME_BYTES, MAX_ACTOR_SOURCE_BYTES, MAX_KNOWN_SAID, MAX_MUTE_SECONDS,
};
use crate::scheduler::{Key, Scheduler};
use crate::time::Timestamp;

/// Who says something, borrowed from the message that carried it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct By<'a> {
    /// Where they said it, such as `slack` or `api`.
    pub source: &'a str,
    /// What they are known by there.
    pub id: &'a str,
    /// What people call them.
    pub name: &'a str,
}

/// Who said something, as it is kept: within the [`limits`](crate::limits).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Actor {
    /// Where they said it, such as `slack` or `api`.
    pub source: Box<str>,
    /// What they are known by there; may be empty.
    pub id: Box<str>,
    /// What people call them; may be empty.
    pub name: Box<str>,
}

impl From<By<'_>> for Actor {
    /// What is too long is cut: a name that a message can't have in full is no reason to refuse what it says.
    fn from(by: By<'_>) -> Self {
        Self {
            source: cut(by.source, MAX_ACTOR_SOURCE_BYTES).into(),
            id: cut(by.id, MAX_ACTOR_ID_BYTES).into(),
            name: cut(by.name, MAX_ACTOR_NAME_BYTES).into(),
        }
    }
}

impl Actor {
    pub(crate) const fn heap_bytes(&self) -> usize {
        self.source.len().saturating_add(self.id.len()).saturating_add(self.name.len())
    }
}

/// The longest beginning of a text that has at most so many bytes.
fn cut(text: &str, max_bytes: usize) -> &str {
    let end = (0..=max_bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

/// Somebody looks after what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgment {
    /// Who.
    pub by: Actor,
    /// Since when.
    pub at: Timestamp,
}

/// Nobody wants to hear of a scheduler until a time. It is watched and judged as ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mute {
    /// Who said so.
    pub by: Actor,
    /// Since when.
    pub at: Timestamp,
    /// Its end, which is not in it; at most [`MAX_MUTE_SECONDS`] after `at`.
    pub until: Timestamp,
}

/// What was said last of whether anybody wants to hear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Muting {
    /// Older ones are ignored.
    pub(crate) key: Key,
    /// `None`: it was unmuted.
    pub(crate) mute: Option<Mute>,
}

impl Muting {
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of::<Self>().saturating_add(self.mute.as_ref().map_or(0, |mute| mute.by.heap_bytes()))
    }
}

impl Scheduler {
    /// The mute that is in force at a time.
    #[must_use]
    pub fn mute_at(&self, now: Timestamp) -> Option<&Mute> {
        self.rare().muting.as_deref()?.mute.as_ref().filter(|mute| now < mute.until)
    }

    /// Whether anything was ever acknowledged or muted of which it still knows.
    #[must_use]
    pub fn knows_attention(&self) -> bool {
        let alert = self.alert.as_deref().is_some_and(|alert| alert.acknowledgment.is_some());
        let mut entries = self.occurrences.iter().filter_map(|entry| entry.more.as_deref());
        alert || self.rare().muting.is_some() || entries.any(|more| more.acknowledgment.is_some())
    }

    /// Whether a copy of something that was acknowledged, muted or unmuted would be recognised.
    #[must_use]
    pub fn knows_said(&self) -> bool {
        !self.rare().said.is_empty()
    }

    /// When an acknowledgment of whatever is open counts as said, given when it was received, and that it came out of the queue after all
    /// that was said before: not before the alert that whoever said it has seen, when only the clocks differ.
    #[must_use]
    pub fn acknowledged_at(&self, at: Timestamp) -> Timestamp {
        let is_close = |opened: &Timestamp| opened.millis_since(at) <= CLOCKS_APART_MS;
        self.alert.as_deref().map(|alert| alert.opened_at).filter(is_close).map_or(at, |opened| opened.max(at))
    }

    /// Somebody looks after what is wrong now. The first to say so counts, until it is over; of what is not wrong nothing is said.
    pub(crate) fn acknowledge(&mut self, named: Option<&str>, by: By<'_>, (at, message): Key, effects: &mut Effects) {
        if !self.is_new((at, message), effects) {
            return;
        }
        if self.facts_at.is_some_and(|fact| fact <= at) {
            self.settle(at, effects);
        }
        // Whoever names an alert has seen it, whatever the clocks say; whoever names none may not have seen one that is younger.
        let open = match (self.alert.as_deref_mut(), named) {
            (Some(open), Some(named)) if *open.id == *named => open,
            (Some(open), None) if open.opened_at <= at => open,
            (_, Some(_)) => {
                effects.refused = Some(Refusal::AlertOver);
                return;
            }
            (_, None) => return,
        };
        if open.acknowledgment.is_some() {
            return;
        }
        let at = at.max(open.opened_at);
        let acknowledgment = Acknowledgment { by: by.into(), at };
        open.acknowledgment = Some(Box::new(acknowledgment.clone()));
        let alert = open.id.clone();
        self.note_in_history(&acknowledgment, effects);
        let id = format!("{alert}:acknowledged").into();
        effects.events.push(Event { id, at, kind: EventKind::AlertAcknowledged { alert, by: acknowledgment.by } });
        effects.changed = true;
    }

    /// The entry that went wrong last says from now on who looked after it.
    fn note_in_history(&mut self, acknowledgment: &Acknowledgment, effects: &mut Effects) {
        let newest = self.newest_bad.as_deref();
        let Some(entry) = self.occurrences.iter_mut().find(|entry| Some(&entry.subject) == newest) else { return };
        entry.more.get_or_insert_default().acknowledgment = Some(Box::new(acknowledgment.clone()));
        effects.occurrences.push(entry.record());
    }

    /// Nobody wants to hear of it until a time.
    pub(crate) fn mute_until(&mut self, until: Timestamp, by: By<'_>, (at, message): Key, effects: &mut Effects) {
        let mute = Mute { by: by.into(), at, until: until.min(at.plus_seconds(MAX_MUTE_SECONDS)) };
        if self.is_new((at, message), effects) && self.set_mute(Some(mute.clone()), (at, message), effects) {
            self.tell("muted", (at, message), EventKind::Muted(mute), effects);
        }
    }

    /// People want to hear of it again.
    pub(crate) fn unmute(&mut self, by: By<'_>, (at, message): Key, effects: &mut Effects) {
        let was_muted = self.mute_at(at).is_some();
        if self.is_new((at, message), effects) && self.set_mute(None, (at, message), effects) && was_muted {
            self.tell("unmuted", (at, message), EventKind::Unmuted { by: by.into() }, effects);
        }
    }

    /// Takes note of a message; `false`: it was taken before, perhaps with another time. One that is older than all that are known, and
    /// not known, may be a copy of one that was forgotten, and is taken: only a mute can tell by its time.
    fn is_new(&mut self, key: Key, effects: &mut Effects) -> bool {
        let said = &mut self.rare_mut().said;
        if said.iter().any(|(_, known)| *known == key.1) {
            return false;
        }
        said.insert(said.partition_point(|known| *known < key), key);
        if said.len() > MAX_KNOWN_SAID {
            said.remove(0);
        }
        effects.changed = true;
        true
    }

    /// Takes in what was said, unless something newer was. It is remembered in any case: an older one that comes after it finds out by that.
    fn set_mute(&mut self, mute: Option<Mute>, key: Key, effects: &mut Effects) -> bool {
        // Nothing older than its registration is meant for it.
        let first = (self.registered_at, MessageId { source: 0, sequence: 0, index: 0 });
        let is_latest = key > self.rare().muting.as_deref().map_or(first, |muting| muting.key.max(first));
        if is_latest {
            self.rare_mut().muting = Some(Box::new(Muting { key, mute }));
            effects.changed = true;
        }
        is_latest
    }

    fn tell(&self, word: &str, (at, message): Key, kind: EventKind, effects: &mut Effects) {
        let MessageId { source, sequence, index } = message;
        let id = self.event_id(&format!("{word}:{}:{source:016x}-{sequence:x}-{index:x}", at.as_millis()));
        effects.events.push(Event { id, at, kind });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_it_is_is_kept_within_bounds() {
        let name = "é".repeat(200);
        let actor = Actor::from(By { source: "slack", id: "U0123456789", name: &name });
        assert_eq!((&*actor.source, &*actor.id), ("slack", "U0123456789"));
        assert_eq!(actor.name.len(), MAX_ACTOR_NAME_BYTES);
        let odd = Actor::from(By { name: &format!("a{name}"), source: "", id: "" });
        assert_eq!(odd.name.len(), MAX_ACTOR_NAME_BYTES - 1, "cut between characters");
    }
}
