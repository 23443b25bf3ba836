//! `ronda up` on a RabbitMQ of its own, which is short of memory, and which goes away.
#![cfg(feature = "rabbitmq")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod site;

use std::time::{Duration, Instant};

use ronda_testbed::RabbitMq;
use site::{At, Site, loudly, until};

const START: [&str; 5] = ["up", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
/// A command that waited for the broker takes half a minute.
const AT_ONCE: Duration = Duration::from_secs(10);

fn until_ready(site: &Site) {
    until("its screen says where the health is", || site.log().contains("/health/").then_some(()));
    until("it is ready", || site.health().starts_with("HTTP/1.1 200").then_some(()));
}

#[test]
fn what_is_wrong_with_rabbitmq_is_said_at_once_and_nothing_is_made_there_for_a_foreign_store() {
    let mut node = match RabbitMq::start() {
        Ok(node) => node,
        Err(missing) => return loudly(&format!("!! SKIPPED trouble with RabbitMQ: {missing:#}")),
    };
    let at = At::quick(RabbitMq::url(node.address()));
    let foreign = Site::new(&at, "foreign", &[]);
    foreign.up(&["--queue", "embedded:"]).stop_in_order().unwrap();
    foreign.refused(&START, 4, "belongs to the embedded queues");
    let made = node.control(&["list_exchanges", "name"]).unwrap();
    assert!(!made.contains("foreign"), "{made}");

    let site = Site::new(&at, "ronda", &[]);
    let up = site.up(&[]);
    until_ready(&site);
    assert_eq!(site.log().matches("all partitions are up").count(), 1, "{}", site.log());
    site.refused(&START, 4, &format!("another ronda (pid {}) has it open", up.pid().unwrap()));
    let lag = site.json(&["queue", "lag"]);
    assert!(lag["queues"][0]["partitions"][0]["bytes"].is_null(), "it can't be told: {lag}");

    node.memory_alarm(true).unwrap();
    until("it says what RabbitMQ lacks", || {
        site.health().contains("RabbitMQ takes nothing: low on memory").then_some(())
    });
    node.memory_alarm(false).unwrap();
    until_ready(&site);
    let told = site.log();
    assert_eq!(told.matches("RabbitMQ takes nothing: low on memory").count(), 1, "{told}");

    node.kill();
    until("it knows that the broker is away", || site.health().contains("is away").then_some(()));
    for command in [&["queue", "lag"][..], &["dead-letters", "list"], &["dead-letters", "discard", "--all"]] {
        let began = Instant::now();
        site.refused(command, 9, "can't be reached");
        assert!(began.elapsed() < AT_ONCE, "{command:?} took {:?}", began.elapsed());
    }
    node.restart().unwrap();
    until_ready(&site);
    assert!(site.done(&["dead-letters", "list"]).contains("There are no dead letters"));
}
