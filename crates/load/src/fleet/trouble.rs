//! Which replica is broken next, and how: at random, from a seed.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::Settings;
use super::stage::Stage;

/// How long what was killed is gone.
const DOWN: Duration = Duration::from_secs(2);
/// How long a stall lasts: shorter and longer than a lease.
const STALLS_MS: std::ops::Range<u64> = 1_000..15_000;

/// What is to come.
pub(super) struct Trouble {
    random: Random,
    every_ms: u64,
    /// When the broker is restarted, and when the database.
    restarts: [Option<Duration>; 2],
}

impl Trouble {
    pub(super) fn new(settings: &Settings) -> Self {
        let every_ms = u64::try_from(settings.every.as_millis()).unwrap_or(u64::MAX).max(2);
        Self {
            random: Random(settings.seed),
            every_ms,
            restarts: [Some(settings.duration / 3), Some(settings.duration * 2 / 3)],
        }
    }

    /// Waits a while, and then does the next thing; answers what it was.
    pub(super) async fn next(&mut self, stage: &mut Stage, elapsed: Duration) -> Result<String> {
        sleep(Duration::from_millis(self.random.between(self.every_ms / 2..self.every_ms))).await;
        if self.restarts[0].is_some_and(|at| at <= elapsed) {
            self.restarts[0] = None;
            stage.restart_broker(DOWN).await?;
            return Ok(String::from("SIGKILL of the broker"));
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
