//! One thing at a time, with a store that works: nothing moves that need not, and what moves is quick.

use std::time::Duration;

use ronda_schemas::lease::Slot;
use tokio::time::{Instant, timeout};

use crate::process::Habits;
use crate::store::{Faults, Way};
use crate::{FINE, LEASE_MS, Run, Setting, seeds, virtually};

/// From letting go of a partition to working on it elsewhere, when it was planned.
const QUICK_MS: u64 = 200;

#[test]
fn joins_departures_and_deaths_move_what_they_must_and_no_more() {
    for seed in seeds(8) {
        virtually(async {
            let mut run = Run::settled(seed, Setting { partitions: 64, ..FINE }, 3).await;
            run.join();
            run.settle().await;
            run.check();
            let (moves, pause_ms) = run.common.world.take_moves();
            assert_eq!(moves, 16, "seed {seed}: a fourth one gets its quarter");
            assert!(pause_ms <= QUICK_MS, "seed {seed}: {pause_ms} ms");

            let at = run.any();
            let leaving = run.processes.swap_remove(at);
            leaving.leave(&run.common.world).await;
            run.settle().await;
            run.check();
            let (moves, pause_ms) = run.common.world.take_moves();
            assert_eq!(moves, 16, "seed {seed}: what it had");
            assert!(pause_ms <= QUICK_MS, "seed {seed}: {pause_ms} ms");

            let at = run.any();
            let killed = run.processes.swap_remove(at);
            let load = run.load(killed.id);
            killed.kill(&run.common.world).await;
            run.settle().await;
            run.check();
            let (moves, pause_ms) = run.common.world.take_moves();
            assert_eq!(moves, load, "seed {seed}: what it had");
            let period = LEASE_MS - 2_000..LEASE_MS + 2_000;
            assert!(period.contains(&pause_ms), "seed {seed}: {pause_ms} ms");
            run.end().await;
        });
    }
}

#[test]
fn a_thousand_partitions_move_in_few_swaps() {
    for seed in seeds(4) {
        virtually(async {
            let mut run = Run::settled(seed, Setting { partitions: 1_024, ..FINE }, 3).await;
            let before = run.common.disk.swaps();
            run.join();
            run.settle().await;
            run.check();
            let (moves, pause_ms) = run.common.world.take_moves();
            assert_eq!(moves, 256);
            assert!(pause_ms <= QUICK_MS, "seed {seed}: {pause_ms} ms");
            let after = run.common.disk.swaps();
            // One plan; and three members give on in a few goes what their services let go of within 100 ms.
            let (swaps, lost) = (after.0 - before.0, after.1 - before.1);
            assert!(swaps <= 1 + 3 * 3 && lost <= 6, "seed {seed}: {swaps} swaps, {lost} too late");
            run.end().await;
        });
    }
}

#[test]
fn who_start_together_make_few_swaps_and_only_the_moves_needed() {
    for seed in seeds(4) {
        virtually(async {
            let mut run = Run::new(seed, Setting { partitions: 1_024, ..FINE });
            for _ in 0..4 {
                run.join();
            }
            run.settle().await;
            run.check();
            let (moves, _) = run.common.world.take_moves();
            assert!(moves <= 768, "seed {seed}: {moves} moves");
            let (swaps, lost) = run.common.disk.swaps();
            assert!(swaps <= 16 && lost <= 16, "seed {seed}: {swaps} swaps, {lost} too late");
            run.end().await;
        });
    }
}

#[test]
fn who_stood_still_for_a_minute_drops_all_and_joins_again() {
    virtually(async {
        let mut run = Run::settled(1, FINE, 3).await;
        let still = run.any();
        let id = run.processes[still].id;
        assert!(run.load(id) >= 5);
        run.common.world.is_in_trouble(id, true);
        run.processes[still].stall();
        run.pass(Duration::from_secs(60)).await;
        let held = run.common.disk.table().assignment.slots.iter().any(|slot| slot.holder() == Some(id));
        assert!(!held, "others have taken over");
        assert!(!run.common.disk.table().members.iter().any(|row| row.id == id));
        run.processes[still].wake();
        run.common.world.is_in_trouble(id, false);
        run.pass(Duration::from_millis(200)).await;
        assert_eq!(run.load(id), 0, "it has noticed");
        run.settle().await;
        run.check();
        assert!(run.load(id) >= 5, "it has its share again");
        run.end().await;
    });
}

#[test]
fn a_service_that_does_not_let_go_keeps_until_it_dies() {
    virtually(async {
        let habits = Habits { let_go_ms: 1_000 * LEASE_MS, lies: false };
        let mut run = Run::settled(3, Setting { habits, ..FINE }, 1).await;
        run.join();
        run.settle().await;
        let [first, second] = [run.processes[0].id, run.processes[1].id];
        let slots = run.common.disk.table().assignment.slots;
        let moving = slots.iter().filter(|slot| **slot == Slot::Moving { from: first, to: second }).count();
        assert_eq!((moving, run.load(second)), (8, 0), "only let go of, it goes on");
        let killed = run.processes.swap_remove(0);
        killed.kill(&run.common.world).await;
        run.settle().await;
        run.check();
        assert_eq!(run.load(second), 16);
        run.end().await;
    });
}

#[test]
fn leaving_ends_in_time_and_so_does_that_of_the_last() {
    virtually(async {
        for (way, let_go_ms) in [(Way::Open, 1_000 * LEASE_MS), (Way::Cut, 50), (Way::ReadOnly, 50)] {
            let setting = Setting { habits: Habits { let_go_ms, lies: false }, ..FINE };
            let mut run = Run::settled(5, setting, 2).await;
            *run.common.disk.way.lock() = way;
            let began = Instant::now();
            let leaving = run.processes.swap_remove(0);
            // 30 s, and no more than two calls.
            let left = timeout(Duration::from_secs(40), leaving.leave(&run.common.world)).await;
            assert!(left.is_ok(), "{way:?}");
            assert!(began.elapsed() >= Duration::from_secs(30), "{way:?}: until then it may yet be done in order");
            run.settle().await;
            run.check();
            run.end().await;
        }
        let mut run = Run::settled(6, FINE, 1).await;
        let last = run.processes.swap_remove(0);
        let left = timeout(Duration::from_secs(3), last.leave(&run.common.world)).await;
        assert!(left.is_ok(), "nobody is there to wait for");
        let table = run.common.disk.table();
        assert!(table.members.is_empty() && table.assignment.slots == [Slot::Free; 16]);
        run.join();
        run.settle().await;
        run.check();
        run.end().await;
    });
}

#[test]
fn no_outage_of_the_store_moves_anything() {
    virtually(async {
        for way in [Way::Cut, Way::ReadOnly] {
            let mut run = Run::settled(7, Setting { faults: Faults { one_in: 0, ..FINE.faults }, ..FINE }, 4).await;
            for seconds in [1, 5, 9, 12, 60, 600] {
                *run.common.disk.way.lock() = way;
                run.pass(Duration::from_secs(seconds)).await;
                *run.common.disk.way.lock() = Way::Open;
                run.pass(Duration::from_secs(30)).await;
                run.check();
                assert_eq!(run.common.world.take_moves(), (0, 0), "{way:?} for {seconds} s");
            }
            run.end().await;
        }
    });
}
