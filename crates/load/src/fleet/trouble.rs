//! Which replica is broken next, and how: at random, from a seed.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::Settings;
use super::stage::{LEASE, Stage};

/// How long what was killed is gone.
const DOWN: Duration = Duration::from_secs(2);
/// How long a stall lasts: shorter and longer than a lease.
const STALLS_MS: std::ops::Range<u64> = 1_000..15_000;

/// How long before the restart of the broker something may be due that is judged after it; and a third of how long it takes until all is well.
const DEAF: Duration = Duration::from_secs(20);

/// How much longer than a lease a zombie stands still: so long its partitions have been somebody else's by then.
const DEAD_FOR: Duration = Duration::from_secs(3);
/// How long after a zombie has woken those are killed who have its partitions: it has written by then, and they may not have again.
const AWAKE_MS: std::ops::Range<u64> = 50..600;

/// What is to come.
pub(super) struct Trouble {
    random: Random,
    zombies_only: bool,
    every_ms: u64,
    /// When the broker is restarted.
    broker_at: Duration,
    /// What is left of that, and of the database's restart.
    restarts: [Option<Duration>; 2],
}

impl Trouble {
    pub(super) fn new(settings: &Settings) -> Self {
        let every_ms = u64::try_from(settings.every.as_millis()).unwrap_or(u64::MAX).max(2);
        Self {
            random: Random(settings.seed),
            zombies_only: settings.zombies,
            every_ms,
            broker_at: settings.duration / 3,
            restarts: [Some(settings.duration / 3), Some(settings.duration * 2 / 3)],
        }
    }

    /// Whether the broker is restarted about that time, so that what is due then may be due while it is away.
    pub(super) fn is_deaf_about(&self, elapsed: Duration) -> bool {
        (elapsed + DEAF).checked_sub(self.broker_at).is_some_and(|since| since < DEAF * 3)
    }

    /// Waits a while, and then does the next thing; answers what it was.
    pub(super) async fn next(&mut self, stage: &mut Stage, elapsed: Duration) -> Result<String> {
        sleep(Duration::from_millis(self.random.between(self.every_ms / 2..self.every_ms))).await;
        if self.zombies_only {
            return self.zombie(stage).await;
        }
        if self.restarts[0].is_some_and(|at| at <= elapsed) {
            self.restarts[0] = None;
            return stage.restart_broker(DOWN).await;
        }
        if self.restarts[1].is_some_and(|at| at <= elapsed) {
            self.restarts[1] = None;
            stage.restart_database(DOWN).await?;
            return Ok(String::from("SIGKILL of the database"));
        }
        let which = self.random.between(0..u64::try_from(stage.replicas.len())?);
        let (kills, stall_ms) = (self.random.between(0..2) == 0, self.random.between(STALLS_MS));
        let replica = &mut stage.replicas[usize::try_from(which)?];
        let name = replica.name.clone();
        if kills {
            replica.server.kill();
            sleep(DOWN).await;
            replica.server.restart()?;
            return Ok(format!("SIGKILL of {name}"));
        }
        replica.server.stall();
        sleep(Duration::from_millis(stall_ms)).await;
        replica.server.resume();
        Ok(format!("SIGSTOP of {name} for {:.1} s", Duration::from_millis(stall_ms).as_secs_f64()))
    }
}

impl Trouble {
    /// What a fence is for: a processor stands still until others have its partitions, wakes with what it had in hand, and the others die before long.
    async fn zombie(&mut self, stage: &mut Stage) -> Result<String> {
        let places: Vec<_> = (0..stage.replicas.len()).filter(|place| stage.replicas[*place].is_processor()).collect();
        let which = usize::try_from(self.random.between(0..u64::try_from(places.len())?))?;
        let zombie = places[which];
        stage.replicas[zombie].server.stall();
        sleep(LEASE + DEAD_FOR).await;
        stage.replicas[zombie].server.resume();
        let awake_ms = self.random.between(AWAKE_MS);
        sleep(Duration::from_millis(awake_ms)).await;
        let others = || places.iter().filter(|place| **place != zombie);
        others().for_each(|place| stage.replicas[*place].server.kill());
        sleep(DOWN).await;
        for place in others() {
            stage.replicas[*place].server.restart()?;
        }
        // Until every partition is somebody's again, and everybody has some.
        sleep(LEASE * 2).await;
        let name = &stage.replicas[zombie].name;
        Ok(format!(
            "SIGSTOP of {name} for {:.1} s, and {awake_ms} ms later SIGKILL of the others",
            (LEASE + DEAD_FOR).as_secs_f64()
        ))
    }
}

/// `SplitMix64`, by Sebastiano Vigna (public domain): the same seed, the same troubles.
struct Random(u64);

impl Random {
    fn between(&mut self, range: std::ops::Range<u64>) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let width = range.end.saturating_sub(range.start).max(1);
        range.start + (mixed ^ (mixed >> 31)) % width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_tells_all() {
        let draw = |seed| {
            let mut random = Random(seed);
            (0..100).map(|_| random.between(5..9)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert!(draw(7).iter().all(|drawn| (5..9).contains(drawn)));
        assert!((5..9).all(|number| draw(7).contains(&number)));
    }
}
