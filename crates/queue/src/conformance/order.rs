//! Order, positions and partitions.

use std::collections::HashMap;

use bytes::Bytes;

use super::tools::{assert_messages, in_time, message, open, publish, receive, receive_all, settle};
use super::{QueueHarness, Setup};
use crate::error::QueueErrorKind;
use crate::port::{Position, ReceiveLimit};

/// Messages come out in the order in which they went in, with positions that only grow.
pub async fn messages_of_a_partition_come_in_the_order_they_were_published<H: QueueHarness>() {
    let harness = H::start(Setup::default()).await;
    let queue = harness.queue();
    publish(&*queue, 1, 0..100).await;
    let got = receive_all(&*queue, &mut *open(&*queue, 1, None).await, 100).await;
    assert_messages(&got, 1, 0..100);
    let positions: Vec<_> = got.iter().map(|delivery| delivery.position).collect();
    if queue.capabilities().positions {
        assert!(positions.iter().all(|position| position.is_some_and(|position| position.0 >= 1)), "{positions:?}");
        assert!(positions.is_sorted_by(|a, b| a < b), "positions must grow: {positions:?}");
    } else {
        assert!(positions.iter().all(Option::is_none), "a queue without positions must not give any");
    }
    assert!(got.is_sorted_by(|a, b| a.token != b.token), "each delivery has a token of its own");
}

/// What is in one partition is in no other, and none waits for another.
pub async fn partitions_are_independent<H: QueueHarness>() {
    let harness = H::start(Setup::default()).await;
    let queue = harness.queue();
    for number in 0..10 {
        for partition in [0, 2, 3] {
            publish(&*queue, partition, [number]).await;
        }
    }
    let mut idle = open(&*queue, 1, None).await;
    for partition in [3, 0, 2] {
        let mut receiver = open(&*queue, partition, None).await;
        let got = receive(&mut *receiver, 10).await;
        assert_messages(&got, partition, 0..10);
        settle(&mut *receiver, &got).await;
    }
    publish(&*queue, 1, [7]).await;
    assert_messages(&receive(&mut *idle, 1).await, 1, [7]);
}

/// A log can be read from any position that it still has.
pub async fn a_receiver_starts_after_the_position_it_names<H: QueueHarness>() {
    let harness = H::start(Setup::default()).await;
    let queue = harness.queue();
    let newest = publish(&*queue, 0, 0..20).await;
    if !queue.capabilities().log {
        return;
    }
    let all = receive(&mut *open(&*queue, 0, None).await, 20).await;
    for from in [1_usize, 7, 19] {
        let after = all.get(from - 1).and_then(|delivery| delivery.position);
        let got = receive(&mut *open(&*queue, 0, after).await, 20 - from).await;
        assert_messages(&got, 0, u32::try_from(from).expect("small")..20);
    }
    let mut at_the_end = open(&*queue, 0, newest).await;
    publish(&*queue, 0, [20]).await;
    assert_messages(&receive(&mut *at_the_end, 1).await, 0, [20]);
}

/// A cursor from another life of the queue is an error, not a reader that waits for ever.
pub async fn a_position_never_given_out_is_refused<H: QueueHarness>() {
    let harness = H::start(Setup::default()).await;
    let queue = harness.queue();
    let newest = publish(&*queue, 0, 0..3).await;
    if let (true, Some(newest)) = (queue.capabilities().log, newest) {
        let refused = in_time("open", queue.open(0, Some(Position(newest.0 + 1)))).await;
        let error = refused.map(|_| ()).expect_err("a position that was never given out");
        assert_eq!(error.kind, QueueErrorKind::PositionAhead);
        assert!(!error.retryable);
    }
}

/// Two readers of a log see the same messages at the same positions, however they ask.
pub async fn two_receivers_see_the_same_order<H: QueueHarness>() {
    let harness = H::start(Setup::default()).await;
    let queue = harness.queue();
    if !queue.capabilities().log {
        return;
    }
    let mut early = open(&*queue, 0, None).await;
    let publishers = (0..4_u32).map(|publisher| {
        let queue = harness.queue();
        tokio::spawn(async move { publish(&*queue, 0, (0..50).map(|n| publisher * 1000 + n)).await })
    });
    let publishers: Vec<_> = publishers.collect();
    let one = receive(&mut *early, 200).await;
    for publisher in publishers {
        publisher.await.expect("publisher");
    }
    let mut late = open(&*queue, 0, None).await;
    let mut other = Vec::new();
    while other.len() < 200 {
        let limit = ReceiveLimit { messages: 7, bytes: 100 };
        other.extend(in_time("receive", late.receive(limit)).await.expect("receive"));
    }
    let seen = |all: &[crate::port::Delivery]| -> Vec<_> {
        all.iter().map(|delivery| (delivery.position, delivery.message.clone())).collect()
    };
    assert_eq!(seen(&one), seen(&other));
}

/// Publishes that are under way at once stand in the order in which they began, also when there are more than an adapter takes at a time.
pub async fn publishes_under_way_at_once_keep_their_order<H: QueueHarness>() {
    const COUNT: u32 = 800;
    let harness = H::start(Setup::default()).await;
    let queue = harness.queue();
    for partition in [0, 1, 2] {
        let publishes = (0..COUNT).map(|number| queue.publish(partition, message(partition, number)));
        in_time("publishing", futures::future::try_join_all(publishes)).await.expect("publish");
        let got = receive_all(&*queue, &mut *open(&*queue, partition, None).await, COUNT as usize).await;
        assert_messages(&got, partition, 0..COUNT);
    }
}

/// Whatever was confirmed is there once, where it was said to be, and each publisher's messages are in its order.
pub async fn concurrent_publishers_find_each_message_exactly_once<H: QueueHarness>() {
    const PUBLISHERS: u32 = 32;
    const EACH: u32 = 40;
    let harness = H::start(Setup::default()).await;
    let queue = harness.queue();
    let publishers = (0..PUBLISHERS).map(|publisher| {
        let queue = harness.queue();
        tokio::spawn(async move {
            let mut confirmed = Vec::new();
            for number in 0..EACH {
                let message = Bytes::from(format!("{publisher}/{number}"));
                let published = in_time("publish", queue.publish(publisher % 2, message.clone())).await;
                confirmed.push((message, published.expect("publish").position));
            }
            confirmed
        })
    });
    let publishers: Vec<_> = publishers.collect();
    let mut confirmed = HashMap::new();
    for publisher in publishers {
        confirmed.extend(publisher.await.expect("publisher"));
    }
    for partition in [0, 1] {
        let mut receiver = open(&*queue, partition, None).await;
        let got = receive_all(&*queue, &mut *receiver, (PUBLISHERS * EACH / 2) as usize).await;
        let mut newest_of = HashMap::new();
        for delivery in &got {
            assert_eq!(confirmed.remove(&delivery.message), Some(delivery.position), "{:?}", delivery.message);
            let text = String::from_utf8_lossy(&delivery.message).into_owned();
            let (publisher, number) = text.split_once('/').expect("publisher/number");
            let number: u32 = number.parse().expect("a number");
            let before = newest_of.insert(publisher.to_owned(), number);
            assert!(before.is_none_or(|before| before < number), "{text} came after {before:?}");
        }
    }
    assert!(confirmed.is_empty(), "confirmed but not there: {confirmed:?}");
}

/// Sizes at both ends of what is allowed come back as they were.
pub async fn smallest_and_largest_messages_go_through<H: QueueHarness>() {
    let harness = H::start(Setup::default()).await;
    let queue = harness.queue();
    let largest: Bytes =
        (0..queue.capabilities().max_message_bytes).map(|n| u8::try_from(n % 251).expect("small")).collect();
    let one = Bytes::from_static(b"\0");
    for message in [&one, &largest, &one] {
        in_time("publish", queue.publish(0, message.clone())).await.expect("publish");
    }
    let got = receive_all(&*queue, &mut *open(&*queue, 0, None).await, 3).await;
    let got: Vec<_> = got.into_iter().map(|delivery| delivery.message).collect();
    assert!(got == [one.clone(), largest, one], "a message came back changed");
}
