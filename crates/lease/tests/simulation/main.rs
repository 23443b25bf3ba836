//! Many replicas in virtual time: they join, leave, are killed, stand still and are cut off, and what must be true stays true.
//!
//! Each run follows from its seed. `RONDA_LEASE_SEED=<seed>` runs one, `RONDA_LEASE_SEEDS=<count>` more of them.

mod process;
mod quiet;
mod store;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ronda_lease::{LeaseConfig, MemberId};
use ronda_schemas::lease::Slot;
use tokio::time::{Instant, sleep};

use process::{Common, Habits, Process};
use store::{Disk, Faults, Random, Way};
use world::World;

const LEASE_MS: u64 = 10_000;
const BEAT_MS: u64 = LEASE_MS / 5;
/// Who is silent for a lease stopped giving signs of life up to a beat before, and what it gave may have been on its way for some seconds.
const EXCUSE_MS: u64 = LEASE_MS - 2 * BEAT_MS;
/// Who wakes up or is reconnected has read the table anew by then.
const NOTICES_WITHIN_MS: u64 = 8_000;
/// After so long all is as it should be, if nothing happens.
const SETTLES_WITHIN: Duration = Duration::from_millis(6 * LEASE_MS);

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
struct Setting {
    partitions: u32,
    /// What members take for the lease.
    lease_ms: u64,
    faults: Faults,
    habits: Habits,
}

const ROUGH: Setting = Setting {
    partitions: 16,
    lease_ms: LEASE_MS,
    faults: Faults { one_in: 40, delay_ms: 30, swaps_blindly: false },
    habits: Habits { let_go_ms: 800, lies: false },
};

const FINE: Setting = Setting {
    faults: Faults { one_in: 0, delay_ms: 4, swaps_blindly: false },
    habits: Habits { let_go_ms: 100, lies: false },
    ..ROUGH
};

struct Run {
    common: Common,
    random: Random,
    processes: Vec<Process>,
    /// Who stands still (false) or is cut off (true), and until when.
    troubled: BTreeMap<MemberId, (bool, Instant)>,
}

impl Run {
    fn new(seed: u64, setting: Setting) -> Self {
        let started = Instant::now() + Duration::from_secs(2_000);
        let common = Common {
            disk: Disk::new(setting.faults),
            world: Arc::new(World::new(Instant::now(), EXCUSE_MS, NOTICES_WITHIN_MS)),
            config: LeaseConfig { lease_ms: setting.lease_ms, ..LeaseConfig::default() },
            partitions: setting.partitions,
            habits: setting.habits,
            started: started - Duration::from_secs(2_000),
        };
        Self { common, random: Random::new(seed), processes: Vec::new(), troubled: BTreeMap::new() }
    }

    fn join(&mut self) {
        self.processes.push(Process::start(&self.common, &mut self.random));
    }

    fn any(&mut self) -> usize {
        let count = u64::try_from(self.processes.len()).expect("a count");
        usize::try_from(self.random.below(count)).expect("an index")
    }

    fn end_trouble(&mut self, member: MemberId) {
        let Some((is_cut, _)) = self.troubled.remove(&member) else { return };
        let Some(process) = self.processes.iter().find(|process| process.id == member) else { return };
        if is_cut {
            *process.way.lock() = Way::Open;
        } else {
            process.wake();
        }
        self.common.world.is_in_trouble(member, false);
    }

    fn begin_trouble(&mut self) {
        let at = self.any();
        let (id, is_cut) = (self.processes[at].id, self.random.one_in(2));
        if self.troubled.contains_key(&id) {
            return;
        }
        let lasts = Duration::from_millis(200 + self.random.below(3 * LEASE_MS));
        self.troubled.insert(id, (is_cut, Instant::now() + lasts));
        self.common.world.is_in_trouble(id, true);
        if is_cut {
            *self.processes[at].way.lock() = Way::Cut;
        } else {
            self.processes[at].stall();
        }
    }

    /// Lets time pass, and troubles that are over end.
    async fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            let over: Vec<MemberId> =
                self.troubled.iter().filter(|(_, (_, end))| *end <= Instant::now()).map(|(id, _)| *id).collect();
            for member in over {
                self.end_trouble(member);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn happens(&mut self) {
        match self.random.below(12) {
            0..=2 if self.processes.len() < 7 => self.join(),
            3 if self.processes.len() > 1 => {
                let at = self.any();
                let process = self.processes.swap_remove(at);
                self.troubled.remove(&process.id);
                process.wake();
                *process.way.lock() = Way::Open;
                process.leave(&self.common.world).await;
            }
            4..=5 if self.processes.len() > 1 => {
                let at = self.any();
                let process = self.processes.swap_remove(at);
                self.troubled.remove(&process.id);
                process.kill(&self.common.world).await;
            }
            6..=9 => self.begin_trouble(),
            // The store is away for everybody, or takes no writes: nobody is to be held for dead for that.
            10 => {
                let way = if self.random.one_in(2) { Way::Cut } else { Way::ReadOnly };
                *self.common.disk.way.lock() = way;
                self.common.world.is_out(true);
                let lasts = Duration::from_millis(self.random.below(3 * LEASE_MS));
                self.pass(lasts).await;
                *self.common.disk.way.lock() = Way::Open;
                self.common.world.is_out(false);
            }
            _ => {}
        }
        let pause = Duration::from_millis(self.random.below(8_000));
        self.pass(pause).await;
    }

    /// Trouble ends, and all settles.
    async fn settle(&mut self) {
        let troubled: Vec<MemberId> = self.troubled.keys().copied().collect();
        for member in troubled {
            self.end_trouble(member);
        }
        self.common.disk.heal();
        self.pass(SETTLES_WITHIN).await;
    }

    /// What is wrong once all has settled.
    fn wrongs(&self) -> Vec<String> {
        let mut wrongs = self.common.world.wrongs();
        let live: BTreeSet<MemberId> = self.processes.iter().map(|process| process.id).collect();
        let table = self.common.disk.table();
        let members: BTreeSet<MemberId> = table.members.iter().map(|row| row.id).collect();
        if members != live {
            wrongs.push(format!("rows of {members:?}, where {live:?} live"));
        }
        let workers = self.common.world.workers();
        let mut loads: BTreeMap<MemberId, usize> = live.iter().map(|member| (*member, 0)).collect();
        for (partition, slot) in (0..self.common.partitions).zip(&table.assignment.slots) {
            let none = BTreeSet::new();
            let working = workers.get(&partition).unwrap_or(&none);
            match slot {
                Slot::Held(member) if *working == BTreeSet::from([*member]) => {
                    *loads.entry(*member).or_default() += 1;
                }
                _ => wrongs.push(format!("partition {partition}: {slot:?} in the table, {working:?} at work")),
            }
        }
        let (least, most) = (loads.values().min().unwrap_or(&0), loads.values().max().unwrap_or(&0));
        if most - least > 1 || loads.values().sum::<usize>() != table.assignment.slots.len() {
            wrongs.push(format!("unbalanced: {loads:?}"));
        }
        wrongs
    }
}

impl Run {
    /// One that has settled.
    async fn settled(seed: u64, setting: Setting, members: usize) -> Self {
        let mut run = Self::new(seed, setting);
        for _ in 0..members {
            run.join();
        }
        run.settle().await;
        run.check();
        run.common.world.take_moves();
        run
    }

    /// Nothing is wrong.
    fn check(&self) {
        let wrongs = self.wrongs();
        assert!(wrongs.is_empty(), "{}\n{wrongs:#?}", self.common.world.story());
    }

    /// How many partitions a member works on.
    fn load(&self, member: MemberId) -> usize {
        self.common.world.workers().values().filter(|workers| workers.contains(&member)).count()
    }

    async fn end(self) {
        for process in self.processes {
            process.wake();
            process.kill(&self.common.world).await;
        }
    }
}

/// Runs something in virtual time.
fn virtually<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(work)
}

/// What is wrong after many things have happened, and what they were.
async fn rough_run(seed: u64, setting: Setting) -> (Vec<String>, String) {
    let mut run = Run::new(seed, setting);
    for _ in 0..=run.random.below(3) {
        run.join();
    }
    for _ in 0..25 {
        run.happens().await;
    }
    run.settle().await;
    let found = (run.wrongs(), run.common.world.story());
    run.end().await;
    found
}

fn seeds(usual: u64) -> Vec<u64> {
    let of = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    if let Some(seed) = of("RONDA_LEASE_SEED") {
        return vec![seed];
    }
    (1..=of("RONDA_LEASE_SEEDS").unwrap_or(usual)).collect()
}

#[test]
fn whatever_happens_all_is_held_once_and_balanced_in_the_end() {
    for seed in seeds(100) {
        let (wrongs, story) = virtually(rough_run(seed, ROUGH));
        assert!(wrongs.is_empty(), "{story}\nRONDA_LEASE_SEED={seed}: {wrongs:#?}");
    }
}

/// In how many of so many runs something is wrong.
fn wrong_runs(runs: u64, setting: Setting) -> usize {
    (1..=runs).filter(|seed| !virtually(rough_run(*seed, setting)).0.is_empty()).count()
}

/// The checks can fail: each of these mistakes is found.
#[test]
fn mistakes_are_found() {
    let hasty = Setting { lease_ms: LEASE_MS / 10, ..ROUGH };
    assert!(wrong_runs(10, hasty) >= 5, "members who hold others for dead before their time");
    let lying = Setting { habits: Habits { lies: true, ..ROUGH.habits }, ..ROUGH };
    assert!(wrong_runs(10, lying) >= 5, "services that let go before they have");
    // Slow enough for swaps to meet.
    let slow = Faults { delay_ms: 1_500, ..ROUGH.faults };

    assert_eq!(wrong_runs(30, Setting { faults: slow, ..ROUGH }), 0, "slowness alone");
    let blind = Faults { swaps_blindly: true, ..slow };
    assert!(wrong_runs(30, Setting { faults: blind, ..ROUGH }) >= 1, "swaps that cover each other");
}
