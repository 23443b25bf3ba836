//! Settling, and what a restart keeps.

use super::tools::{assert_messages, in_time, open, publish, receive, settle};
use super::{QueueHarness, Setup};

/// What is settled is gone for whoever opens the partition next.
pub async fn settled_messages_are_not_offered_again<H: QueueHarness>() {
    let harness = H::start(Setup::default()).await;
    let queue = harness.queue();
    publish(&*queue, 0, 0..10).await;
    let mut receiver = open(&*queue, 0, None).await;
    let got = receive(&mut *receiver, 6).await;
    settle(&mut *receiver, &got).await;
    drop(receiver);
    assert_messages(&receive(&mut *open(&*queue, 0, None).await, 4).await, 0, 6..10);
}

/// Settling takes exactly what it names: nothing newer, and nothing of another partition.
pub async fn settling_never_takes_what_is_unsettled<H: QueueHarness>() {
    let mut harness = H::start(Setup { partitions: 2, small: true }).await;
    let queue = harness.queue();
    publish(&*queue, 1, 0..3).await;
    let mut receiver = open(&*queue, 0, None).await;
    // Enough for a log to be trimmed in between, if it wanted to.
    for round in 0..40 {
        publish(&*queue, 0, [round * 2, round * 2 + 1]).await;
        let got = receive(&mut *receiver, 2).await;
        assert_messages(&got, 0, [round * 2, round * 2 + 1]);
        settle(&mut *receiver, got.get(..1).expect("two")).await;
        if round < 39 {
            settle(&mut *receiver, &got).await;
        }
    }
    drop(receiver);
    drop(queue);
    harness.reopen().await;
    let queue = harness.queue();
    assert_messages(&receive(&mut *open(&*queue, 1, None).await, 3).await, 1, 0..3);
    let mut receiver = open(&*queue, 0, None).await;
    let last = loop {
        // A log may offer settled messages again after a restart, but must come to the unsettled one.
        let got = receive(&mut *receiver, 1).await;
        if got.iter().any(|delivery| delivery.message == super::tools::message(0, 79)) {
            break got;
        }
    };
    assert_messages(&last, 0, [79]);
}

/// A reader that was closed has let everything go: the next one gets what it did not settle, and at once where the broker can be told so.
pub async fn a_closed_reader_leaves_the_next_what_it_did_not_settle<H: QueueHarness>() {
    let harness = H::start(Setup::default()).await;
    let queue = harness.queue();
    publish(&*queue, 0, 0..20).await;
    let (mut settled, mut last) = (0, None);
    for _ in 0..5 {
        let mut receiver = open(&*queue, 0, last).await;
        let got = receive(&mut *receiver, 4).await;
        assert_messages(&got, 0, settled..settled + 4);
        settle(&mut *receiver, got.get(..2).expect("four")).await;
        last = got.get(1).and_then(|delivery| delivery.position);
        settled += 2;
        in_time("closing", receiver.close()).await;
    }
    let left = 20 - usize::try_from(settled).expect("few");
    assert_messages(&receive(&mut *open(&*queue, 0, last).await, left).await, 0, settled..20);
}

/// Settling less than before, or the same again, is no error and takes nothing back.
pub async fn settling_backwards_changes_nothing<H: QueueHarness>() {
    let harness = H::start(Setup::default()).await;
    let queue = harness.queue();
    publish(&*queue, 0, 0..5).await;
    let mut receiver = open(&*queue, 0, None).await;
    let got = receive(&mut *receiver, 4).await;
    settle(&mut *receiver, &got).await;
    settle(&mut *receiver, &got).await;
    settle(&mut *receiver, got.get(..2).expect("four")).await;
    drop(receiver);
    assert_messages(&receive(&mut *open(&*queue, 0, None).await, 1).await, 0, [4]);
}

/// Confirmed and unsettled messages outlive the process, in order and at their positions.
pub async fn a_restart_keeps_everything_unsettled<H: QueueHarness>() {
    let mut harness = H::start(Setup::default()).await;
    let mut before = Vec::new();
    // Three rounds of it must fit into a receiver's hand.
    let each = harness.queue().capabilities().max_unsettled.map_or(10, |most| (most / 3).clamp(1, 10));
    let each = u32::try_from(each).expect("few");
    for round in 0..3 {
        let queue = harness.queue();
        for partition in 0..4 {
            publish(&*queue, partition, round * each..(round + 1) * each).await;
        }
        drop(queue);
        harness.reopen().await;
        let queue = harness.queue();
        for partition in 0..4 {
            let all = (round + 1) * each;
            let got = receive(&mut *open(&*queue, partition, None).await, all as usize).await;
            assert_messages(&got, partition, 0..all);
            if partition == 2 {
                let positions: Vec<_> = got.iter().map(|delivery| delivery.position).collect();
                assert!(positions.starts_with(&before), "positions changed in a restart");
                before = positions;
            }
        }
    }
}

/// Positions are not used twice, also across restarts.
pub async fn positions_go_on_after_a_restart<H: QueueHarness>() {
    let mut harness = H::start(Setup::default()).await;
    let mut newest = None;
    for round in 0..3 {
        let queue = harness.queue();
        if !queue.capabilities().positions {
            return;
        }
        for number in 0..5 {
            let position = publish(&*queue, 3, [round * 5 + number]).await;
            assert!(position > newest, "{position:?} after {newest:?}");
            newest = position;
        }
        assert_eq!(queue.depth(3).await.expect("depth").newest, newest);
        drop(queue);
        harness.reopen().await;
    }
}

/// An empty queue still knows where its numbering goes on.
pub async fn positions_go_on_when_everything_was_settled_before_the_restart<H: QueueHarness>() {
    let mut harness = H::start(Setup { partitions: 2, small: true }).await;
    if !harness.queue().capabilities().positions {
        return;
    }
    let mut newest = None;
    for round in 0..4 {
        let queue = harness.queue();
        let mut receiver = open(&*queue, 0, newest).await;
        let last = publish(&*queue, 0, round * 50..round * 50 + 50).await;
        assert!(last > newest, "{last:?} after {newest:?}");
        newest = last;
        let got = receive(&mut *receiver, 50).await;
        assert_messages(&got, 0, round * 50..round * 50 + 50);
        settle(&mut *receiver, &got).await;
        drop(receiver);
        drop(queue);
        harness.reopen().await;
        assert_eq!(harness.queue().depth(0).await.expect("depth").newest, newest);
    }
}

/// A reader that keeps its own cursor goes on exactly where it was, whatever was settled.
pub async fn a_reader_goes_on_from_its_cursor_after_a_restart<H: QueueHarness>() {
    let mut harness = H::start(Setup::default()).await;
    let queue = harness.queue();
    if !queue.capabilities().log {
        return;
    }
    publish(&*queue, 0, 0..30).await;
    let mut receiver = open(&*queue, 0, None).await;
    let got = receive(&mut *receiver, 20).await;
    settle(&mut *receiver, got.get(..10).expect("twenty")).await;
    let cursor = got.last().and_then(|delivery| delivery.position);
    drop(receiver);
    drop(queue);
    harness.reopen().await;
    let queue = harness.queue();
    let mut receiver = in_time("open", queue.open(0, cursor)).await.expect("open");
    assert_messages(&receive(&mut *receiver, 10).await, 0, 20..30);
}
