//! Owners that don't know yet that they are replaced, on a store that is atomic over single rows only.

mod stage;
mod zombie;

use zombie::{Slip, play};

const SEEDS: u64 = 4_000;

/// What is known not to hold: an entry of a history can stay as it was a judgement earlier. A dead owner's row lands after the next owner has
/// loaded it, that one is killed between its own earlier record of the entry and its row, and the third finds the row ahead and passes
/// over what would bring the record forward.
const BEHIND: [u64; 1] = [359];

/// Whether more is wrong than that.
fn shows_more(faults: &[String]) -> bool {
    faults.iter().any(|fault| fault != "occurrences differ" && fault != "runs differ")
}

#[test]
fn whatever_happens_between_any_two_steps_nothing_is_lost_or_counted_twice() {
    let played = (0..SEEDS).filter(|seed| !BEHIND.contains(seed)).map(|seed| (seed, play(seed, None)));
    let wrong: Vec<_> = played.filter(|(_, faults)| !faults.is_empty()).collect();
    assert!(wrong.is_empty(), "{} of {SEEDS}: {:?}", wrong.len(), wrong.iter().take(10).collect::<Vec<_>>());
}

#[test]
fn where_a_history_stays_behind_nothing_else_is_wrong() {
    for seed in BEHIND {
        let faults = play(seed, None);
        assert!(!faults.is_empty(), "seed {seed} is right now: take it out");
        assert!(!shows_more(&faults), "{seed}: {faults:?}");
    }
}

#[test]
fn each_rule_that_is_left_out_is_found() {
    // Those that are missed seldom have seeds of their own: they are needed all the same.
    let slips: [(Slip, &[u64]); 9] = [
        (Slip::NoFence, &[]),
        (Slip::NoEpochsOnRows, &[]),
        (Slip::NoSkip, &[]),
        (Slip::NoRewrite, &[6_772, 7_561, 7_896]),
        (Slip::NoOpeningCommit, &[1_152, 1_475, 2_265]),
        (Slip::NoProof, &[1_775, 7_758, 9_534]),
        (Slip::SettlesAtOnce, &[7_136, 12_668, 16_468]),
        (Slip::LateMoves, &[158, 187, 190]),
        (Slip::RecordsAmongRows, &[170, 204, 459]),
    ];
    for (slip, seeds) in slips {
        let seeds = seeds.iter().copied().chain(0..200);
        let found = seeds.filter(|seed| shows_more(&play(*seed, Some(slip)))).count();
        assert!(found > 0, "{slip:?} is not found any more");
    }
}
