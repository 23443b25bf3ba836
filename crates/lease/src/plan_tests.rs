use proptest::prelude::*;

use super::*;

const MEMBERS: u64 = 7;

fn id(number: u64) -> MemberId {
    MemberId(number)
}

fn standings() -> impl Strategy<Value = Standings> {
    let standing = prop_oneof![
        4 => Just(Some(Standing::Live)),
        1 => Just(Some(Standing::Going)),
        1 => Just(Some(Standing::Dead)),
        1 => Just(None),
    ];
    proptest::collection::vec(standing, usize::try_from(MEMBERS).unwrap()).prop_map(|all| {
        let named = (0..).map(id).zip(all);
        named.filter_map(|(member, standing)| Some((member, standing?))).collect()
    })
}

fn slot() -> impl Strategy<Value = Slot> {
    let member = || (0..MEMBERS).prop_map(id);
    prop_oneof![
        1 => Just(Slot::Free),
        4 => member().prop_map(Slot::Held),
        2 => (member(), member()).prop_map(|(from, to)| Slot::of(Some(from), Some(to))),
    ]
}

fn settled_slot() -> impl Strategy<Value = Slot> {
    prop_oneof![1 => Just(Slot::Free), 6 => (0..MEMBERS).prop_map(|member| Slot::Held(id(member)))]
}

fn of(standings: &Standings, wanted: Standing) -> Vec<MemberId> {
    standings.iter().filter(|(_, standing)| **standing == wanted).map(|(member, _)| *member).collect()
}

fn count(slots: &[Slot], member: MemberId, role: impl Fn(&Slot) -> Option<MemberId>) -> usize {
    slots.iter().filter(|slot| role(slot) == Some(member)).count()
}

fn moves_of(slots: &[Slot]) -> usize {
    slots.iter().filter(|slot| matches!(slot, Slot::Moving { .. })).count()
}

fn check_balance(planned: &[Slot], live: &[MemberId]) -> Result<(), TestCaseError> {
    let loads: Vec<usize> = live.iter().map(|member| count(planned, *member, |slot| slot.target())).collect();
    prop_assert_eq!(loads.iter().sum::<usize>(), planned.len(), "each partition is wanted for one that lives");
    let (least, most) = (loads.iter().min(), loads.iter().max());
    prop_assert!(most.unwrap() - least.unwrap() <= 1, "{:?}", loads);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_there_was_is_balanced_and_stays(slots in proptest::collection::vec(slot(), 0..70), standings in standings()) {
        let planned = plan(&slots, &standings);
        prop_assert_eq!(plan(&planned, &standings), planned.clone(), "planned again");
        let live = of(&standings, Standing::Live);
        for (before, after) in slots.iter().zip(&planned) {
            let before = before.holder().filter(|holder| standings.get(holder) != Some(&Standing::Dead));
            if before.is_some() {
                prop_assert_eq!(before, after.holder(), "only death takes from a holder");
            } else {
                prop_assert_eq!(after.target(), after.holder(), "what is free is handed out");
            }
        }
        if live.is_empty() {
            prop_assert_eq!(moves_of(&planned), 0);
        } else {
            check_balance(&planned, &live)?;
        }
    }

    #[test]
    fn moves_are_as_few_as_can_be(slots in proptest::collection::vec(settled_slot(), 0..70), standings in standings()) {
        let live = of(&standings, Standing::Live);
        prop_assume!(!live.is_empty());
        let planned = plan(&slots, &standings);
        // Whoever lives keeps no more than its quota, and who has most gets the larger ones. What those have who go must move.
        let held = |member: &MemberId| count(&slots, *member, |slot| slot.holder());
        let mut loads: Vec<usize> = live.iter().map(held).collect();
        loads.sort_unstable_by_key(|load| std::cmp::Reverse(*load));
        let (each, more) = (slots.len() / live.len(), slots.len() % live.len());
        let kept: usize = loads.iter().enumerate().map(|(at, load)| (*load).min(each + usize::from(at < more))).sum();
        let dead: usize = of(&standings, Standing::Dead).iter().map(held).sum();
        let free = slots.iter().filter(|slot| slot.holder().is_none()).count();
        prop_assert_eq!(moves_of(&planned), slots.len() - kept - dead - free);
    }

    #[test]
    fn a_plan_under_way_is_not_torn_up(slots in proptest::collection::vec(slot(), 1..70), standings in standings()) {
        // Of what is on its way to somebody who lives, no more goes elsewhere than the balance wants.
        let live = of(&standings, Standing::Live);
        prop_assume!(!live.is_empty());
        let planned = plan(&slots, &standings);
        for member in live {
            let before = count(&slots, member, |slot| slot.target());
            let kept = slots.iter().zip(&planned).filter(|(before, after)| before.target() == Some(member) && after.target() == Some(member)).count();
            let after = count(&planned, member, |slot| slot.target());
            prop_assert_eq!(kept, before.min(after));
        }
    }
}

fn all_live(members: u64) -> Standings {
    (0..members).map(|member| (id(member), Standing::Live)).collect()
}

#[test]
fn who_joins_gets_its_share_and_nothing_else_moves() {
    let first = plan(&[Slot::Free; 1_024], &all_live(1));
    assert!(first.iter().all(|slot| *slot == Slot::Held(id(0))), "the first one takes all at once");
    let three = plan(&[Slot::Free; 1_024], &all_live(3));
    let four = plan(&three, &all_live(4));
    let moves = four.iter().filter(|slot| matches!(slot, Slot::Moving { to, .. } if *to == id(3))).count();
    assert_eq!(moves, 256);
    assert_eq!(four.iter().filter(|slot| matches!(slot, Slot::Held(_))).count(), 768);
}

#[test]
fn a_move_is_called_off_when_who_should_get_it_dies() {
    let both = plan(&plan(&[Slot::Free; 8], &all_live(1)), &all_live(2));
    assert_eq!(moves_of(&both), 4);
    let alone = Standings::from([(id(0), Standing::Live), (id(1), Standing::Dead)]);
    assert_eq!(plan(&both, &alone), [Slot::Held(id(0)); 8]);
}

#[test]
fn who_leaves_alone_keeps_what_it_has() {
    let leaving = Standings::from([(id(0), Standing::Going)]);
    assert_eq!(plan(&[Slot::Held(id(0)), Slot::Free], &leaving), [Slot::Held(id(0)), Slot::Free]);
}
