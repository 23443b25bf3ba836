//! What is told of partitions that come and go. A test alone in its process: there is one recorder of metrics in each.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "helpers of tests; waits for a condition with a deadline"
)]

mod rig;
mod stage;

use std::sync::Arc;

use rig::{Rig, queue, wait_for};
use ronda_lease::{Ownership, Returned};
use ronda_processor::Config;
use ronda_runtime::telemetry::{self, TelemetryConfig};
use stage::Gateway;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_told_any_more_of_a_partition_that_was_given_up() {
    let config = TelemetryConfig { log_filter: "off".to_owned(), ..TelemetryConfig::default() };
    let metrics = telemetry::init(&config).unwrap();
    let rig = Rig::with(|path| queue(path, "commands", 2));
    let (mut owner, ownership) = Ownership::new();
    owner.assign([0, 1].into());
    let running = rig.start_with(Arc::clone(&rig.store), Config::default(), ownership);
    let mut gateway = Gateway::new(1);
    let frame = gateway.frame(7, &[]);
    for partition in [0, 1] {
        rig.commands.publish(partition, frame.clone()).await.unwrap();
    }
    // Counters count on.
    let of = |partition: u32| -> Vec<String> {
        let label = format!("partition=\"{partition}\"");
        let text = metrics.render();
        let lines = text.lines().filter(|line| line.contains(&label) && !line.contains("_total"));
        lines.map(str::to_owned).collect()
    };
    let has_all = |partition| {
        let told = of(partition).join(" ");
        ["watermark_timestamp_seconds", "lag_messages", "schedulers"].iter().all(|name| told.contains(name))
    };
    wait_for("the gauges", async || has_all(0) && has_all(1)).await;
    owner.assign([0].into());
    assert_eq!(owner.returned().await, Some(Returned::LetGo(1)));
    assert_eq!(of(1), Vec::<String>::new());
    assert!(has_all(0));
    owner.assign([0, 1].into());
    rig.commands.publish(1, gateway.frame(8, &[])).await.unwrap();
    wait_for("the gauges", async || has_all(1)).await;
    running.stop().await;
    assert_eq!([of(0), of(1)].concat(), Vec::<String>::new());
}
