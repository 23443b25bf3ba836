//! How much of everything a tenant may say; beyond it, input is refused by name rather than cut.

/// Longest scheduler name, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 200;
/// Longest description, in bytes of UTF-8.
pub const MAX_DESCRIPTION_BYTES: usize = 2_000;
/// Longest team or environment, in bytes of UTF-8.
pub const MAX_LABEL_BYTES: usize = 100;
/// Most tags on one scheduler.
pub const MAX_TAGS: usize = 20;
/// Longest tag, in bytes of UTF-8.
pub const MAX_TAG_BYTES: usize = 64;
/// Longest runbook URL, in bytes.
pub const MAX_URL_BYTES: usize = 2_000;
/// Longest cron expression, in bytes.
pub const MAX_CRON_BYTES: usize = 256;
/// Longest period, grace or time-out, in seconds: 366 days.
pub const MAX_SECONDS: u32 = 366 * 86_400;
/// Shortest period of an `every_seconds` schedule, in seconds.
pub const MIN_INTERVAL_SECONDS: u32 = 1;
/// Greatest `alert_after` and `recover_after`.
pub const MAX_THRESHOLD: u8 = 100;
/// Longest error text of a status, in bytes of UTF-8.
pub const MAX_ERROR_BYTES: usize = 4_096;
/// Longest progress message, in bytes of UTF-8.
pub const MAX_PROGRESS_MESSAGE_BYTES: usize = 256;
/// Most pairs in a status's metadata.
pub const MAX_METADATA_PAIRS: usize = 16;
/// Longest metadata key, in bytes of UTF-8.
pub const MAX_METADATA_KEY_BYTES: usize = 64;
/// Longest metadata value, in bytes of UTF-8.
pub const MAX_METADATA_VALUE_BYTES: usize = 256;
/// Longest id of somebody who acknowledges or mutes, in bytes of UTF-8; a longer one is cut.
pub const MAX_ACTOR_ID_BYTES: usize = 128;
/// Longest name of somebody who acknowledges or mutes, in bytes of UTF-8; a longer one is cut.
pub const MAX_ACTOR_NAME_BYTES: usize = 100;
/// Longest name of where they said so, in bytes of UTF-8; a longer one is cut.
pub const MAX_ACTOR_SOURCE_BYTES: usize = 32;
/// Longest id of an alert, in bytes: far more than any has.
pub const MAX_ALERT_ID_BYTES: usize = 512;
/// Most messages that acknowledged, muted or unmuted by which a copy of one is recognised.
pub const MAX_KNOWN_SAID: usize = 8;
/// Longest mute, in seconds: 30 days.
pub const MAX_MUTE_SECONDS: u32 = 30 * 86_400;
/// Most runs of one scheduler that are open at once; one more ends the oldest as `unknown`.
pub const MAX_OPEN_RUNS: usize = 32;
/// Most ended runs of one scheduler kept whole so that a contradicting word on them finds them.
pub const MAX_ENDED_RUNS: usize = 1;
/// How long an ended run is kept whole after a run of another history entry has started, in seconds: one hour. Before that, and
/// while nothing newer has started, it waits for a contradicting word however long.
pub const MAX_ENDED_SECONDS: u32 = 3_600;
/// Most stale or unknown runs of one scheduler kept whole so that their end, if it still comes, finds them.
pub const MAX_STALE_RUNS: usize = 8;
/// Most runs of one scheduler kept between two ticks; one more settles them at once.
pub const MAX_KEPT_RUNS: usize = 64;
/// Most heartbeats of a run by which a copy of one is recognised.
pub const MAX_KNOWN_HEARTBEATS: usize = 4;
/// Most messages without a run id kept between two ticks; one more settles the oldest.
pub const MAX_PENDING: usize = 64;
/// How many of the newest history entries of one scheduler are kept whole so that a late word on them is a correction, beside
/// those whose runs are kept.
pub const MAX_KEPT_OCCURRENCES: usize = 1;
/// Most started occurrences remembered while an earlier one's long grace still runs; beyond it that one's grace ends.
pub const MAX_FILLED_AHEAD: usize = 256;
/// How many of the last good runs tell how long one usually takes.
pub const MAX_KEPT_DURATIONS: usize = 3;
/// Most corrections kept of one history entry.
pub const MAX_CORRECTIONS: usize = 16;
/// Most due times judged by one tick; the next tick goes on.
pub const MAX_DUES_PER_TICK: usize = 1_000;
/// Most blind intervals remembered at once; one more is joined to its neighbour.
pub const MAX_GAPS: usize = 8;
/// Longest error text in a derived event, in bytes of UTF-8; the run's record has it whole.
pub const MAX_EVENT_ERROR_BYTES: usize = 500;
/// Most forgotten runs (as hashes) by which a copy with a later receive time is still recognised; older ones by their time.
pub const MAX_FORGOTTEN_RUNS: usize = 64;
/// How many of them are kept however old they are; more only for [`FORGOTTEN_SECONDS`].
pub const MIN_FORGOTTEN_RUNS: usize = 8;
/// How long the others are kept, in seconds: one hour. So only a scheduler with many runs an hour takes memory for them.
pub const FORGOTTEN_SECONDS: u32 = 3_600;
/// Most of them that were heard of since the latest tick: their time says nothing, because new messages are of the same.
pub const MAX_FORGOTTEN_AT_ONCE: usize = 1_024;
/// Clocks of those that receive messages may be this far apart, in milliseconds, before an order of cause and effect is lost.
pub const CLOCKS_APART_MS: i64 = 5_000;
