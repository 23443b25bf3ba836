//! Who may open a queue, with which settings.

use super::super::{EmbeddedOptions, EmbeddedQueue, OpenError};
use super::{open, publish, read_all, segments, small};
use crate::{Queue, QueueErrorKind, ReceiveLimit};

#[tokio::test]
async fn a_second_opening_is_refused_by_name_until_the_first_is_closed() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let first = open(dir.path());
    let error = EmbeddedQueue::open(dir.path(), small()).expect_err("already open");
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&dir.path().display().to_string()) && text.contains("another ronda"), "{text}");
    assert!(text.contains(&std::process::id().to_string()), "{text}");
    first.close().await;
    let second = open(dir.path());
    drop(second);
    open(dir.path());
}

#[tokio::test]
async fn another_partition_count_is_refused_with_the_way_out() {
    let dir = tempfile::tempdir().expect("temporary directory");
    publish(&open(dir.path()), 1, [b"x".to_vec()]).await;
    let options = EmbeddedOptions { partitions: 8, ..small() };
    let error = EmbeddedQueue::open(dir.path(), options).expect_err("made with two");
    assert!(matches!(error, OpenError::PartitionCount { have: 2, asked: 8, .. }), "{error}");
    assert!(error.to_string().contains("set partitions = 2"), "{error}");
    assert!(error.to_string().contains("ronda queue repartition"), "{error}");
    assert_eq!(read_all(&open(dir.path()), 1).await.len(), 1);
}

#[tokio::test]
async fn settings_out_of_bounds_are_refused() {
    let dir = tempfile::tempdir().expect("temporary directory");
    for wrong in [
        EmbeddedOptions { partitions: 0, ..small() },
        EmbeddedOptions { partitions: 1025, ..small() },
        EmbeddedOptions { max_message_bytes: 0, ..small() },
        EmbeddedOptions { max_message_bytes: 2 << 20, ..small() },
        EmbeddedOptions { max_pending_bytes: 10, ..small() },
        EmbeddedOptions { max_bytes: u64::MAX, ..small() },
    ] {
        let error = EmbeddedQueue::open(dir.path(), wrong.clone()).expect_err("out of bounds");
        assert!(matches!(error, OpenError::InvalidOptions { .. }), "{wrong:?}: {error}");
    }
}

#[tokio::test]
async fn a_closed_queue_refuses_and_its_receivers_end() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let queue = std::sync::Arc::new(open(dir.path()));
    let mut waiting = Queue::open(&*queue, 0, None).await.expect("open");
    let waiting = tokio::spawn(async move { waiting.receive(ReceiveLimit::default()).await });
    queue.check().expect("open");
    queue.close().await;
    queue.close().await;
    let error = waiting.await.expect("receiver").expect_err("closed");
    assert_eq!(error.kind, QueueErrorKind::Closed);
    assert_eq!(queue.publish(0, "x".into()).await.expect_err("closed").kind, QueueErrorKind::Closed);
    assert_eq!(queue.check().expect_err("closed").kind, QueueErrorKind::Closed);
    assert_eq!(Queue::open(&*queue, 0, None).await.map(|_| ()).expect_err("closed").kind, QueueErrorKind::Closed);
}

#[tokio::test]
async fn closing_stores_what_was_already_on_its_way() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let queue = open(dir.path());
    let publishes: Vec<_> = (0..100_u8).map(|n| queue.publish(0, vec![n].into())).collect();
    let (stored, ()) = tokio::join!(futures_all(publishes), async { queue.close().await });
    let stored = stored.into_iter().filter(|published| published.is_ok()).count();
    drop(queue);
    assert_eq!(read_all(&open(dir.path()), 0).await.len(), stored);
}

/// Polls all of them at once.
async fn futures_all<T: Send>(all: Vec<std::pin::Pin<Box<dyn Future<Output = T> + Send + '_>>>) -> Vec<T> {
    let mut all: Vec<_> = all.into_iter().map(Ok).collect();
    std::future::poll_fn(move |context| {
        for slot in &mut all {
            if let Ok(future) = slot
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *slot = Err(value);
            }
        }
        if all.iter().all(Result::is_err) {
            return std::task::Poll::Ready(all.drain(..).filter_map(Result::err).collect());
        }
        std::task::Poll::Pending
    })
    .await
}

#[tokio::test]
async fn left_overs_of_an_interrupted_segment_are_removed() {
    let dir = tempfile::tempdir().expect("temporary directory");
    publish(&open(dir.path()), 0, [b"x".to_vec()]).await;
    let left_over = dir.path().join("00000000000000000002.new");
    std::fs::write(&left_over, b"RONDA").expect("write");
    assert_eq!(read_all(&open(dir.path()), 0).await.len(), 1);
    assert!(!left_over.exists());
    assert_eq!(segments(dir.path()).len(), 1);
}

#[tokio::test]
async fn damaged_notes_only_offer_settled_messages_again() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let queue = open(dir.path());
    publish(&queue, 0, (0..4_u8).map(|n| vec![n])).await;
    let mut receiver = Queue::open(&queue, 0, None).await.expect("open");
    let got = receiver.receive(ReceiveLimit { messages: 3, bytes: 100 }).await.expect("receive");
    receiver.settle(got[2].token).await.expect("settle");
    queue.close().await;
    let queue = open(dir.path());
    assert_eq!(read_all(&queue, 0).await, [(4, vec![3])], "notes are written when the queue closes");
    queue.close().await;
    std::fs::write(dir.path().join("settled"), b"nonsense").expect("write");
    assert_eq!(read_all(&open(dir.path()), 0).await.len(), 4);
}
