//! What the agenda is compared with: every surface looked at.

use std::collections::BTreeMap;

use crate::core::Core;
use crate::core::calls::{Parent, parent_for, priority};
use crate::intake::Now;
use crate::surface::{Facts, Phase, Surface, Telling, Work};

impl Core {
    /// The most urgent call that may be made now: its shard, its surface and what it is.
    pub(super) fn most_urgent(&self, now: Now) -> Option<(u32, String, Work)> {
        let mut best: Option<((u8, i64, &str), u32, Work)> = None;
        for shard in self.shards.iter().filter(|shard| !shard.is_leaving) {
            for surface in shard.active() {
                let Some(work) = surface.work(now.mono_ms) else { continue };
                let is_looked_up = self.looked_up.contains(&(shard.id, surface.key.clone()));
                if is_looked_up || parent_for(shard, surface, &work) != Parent::Ready {
                    continue;
                }
                let order = (priority(surface, &work), surface.created_wall_ms, surface.key.as_str());
                if best.as_ref().is_none_or(|(least, _, _)| order < *least)
                    && self.pace.allows(&surface.channel, &work, now.mono_ms)
                {
                    best = Some((order, shard.id, work));
                }
            }
        }
        best.map(|((_, _, key), id, work)| (id, key.to_owned(), work))
    }

    /// What a digest may take in of each shard, by channel.
    pub(super) fn apart(&self) -> Vec<BTreeMap<String, Vec<String>>> {
        let alone = |surface: &&Surface| {
            let is_free = surface.phase == Phase::Absent && surface.telling() == Telling::Now;
            is_free && matches!(surface.facts, Facts::Alert(_))
        };
        let of_shard = |shard: &crate::shard::Shard| {
            let mut apart: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for alert in shard.active().filter(alone) {
                apart.entry(alert.channel.clone()).or_default().push(alert.key.clone());
            }
            apart
        };
        self.shards.iter().map(of_shard).collect()
    }
}
