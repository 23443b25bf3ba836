//! How often a method may be called: Slack's tiers, with bursts. <https://docs.slack.dev/apis/web-api/rate-limits>

use std::collections::BTreeMap;

/// A rate: one call each `every_ms`, and so many at once.
#[derive(Clone, Copy, Debug)]
struct Rate {
    every_ms: u64,
    burst: u64,
}

impl Rate {
    const fn per_minute(calls: u64) -> Self {
        Self { every_ms: 60_000 / calls, burst: calls / 10 + 1 }
    }
}

/// "Generally allows posting one message a second per channel", with short bursts above it.
const POST: Rate = Rate { every_ms: 1_000, burst: 3 };
/// "Several hundred messages a minute" over a workspace.
const WORKSPACE: Rate = Rate { every_ms: 200, burst: 50 };

/// The tier on each method's page.
fn tier(method: &str) -> Rate {
    match method {
        "apps.connections.open" => Rate { every_ms: 60_000, burst: 5 },
        "auth.test" => Rate::per_minute(600),
        "users.info" | "chat.postEphemeral" => Rate::per_minute(100),
        // Tier 3: chat.update, chat.delete, conversations.history, conversations.replies, conversations.info.
        _ => Rate::per_minute(50),
    }
}

/// When the next call of each kind would be in time.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    due: BTreeMap<String, u64>,
}

impl Rates {
    /// Counts a call, or tells how many seconds it comes too early.
    pub(crate) fn take(&mut self, method: &str, channel: &str, now_micros: u64) -> Result<(), u64> {
        let wanted = if method == "chat.postMessage" {
            vec![(format!("{method} {channel}"), POST), ("workspace".to_owned(), WORKSPACE)]
        } else {
            vec![(method.to_owned(), tier(method))]
        };
        let mut taken = Vec::new();
        for (key, rate) in wanted {
            let every = rate.every_ms.saturating_mul(1_000);
            let due = self.due.get(&key).copied().unwrap_or(0).max(now_micros);
            let lead = every.saturating_mul(rate.burst.saturating_sub(1));
            let early = due.saturating_sub(now_micros.saturating_add(lead));
            if early > 0 {
                return Err(early.div_ceil(1_000_000).max(1));
            }
            taken.push((key, due.saturating_add(every)));
        }
        self.due.extend(taken);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls_that_pass(rates: &mut Rates, method: &str, channel: &str, now: u64) -> usize {
        (0..1_000).take_while(|_| rates.take(method, channel, now).is_ok()).count()
    }

    #[test]
    fn posts_are_one_a_second_and_channel_after_a_burst() {
        let mut rates = Rates::default();
        assert_eq!(calls_that_pass(&mut rates, "chat.postMessage", "C1", 0), 3);
        assert_eq!(rates.take("chat.postMessage", "C1", 0), Err(1));
        assert_eq!(calls_that_pass(&mut rates, "chat.postMessage", "C2", 0), 3, "another channel is free");
        assert_eq!(calls_that_pass(&mut rates, "chat.postMessage", "C1", 1_000_000), 1);
    }

    #[test]
    fn a_workspace_takes_so_many_in_all() {
        let mut rates = Rates::default();
        let passed: usize = (0..40).map(|n| calls_that_pass(&mut rates, "chat.postMessage", &format!("C{n}"), 0)).sum();
        assert_eq!(passed, 50);
    }

    #[test]
    fn edits_are_of_tier_three() {
        let mut rates = Rates::default();
        let minute: usize =
            (0..60).map(|second| calls_that_pass(&mut rates, "chat.update", "C1", second * 1_000_000)).sum();
        assert!((50..=56).contains(&minute), "{minute}");
    }
}
