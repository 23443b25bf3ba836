//! Settings of a processor.

use ronda_domain::id::TenantId;
use thiserror::Error;

/// Settings of a processor. All partitions share them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How often each gateway pulses, in milliseconds; the gateways' own setting. More than three of them without any pulse are a gap.
    pub pulse_period_ms: u32,
    /// A gateway that stays silent while another one pulses for so many periods no longer holds the clock back.
    pub gateway_silent_periods: u32,
    /// Commits of a partition are at least this far apart, in milliseconds: under load more is collected, and heartbeats of one scheduler
    /// are one write, while the first commit after a pause, what somebody waits for, and alerts are committed at once, and what else is to be
    /// told to people within half a second. 0: commit what is there.
    pub commit_interval_ms: u32,
    /// So long after the store took a commit of a partition's owner, or answered that it is the owner, it is not asked; and so long an owner settles
    /// nothing after it has acquired a partition. In milliseconds, the same for all processors of a store.
    pub owner_proof_ms: u32,
    /// Most messages in hand that are not taken in yet.
    pub receive_messages: usize,
    /// Most bytes of them (one message may be larger).
    pub receive_bytes: usize,
    /// A commit is closed after the frame with which it has changed so many rows.
    pub commit_rows: usize,
    /// A commit is closed once it holds so many history entries, runs, errors and derived events together, in the middle of a
    /// frame if need be; one command's or one judgement's may pass it.
    pub commit_records: usize,
    /// How long history, error feeds and idempotency keys are kept, in seconds of the partitions' clock; 0: for ever.
    pub history_retention_seconds: u32,
    /// Most entries that one step of the clean-up looks at.
    pub purge_entries: usize,
    /// Scheduler rows read at once when a partition is loaded; more, the longer the way to the store is. Few: what a page took is given back
    /// piece by piece, and seldom to the system.
    pub load_rows: usize,
    /// Who may publish onto the command queue directly.
    pub direct_access: DirectAccess,
    /// Of one tenant's direct messages in one partition and minute of its clock, so many errors are told and so many dead letters kept; what is
    /// beyond is counted.
    pub direct_errors_per_minute: u32,
}

/// Who may publish onto the command queue directly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectAccess {
    /// Whoever the broker lets: its permissions say who may use which subject or queue, and for everything.
    Broker {
        /// Whose messages they are on brokers whose subjects name no tenant; `None`: such messages are refused.
        tenant: Option<TenantId>,
    },
    /// Whoever has an API key, which comes as header or attribute `x-api-key`, or `authorization` as `Bearer`.
    ApiKey,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pulse_period_ms: 1_000,
            gateway_silent_periods: 10,
            commit_interval_ms: 500,
            owner_proof_ms: 2_000,
            receive_messages: 512,
            receive_bytes: 4 << 20,
            commit_rows: 20_000,
            commit_records: 20_000,
            history_retention_seconds: 90 * 86_400,
            purge_entries: 1_000,
            load_rows: 128,
            direct_access: DirectAccess::Broker { tenant: None },
            direct_errors_per_minute: 100,
        }
    }
}

/// A setting that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{setting} is {value}, but must be {bounds}")]
pub struct ConfigError {
    /// Which setting.
    pub setting: &'static str,
    /// What it was set to.
    pub value: u64,
    /// What it may be.
    pub bounds: &'static str,
}

impl Config {
    /// Checks every setting.
    ///
    /// # Errors
    /// Every setting that can't be used, in the order of the fields.
    pub fn check(&self) -> Result<(), Vec<ConfigError>> {
        let size = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let checks = [
            ("pulse_period_ms", u64::from(self.pulse_period_ms), 10, 60_000, "10 to 60000"),
            ("gateway_silent_periods", u64::from(self.gateway_silent_periods), 5, 3_600, "5 to 3600"),
            ("commit_interval_ms", u64::from(self.commit_interval_ms), 0, 600_000, "at most 600000"),
            ("owner_proof_ms", u64::from(self.owner_proof_ms), 0, 300_000, "at most 300000"),
            ("receive_messages", size(self.receive_messages), 1, 4_096, "1 to 4096"),
            ("receive_bytes", size(self.receive_bytes), 1, 256 << 20, "1 byte to 256 MiB"),
            ("commit_rows", size(self.commit_rows), 1, 1_000_000, "1 to 1000000"),
            ("commit_records", size(self.commit_records), 1, 1_000_000, "1 to 1000000"),
            ("purge_entries", size(self.purge_entries), 1, 100_000, "1 to 100000"),
            ("load_rows", size(self.load_rows), 1, 100_000, "1 to 100000"),
            ("direct_errors_per_minute", u64::from(self.direct_errors_per_minute), 1, 100_000, "1 to 100000"),
        ];
        let wrong: Vec<_> = checks
            .into_iter()
            .filter(|(_, value, least, most, _)| value < least || value > most)
            .map(|(setting, value, _, _, bounds)| ConfigError { setting, value, bounds })
            .collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_setting_is_told_at_once() {
        assert!(Config::default().check().is_ok());
        let wrong = Config { pulse_period_ms: 0, receive_bytes: 0, ..Config::default() }.check().unwrap_err();
        assert_eq!(wrong.iter().map(|error| error.setting).collect::<Vec<_>>(), ["pulse_period_ms", "receive_bytes"]);
    }
}
