//! Readers that are behind, and room that comes back.

use std::time::{Duration, Instant};

use super::super::{EmbeddedOptions, EmbeddedQueue};
use super::{open, publish, read_all, segments, small};
use crate::{Position, Queue, QueueErrorKind, ReceiveLimit};

/// Messages of very different sizes, each telling its number.
fn message(number: u32) -> Vec<u8> {
    let length = [4, 100, 3_000, 20_000, 60_000][number as usize % 5];
    let mut message = number.to_le_bytes().to_vec();
    message.resize(length, u8::try_from(number % 256).expect("small"));
    message
}

#[tokio::test]
async fn a_reader_far_behind_gets_everything_from_the_files() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let queue = open(dir.path());
    for number in 0..150 {
        publish(&queue, number % 2, [message(number)]).await;
    }
    assert!(segments(dir.path()).len() > 10);
    queue.close().await;
    for _ in 0..2 {
        let queue = open(dir.path());
        for partition in 0..2 {
            let expected = (0..75).map(|n| (u64::from(n) + 1, message(n * 2 + partition)));
            assert!(read_all(&queue, partition).await.into_iter().eq(expected), "partition {partition}");
            for after in [1, 30, 74] {
                let mut receiver = Queue::open(&queue, partition, Some(Position(after))).await.expect("open");
                let limit = ReceiveLimit { messages: 1, bytes: 1 };
                let got = receiver.receive(limit).await.expect("receive");
                assert_eq!(got[0].position, Some(Position(after + 1)));
            }
        }
    }
}

#[tokio::test]
async fn a_reader_passes_from_files_to_memory_and_on_to_new_messages() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let queue = open(dir.path());
    publish(&queue, 0, (0..60).map(message)).await;
    let mut receiver = Queue::open(&queue, 0, None).await.expect("open");
    let mut next = 0;
    while next < 80 {
        if next == 60 {
            publish(&queue, 0, (60..80).map(message)).await;
        }
        let limit = ReceiveLimit { messages: 60 - (next as usize % 60), bytes: 70_000 };
        for delivery in receiver.receive(limit).await.expect("receive") {
            assert_eq!(delivery.position, Some(Position(u64::from(next) + 1)));
            assert_eq!(delivery.message, message(next));
            next += 1;
        }
    }
}

#[tokio::test]
async fn settled_segments_are_removed_and_the_slowest_partition_decides() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let queue = open(dir.path());
    publish(&queue, 1, [b"slow".to_vec()]).await;
    publish(&queue, 0, (0..20).map(|n| vec![n; 30_000])).await;
    let mut fast = Queue::open(&queue, 0, None).await.expect("open");
    let mut slow = Queue::open(&queue, 1, None).await.expect("open");
    let mut left = 20;
    while left > 0 {
        let got = fast.receive(ReceiveLimit::default()).await.expect("receive");
        left -= got.len();
        fast.settle(got.last().expect("some").token).await.expect("settle");
    }
    assert!(segments(dir.path()).len() > 5, "the slow partition still needs the first segment");
    let got = slow.receive(ReceiveLimit::default()).await.expect("receive");
    slow.settle(got[0].token).await.expect("settle");
    let deadline = Instant::now() + Duration::from_secs(20);
    while segments(dir.path()).len() > 1 {
        assert!(Instant::now() < deadline, "settled segments were not removed");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    queue.close().await;
    let queue = open(dir.path());
    assert_eq!(queue.depth(0).await.expect("depth").newest, Some(Position(20)));
    let published = queue.publish(0, "x".into()).await.expect("publish");
    assert_eq!(published.position, Some(Position(21)));
}

#[tokio::test]
async fn the_files_never_grow_past_the_limit() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let options = EmbeddedOptions { max_bytes: 1 << 20, segment_bytes: 100_000, ..small() };
    let queue = EmbeddedQueue::open(dir.path(), options.clone()).expect("open");
    let error = loop {
        if let Err(error) = queue.publish(0, vec![1; 10_000].into()).await {
            break error;
        }
    };
    assert_eq!(error.kind, QueueErrorKind::Full);
    let on_disk: u64 = segments(dir.path()).iter().map(|path| std::fs::metadata(path).expect("metadata").len()).sum();
    assert_eq!(on_disk, queue.used_bytes());
    assert!(on_disk <= options.max_bytes, "{on_disk}");
    assert!(on_disk > options.max_bytes * 9 / 10, "{on_disk}");
}

#[tokio::test]
async fn a_ring_lets_the_oldest_go_and_counts_them() {
    const ALL: u64 = 500;
    let dir = tempfile::tempdir().expect("temporary directory");
    let refusing = EmbeddedOptions { max_bytes: 1 << 20, segment_bytes: 64 << 10, ..small() };
    let ring = EmbeddedOptions { drops_oldest: true, ..refusing.clone() };
    // One that filled up before it became a ring.
    let queue = EmbeddedQueue::open(dir.path(), refusing).expect("open");
    let mut published = 0;
    while queue.publish(0, vec![1; 10_000].into()).await.is_ok() {
        published += 1;
    }
    queue.close().await;
    let queue = EmbeddedQueue::open(dir.path(), ring.clone()).expect("open");
    while published < ALL {
        queue.publish(0, vec![1; 10_000].into()).await.expect("a ring takes every message");
        published += 1;
        assert!(queue.used_bytes() <= ring.max_bytes);
    }
    let kept = read_all(&queue, 0).await.len() as u64;
    assert!((60..ALL).contains(&kept), "{kept} of about 100 messages that have room are kept");
    assert_eq!(queue.shed_messages() + kept, ALL);
    let depth = queue.depth(0).await.expect("depth");
    assert_eq!(
        (depth.oldest, depth.newest),
        (Some(Position(ALL + 1 - kept)), Some(Position(ALL))),
        "the newest are kept"
    );
    queue.close().await;
    let queue = EmbeddedQueue::open(dir.path(), ring).expect("open");
    assert_eq!(queue.depth(0).await.expect("depth").oldest, depth.oldest);
    assert_eq!(queue.shed_messages(), 0);
}

#[tokio::test]
async fn a_token_that_was_never_handed_out_is_refused() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let queue = open(dir.path());
    publish(&queue, 0, [b"x".to_vec()]).await;
    let mut receiver = Queue::open(&queue, 0, None).await.expect("open");
    let error = receiver.settle(crate::Token(2)).await.expect_err("never handed out");
    assert_eq!(error.kind, QueueErrorKind::InvalidToken);
    assert_eq!(queue.depth(0).await.expect("depth").messages, 1);
}
