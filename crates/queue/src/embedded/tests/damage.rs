//! What a crash may leave is repaired; what only damage explains is refused.

use std::path::Path;

use super::super::{EmbeddedQueue, OpenError};
use super::{open, publish, read_all, segments, small};

/// A log of three messages, and its file's lengths before and after the third.
async fn three_messages(dir: &Path) -> (Vec<u8>, usize) {
    let queue = open(dir);
    publish(&queue, 0, [b"first".to_vec()]).await;
    publish(&queue, 1, [b"second".to_vec()]).await;
    let file = segments(dir).pop().expect("a segment");
    let before = std::fs::metadata(&file).expect("metadata").len();
    publish(&queue, 0, [vec![7; 40]]).await;
    queue.close().await;
    (std::fs::read(&file).expect("read"), usize::try_from(before).expect("small"))
}

/// A directory that looks as if the process had died with these bytes in its only segment.
fn crashed_with(bytes: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("temporary directory");
    std::fs::write(dir.path().join("00000000000000000001.log"), bytes).expect("write");
    dir
}

async fn assert_two_left_and_usable(dir: &Path, case: &str) {
    let queue = open(dir);
    assert_eq!(read_all(&queue, 0).await, [(1, b"first".to_vec())], "{case}");
    assert_eq!(read_all(&queue, 1).await, [(1, b"second".to_vec())], "{case}");
    publish(&queue, 0, [b"again".to_vec()]).await;
    queue.close().await;
    let queue = open(dir);
    assert_eq!(read_all(&queue, 0).await, [(1, b"first".to_vec()), (2, b"again".to_vec())], "{case}");
}

#[tokio::test]
async fn a_last_write_torn_at_any_byte_is_cut_off() {
    let origin = tempfile::tempdir().expect("temporary directory");
    let (bytes, before) = three_messages(origin.path()).await;
    for end in before..bytes.len() {
        let torn = crashed_with(&bytes[..end]);
        assert_two_left_and_usable(torn.path(), &format!("cut at {end}")).await;
    }
}

#[tokio::test]
async fn a_last_write_with_pages_that_never_arrived_is_cut_off() {
    let origin = tempfile::tempdir().expect("temporary directory");
    let (bytes, before) = three_messages(origin.path()).await;
    for at in before..bytes.len() {
        let mut holed = bytes.clone();
        for byte in holed.iter_mut().skip(at).take(16) {
            *byte ^= 0x55;
        }
        let torn = crashed_with(&holed);
        assert_two_left_and_usable(torn.path(), &format!("hole at {at}")).await;
    }
    let mut zeros = bytes[..before].to_vec();
    zeros.resize(before + 10_000, 0);
    assert_two_left_and_usable(crashed_with(&zeros).path(), "zeros").await;
}

#[tokio::test]
async fn a_group_without_its_end_is_cut_off_whole() {
    let origin = tempfile::tempdir().expect("temporary directory");
    let queue = open(origin.path());
    publish(&queue, 0, [b"kept".to_vec()]).await;
    let file = segments(origin.path()).pop().expect("a segment");
    let before = usize::try_from(std::fs::metadata(&file).expect("metadata").len()).expect("small");
    let record = |n: u8, last_in_group| {
        let salt = super::super::record::u32_at(&std::fs::read(&file).expect("read"), 24);
        let header = super::super::record::RecordHeader {
            length: 1,
            partition: 0,
            last_in_group,
            position: u64::from(n),
            group: 2,
        };
        let mut bytes = Vec::new();
        header.encode(salt, &[n], &mut bytes);
        bytes
    };
    let whole = std::fs::read(&file).expect("read");
    let open_group = [&whole[..before], &record(2, false), &record(3, false)].concat();
    let dir = crashed_with(&open_group);
    let queue = open(dir.path());
    assert_eq!(read_all(&queue, 0).await, [(1, b"kept".to_vec())]);
    publish(&queue, 0, [b"next".to_vec()]).await;
    assert_eq!(read_all(&queue, 0).await, [(1, b"kept".to_vec()), (2, b"next".to_vec())]);
    let ended_group = [&whole[..before], &record(2, false), &record(3, true)].concat();
    let dir = crashed_with(&ended_group);
    assert_eq!(read_all(&open(dir.path()), 0).await.len(), 3);
}

#[tokio::test]
async fn damage_before_the_last_write_is_refused_with_file_and_byte() {
    let origin = tempfile::tempdir().expect("temporary directory");
    let (bytes, before) = three_messages(origin.path()).await;
    let header = super::super::segment::SegmentHeader::encoded_bytes(2);
    for at in header..before {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x80;
        let dir = crashed_with(&damaged);
        match EmbeddedQueue::open(dir.path(), small()) {
            Err(error @ OpenError::Corrupt { offset, .. }) => {
                assert!(offset <= at as u64, "said byte {offset}, damaged was {at}");
                assert!(error.to_string().contains("00000000000000000001.log"), "{error}");
            }
            other => panic!("damage at byte {at} was not refused: {other:?}"),
        }
        let file = dir.path().join("00000000000000000001.log");
        assert_eq!(std::fs::read(file).expect("read"), damaged, "a refused log must not be touched");
    }
}

#[tokio::test]
async fn a_log_that_lost_its_noted_end_is_refused() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (bytes, before) = three_messages(dir.path()).await;
    let file = segments(dir.path()).pop().expect("a segment");
    std::fs::write(&file, &bytes[..before]).expect("write");
    let error = EmbeddedQueue::open(dir.path(), small()).expect_err("the end is noted as written");
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    std::fs::remove_file(&file).expect("remove");
    let error = EmbeddedQueue::open(dir.path(), small()).expect_err("the file is noted as written");
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn a_missing_or_short_segment_in_the_middle_is_refused() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let queue = open(dir.path());
    publish(&queue, 0, (0..12_u8).map(|n| vec![n; 30_000])).await;
    queue.close().await;
    let files = segments(dir.path());
    assert!(files.len() >= 4, "{files:?}");
    let whole = std::fs::read(&files[1]).expect("read");
    std::fs::write(&files[1], &whole[..whole.len() - 1]).expect("write");
    let error = EmbeddedQueue::open(dir.path(), small()).expect_err("a sealed segment is short");
    assert!(matches!(&error, OpenError::Corrupt { file, .. } if *file == files[1]), "{error}");
    std::fs::remove_file(&files[1]).expect("remove");
    let error = EmbeddedQueue::open(dir.path(), small()).expect_err("a segment is missing");
    assert!(matches!(&error, OpenError::Corrupt { file, .. } if *file == files[1]), "{error}");
    std::fs::write(&files[1], whole).expect("write");
    assert_eq!(read_all(&open(dir.path()), 0).await.len(), 12);
}

#[tokio::test]
async fn damage_that_appears_while_running_is_told_to_the_reader() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let queue = open(dir.path());
    publish(&queue, 0, (0..6_u8).map(|n| vec![n; 30_000])).await;
    let file = &segments(dir.path())[0];
    let mut bytes = std::fs::read(file).expect("read");
    let middle = 20_000;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).expect("write");
    let mut receiver = crate::Queue::open(&queue, 0, None).await.expect("open");
    let error = receiver.receive(crate::ReceiveLimit::default()).await.expect_err("damaged");
    assert_eq!(error.kind, crate::QueueErrorKind::Corrupt);
    assert!(error.message.contains("00000000000000000001.log"), "{error}");
}
