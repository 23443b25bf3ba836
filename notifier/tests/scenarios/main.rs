//! What a person sees in Slack, scenario by scenario, through the whole notifier: by one replica and by two that share the partitions through
//! real leases, over real HTTP and on the embedded store.
//!
//! With `RONDA_SCENARIOS_TABLE=<file>` a Markdown table of what was seen is written there.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod alerts;
mod answers;
mod clock;
mod destination;
mod scene;
mod table;
