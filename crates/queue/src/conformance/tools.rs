//! What the cases have in common.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::port::{Delivery, Partition, Position, Queue, ReceiveLimit, Receiver};

/// How long anything that must happen may take; generous, as it only runs out when it doesn't happen.
const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for what must happen.
pub(super) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("did not happen within {DEADLINE:?}: {what}"),
    }
}

/// A message that can be told apart.
pub(super) fn message(partition: Partition, number: u32) -> Bytes {
    Bytes::from(format!("message {number} of partition {partition}"))
}

/// Publishes messages with these numbers one after the other; returns the position of the last one.
pub(super) async fn publish(
    queue: &dyn Queue,
    partition: Partition,
    numbers: impl IntoIterator<Item = u32>,
) -> Option<Position> {
    let mut last = None;
    for number in numbers {
        let published = in_time("publish", queue.publish(partition, message(partition, number))).await;
        last = published.expect("publish").position;
    }
    last
}

/// Opens a receiver.
pub(super) async fn open(queue: &dyn Queue, partition: Partition, after: Option<Position>) -> Box<dyn Receiver> {
    in_time("open", queue.open(partition, after)).await.expect("open")
}

/// Receives exactly so many messages.
pub(super) async fn receive(receiver: &mut dyn Receiver, count: usize) -> Vec<Delivery> {
    let mut all = Vec::new();
    while all.len() < count {
        let limit = ReceiveLimit { messages: count - all.len(), ..ReceiveLimit::default() };
        let some = in_time("receive", receiver.receive(limit)).await.expect("receive");
        assert!(!some.is_empty(), "receive returned nothing");
        all.extend(some);
    }
    assert_eq!(all.len(), count, "receive returned more than its limit");
    all
}

/// Receives exactly so many messages. Where a receiver can't have so many in hand, each part is settled to get the next.
pub(super) async fn receive_all(queue: &dyn Queue, receiver: &mut dyn Receiver, count: usize) -> Vec<Delivery> {
    let mut all = Vec::new();
    while all.len() < count {
        let limit = ReceiveLimit { messages: count - all.len(), ..ReceiveLimit::default() };
        let some = in_time("receive", receiver.receive(limit)).await.expect("receive");
        if queue.capabilities().max_unsettled.is_some() {
            settle(receiver, &some).await;
        }
        all.extend(some);
    }
    assert_eq!(all.len(), count, "receive returned more than its limit");
    all
}

/// Checks that deliveries are the messages with these numbers, in this order.
pub(super) fn assert_messages(deliveries: &[Delivery], partition: Partition, numbers: impl IntoIterator<Item = u32>) {
    let got: Vec<_> = deliveries.iter().map(|delivery| String::from_utf8_lossy(&delivery.message)).collect();
    let expected: Vec<_> =
        numbers.into_iter().map(|n| String::from_utf8_lossy(&message(partition, n)).into_owned()).collect();
    assert_eq!(got, expected);
}

/// Settles through the last of these deliveries.
pub(super) async fn settle(receiver: &mut dyn Receiver, deliveries: &[Delivery]) {
    let last = deliveries.last().expect("something to settle");
    in_time("settle", receiver.settle(last.token)).await.expect("settle");
}
