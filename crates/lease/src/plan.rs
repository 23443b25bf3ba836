//! Who shall have which partition: balanced, with as few moves as possible, and the same whoever plans.

use std::collections::BTreeMap;

use ronda_schemas::lease::{MemberId, Slot};

/// What is to be thought of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It works, and takes what it is given.
    Live,
    /// It keeps what it has until it lets go of it, and gets nothing.
    Going,
    /// What it had is free.
    Dead,
}

/// The standing of each member; who is not in it is going.
pub(crate) type Standings = BTreeMap<MemberId, Standing>;

#[derive(Default)]
struct Load {
    /// Most that it shall have.
    quota: usize,
    /// What it shall have.
    targets: usize,
    /// What it has and shall keep.
    settled: usize,
    /// What it has and nobody shall have yet.
    homeless: usize,
}

/// The slots as they should be. Planning again what was planned changes nothing.
///
/// What nobody has is given to its target at once: who plans has seen that nobody works on it.
pub(crate) fn plan(slots: &[Slot], standings: &Standings) -> Vec<Slot> {
    let standing = |member: MemberId| standings.get(&member).copied().unwrap_or(Standing::Going);
    let holder = |slot: &Slot| slot.holder().filter(|member| standing(*member) != Standing::Dead);
    let holders: Vec<Option<MemberId>> = slots.iter().map(holder).collect();
    let wanted = |slot: &Slot| slot.target().filter(|member| standing(*member) == Standing::Live);
    let mut targets: Vec<Option<MemberId>> = slots.iter().map(wanted).collect();
    let live = standings.iter().filter(|(_, standing)| **standing == Standing::Live).map(|(member, _)| *member);
    let mut loads: BTreeMap<MemberId, Load> = live.map(|member| (member, Load::default())).collect();
    if !loads.is_empty() {
        count(&holders, &targets, &mut loads);
        share_out(slots.len(), &mut loads);
        take_from_the_full(&holders, &mut targets, &mut loads);
        give_to_the_others(&holders, &mut targets, &mut loads);
    }
    holders.into_iter().zip(targets).map(|(holder, target)| Slot::of(holder, target)).collect()
}

fn count(holders: &[Option<MemberId>], targets: &[Option<MemberId>], loads: &mut BTreeMap<MemberId, Load>) {
    for (holder, target) in holders.iter().zip(targets) {
        match (target.and_then(|target| loads.get_mut(&target)), holder) {
            (Some(load), holder) => {
                load.targets += 1;
                load.settled += usize::from(holder == target);
            }
            (None, Some(holder)) => {
                if let Some(load) = loads.get_mut(holder) {
                    load.homeless += 1;
                }
            }
            (None, None) => {}
        }
    }
}

/// Equal quotas; where they don't come out even, one more for those who have most.
fn share_out(slots: usize, loads: &mut BTreeMap<MemberId, Load>) {
    let (each, more) = (slots / loads.len(), slots % loads.len());
    let mut order: Vec<(&MemberId, &mut Load)> = loads.iter_mut().collect();
    // Stable, so the least id comes first among equals.
    order.sort_by_key(|(_, load)| std::cmp::Reverse((load.targets + load.homeless, load.settled)));
    for (at, (_, load)) in order.into_iter().enumerate() {
        load.quota = each + usize::from(at < more);
    }
}

/// Takes what is above the quotas: first what its member does not have yet, above all what could stay where it is.
fn take_from_the_full(
    holders: &[Option<MemberId>],
    targets: &mut [Option<MemberId>],
    loads: &mut BTreeMap<MemberId, Load>,
) {
    let cost = |holder: Option<MemberId>, target: MemberId, loads: &BTreeMap<MemberId, Load>| match holder {
        Some(holder) if holder == target => 2,
        Some(holder) if loads.contains_key(&holder) => 0,
        _ => 1,
    };
    let mut order: Vec<(u8, usize)> =
        (0..targets.len()).filter_map(|slot| Some((cost(holders[slot], targets[slot]?, loads), slot))).collect();
    order.sort_by_key(|(cost, slot)| (*cost, std::cmp::Reverse(*slot)));
    for (_, slot) in order {
        let Some(load) = targets[slot].and_then(|member| loads.get_mut(&member)) else { continue };
        if load.targets > load.quota {
            load.targets -= 1;
            targets[slot] = None;
        }
    }
}

/// Gives away what nobody shall have yet: to who has it, or else to who lacks most.
fn give_to_the_others(
    holders: &[Option<MemberId>],
    targets: &mut [Option<MemberId>],
    loads: &mut BTreeMap<MemberId, Load>,
) {
    for (target, holder) in targets.iter_mut().zip(holders).filter(|(target, _)| target.is_none()) {
        let Some(holder) = holder else { continue };
        if let Some(load) = loads.get_mut(holder).filter(|load| load.targets < load.quota) {
            load.targets += 1;
            *target = Some(*holder);
        }
    }
    for target in targets.iter_mut().filter(|target| target.is_none()) {
        let lack = |load: &Load| load.quota.saturating_sub(load.targets);
        // Of equals the least id.
        let most = loads.iter_mut().max_by_key(|(member, load)| (lack(load), std::cmp::Reverse(**member)));
        if let Some((member, load)) = most {
            load.targets += 1;
            *target = Some(*member);
        }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
