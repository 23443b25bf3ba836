//! A process killed in the middle of its load loses nothing that it confirmed.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ronda_queue::{EmbeddedOptions, EmbeddedQueue, Position, Queue, ReceiveLimit};

const DIR: &str = "RONDA_QUEUE_CRASH_TEST_DIR";
const ROUND: &str = "RONDA_QUEUE_CRASH_TEST_ROUND";
const PARTITIONS: u32 = 4;
const PUBLISHERS: u32 = 64;

fn options() -> EmbeddedOptions {
    EmbeddedOptions {
        partitions: PARTITIONS,
        max_bytes: 256 << 20,
        segment_bytes: 1 << 20,
        tail_bytes: 64 << 10,
        ..EmbeddedOptions::default()
    }
}

/// Not a test of its own: the process that is killed. Publishes and prints each confirmation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_publishes_until_it_is_killed() {
    let (Ok(dir), Ok(round)) = (std::env::var(DIR), std::env::var(ROUND)) else { return };
    let queue = Arc::new(EmbeddedQueue::open(dir, options()).expect("open"));
    // Ends by itself if nobody kills it.
    let end = Instant::now() + Duration::from_secs(60);
    let publishers = (0..PUBLISHERS).map(|publisher| {
        let (queue, round) = (Arc::clone(&queue), round.clone());
        tokio::spawn(async move {
            for number in 0_u32.. {
                let partition = (publisher + number) % PARTITIONS;
                let id = format!("{round}/{publisher}/{number}");
                let mut message = id.clone().into_bytes();
                message.resize(message.len() + (number as usize * 37) % 900, b' ');
                if Instant::now() > end {
                    return;
                }
                let published = queue.publish(partition, Bytes::from(message)).await.expect("publish");
                println!("confirmed {partition} {} {id}", published.position.expect("position"));
            }
        })
    });
    for publisher in publishers.collect::<Vec<_>>() {
        publisher.await.expect("publisher");
    }
}

/// Kills the child however the test ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lets a child publish until so many confirmations came, kills it, and returns all that it printed.
fn run_and_kill(dir: &Path, round: u32, confirmations: usize) -> Vec<(u32, Position, String)> {
    let mut child = Killed(
        Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "child_publishes_until_it_is_killed", "--nocapture"])
            .env(DIR, dir)
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the child"),
    );
    let mut lines = BufReader::new(child.0.stdout.take().expect("its output"));
    let mut confirmed = Vec::new();
    let mut line = String::new();
    while lines.read_line(&mut line).expect("read") > 0 {
        // The last line may be torn by the kill.
        if let (Some(at), true) = (line.find("confirmed "), line.ends_with('\n')) {
            let fields: Vec<_> = line[at..].split_whitespace().collect();
            let [_, partition, position, id] = fields[..] else { panic!("unexpected line {line:?}") };
            let position = Position(position.parse().expect("a position"));
            confirmed.push((partition.parse().expect("a partition"), position, id.to_owned()));
            if confirmed.len() == confirmations {
                child.0.kill().expect("kill");
            }
        }
        line.clear();
    }
    confirmed
}

/// Everything in the log, by partition and position.
async fn read_everything(dir: &Path) -> HashMap<(u32, Position), String> {
    let queue = EmbeddedQueue::open(dir, options()).expect("open after the kill");
    let mut found = HashMap::new();
    for partition in 0..PARTITIONS {
        let mut left = queue.depth(partition).await.expect("depth").messages;
        let mut receiver = Queue::open(&queue, partition, None).await.expect("open");
        while left > 0 {
            for delivery in receiver.receive(ReceiveLimit::default()).await.expect("receive") {
                let text = String::from_utf8_lossy(&delivery.message).trim_end().to_owned();
                found.insert((partition, delivery.position.expect("position")), text);
                left -= 1;
            }
        }
    }
    queue.close().await;
    found
}

#[tokio::test]
async fn every_confirmed_message_is_found_after_a_kill() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut confirmed = Vec::new();
    for round in 0..5 {
        confirmed.extend(run_and_kill(dir.path(), round, 1_500 + 700 * round as usize));
        let found = read_everything(dir.path()).await;
        for (partition, position, id) in &confirmed {
            assert_eq!(found.get(&(*partition, *position)), Some(id), "round {round}");
        }
        let mut ids: Vec<_> = found.values().collect();
        ids.sort_unstable();
        assert!(ids.is_sorted_by(|a, b| a < b), "a message is in the log twice");
        assert!(found.len() >= confirmed.len());
    }
    assert!(confirmed.len() > 10_000, "only {} confirmations", confirmed.len());
}
