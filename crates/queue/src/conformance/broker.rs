//! What brokers do and embedded parts don't: owners change, connections break, confirmations get lost, servers are killed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;

use super::tools::{assert_messages, in_time, message, open, publish, receive, receive_all, settle};
use super::{QueueHarness, Setup};
use crate::port::{Delivery, Origin, Queue, ReceiveLimit, Receiver};

/// After this a broker that came back is in use again: two seconds, and some for a busy machine.
const HEALTHY_WITHIN: Duration = Duration::from_secs(5);
/// A publish that can't be confirmed has ended by then.
const PUBLISH_WITHIN: Duration = Duration::from_secs(20);

/// What the link between a queue and its broker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkMode {
    /// Passes everything on.
    Pass,
    /// Passes nothing on, and keeps connections open.
    Freeze,
    /// Passes on what is sent to the broker, and drops its answers.
    LoseAnswers,
    /// Ends every connection, and takes no new one.
    Cut,
}

/// A [`QueueHarness`] whose broker is a server that can be made to fail.
#[async_trait]
pub trait BrokerHarness: QueueHarness {
    /// As [`start`](QueueHarness::start), on a server of its own, so that nobody else minds when it is killed.
    async fn start_alone(setup: Setup) -> Self;

    /// The same queue as another process has it: connections of its own, that [`set_link`](Self::set_link) doesn't touch.
    async fn other(&self) -> Arc<dyn Queue>;

    /// Changes what lies between the broker and the harness's own queue.
    fn set_link(&self, mode: LinkMode);

    /// Ends the server at once, as a crash does.
    async fn kill_broker(&mut self);

    /// Starts it again on what is left on its disk.
    async fn start_broker(&mut self);

    /// Whether it keeps what it confirmed over a kill. One that is only in memory proves nothing here.
    fn survives_kill(&self) -> bool;

    /// Makes the broker block whoever publishes, and lets them go on; `false`: it has no such thing.
    async fn block_publishers(&self, blocked: bool) -> bool;

    /// Takes away what a partition's messages go into, behind the queue's back.
    async fn break_partition(&self, partition: u32);

    /// How long a delivery is its receiver's, if nothing extends it; `None`: for as long as the receiver is there.
    fn hold_time(&self) -> Option<Duration>;
}

/// The mode in which a receiver that is to go on must begin: at the first message that its reader has not settled.
async fn take_over(queue: &dyn Queue, partition: u32, settled: Option<&Delivery>) -> Box<dyn Receiver> {
    open(queue, partition, settled.and_then(|delivery| delivery.position)).await
}

/// A receiver that goes without settling leaves its deliveries to the next one, in order and before anything newer.
pub async fn what_was_in_hand_comes_again_in_order<H: BrokerHarness>() {
    let harness = H::start(Setup::default()).await;
    let (queue, other) = (harness.queue(), harness.other().await);
    publish(&*queue, 0, 0..8).await;
    let mut first = open(&*queue, 0, None).await;
    let got = receive(&mut *first, 6).await;
    settle(&mut *first, got.get(..2).expect("six")).await;
    publish(&*queue, 0, 8..10).await;
    drop(first);
    let mut next = take_over(&*other, 0, got.get(1)).await;
    let again = receive(&mut *next, 8).await;
    assert_messages(&again, 0, 2..10);
    if !queue.capabilities().positions {
        let told = again.iter().take(4).all(|delivery| delivery.redelivered);
        assert!(told, "what may have been delivered before must say so");
    }
}

/// Order holds also when one owner after the other dies with a different part of the messages in hand.
pub async fn order_holds_over_several_deaths_in_a_row<H: BrokerHarness>() {
    let harness = H::start(Setup::default()).await;
    let queue = harness.queue();
    publish(&*queue, 0, 0..9).await;
    let mut receiver = open(&*queue, 0, None).await;
    receive(&mut *receiver, 9).await;
    drop(receiver);
    for in_hand in [3, 5, 1, 7] {
        let other = harness.other().await;
        let mut receiver = open(&*other, 0, None).await;
        assert_messages(&receive(&mut *receiver, in_hand).await, 0, 0..u32::try_from(in_hand).expect("few"));
        drop(receiver);
        drop(other);
    }
    assert_messages(&receive(&mut *open(&*queue, 0, None).await, 9).await, 0, 0..9);
}

/// An owner whose connection broke with deliveries in hand is followed by another that gets them first.
pub async fn order_holds_when_an_owner_is_cut_off<H: BrokerHarness>() {
    let harness = H::start(Setup::default()).await;
    let (queue, other) = (harness.queue(), harness.other().await);
    publish(&*queue, 0, 0..8).await;
    let mut first = open(&*queue, 0, None).await;
    let got = receive(&mut *first, 5).await;
    settle(&mut *first, got.get(..1).expect("five")).await;
    harness.set_link(LinkMode::Cut);
    drop(first);
    publish(&*other, 0, 8..10).await;
    let mut next = take_over(&*other, 0, got.first()).await;
    // A settle that was on its way may have got lost with the connection: a broker offers that message again.
    let again = receive_until(&mut *next, 9).await;
    assert!(again.starts_with(&[0]) || again.starts_with(&[1]), "{again:?}");
    assert!(again.is_sorted() && again.ends_with(&[9]), "{again:?}");
}

/// So is one that only stands still, with its connection open; and what it does when it wakes takes nothing from its successor.
pub async fn a_stalled_owner_is_replaced_and_its_late_settle_takes_nothing<H: BrokerHarness>() {
    let harness = H::start(Setup::default()).await;
    let (queue, other) = (harness.queue(), harness.other().await);
    publish(&*queue, 0, 0..8).await;
    let mut first = open(&*queue, 0, None).await;
    let in_hand = receive(&mut *first, 5).await;
    harness.set_link(LinkMode::Freeze);
    publish(&*other, 0, 8..10).await;
    let mut next = open(&*other, 0, None).await;
    let got = receive_unsettled(&*queue, &mut *next, 4).await;
    assert_messages(&got, 0, 0..4);
    settle(&mut *next, got.get(..2).expect("four")).await;
    harness.set_link(LinkMode::Pass);
    if !queue.capabilities().log {
        // It may succeed or fail, whatever the broker can tell. Of a log nobody settles what they could not commit, and a commit is fenced.
        // Only of what its successor has had: what that one has not got yet is still the old owner's to settle, where holds run out one by one.
        let late = in_hand.get(3).expect("five").token;
        let _ = in_time("a late settle", first.settle(late)).await;
    }
    drop(first);
    let rest = receive_unsettled(&*queue, &mut *next, 6).await;
    assert_messages(&rest, 0, 4..10);
    settle(&mut *next, &rest).await;
    publish(&*other, 0, [10]).await;
    assert_messages(&receive(&mut *next, 1).await, 0, [10]);
}

/// A confirmation that gets lost leaves the message where it is, once or twice, and never out of order.
pub async fn a_lost_confirmation_loses_no_message<H: BrokerHarness>() {
    let harness = H::start(Setup::default()).await;
    let (queue, other) = (harness.queue(), harness.other().await);
    publish(&*queue, 0, 0..3).await;
    harness.set_link(LinkMode::LoseAnswers);
    let lost = {
        let queue = Arc::clone(&queue);
        tokio::spawn(async move { queue.publish(0, message(0, 3)).await })
    };
    // The broker has it, and its publisher doesn't know.
    let mut receiver = open(&*other, 0, None).await;
    let mut seen = receive_until(&mut *receiver, 3).await;
    harness.set_link(LinkMode::Cut);
    harness.set_link(LinkMode::Pass);
    let outcome = in_time("a publish whose confirmation was lost", lost).await.expect("publisher");
    if let Err(error) = outcome {
        assert!(error.retryable, "{error}");
        // As a publisher does that was not confirmed.
        publish_until_taken(&*queue, 0, 3).await;
    }
    publish_until_taken(&*queue, 0, 4).await;
    while seen.last() != Some(&4) {
        seen.extend(receive_until(&mut *receiver, 4).await);
    }
    seen.dedup();
    assert_eq!(seen, [0, 1, 2, 3, 4], "each once or repeated at once, in order");
}

/// Messages whose delivery got lost on its way come again, also when the link stays bad for longer than they are held for anybody.
pub async fn a_delivery_that_got_lost_comes_again<H: BrokerHarness>() {
    let harness = H::start(Setup::default()).await;
    let (queue, other) = (harness.queue(), harness.other().await);
    let mut receiver = open(&*queue, 0, None).await;
    publish(&*other, 0, 0..2).await;
    assert_eq!(receive_until(&mut *receiver, 1).await, [0, 1]);
    harness.set_link(LinkMode::LoseAnswers);
    publish(&*other, 0, 2..5).await;
    let bad_for = harness.hold_time().map_or(Duration::from_secs(3), |hold| hold * 3);
    // This is the thing itself: so long nothing gets through.
    let got = tokio::time::timeout(bad_for, receiver.receive(ReceiveLimit::default())).await;
    assert!(!matches!(got, Ok(Ok(_))), "nothing can have come: {got:?}");
    harness.set_link(LinkMode::Cut);
    harness.set_link(LinkMode::Pass);
    let back = Instant::now();
    let mut rest = receive_until(&mut *receiver, 4).await;
    rest.dedup();
    assert_eq!(rest, [2, 3, 4]);
    let within = 3 * HEALTHY_WITHIN + harness.hold_time().unwrap_or_default();
    assert!(back.elapsed() < within, "receiving took {:?} to come back", back.elapsed());
}

/// Publishers and receivers are in use again soon after a broken connection can be made anew, without being opened again.
pub async fn a_broken_connection_is_made_anew<H: BrokerHarness>() {
    let harness = H::start(Setup::default()).await;
    let queue = harness.queue();
    publish(&*queue, 0, 0..3).await;
    let mut receiver = open(&*queue, 0, None).await;
    let got = receive(&mut *receiver, 3).await;
    settle(&mut *receiver, &got).await;
    for round in 0..2 {
        harness.set_link(LinkMode::Cut);
        let started = Instant::now();
        let error = queue.publish(0, message(0, 99)).await.expect_err("there is no connection");
        assert!(error.retryable, "{error}");
        assert!(started.elapsed() < PUBLISH_WITHIN, "a publish took {:?}", started.elapsed());
        harness.set_link(LinkMode::Pass);
        let back = Instant::now();
        publish_until_taken(&*queue, 0, 3 + round).await;
        assert!(back.elapsed() < HEALTHY_WITHIN, "publishing took {:?} to come back", back.elapsed());
        let got = receive_until(&mut *receiver, 3 + round).await;
        assert!(back.elapsed() < 2 * HEALTHY_WITHIN, "receiving took {:?} to come back", back.elapsed());
        assert!(got.iter().all(|number| *number >= 3 || round > 0), "what was settled came again: {got:?}");
    }
}

/// While the broker is away every publish ends, and none is kept for later.
pub async fn publishes_end_while_the_broker_is_away<H: BrokerHarness>() {
    let harness = H::start(Setup::default()).await;
    let (queue, other) = (harness.queue(), harness.other().await);
    publish(&*queue, 0, [0]).await;
    for mode in [LinkMode::Cut, LinkMode::Freeze] {
        harness.set_link(mode);
        let started = Instant::now();
        let publishes: Vec<_> = (0..200)
            .map(|_| {
                let queue = Arc::clone(&queue);
                tokio::spawn(async move { queue.publish(1, Bytes::from(vec![1; 10_000])).await })
            })
            .collect();
        for publish in publishes {
            let outcome = in_time("a publish without a broker", publish).await.expect("publisher");
            let error = outcome.expect_err("there is no broker");
            assert!(error.retryable && error.kind != crate::QueueErrorKind::Closed, "{error}");
        }
        assert!(started.elapsed() < PUBLISH_WITHIN, "the publishes took {:?}", started.elapsed());
        harness.set_link(LinkMode::Cut);
        harness.set_link(LinkMode::Pass);
        publish_until_taken(&*queue, 0, 1).await;
    }
    // What was in the frozen connection's buffers may have got through, and nothing else.
    let mut receiver = open(&*other, 0, None).await;
    assert_eq!(receive_until(&mut *receiver, 1).await.first(), Some(&0));
}

/// A broker that is killed has kept what it confirmed, and is in use again soon after it was started.
pub async fn a_killed_broker_keeps_what_it_confirmed<H: BrokerHarness>() {
    let mut harness = H::start_alone(Setup::default()).await;
    let queue = harness.queue();
    publish(&*queue, 0, 0..20).await;
    publish(&*queue, 3, 0..5).await;
    let mut receiver = open(&*queue, 0, None).await;
    let got = receive(&mut *receiver, 8).await;
    settle(&mut *receiver, got.get(..4).expect("eight")).await;
    harness.kill_broker().await;
    queue.publish(0, message(0, 20)).await.expect_err("there is no broker");
    harness.start_broker().await;
    let back = Instant::now();
    publish_until_taken(&*queue, 3, 5).await;
    assert!(back.elapsed() < HEALTHY_WITHIN, "publishing took {:?} to come back", back.elapsed());
    if !harness.survives_kill() {
        return;
    }
    publish_until_taken(&*queue, 0, 20).await;
    // The same receiver goes on: a log after what it gave last, a broker with everything that is not settled.
    let mut rest = receive_until(&mut *receiver, 20).await;
    rest.dedup();
    let first = *rest.first().expect("some");
    assert!(first <= 8, "messages are lost: it goes on with {rest:?}");
    assert_eq!(rest, (first..=20).collect::<Vec<_>>());
    assert_messages(&receive(&mut *open(&*queue, 3, None).await, 6).await, 3, 0..6);
}

/// Deliveries stay with a receiver whose reader takes its time, for as long as it is there.
pub async fn a_slow_reader_keeps_its_deliveries<H: BrokerHarness>() {
    let harness = H::start(Setup::default()).await;
    let Some(hold) = harness.hold_time() else { return };
    let (queue, other) = (harness.queue(), harness.other().await);
    publish(&*queue, 0, 0..4).await;
    let mut slow = open(&*queue, 0, None).await;
    let got = receive(&mut *slow, 4).await;
    publish(&*queue, 0, [4]).await;
    let mut second = open(&*other, 0, None).await;
    // This is the thing itself, not luck: for so long nobody else may get them.
    let stolen = tokio::time::timeout(hold * 3, second.receive(ReceiveLimit::default())).await;
    assert!(stolen.is_err(), "another receiver got {stolen:?}");
    settle(&mut *slow, &got).await;
    drop(slow);
    assert_messages(&receive(&mut *second, 1).await, 0, [4]);
}

/// What reaches no queue is not confirmed.
pub async fn a_publish_that_reaches_no_queue_is_an_error<H: BrokerHarness>() {
    let harness = H::start_alone(Setup::default()).await;
    let queue = harness.queue();
    publish(&*queue, 2, [0]).await;
    harness.break_partition(2).await;
    let error = in_time("a publish into nothing", queue.publish(2, message(2, 1))).await.expect_err("it is gone");
    assert!(!error.message.is_empty());
}

/// Where a broker makes publishers wait, their publishes end, and receivers go on.
pub async fn blocked_publishers_stop_no_receiver<H: BrokerHarness>() {
    let harness = H::start_alone(Setup::default()).await;
    let queue = harness.queue();
    publish(&*queue, 0, 0..4).await;
    let mut receiver = open(&*queue, 0, None).await;
    let got = receive(&mut *receiver, 2).await;
    if !harness.block_publishers(true).await {
        return;
    }
    let started = Instant::now();
    let error = in_time("a blocked publish", queue.publish(0, message(0, 9))).await.expect_err("it is blocked");
    assert!(error.retryable && started.elapsed() < PUBLISH_WITHIN, "{error} after {:?}", started.elapsed());
    settle(&mut *receiver, &got).await;
    assert_messages(&receive(&mut *receiver, 2).await, 0, 2..4);
    harness.block_publishers(false).await;
    publish_until_taken(&*queue, 0, 4).await;
    let rest = receive_until(&mut *receiver, 4).await;
    assert!(rest.iter().all(|number| matches!(number, 4 | 9)), "{rest:?}");
}

/// A message that somebody else put onto the broker says where it comes from, stands in order with the others, and is told apart from them.
pub async fn direct_messages_say_where_they_come_from<H: BrokerHarness>() {
    let harness = H::start(Setup::default()).await;
    let queue = harness.queue();
    if !queue.capabilities().direct {
        return;
    }
    publish(&*queue, 0, [0]).await;
    let origin = Origin {
        tenant: Some(String::from("acme")),
        message_id: Some(String::from("m-1")),
        headers: vec![
            (String::from("content-type"), String::from("application/json")),
            (String::from("x-api-key"), String::from("k")),
        ],
        source: String::new(),
        published_ms: None,
    };
    let body = Bytes::from_static(b"{\"type\":\"heartbeat\",\"scheduler_id\":\"nightly\"}");
    in_time("publish", queue.publish_direct(0, body.clone(), &origin)).await.expect("publish");
    publish(&*queue, 0, [1]).await;
    let got = receive(&mut *open(&*queue, 0, None).await, 3).await;
    let [own, direct, last] = got.as_slice() else { panic!("three") };
    assert!(own.origin.is_none() && last.origin.is_none(), "a frame is no direct message");
    assert_eq!(direct.message, body);
    let from = direct.origin.as_ref().expect("a direct message");
    assert!(!from.source.is_empty() && from.message_id.is_some(), "{from:?}");
    assert!(from.tenant.as_deref().is_none_or(|tenant| tenant == "acme"), "{from:?}");
    assert_eq!(from.header("content-type"), Some("application/json"));
    assert_eq!(from.header("x-api-key"), Some("k"));
}

/// Receives exactly so many messages and settles none of them, unless the queue gives nothing more before: then the holds of a stalled owner
/// may run out one after the other, and its successor gets the first alone.
async fn receive_unsettled(queue: &dyn Queue, receiver: &mut dyn Receiver, count: usize) -> Vec<Delivery> {
    if queue.capabilities().blocks_until_settled {
        receive_all(queue, receiver, count).await
    } else {
        receive(receiver, count).await
    }
}

/// The numbers of received messages, each settled at once, until this one has come.
async fn receive_until(receiver: &mut dyn Receiver, last: u32) -> Vec<u32> {
    let mut numbers = Vec::new();
    while numbers.last() != Some(&last) {
        let limit = ReceiveLimit { messages: 1, ..ReceiveLimit::default() };
        let got = in_time("receive", receiver.receive(limit)).await;
        // A broken connection may be told once; the receiver goes on.
        for delivery in got.unwrap_or_default() {
            numbers.push(number(&delivery));
            // One that gets lost is offered again.
            let _ = in_time("settle", receiver.settle(delivery.token)).await;
        }
        tokio::task::yield_now().await;
    }
    numbers
}

fn number(delivery: &Delivery) -> u32 {
    let text = String::from_utf8_lossy(&delivery.message).into_owned();
    text.split(' ').nth(1).and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("not of this suite: {text}"))
}

/// Publishes as one does who is told to try again.
async fn publish_until_taken(queue: &dyn Queue, partition: u32, number: u32) {
    let taken = async {
        while let Err(error) = queue.publish(partition, message(partition, number)).await {
            assert!(error.retryable, "{error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    in_time("publishing until it is taken", taken).await;
}
