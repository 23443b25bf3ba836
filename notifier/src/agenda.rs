//! Which surfaces need something, and when: a round does as much as there is to do, however many surfaces there are.
//!
//! A surface is looked at when it has changed, when a time comes that it waits for, and when it is next in line; never because it is there.
//! What is here is worked out anew from the surfaces, and stored nowhere.

use std::collections::{BTreeMap, BTreeSet};

use ronda_domain::time::Timestamp;

use crate::intake::Now;
use crate::surface::{Facts, Phase, Surface, Telling, Work};

/// Which of a channel's limits a call is under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Limit {
    Posts,
    Lookups,
    Changes,
}

impl Limit {
    fn of(work: &Work) -> Self {
        match work {
            Work::Post => Self::Posts,
            Work::Find => Self::Lookups,
            Work::Edit { .. } | Work::Delete { .. } => Self::Changes,
        }
    }
}

/// Where calls wait for each other: a channel, and one of its limits.
type Line = (String, Limit);
/// A surface's place in a line: how urgent it is, since when it has been there, and its key.
pub(crate) type Turn = (u8, i64, String);

/// Where a surface is filed.
#[derive(Debug, Default)]
struct Filed {
    turn: Option<(Line, Turn)>,
    apart: Option<String>,
    mono_ms: Option<u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    /// Those that are not settled.
    unsettled: BTreeSet<String>,
    /// Of them those that have to wait before people see them.
    waiting: BTreeMap<String, Waiting>,
    waited_until: BTreeSet<(Timestamp, String)>,
    /// How many of those are not to be told before that.
    later: usize,
    /// Those that have changed since they were filed.
    changed: BTreeSet<String>,
    filed: BTreeMap<String, Filed>,
    lines: BTreeMap<Line, BTreeSet<Turn>>,
    /// Alerts that nobody has seen and that a digest may take in, by channel.
    apart: BTreeMap<String, BTreeSet<String>>,
    by_mono_ms: BTreeSet<(u64, String)>,
}

/// See [`Wait`](crate::surface::Wait).
#[derive(Clone, Copy, Debug)]
struct Waiting {
    until: Timestamp,
    /// Whether it is told by itself when that is over.
    is_later: bool,
}

impl Waiting {
    fn of(surface: &Surface) -> Option<Self> {
        let until = surface.wait?.until();
        Some(Self { until, is_later: matches!(surface.telling(), Telling::Later(_)) })
    }
}

impl Agenda {
    /// Takes in that a surface has changed, or is gone.
    pub(crate) fn note(&mut self, key: &str, surface: Option<&Surface>) {
        let unsettled = surface.filter(|surface| !surface.is_settled());
        if unsettled.is_some() {
            self.unsettled.insert(key.to_owned());
            self.changed.insert(key.to_owned());
        } else if self.unsettled.remove(key) {
            self.changed.insert(key.to_owned());
        }
        let waiting = unsettled.and_then(Waiting::of);
        let before = match waiting {
            Some(waiting) => self.waiting.insert(key.to_owned(), waiting),
            None => self.waiting.remove(key),
        };
        if let Some(before) = before {
            self.waited_until.remove(&(before.until, key.to_owned()));
            self.later -= usize::from(before.is_later);
        }
        if let Some(waiting) = waiting {
            self.waited_until.insert((waiting.until, key.to_owned()));
            self.later += usize::from(waiting.is_later);
        }
    }

    /// Keys of those that are not settled.
    pub(crate) fn unsettled(&self) -> impl Iterator<Item = &String> {
        self.unsettled.iter()
    }

    /// How many are not settled, and not to be told later either.
    pub(crate) fn backlog(&self) -> usize {
        self.unsettled.len().saturating_sub(self.later)
    }

    /// Keys of those that had to wait until now, or less long.
    pub(crate) fn waited_until(&self, now: Timestamp) -> Vec<String> {
        self.waited_until.iter().take_while(|(until, _)| *until <= now).map(|(_, key)| key.clone()).collect()
    }

    /// Takes out of the files what has to be filed: what has changed, and what waited until now.
    pub(crate) fn take_due(&mut self, now: Now) -> BTreeSet<String> {
        let mut due = std::mem::take(&mut self.changed);
        due.extend(self.by_mono_ms.iter().take_while(|(at, _)| *at <= now.mono_ms).map(|(_, key)| key.clone()));
        for key in &due {
            self.take_out(key);
        }
        due
    }

    fn take_out(&mut self, key: &str) {
        let Some(filed) = self.filed.remove(key) else { return };
        if let Some((line, turn)) = filed.turn {
            remove(&mut self.lines, &line, &turn);
        }
        if let Some(channel) = filed.apart {
            remove(&mut self.apart, &channel, &key.to_owned());
        }
        if let Some(at) = filed.mono_ms {
            self.by_mono_ms.remove(&(at, key.to_owned()));
        }
    }

    /// Files a surface that is not settled; `urgency` of a call: the lower, the sooner it is made.
    pub(crate) fn file(&mut self, surface: &Surface, now: Now, urgency: impl Fn(&Surface, &Work) -> u8) {
        let key = &surface.key;
        let turn = surface.work(now.mono_ms).map(|work| {
            let turn = (urgency(surface, &work), surface.created_wall_ms, key.clone());
            ((surface.channel.clone(), Limit::of(&work)), turn)
        });
        let apart = may_be_folded(surface).then(|| surface.channel.clone());
        let times = [Some(surface.not_before_ms), surface.check_at_ms];
        let mono_ms = times.into_iter().flatten().filter(|at| *at > now.mono_ms).min();
        if let Some((line, turn)) = &turn {
            self.lines.entry(line.clone()).or_default().insert(turn.clone());
        }
        if let Some(channel) = &apart {
            self.apart.entry(channel.clone()).or_default().insert(key.clone());
        }
        self.by_mono_ms.extend(mono_ms.map(|at| (at, key.clone())));
        self.filed.insert(key.clone(), Filed { turn, apart, mono_ms });
    }

    /// Those that wait for the same limit of the same channel, the most urgent first; all as of when they were filed.
    pub(crate) fn lines(&self) -> impl Iterator<Item = impl Iterator<Item = &Turn>> {
        self.lines.values().map(BTreeSet::iter)
    }

    /// Alerts that a digest may take in, by channel; as of when they were filed.
    pub(crate) fn apart(&self) -> impl Iterator<Item = (&String, &BTreeSet<String>)> {
        self.apart.iter()
    }

    /// When the next one has waited long enough, if nothing changes before; monotonic, in milliseconds.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        self.by_mono_ms.first().map(|(at, _)| *at)
    }
}

fn remove<K: Ord, T: Ord>(all: &mut BTreeMap<K, BTreeSet<T>>, of: &K, what: &T) {
    if let Some(some) = all.get_mut(of) {
        some.remove(what);
        if some.is_empty() {
            all.remove(of);
        }
    }
}

/// Whether it is an alert that nobody has seen and that is to be told now, by itself or by a digest.
fn may_be_folded(surface: &Surface) -> bool {
    let is_free = surface.phase == Phase::Absent && surface.telling() == Telling::Now;
    is_free && matches!(surface.facts, Facts::Alert(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::Shard;
    use crate::surface::{AdminFacts, Outcome, Policy};

    const NOW: Now = Now { wall_ms: 1_000_000, mono_ms: 50_000 };
    const POLICY: Policy =
        Policy { reconcile_interval_ms: 1_000, give_up_ms: 1_000, board_interval_ms: 10_000, can_find: true };

    fn facts(number: u32) -> Facts {
        Facts::Admin(Box::new(AdminFacts::UnreadableEvents { partition: number, at: Timestamp::from_millis(0) }))
    }

    fn later(millis: u64) -> Now {
        Now { wall_ms: NOW.wall_ms + millis.cast_signed(), mono_ms: NOW.mono_ms + millis }
    }

    /// So many messages in one channel, all of them to be posted from now on.
    fn shard_with(count: u32) -> Shard {
        let mut shard = Shard::new(0, 1);
        for number in 0..count {
            let key = format!("admin/{number:06}");
            shard.insert(Surface::new(key, "C".to_owned(), facts(number), NOW.wall_ms, NOW.mono_ms));
        }
        shard
    }

    fn post(shard: &mut Shard, key: &str, now: Now) {
        let posted = crate::channel::Posted { channel: "C".to_owned(), ts: key.to_owned() };
        shard.change(key, |surface| {
            surface.claim(&Work::Post, 1, "double", now.wall_ms);
            surface.settle(&Work::Post, Outcome::Posted(posted), now.mono_ms, &POLICY);
        });
    }

    fn urgency(_: &Surface, work: &Work) -> u8 {
        u8::from(*work != Work::Post)
    }

    fn keys(shard: &Shard) -> Vec<String> {
        shard.lines().flatten().map(|surface| surface.key.clone()).collect()
    }

    #[test]
    fn what_is_looked_at_is_what_changed_however_much_there_is() {
        for (visible, waiting) in [(100, 100), (5_000, 100), (100, 5_000)] {
            let mut shard = shard_with(visible + waiting);
            assert_eq!(shard.look_through(NOW, urgency), (visible + waiting) as usize, "once, at the beginning");
            for number in 0..visible {
                post(&mut shard, &format!("admin/{number:06}"), NOW);
            }
            shard.look_through(NOW, urgency);
            assert_eq!(shard.look_through(later(1), urgency), 0, "nothing has changed");
            for number in 0..7 {
                shard.change(&format!("admin/{number:06}"), |surface| surface.desire(facts(9_000_000), NOW.wall_ms));
            }
            assert_eq!(shard.look_through(later(2), urgency), 7);
            assert_eq!(shard.lines().count(), 2, "posts and edits of one channel");
            assert_eq!(keys(&shard).len(), waiting as usize + 7);
            assert_eq!(shard.look_through(later(3), urgency), 0, "what waits in line is not looked at again");
        }
    }

    #[test]
    fn what_waits_is_looked_at_when_its_time_comes_and_not_before() {
        let mut shard = Shard::new(0, 1);
        for (key, wait_ms) in [("a", 300), ("b", 200)] {
            let surface = Surface::new(key.into(), "C".into(), facts(0), NOW.wall_ms, NOW.mono_ms + wait_ms);
            shard.insert(surface);
        }
        shard.look_through(NOW, urgency);
        assert_eq!(shard.next_due_ms(), Some(NOW.mono_ms + 200));
        assert_eq!((shard.look_through(later(199), urgency), keys(&shard).len()), (0, 0));
        assert_eq!((shard.look_through(later(200), urgency), keys(&shard)), (1, vec!["b".to_owned()]));
        assert_eq!((shard.look_through(later(300), urgency), keys(&shard)), (1, vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(shard.next_due_ms(), None);
    }

    #[test]
    fn what_is_settled_or_forgotten_is_in_no_line() {
        let mut shard = shard_with(3);
        shard.look_through(NOW, urgency);
        post(&mut shard, "admin/000000", NOW);
        shard.change("admin/000001", |surface| surface.phase = Phase::Gone);
        assert_eq!(shard.forget(NOW.wall_ms + 1, 100), 2);
        shard.look_through(NOW, urgency);
        assert_eq!((keys(&shard), shard.backlog()), (vec!["admin/000002".to_owned()], 1));
    }
}
