//! Metrics of the processor. Labels are partitions only, of which there are few.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use ronda_domain::time::Timestamp;
use ronda_runtime::telemetry::GONE;

use crate::core::{Counts, PartitionCore};

const WATERMARK: &str = "ronda_processor_watermark_timestamp_seconds";
const CLOCK_HELD: &str = "ronda_processor_clock_held_seconds";
const UNAPPLIED: &str = "ronda_processor_oldest_unapplied_timestamp_seconds";
const LAG_MESSAGES: &str = "ronda_queue_lag_messages";
const LAG_SECONDS: &str = "ronda_queue_lag_seconds";
const UNPUBLISHED: &str = "ronda_processor_unpublished_events";
const SCHEDULERS: &str = "ronda_processor_schedulers";
const LIVE_GATEWAYS: &str = "ronda_processor_live_gateways";
const SKEW: &str = "ronda_processor_gateway_skew_seconds";
/// What is told of a partition as it is: by its owner alone.
const OF_A_PARTITION: [&str; 9] =
    [WATERMARK, CLOCK_HELD, UNAPPLIED, LAG_MESSAGES, LAG_SECONDS, UNPUBLISHED, SCHEDULERS, LIVE_GATEWAYS, SKEW];

pub(super) fn describe() {
    let counters = [
        ("ronda_processor_frames_total", "Frames applied"),
        ("ronda_processor_repeated_frames_total", "Frames dropped because they had been applied before"),
        ("ronda_processor_commands_applied_total", "Commands applied"),
        ("ronda_processor_commands_refused_total", "Commands refused into their tenants' error feeds"),
        ("ronda_processor_ticks_total", "Times that a scheduler was judged"),
        ("ronda_processor_events_total", "Derived events"),
        ("ronda_processor_commits_total", "Commits made durable"),
        ("ronda_processor_blind_gaps_total", "Intervals in which nothing could be heard"),
        ("ronda_processor_lost_frames_total", "Frames that the queue confirmed and never delivered"),
        ("ronda_processor_dead_letters_total", "Messages that could not be read"),
        ("ronda_processor_direct_messages_total", "Messages taken that no gateway sent"),
        ("ronda_processor_repeated_messages_total", "Such messages dropped because they had been applied before"),
        ("ronda_processor_errors_suppressed_total", "Errors of such messages that were not told: there were too many"),
        (
            "ronda_processor_dead_letters_suppressed_total",
            "Such messages that could not be read and were not kept: there were too many",
        ),
        ("ronda_processor_dead_letters_dropped_total", "Dead letters that the dead-letter queue refused"),
        ("ronda_processor_restarts_total", "Times that a partition was taken up again after a failure"),
        ("ronda_processor_purged_entries_total", "Entries removed because their time was over"),
    ];
    for (name, text) in counters {
        describe_counter!(name, text);
    }
    describe_histogram!("ronda_processor_commit_seconds", Unit::Seconds, "How long a commit took, retries included");
    describe_gauge!(WATERMARK, Unit::Seconds, "The partition's clock, in Unix time");
    describe_gauge!(
        CLOCK_HELD,
        Unit::Seconds,
        "How far the partition's clock is ahead of its slowest gateway's, once that is more than a gap: nothing is judged so long"
    );
    describe_gauge!(
        UNAPPLIED,
        Unit::Seconds,
        "When the oldest frame was closed that was received and is in no commit yet, in Unix time; 0: there is none"
    );
    describe_gauge!(LAG_MESSAGES, "Messages of a command partition that are not settled");
    describe_gauge!(
        LAG_SECONDS,
        Unit::Seconds,
        "How old the oldest message of a command partition is that is not settled"
    );
    describe_gauge!(UNPUBLISHED, "Derived events that the store keeps because the event queue takes none");
    describe_gauge!(SCHEDULERS, "Schedulers held in memory");
    describe_gauge!(LIVE_GATEWAYS, "Gateways that hold the partition's clock");
    describe_gauge!(
        SKEW,
        Unit::Seconds,
        "How far the fastest live gateway's clock is ahead of the slowest's at least; a pulse that comes late counts as well"
    );
}

pub(super) fn stepped(counts: &Counts, dead_letters: usize) {
    counter!("ronda_processor_frames_total").increment(counts.frames);
    counter!("ronda_processor_repeated_frames_total").increment(counts.repeated_frames);
    counter!("ronda_processor_commands_applied_total").increment(counts.applied);
    counter!("ronda_processor_commands_refused_total").increment(counts.refused);
    counter!("ronda_processor_ticks_total").increment(counts.ticks);
    counter!("ronda_processor_events_total").increment(counts.events);
    counter!("ronda_processor_blind_gaps_total").increment(counts.blind_gaps);
    counter!("ronda_processor_lost_frames_total").increment(counts.lost_frames);
    counter!("ronda_processor_direct_messages_total").increment(counts.direct_messages);
    counter!("ronda_processor_repeated_messages_total").increment(counts.repeated_messages);
    counter!("ronda_processor_errors_suppressed_total").increment(counts.errors_left_out);
    counter!("ronda_processor_dead_letters_suppressed_total").increment(counts.letters_left_out);
    counter!("ronda_processor_dead_letters_total").increment(u64::try_from(dead_letters).unwrap_or(u64::MAX));
}

pub(super) fn committed(seconds: f64) {
    counter!("ronda_processor_commits_total").increment(1);
    histogram!("ronda_processor_commit_seconds").record(seconds);
}

/// When the oldest frame was closed that waits to be applied.
pub(super) fn unapplied(partition: u32, oldest: Option<Timestamp>) {
    gauge!(UNAPPLIED, "partition" => partition.to_string())
        .set(oldest.map_or(0.0, |oldest| as_f64(oldest.as_millis()) / 1_000.0));
}

/// How far a partition is behind.
#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(super) fn lag(partition: u32, messages: u64, age_ms: Option<u64>) {
    let label = partition.to_string();
    gauge!(LAG_MESSAGES, "partition" => label.clone()).set(messages as f64);
    if let Some(age_ms) = age_ms {
        gauge!(LAG_SECONDS, "partition" => label).set(age_ms as f64 / 1_000.0);
    }
}

pub(super) fn state(partition: u32, core: &PartitionCore) {
    let label = partition.to_string();
    if core.watermark() != Timestamp::MIN {
        gauge!(WATERMARK, "partition" => label.clone()).set(as_f64(core.watermark().as_millis()) / 1_000.0);
    }
    gauge!(CLOCK_HELD, "partition" => label.clone())
        .set(core.held().map_or(0.0, |held| as_f64(held.millis()) / 1_000.0));
    gauge!(UNPUBLISHED, "partition" => label.clone())
        .set(f64::from(u32::try_from(core.unpublished()).unwrap_or(u32::MAX)));
    gauge!(SCHEDULERS, "partition" => label.clone())
        .set(f64::from(u32::try_from(core.schedulers()).unwrap_or(u32::MAX)));
    gauge!(SKEW, "partition" => label.clone()).set(as_f64(core.skew_ms()) / 1_000.0);
    gauge!(LIVE_GATEWAYS, "partition" => label).set(f64::from(u32::try_from(core.live_gateways()).unwrap_or(u32::MAX)));
}

/// The partition is no longer this process's: what was told of it is no longer true.
pub(super) fn clear(partition: u32) {
    for name in OF_A_PARTITION {
        gauge!(name, "partition" => partition.to_string()).set(GONE);
    }
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds of this age are far below 2^53")]
const fn as_f64(millis: i64) -> f64 {
    millis as f64
}

pub(super) fn dead_letter_dropped() {
    counter!("ronda_processor_dead_letters_dropped_total").increment(1);
}

pub(super) fn restarted(partition: u32) {
    counter!("ronda_processor_restarts_total", "partition" => partition.to_string()).increment(1);
}

pub(super) fn purged(entries: usize) {
    counter!("ronda_processor_purged_entries_total").increment(u64::try_from(entries).unwrap_or(u64::MAX));
}
