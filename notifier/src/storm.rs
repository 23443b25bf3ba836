//! Storms: when many alerts come at once, or have piled up during an outage, they become one digest.

mod aloud;
mod below;
mod entries;
mod unseen;

use crate::config::Config;
use crate::hash::fnv64;
use crate::intake::Now;
use crate::manners::Manners;
use crate::shard::Shard;
use crate::surface::{Phase, Surface};

pub(crate) use aloud::Aloud;
pub(crate) use entries::follow;
pub(crate) use unseen::release_unseen;

/// A digest takes in more for so many storm windows after it was first seen: what comes later is worth a new post, which
/// somebody notices.
const OPEN_WINDOWS: u64 = 3;

/// Remembers when alerts were posted one by one, and which digest is being filled.
#[derive(Debug, Default)]
pub(crate) struct Storm {
    /// In which channel, and when.
    posted_ms: Vec<(String, u64)>,
    open: Vec<Open>,
}

/// A digest that takes in more.
#[derive(Debug)]
struct Open {
    shard: u32,
    channel: String,
    key: String,
    /// Until when, if nothing else comes.
    until_ms: u64,
    /// Since when it is visible. Before that, nobody misses anything that goes into it.
    seen_ms: Option<u64>,
    /// What its post says aloud, as it was claimed last.
    said: Option<Aloud>,
}

impl Open {
    fn takes_more(&self, now_ms: u64, window_ms: u64) -> bool {
        self.seen_ms.is_none_or(|seen| now_ms < self.until_ms && now_ms < seen + window_ms * OPEN_WINDOWS)
    }

    /// Takes those who may join it from among those who wait: while it is still to be posted, all whom that post can call for; then those of
    /// whom the post has said all that only a post can say.
    fn take(
        &self,
        shard: &Shard,
        config: &Config,
        manners: &Manners,
        waiting: &mut Vec<String>,
        now: Now,
    ) -> Vec<String> {
        let capabilities = manners.of(&self.channel).capabilities;
        let digest = shard.get(&self.key);
        let is_to_be_posted = digest.is_none_or(|digest| digest.phase == Phase::Absent);
        let mut said = match &self.said {
            // Under the same id again, perhaps: who has it drops what comes second, with whatever is new in it.
            Some(_) if is_to_be_posted && !capabilities.can_find => return Vec::new(),
            Some(said) if !is_to_be_posted && capabilities.can_edit => said.clone(),
            _ if is_to_be_posted => digest.map(|digest| Aloud::of(shard, config, digest, now)).unwrap_or_default(),
            _ => return Vec::new(),
        };
        let may_join = |key: &String| {
            let Some(alert) = shard.get(key) else { return false };
            let aloud = Aloud::of(shard, config, alert, now);
            if said.covers(&aloud) {
                return true;
            }
            let together = said.with(&aloud).filter(|_| is_to_be_posted);
            together.map(|together| said = together).is_some()
        };
        let (joining, others) = std::mem::take(waiting).into_iter().partition(may_join);
        *waiting = others;
        joining
    }
}

impl Storm {
    /// An alert was posted by itself.
    pub(crate) fn posted(&mut self, channel: &str, now_ms: u64) {
        self.posted_ms.push((channel.to_owned(), now_ms));
    }

    /// A post is claimed that says this aloud.
    pub(crate) fn says(&mut self, shard: u32, key: &str, aloud: Aloud) {
        if let Some(open) = self.open.iter_mut().find(|open| open.shard == shard && open.key == key) {
            open.said = Some(aloud);
        }
    }

    /// A shard is not ours any more: its open digest is somebody else's.
    pub(crate) fn forget(&mut self, shard: u32) {
        self.open.retain(|open| open.shard != shard);
    }

    /// Folds what waits into a digest when it is too much for single messages.
    pub(crate) fn fold(&mut self, shard: &mut Shard, config: &Config, manners: &Manners, now: Now) {
        let window_ms = config.storm_window_seconds.saturating_mul(1_000);
        self.posted_ms.retain(|(_, posted)| now.mono_ms < posted + window_ms);
        for open in self.open.iter_mut().filter(|open| open.shard == shard.id && open.seen_ms.is_none()) {
            if shard.get(&open.key).is_some_and(|surface| surface.applied.is_some()) {
                open.seen_ms = Some(now.mono_ms);
            }
        }
        // What somebody deleted, or nobody can edit, shows nothing that is folded into it.
        let takes_edits = |surface: &Surface| surface.phase != Phase::Gone && !surface.fixed;
        let there = |open: &Open| shard.get(&open.key).is_some_and(takes_edits);
        self.open.retain(|open| open.takes_more(now.mono_ms, window_ms) && (open.shard != shard.id || there(open)));
        for (channel, waiting) in shard.alerts_apart() {
            self.fold_channel(shard, config, manners, &channel, waiting, now);
        }
    }

    fn fold_channel(
        &mut self,
        shard: &mut Shard,
        config: &Config,
        manners: &Manners,
        channel: &str,
        mut waiting: Vec<String>,
        now: Now,
    ) {
        let until_ms = now.mono_ms + config.storm_window_seconds.saturating_mul(1_000);
        let id = shard.id;
        for open in self.open.iter_mut().filter(|open| open.shard == id && open.channel == channel) {
            let joining = open.take(shard, config, manners, &mut waiting, now);
            if !joining.is_empty() {
                open.until_ms = until_ms;
                entries::fold_into(shard, channel, &open.key, &joining, now);
            }
        }
        // Whom no open digest may take in silence is judged as if there were none.
        let posted = self.posted_ms.iter().filter(|(place, _)| place == channel).count();
        if waiting.len() + posted <= config.storm_threshold || waiting.len() < 2 {
            return;
        }
        let own = if channel == config.channel { String::new() } else { format!("/{:016x}", fnv64(channel)) };
        let free_key = (now.wall_ms..).map(|at| format!("d/{at:016}{own}")).find(|key| shard.get(key).is_none());
        let Some(key) = free_key else { return };
        let open = Open { shard: id, channel: channel.to_owned(), key, until_ms, seen_ms: None, said: None };
        let joining = open.take(shard, config, manners, &mut waiting, now);
        entries::fold_into(shard, &open.channel, &open.key, &joining, now);
        self.open.push(open);
    }
}
