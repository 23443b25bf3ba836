//! Another number of partitions for a log in which everything is settled.
//!
//! The log goes on in a segment whose header has the new number. Each of its partitions is numbered on from behind the greatest position
//! that any partition had, so that a position still means no two messages. The name of that segment is the one step by which the
//! number changes: older segments are void from then on, and whoever opens the log removes them.

use std::path::Path;

use super::lock::DirLock;
use super::options::{EmbeddedOptions, OpenError};
use super::recovery::{partitions_in, recover};
use super::segment::{SegmentHeader, create, fresh_salt, segment_path, sync_dir};

/// Changes the number of partitions of the log in a directory that nobody has open. Doing it again changes nothing, and ends what
/// was interrupted.
///
/// # Errors
/// [`OpenError::Unsettled`] while a message is not settled, or as [`EmbeddedQueue::open`](super::EmbeddedQueue::open).
pub fn repartition(dir: &Path, options: &EmbeddedOptions, partitions: u32) -> Result<(), OpenError> {
    EmbeddedOptions { partitions, ..options.clone() }.checked()?;
    if !dir.is_dir() {
        return Ok(());
    }
    let _lock = DirLock::take(dir)?;
    let Some(have) = partitions_in(dir)? else { return Ok(()) };
    let options = EmbeddedOptions { partitions: have, ..options.clone() }.checked()?;
    let log = recover(dir, &options)?;
    if have == partitions {
        return Ok(());
    }
    let unsettled = log.next.iter().zip(&log.settled).map(|(next, settled)| next - 1 - settled).sum();
    if unsettled > 0 {
        return Err(OpenError::Unsettled { dir: dir.to_owned(), messages: unsettled });
    }
    let next = log.next.iter().copied().max().unwrap_or(1);
    let salt = fresh_salt().map_err(OpenError::io("can't get a random number for", dir))?;
    let header = SegmentHeader {
        segment: log.segments.back().map_or(1, |newest| newest.id + 1),
        salt,
        next_group: log.next_group,
        next: vec![next; partitions as usize],
    };
    create(dir, &header).map_err(OpenError::io("can't make", segment_path(dir, header.segment)))?;
    for old in &log.segments {
        std::fs::remove_file(&old.path).map_err(OpenError::io("can't remove", &old.path))?;
    }
    sync_dir(dir).map_err(OpenError::io("can't sync", dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::EmbeddedQueue;
    use crate::port::{Position, Queue, ReceiveLimit};

    fn options(partitions: u32) -> EmbeddedOptions {
        EmbeddedOptions { partitions, ..EmbeddedOptions::default() }
    }

    async fn settle_all(queue: &EmbeddedQueue, partition: u32) {
        let mut receiver = Queue::open(queue, partition, None).await.unwrap();
        let messages = receiver.receive(ReceiveLimit::default()).await.unwrap();
        receiver.settle(messages.last().unwrap().token).await.unwrap();
    }

    /// A log of two partitions, of which the first had three messages and the second one.
    async fn used(dir: &Path) -> EmbeddedQueue {
        let queue = EmbeddedQueue::open(dir, options(2)).unwrap();
        for partition in [0, 0, 0, 1] {
            queue.publish(partition, "x".into()).await.unwrap();
        }
        queue
    }

    #[tokio::test]
    async fn positions_go_on_behind_the_greatest_of_all_partitions() {
        let dir = tempfile::tempdir().unwrap();
        let queue = used(dir.path()).await;
        settle_all(&queue, 0).await;
        settle_all(&queue, 1).await;
        queue.close().await;
        for _ in 0..2 {
            repartition(dir.path(), &options(2), 8).unwrap();
        }
        assert!(EmbeddedQueue::open(dir.path(), options(2)).is_err());
        let queue = EmbeddedQueue::open(dir.path(), options(8)).unwrap();
        for partition in 0..8 {
            let depth = queue.depth(partition).await.unwrap();
            assert_eq!((depth.newest, depth.messages), (Some(Position(3)), 0));
            assert_eq!(queue.publish(partition, "y".into()).await.unwrap().position, Some(Position(4)));
            assert!(Queue::open(&queue, partition, Some(Position(3))).await.is_ok());
        }
    }

    #[tokio::test]
    async fn a_log_with_anything_unsettled_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let queue = used(dir.path()).await;
        settle_all(&queue, 0).await;
        queue.close().await;
        let error = repartition(dir.path(), &options(2), 4).unwrap_err();
        assert!(matches!(error, OpenError::Unsettled { messages: 1, .. }), "{error}");
        let queue = EmbeddedQueue::open(dir.path(), options(2)).unwrap();
        assert_eq!(queue.depth(1).await.unwrap().messages, 1);
    }

    #[tokio::test]
    async fn a_change_that_was_interrupted_is_ended_by_whoever_opens_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let queue = used(dir.path()).await;
        settle_all(&queue, 0).await;
        settle_all(&queue, 1).await;
        queue.close().await;
        let old = segment_path(dir.path(), 1);
        let kept = std::fs::read(&old).unwrap();
        repartition(dir.path(), &options(2), 1).unwrap();
        std::fs::write(&old, kept).unwrap();
        let queue = EmbeddedQueue::open(dir.path(), options(1)).unwrap();
        assert_eq!(queue.depth(0).await.unwrap().newest, Some(Position(3)));
        assert!(!old.exists());
    }
}
