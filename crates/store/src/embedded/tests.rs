//! What only the embedded store promises: refusals by name, and going on after a full disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fjall::AbstractTree as _;
use ronda_schemas::codec::Versioned as _;
use ronda_schemas::row::SchedulerRow;

use super::*;
use crate::conformance::fixture::{Owner, everything, key, refusal, row};
use crate::port::{LeaseStore as _, PartitionStore as _, SchedulerReads as _};

fn options() -> EmbeddedOptions {
    EmbeddedOptions { min_free_bytes: 16 * 1024 * 1024, ..EmbeddedOptions::default() }
}

fn open(dir: &Path) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(dir, options())
}

fn refused(dir: &Path) -> StoreError {
    open(dir).expect_err("opening must be refused")
}

async fn filled(dir: &Path, rows: u32) {
    let store = open(dir).unwrap();
    let mut owner = Owner::acquire(&store, 0, 1).await;
    for number in 0..rows {
        owner.put(&store, vec![row(&key("acme", &format!("job-{number}")), 1)]).await;
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn a_second_opening_is_refused_until_the_first_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let error = refused(dir.path());
    assert_eq!(error.kind, StoreErrorKind::Locked);
    assert!(error.message.contains("another process") && error.message.contains(dir.path().to_str().unwrap()));
    store.close();
    open(dir.path()).unwrap();
}

#[tokio::test]
async fn a_store_of_a_newer_layout_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 1).await;
    let tables = Tables::open(&dir.path().join("engine"), &options()).unwrap();
    tables.keyspace(tables::Table::Meta).insert("format", 2_u64.to_be_bytes()).unwrap();
    tables.db.persist(fjall::PersistMode::SyncAll).unwrap();
    drop(tables);
    let error = refused(dir.path());
    assert_eq!(error.kind, StoreErrorKind::Unreadable);
    assert!(error.message.contains("layout 2") && !error.retryable, "{error}");
}

#[tokio::test]
async fn a_row_of_a_newer_release_is_refused_and_the_others_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let mut owner = Owner::acquire(&store, 0, 1).await;
    owner.put(&store, vec![row(&key("acme", "old"), 1)]).await;
    let newer = |transaction: &mut transaction::Transaction<'_>| {
        // `[version, null]`.
        let version = u8::try_from(SchedulerRow::VERSION + 1).unwrap();
        transaction.put(tables::Table::Rows, key::row("acme", "new"), vec![0x92, version, 0xc0]);
        Ok(())
    };
    store.committer.submit(0, newer).await.unwrap();
    let error = store.scheduler("acme", "new").await.expect_err("a newer row");
    assert_eq!(error.kind, StoreErrorKind::Unreadable);
    assert!(error.message.contains("upgrade"), "{error}");
    assert_eq!(refusal(store.load(0, 1, None, 10).await), StoreErrorKind::Unreadable);
    assert!(store.scheduler("acme", "old").await.unwrap().is_some());
}

#[tokio::test]
async fn a_damaged_version_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 1).await;
    std::fs::write(dir.path().join("engine/version"), b"rubbish").unwrap();
    let error = refused(dir.path());
    assert_eq!(error.kind, StoreErrorKind::Unreadable);
    assert!(error.message.contains("engine/version") && error.message.contains("backup"), "{error}");
}

#[tokio::test]
async fn confirmed_commits_missing_from_the_journal_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 50).await;
    let journal = files(dir.path()).into_iter().find(|path| path.extension().is_some_and(|ext| ext == "jnl")).unwrap();
    let mut bytes = std::fs::read(&journal).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    // In the middle of what was written, with many whole commits after it.
    bytes[written / 2..written / 2 + 64].fill(0xEE);
    std::fs::write(&journal, bytes).unwrap();
    let error = refused(dir.path());
    assert_eq!(error.kind, StoreErrorKind::Unreadable);
    assert!(error.message.contains(".jnl") || error.message.contains("last-commit"), "{error}");
}

#[tokio::test]
async fn no_damage_to_a_file_ends_the_process_or_invents_rows() {
    let original = tempfile::tempdir().unwrap();
    filled(original.path(), 20).await;
    // A second start writes the first one's journal into sorted files.
    let tables = Tables::open(&original.path().join("engine"), &options()).unwrap();
    for table in tables::Table::ALL {
        tables.keyspace(table).rotate_memtable_and_wait().unwrap();
    }
    drop(tables);
    for path in files(original.path()) {
        if path.ends_with("lock") || path.ends_with("last-commit") {
            continue;
        }
        let mut bytes = std::fs::read(&path).unwrap();
        let from = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) / 2;
        let until = (from + 8).min(bytes.len());
        bytes[from..until].iter_mut().for_each(|byte| *byte ^= 0x5A);
        // Opening changes files, so each damage is done to a copy.
        let copy = tempfile::tempdir().unwrap();
        copy_all(original.path(), copy.path());
        let damaged = copy.path().join(path.strip_prefix(original.path()).unwrap());
        std::fs::write(&damaged, bytes).unwrap();
        check_reads(copy.path(), &damaged).await;
    }
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_all(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// Reading answers what was written, or says that something is damaged.
async fn check_reads(dir: &Path, damaged: &Path) {
    let store = match open(dir) {
        Ok(store) => store,
        Err(error) => {
            assert!(!error.message.is_empty(), "{}", damaged.display());
            return;
        }
    };
    match store.load(0, 1, None, 100).await {
        Ok(rows) => assert_eq!(rows.len(), 20, "{}", damaged.display()),
        Err(error) => assert_eq!(error.kind, StoreErrorKind::Unreadable, "{}: {error}", damaged.display()),
    }
}

#[tokio::test]
async fn without_room_nothing_is_written_until_there_is_room_again() {
    let dir = tempfile::tempdir().unwrap();
    let free = Arc::new(AtomicU64::new(u64::MAX));
    let seen = Arc::clone(&free);
    let probe: FreeSpace = Box::new(move |_| Ok(seen.load(Ordering::Relaxed)));
    let store = EmbeddedStore::open_with(dir.path(), options(), probe).unwrap();
    let mut owner = Owner::acquire(&store, 0, 1).await;
    let scheduler = key("acme", "job");
    owner.put(&store, vec![row(&scheduler, 1)]).await;

    free.store(15 * 1024 * 1024, Ordering::Relaxed);
    let mut commit = owner.next_commit();
    commit.rows.push(row(&scheduler, 2));
    let error = store.commit(Arc::new(commit.clone())).await.expect_err("no room");
    assert_eq!(error.kind, StoreErrorKind::Full);
    assert!(error.retryable && error.message.contains("make room"), "{error}");
    let kept = store.scheduler("acme", "job").await.unwrap();
    assert_eq!(kept.map(|row| row.position), Some(1));
    assert!(store.history(&scheduler, &everything()).await.unwrap().entries.is_empty());
    assert_eq!(store.takes_commits().expect_err("not ready").kind, StoreErrorKind::Unavailable);
    store.check().expect("a full disk is no reason to end");
    // Retention goes on, and is not held up by what is refused in the same group: it is what makes room.
    commit_beside_a_removal(&store, commit.clone()).await;

    free.store(u64::MAX, Ordering::Relaxed);
    store.commit(Arc::new(commit)).await.unwrap();
    store.takes_commits().unwrap();
    let kept = store.scheduler("acme", "job").await.unwrap();
    assert_eq!(kept.map(|row| row.position), Some(2));
}

/// Has a commit that is refused and a removal written in one group.
async fn commit_beside_a_removal(store: &EmbeddedStore, commit: crate::port::Commit) {
    let (began, begin) = std::sync::mpsc::channel::<()>();
    // Holds the committer up until both wait.
    let hold = store.committer.submit(0, move |_| {
        let _ = begin.recv();
        Ok(())
    });
    let remove = |transaction: &mut transaction::Transaction<'_>| {
        transaction.remove(tables::Table::Keys, b"a key that is gone".to_vec());
        Ok(())
    };
    let release = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        began.send(()).unwrap();
    };
    let (held, refused, removed, ()) =
        tokio::join!(hold, store.commit(Arc::new(commit)), store.committer.submit_removal(8, remove), release);
    held.unwrap();
    assert_eq!(refused.expect_err("no room").kind, StoreErrorKind::Full);
    removed.unwrap();
}

#[tokio::test]
async fn the_index_is_kept_right_while_schedulers_come_go_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let mut owner = Owner::acquire(&store, 0, 1).await;
    let scheduler = key("acme", "job");
    for _ in 0..3 {
        for position in 0..3 {
            owner.put(&store, vec![row(&scheduler, position)]).await;
            assert!(store.is_registered("acme", "job").await.unwrap());
        }
        let removal = crate::port::Commit { removed: vec![scheduler.clone()], ..owner.next_commit() };
        store.commit(Arc::new(removal)).await.unwrap();
        assert!(!store.is_registered("acme", "job").await.unwrap());
    }
}

#[tokio::test]
async fn what_is_replayed_is_written_out() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let mut owner = Owner::acquire(&store, 0, 1).await;
    for commit in 0..20 {
        let rows = (0..500).map(|number| row(&key("acme", &format!("job-{commit}-{number}")), 1));
        owner.put(&store, rows.collect()).await;
    }
    store.close();
    let tables = Tables::open(&dir.path().join("engine"), &options()).unwrap();
    // The engine gives the memory back a moment after it has written.
    let deadline = Instant::now() + Duration::from_secs(10);
    while tables.db.write_buffer_size() >= 2 * 1024 * 1024 {
        assert!(Instant::now() < deadline, "{} bytes are still in memory", tables.db.write_buffer_size());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Older versions of the tables count too: the engine may keep what is written out for readers from before.
    let all = tables::Table::ALL.map(|table| tables.keyspace(table).tree.version_memtable_size_sum());
    let kept: u64 = all.iter().sum();
    assert!(kept < 64 * 1024, "{kept} bytes are kept in memory");
    drop(tables);
    assert_eq!(open(dir.path()).unwrap().load(0, 1, None, 20_000).await.unwrap().len(), 10_000);
}

/// A disk of a few mebibytes, where the machine lets a test make one.
struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    fn new(mebibytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m");
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path()).stderr(std::process::Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(Self { dir })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.dir.path()).status();
    }
}

#[tokio::test]
async fn a_write_that_fails_on_a_full_disk_is_recovered_from() {
    let Some(disk) = SmallDisk::new(8) else {
        println!("skipped: no file system can be mounted here");
        return;
    };
    let dir = disk.dir.path();
    // Nothing is held back, so the disk's own error is met.
    let store = EmbeddedStore::open(dir.join("store"), EmbeddedOptions { min_free_bytes: 0, ..options() }).unwrap();
    let mut owner = Owner::acquire(&store, 0, 1).await;
    let ballast = dir.join("ballast");
    std::fs::write(&ballast, vec![1; 6 * 1024 * 1024]).unwrap();
    let mut committed = 0_u64;
    let error = loop {
        let mut commit = owner.next_commit();
        let position = commit.partition.cursor;
        commit.rows.extend((0..100).map(|number| row(&key("acme", &format!("job-{number}")), position)));
        match store.commit(Arc::new(commit)).await {
            Ok(()) => committed = position,
            Err(error) => break error,
        }
        assert!(position < 1_000, "the disk never became full");
    };
    assert!(error.retryable, "{error}");
    assert!(matches!(error.kind, StoreErrorKind::Unavailable | StoreErrorKind::Full), "{error}");
    assert!(committed > 0);

    std::fs::remove_file(&ballast).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut owner = loop {
        match store.acquire(0, 1).await {
            Ok(partition) => break Owner { partition },
            Err(error) => assert!(error.retryable && Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    // The commit that failed is there whole or not at all, and so are those before it.
    let cursor = owner.partition.cursor;
    assert!(cursor == committed || cursor == committed + 1, "cursor {cursor} after {committed}");
    let rows = store.load(0, 1, None, 1_000).await.unwrap();
    assert_eq!(rows.len(), 100);
    assert!(rows.iter().all(|row| row.position == cursor));
    owner.put(&store, vec![row(&key("acme", "after"), cursor + 1)]).await;
    drop(store);
    let store = EmbeddedStore::open(dir.join("store"), EmbeddedOptions { min_free_bytes: 0, ..options() }).unwrap();
    assert_eq!(store.load(0, 1, None, 1_000).await.unwrap().len(), 101);
}

#[tokio::test]
async fn a_committer_that_panicked_shows_in_the_check() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    store.check().unwrap();
    store.committer.submit::<()>(0, |_| panic!("told to panic")).await.unwrap_err();
    let deadline = Instant::now() + Duration::from_secs(10);
    let error = loop {
        // The call is answered while the thread still unwinds.
        match store.check() {
            Err(error) => break error,
            Ok(()) => assert!(Instant::now() < deadline, "the check says nothing"),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert!(error.to_string().contains("restart the process"), "{error}");
}

#[tokio::test]
async fn leases_of_a_newer_release_are_refused() {
    use ronda_schemas::lease::{AssignmentRow, Group, MemberId};
    // `[99, nil]` in MessagePack.
    const NEWER: [u8; 3] = [0x92, 99, 0xc0];
    let dir = tempfile::tempdir().unwrap();
    let places = [key::assignment(Group::Processor), key::member(Group::Notifier, MemberId(7))];
    let store = open(dir.path()).unwrap();
    for place in places {
        store.engine.tables().unwrap().keyspace(tables::Table::Meta).insert(place, NEWER).unwrap();
    }
    for group in Group::ALL {
        let error = store.leases(group).await.expect_err("a newer release's");
        assert!(error.kind == StoreErrorKind::Unreadable && error.message.contains("version 99"), "{error}");
    }
    let next = AssignmentRow { version: 100, slots: Vec::new() };
    assert_eq!(refusal(store.swap_assignment(Group::Processor, &next).await), StoreErrorKind::Unreadable);
}
