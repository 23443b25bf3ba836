//! Waiting, limits and refusals.

use std::time::Duration;

use bytes::Bytes;

use super::tools::{assert_messages, in_time, open, publish, receive, receive_all, settle};
use super::{QueueHarness, Setup};
use crate::error::QueueErrorKind;
use crate::port::{Delivery, ReceiveLimit};

/// A receiver on an empty partition waits, and gets the message when it comes.
pub async fn a_receiver_waits_for_the_first_message<H: QueueHarness>() {
    let harness = H::start(Setup::default()).await;
    let queue = harness.queue();
    let mut receiver = open(&*queue, 0, None).await;
    let waiting = tokio::spawn(async move {
        let got = receive(&mut *receiver, 1).await;
        (receiver, got)
    });
    publish(&*queue, 1, [0]).await;
    assert!(!waiting.is_finished(), "received something though nothing was published to the partition");
    publish(&*queue, 0, [1]).await;
    let (mut receiver, got) = in_time("the receiver's wake-up", waiting).await.expect("receiver");
    assert_messages(&got, 0, [1]);
    settle(&mut *receiver, &got).await;
    publish(&*queue, 0, [2]).await;
    assert_messages(&receive(&mut *receiver, 1).await, 0, [2]);
}

/// Neither more messages nor more bytes than asked for, but always at least one message.
pub async fn receive_respects_its_limits<H: QueueHarness>() {
    let harness = H::start(Setup::default()).await;
    let queue = harness.queue();
    for _ in 0..12 {
        queue.publish(0, Bytes::from(vec![7; 100])).await.expect("publish");
    }
    let mut receiver = open(&*queue, 0, None).await;
    let mut left = 12;
    for (limit, most) in [
        (ReceiveLimit { messages: 1, bytes: 1 << 20 }, 1),
        (ReceiveLimit { messages: 3, bytes: 1 << 20 }, 3),
        (ReceiveLimit { messages: 100, bytes: 250 }, 2),
        (ReceiveLimit { messages: 100, bytes: 1 }, 1),
        (ReceiveLimit { messages: 0, bytes: 0 }, 1),
    ] {
        let got = in_time("receive", receiver.receive(limit)).await.expect("receive");
        assert!((1..=most).contains(&got.len()), "{} messages for {limit:?}", got.len());
        left -= got.len();
        settle(&mut *receiver, &got).await;
    }
    receive_all(&*queue, &mut *receiver, left).await;
}

/// A receive that is given up loses nothing and repeats nothing.
pub async fn receive_is_cancel_safe<H: QueueHarness>() {
    const COUNT: u32 = 300;
    let harness = H::start(Setup::default()).await;
    let queue = harness.queue();
    let publisher = {
        let queue = harness.queue();
        tokio::spawn(async move { publish(&*queue, 0, 0..COUNT).await })
    };
    let mut receiver = open(&*queue, 0, None).await;
    let mut got: Vec<Delivery> = Vec::new();
    let mut patience = 0_u64;
    let all = async {
        while got.len() < COUNT as usize {
            // From giving up at the first look to waiting long enough for slow brokers.
            patience = (patience + 50) % 5_000;
            let limit = ReceiveLimit { messages: 3, bytes: 1 << 20 };
            let wait = Duration::from_micros(if got.len() > 100 { patience * 20 } else { patience });
            if let Ok(some) = tokio::time::timeout(wait, receiver.receive(limit)).await {
                let some = some.expect("receive");
                if queue.capabilities().max_unsettled.is_some() {
                    settle(&mut *receiver, &some).await;
                }
                got.extend(some);
            }
        }
    };
    in_time("receiving everything in pieces", all).await;
    assert_messages(&got, 0, 0..COUNT);
    publisher.await.expect("publisher");
}

/// A message over the limit is refused for good, and changes nothing.
pub async fn a_message_too_large_is_refused<H: QueueHarness>() {
    let harness = H::start(Setup::default()).await;
    let queue = harness.queue();
    let too_large = Bytes::from(vec![0; queue.capabilities().max_message_bytes + 1]);
    let error = in_time("publish", queue.publish(0, too_large)).await.expect_err("too large");
    assert_eq!(error.kind, QueueErrorKind::TooLarge);
    assert!(!error.retryable);
    publish(&*queue, 0, [1]).await;
    assert_messages(&receive(&mut *open(&*queue, 0, None).await, 1).await, 0, [1]);
}

/// Partitions are counted from 0 to one less than there are.
pub async fn a_partition_that_does_not_exist_is_refused<H: QueueHarness>() {
    let harness = H::start(Setup { partitions: 4, small: false }).await;
    let queue = harness.queue();
    assert_eq!(queue.partitions(), 4);
    for partition in [4, 5, 65_536, u32::MAX] {
        let errors = [
            queue.publish(partition, Bytes::from_static(b"x")).await.map(|_| ()),
            queue.open(partition, None).await.map(|_| ()),
            queue.depth(partition).await.map(|_| ()),
        ];
        for error in errors {
            let error = error.expect_err("a partition that does not exist");
            assert_eq!(error.kind, QueueErrorKind::InvalidPartition);
            assert!(!error.retryable);
        }
    }
}

/// A full queue says so, keeps every confirmed message, and takes messages again when some are settled.
pub async fn a_full_queue_refuses_and_works_again_after_settling<H: QueueHarness>() {
    let harness = H::start(Setup { partitions: 2, small: true }).await;
    let queue = harness.queue();
    if !queue.capabilities().refuses_when_full {
        return;
    }
    let size = queue.capabilities().max_message_bytes.min(60_000);
    let mut confirmed = 0_usize;
    for round in 0..3_u8 {
        let full = loop {
            match in_time("publish", queue.publish(1, Bytes::from(vec![round; size]))).await {
                Ok(_) => confirmed += 1,
                Err(error) => break error,
            }
            assert!(confirmed * size < 64 << 20, "never full");
        };
        assert_eq!(full.kind, QueueErrorKind::Full);
        assert!(full.retryable && full.retry_after.is_some());
        let mut receiver = open(&*queue, 1, None).await;
        let got = receive(&mut *receiver, confirmed).await;
        assert!(got.iter().all(|delivery| delivery.message.len() == size));
        settle(&mut *receiver, &got).await;
        confirmed = 0;
        let works_again = async {
            while queue.publish(1, Bytes::from(vec![round; size])).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        in_time("room after settling", works_again).await;
        confirmed += 1;
    }
}

/// What lag is computed from is right at every step.
pub async fn depth_tells_what_is_there<H: QueueHarness>() {
    let harness = H::start(Setup::default()).await;
    let queue = harness.queue();
    let depth = queue.depth(0).await.expect("depth");
    assert_eq!((depth.newest, depth.oldest, depth.messages), (None, None, 0));
    let newest = publish(&*queue, 0, 0..10).await;
    let depth = queue.depth(0).await.expect("depth");
    assert_eq!((depth.newest, depth.messages), (newest, 10));
    let mut receiver = open(&*queue, 0, None).await;
    let got = receive(&mut *receiver, 4).await;
    assert_eq!(depth.oldest, got.first().and_then(|delivery| delivery.position));
    settle(&mut *receiver, &got).await;
    let rest = receive(&mut *receiver, 6).await;
    let depth = queue.depth(0).await.expect("depth");
    assert_eq!((depth.newest, depth.messages), (newest, 6));
    assert_eq!(depth.oldest, rest.first().and_then(|delivery| delivery.position));
    settle(&mut *receiver, &rest).await;
    let depth = queue.depth(0).await.expect("depth");
    assert_eq!((depth.newest, depth.oldest, depth.messages), (newest, None, 0));
    assert_eq!(queue.depth(1).await.expect("depth").messages, 0);
}
