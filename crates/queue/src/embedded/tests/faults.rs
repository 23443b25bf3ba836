//! A disk that is full, and a disk that fails.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::EmbeddedQueue;
use super::super::disk::{Disk, RealDisk};
use super::{open, publish, read_all, segments, small};
use crate::{Queue, QueueErrorKind};

/// Faults that a test switches on and off.
#[derive(Clone, Default)]
struct Faults {
    full: Arc<AtomicBool>,
    sync_fails: Arc<AtomicBool>,
    truncate_fails: Arc<AtomicBool>,
    crowded: Arc<AtomicBool>,
    panics: Arc<AtomicBool>,
}

impl Disk for Faults {
    fn write(&mut self, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) {
            // As a full disk does it: what still fits is written.
            file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        RealDisk.write(file, offset, bytes)
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        assert!(!self.panics.load(Ordering::SeqCst), "told to panic");
        if self.sync_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("input/output error"));
        }
        RealDisk.sync(file)
    }

    fn truncate(&mut self, file: &File, length: u64) -> io::Result<()> {
        if self.truncate_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("input/output error"));
        }
        RealDisk.truncate(file, length)
    }

    fn free(&mut self, dir: &Path) -> io::Result<u64> {
        if self.crowded.load(Ordering::SeqCst) { Ok(999) } else { RealDisk.free(dir) }
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers_when_there_is_room() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let faults = Faults::default();
    let queue = EmbeddedQueue::open_on(dir.path(), small(), faults.clone()).expect("open");
    publish(&queue, 0, [b"before".to_vec()]).await;
    let used = queue.used_bytes();
    for _ in 0..3 {
        faults.full.store(true, Ordering::SeqCst);
        let error = queue.publish(0, vec![1; 5000].into()).await.expect_err("the disk is full");
        assert_eq!(error.kind, QueueErrorKind::Full);
        assert!(error.retryable && error.source.is_some());
        let on_disk = std::fs::metadata(&segments(dir.path())[0]).expect("metadata").len();
        assert_eq!(on_disk, used, "what half fitted is cut off again");
        faults.full.store(false, Ordering::SeqCst);
    }
    assert_eq!(queue.used_bytes(), used, "what was refused takes no room");
    publish(&queue, 0, [b"after".to_vec()]).await;
    publish(&queue, 1, [b"other".to_vec()]).await;
    let expected = [(1, b"before".to_vec()), (2, b"after".to_vec())];
    assert_eq!(read_all(&queue, 0).await, expected);
    queue.close().await;
    assert_eq!(read_all(&open(dir.path()), 0).await, expected);
}

#[tokio::test]
async fn a_failed_sync_stops_the_queue_and_a_restart_reads_what_is_there() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let faults = Faults::default();
    let queue = EmbeddedQueue::open_on(dir.path(), small(), faults.clone()).expect("open");
    publish(&queue, 0, [b"durable".to_vec()]).await;
    let mut receiver = Queue::open(&queue, 0, None).await.expect("open");
    faults.sync_fails.store(true, Ordering::SeqCst);
    let error = queue.publish(0, b"lost".to_vec().into()).await.expect_err("not durable");
    assert_eq!(error.kind, QueueErrorKind::Unavailable);
    faults.sync_fails.store(false, Ordering::SeqCst);
    // A later sync that succeeds proves nothing about pages that the failed one dropped.
    let error = queue.publish(0, b"more".to_vec().into()).await.expect_err("the writer has stopped");
    assert_eq!(error.kind, QueueErrorKind::Unavailable);
    assert_eq!(queue.check().expect_err("not ready").kind, QueueErrorKind::Unavailable);
    let limit = crate::ReceiveLimit::default();
    let got = receiver.receive(limit).await.expect("what is durable can be read");
    assert_eq!(got.len(), 1, "a message that is not durable must not be seen");
    assert_eq!(receiver.receive(limit).await.expect_err("nothing will come").kind, QueueErrorKind::Unavailable);
    drop(receiver);
    queue.close().await;
    let queue = open(dir.path());
    publish(&queue, 0, [b"again".to_vec()]).await;
    let all = read_all(&queue, 0).await;
    assert_eq!(all.first(), Some(&(1, b"durable".to_vec())));
    assert!(all.iter().any(|(_, message)| message == b"again"));
}

#[tokio::test]
async fn a_write_that_can_not_be_taken_back_stops_the_queue() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let faults = Faults::default();
    let queue = EmbeddedQueue::open_on(dir.path(), small(), faults.clone()).expect("open");
    publish(&queue, 0, [b"durable".to_vec()]).await;
    faults.full.store(true, Ordering::SeqCst);
    faults.truncate_fails.store(true, Ordering::SeqCst);
    let error = queue.publish(0, b"lost".to_vec().into()).await.expect_err("half written");
    assert_eq!(error.kind, QueueErrorKind::Unavailable);
    queue.close().await;
    assert_eq!(read_all(&open(dir.path()), 0).await, [(1, b"durable".to_vec())]);
}

#[tokio::test]
async fn a_segment_that_can_not_be_made_is_made_for_a_later_publish() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let queue = open(dir.path());
    publish(&queue, 0, (0..2).map(|_| vec![1; 40_000])).await;
    let full = segments(dir.path());
    let in_the_way = full[full.len() - 1].with_file_name("00000000000000000002.new");
    assert_eq!(full.len(), 1);
    std::fs::create_dir(&in_the_way).expect("a directory where the file is to be");
    for _ in 0..2 {
        let error = queue.publish(0, b"refused".to_vec().into()).await.expect_err("no segment to go to");
        assert_eq!(error.kind, QueueErrorKind::Unavailable);
        assert!(error.retryable && error.source.is_some());
    }
    std::fs::remove_dir(&in_the_way).expect("out of the way");
    publish(&queue, 0, [b"after".to_vec()]).await;
    let expected = [(1, vec![1; 40_000]), (2, vec![1; 40_000]), (3, b"after".to_vec())];
    assert_eq!(read_all(&queue, 0).await, expected);
    queue.close().await;
    assert_eq!(read_all(&open(dir.path()), 0).await, expected);
}

#[tokio::test]
async fn a_writer_that_panicked_shows_in_the_check() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let faults = Faults::default();
    let queue = EmbeddedQueue::open_on(dir.path(), small(), faults.clone()).expect("open");
    faults.panics.store(true, Ordering::SeqCst);
    queue.publish(0, b"lost".to_vec().into()).await.expect_err("nobody wrote it");
    let error = loop {
        // The publish is answered while the thread still unwinds.
        match queue.check() {
            Ok(()) => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
            Err(error) => break error,
        }
    };
    assert!(error.kind == QueueErrorKind::Unavailable && !error.retryable, "{error}");
    assert!(error.to_string().contains("restart ronda"), "{error}");
}

#[tokio::test]
async fn a_segment_that_can_not_be_removed_keeps_those_after_it() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let queue = open(dir.path());
    publish(&queue, 0, (0..8).map(|_| vec![1; 40_000])).await;
    let before = segments(dir.path());
    assert!(before.len() > 2);
    let aside = dir.path().join("aside");
    std::fs::rename(&before[0], &aside).expect("put aside");
    std::fs::create_dir(&before[0]).expect("a directory can't be removed as a file");
    let used = queue.used_bytes();
    let mut receiver = Queue::open(&queue, 0, Some(crate::Position(7))).await.expect("open");
    let last = receiver.receive(crate::ReceiveLimit::default()).await.expect("receive").remove(0);
    receiver.settle(last.token).await.expect("settle");
    drop(receiver);
    queue.close().await;
    assert_eq!((segments(dir.path()), queue.used_bytes()), (before.clone(), used));
    std::fs::remove_dir(&before[0]).expect("out of the way");
    std::fs::rename(&aside, &before[0]).expect("put back");
    let queue = open(dir.path());
    assert_eq!(queue.depth(0).await.expect("depth").messages, 0);
    publish(&queue, 0, [b"after".to_vec()]).await;
    assert_eq!(read_all(&queue, 0).await, [(9, b"after".to_vec())]);
}

#[tokio::test]
async fn room_that_others_need_is_left_to_them() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let faults = Faults::default();
    let options = crate::embedded::EmbeddedOptions { min_free_bytes: 1_000, ..small() };
    let queue = EmbeddedQueue::open_on(dir.path(), options, faults.clone()).expect("open");
    publish(&queue, 0, [b"before".to_vec()]).await;
    faults.crowded.store(true, Ordering::SeqCst);
    let error = queue.publish(0, b"refused".to_vec().into()).await.expect_err("too little room");
    assert!(error.kind == QueueErrorKind::Full && error.retryable, "{error:?}");
    assert_eq!(read_all(&queue, 0).await, [(1, b"before".to_vec())], "what is there is worked off");
    faults.crowded.store(false, Ordering::SeqCst);
    publish(&queue, 0, [b"after".to_vec()]).await;
    assert_eq!(read_all(&queue, 0).await, [(1, b"before".to_vec()), (2, b"after".to_vec())]);
}
