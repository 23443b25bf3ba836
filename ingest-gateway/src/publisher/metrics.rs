//! What the publisher counts.

use metrics::{Counter, counter, describe_counter};

/// Handles, made once.
pub(super) struct PublisherMetrics {
    frames: Counter,
    pulses: Counter,
    commands: Counter,
    bytes: Counter,
    failures: Counter,
    given_up: Counter,
}

impl PublisherMetrics {
    pub(super) fn new() -> Self {
        describe_counter!("ronda_gateway_frames_total", "Frames with commands that the queue confirmed");
        describe_counter!("ronda_gateway_pulses_total", "Empty frames that the queue confirmed");
        describe_counter!("ronda_gateway_frame_commands_total", "Commands in confirmed frames");
        describe_counter!("ronda_gateway_frame_bytes_total", "Bytes of confirmed frames");
        describe_counter!("ronda_gateway_publish_failures_total", "Attempts to publish a frame that failed");
        describe_counter!(
            "ronda_gateway_abandoned_commands_total",
            "Commands answered 503 because their frame was given up"
        );
        Self {
            frames: counter!("ronda_gateway_frames_total"),
            pulses: counter!("ronda_gateway_pulses_total"),
            commands: counter!("ronda_gateway_frame_commands_total"),
            bytes: counter!("ronda_gateway_frame_bytes_total"),
            failures: counter!("ronda_gateway_publish_failures_total"),
            given_up: counter!("ronda_gateway_abandoned_commands_total"),
        }
    }

    pub(super) fn frame(&self, commands: u32, bytes: usize) {
        if commands == 0 {
            self.pulses.increment(1);
        } else {
            self.frames.increment(1);
            self.commands.increment(u64::from(commands));
        }
        self.bytes.increment(bytes as u64);
    }

    pub(super) fn publish_failed(&self) {
        self.failures.increment(1);
    }

    pub(super) fn given_up(&self, commands: u32) {
        self.given_up.increment(u64::from(commands));
    }
}
