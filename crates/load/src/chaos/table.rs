//! What came of the rounds, for people and for programs.

use serde::Serialize;

use super::stage::Part;
use crate::broker::Running;
use crate::runs::Account;

/// What is done to a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// SIGKILL, and started again.
    Kill,
    /// SIGSTOP for ten seconds.
    Stall,
}

impl std::str::FromStr for Deed {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text {
            "kill" => Ok(Self::Kill),
            "stall" => Ok(Self::Stall),
            other => anyhow::bail!("unknown deed {other:?}: kill or stall"),
        }
    }
}

/// What came of one round.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    /// Its number, from 1.
    pub number: usize,
    /// What was done.
    pub deed: String,
    /// Reports over HTTP.
    pub http: Account,
    /// Reports straight onto the queue.
    pub direct: Account,
    /// What `ronda up` counted; `None` when it was killed, and its counts with it.
    pub counted: Option<Counted>,
    /// How long it took to be ready again, in milliseconds.
    pub ready_ms: u64,
    /// Entries in the error feed.
    pub refused: usize,
    /// Good jobs that were called missed, stale or failed, or had an alert.
    pub false_alarms: usize,
    /// Bad jobs.
    pub bad: usize,
    /// Their alerts.
    pub alerts: usize,
    /// What was wrong, in words.
    pub wrong: Vec<String>,
}

/// The pipeline's own count beside what clients sent, retries and registrations included.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Counted {
    /// Requests and messages that were confirmed.
    pub confirmed: u64,
    /// `ronda_processor_commands_applied_total` and `…_refused_total`, together.
    pub applied: u64,
    /// Requests and messages that were sent.
    pub sent: u64,
}

impl Counted {
    /// Whether no command was applied twice, as far as counts can tell, and none left out.
    #[must_use]
    pub const fn is_even(&self) -> bool {
        self.confirmed <= self.applied && self.applied <= self.sent
    }
}

/// All rounds of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Result {
    /// Which queue.
    pub queue: &'static str,
    /// Reports a second over HTTP, and straight onto the queue.
    pub rate: u64,
    /// See `rate`.
    pub direct_rate: u64,
    /// The rounds.
    pub rounds: Vec<Round>,
}

/// What a round does, for people.
#[must_use]
pub(super) fn deed(part: Part, deed: Deed, broker: Option<&Running>) -> String {
    match deed {
        Deed::Kill if part == Part::Broker => broker.map_or("nothing", Running::outage).to_owned(),
        Deed::Kill => format!("SIGKILL of the {}", part.name()),
        Deed::Stall => format!("SIGSTOP of the {} for 10 s", part.name()),
    }
}

impl Result {
    /// Whether every round was as it should be.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.rounds.is_empty() && self.rounds.iter().all(|round| round.wrong.is_empty())
    }

    /// Everything that was wrong, by round.
    #[must_use]
    pub fn wrong(&self) -> Vec<String> {
        let told = |round: &Round| {
            round.wrong.iter().map(|wrong| format!("round {}: {wrong}", round.number)).collect::<Vec<_>>()
        };
        self.rounds.iter().flat_map(told).collect()
    }

    /// A table in Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "{}: {} reports a second over HTTP, {} straight onto the queue\n\n\
             | round | what was done | sent | confirmed | applied | lost | doubled | of them direct (confirmed) | counted by `up` | ready after | false alarms | alerts of bad jobs | as it should be |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
            self.queue, self.rate, self.direct_rate
        );
        for round in &self.rounds {
            let (http, direct) = (&round.http, &round.direct);
            let counted = round.counted.map_or_else(|| String::from("–"), |counted| counted.applied.to_string());
            text.push_str(&format!(
                "| {} | {} | {} | {} | {} | {} | {} | {} | {counted} | {:.1} s | {} | {} of {} | {} |\n",
                round.number,
                round.deed,
                http.sent + direct.sent,
                http.confirmed + direct.confirmed,
                http.applied + direct.applied,
                http.lost + direct.lost,
                http.doubled + direct.doubled,
                direct.confirmed,
                std::time::Duration::from_millis(round.ready_ms).as_secs_f64(),
                round.false_alarms,
                round.alerts,
                round.bad,
                if round.wrong.is_empty() { "yes" } else { "NO" },
            ));
        }
        let sum = |pick: fn(&Account) -> u64| -> u64 {
            self.rounds.iter().map(|round| pick(&round.http) + pick(&round.direct)).sum()
        };
        text.push_str(&format!(
            "\n{} rounds: {} sent, {} confirmed, {} applied, {} lost, {} doubled\n",
            self.rounds.len(),
            sum(|account| account.sent),
            sum(|account| account.confirmed),
            sum(|account| account.applied),
            sum(|account| account.lost),
            sum(|account| account.doubled),
        ));
        text
    }
}
