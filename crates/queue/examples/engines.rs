//! Which engine should the embedded queue's log be? Measures what a queue does: append a batch and make it durable,
//! while a backlog of fixed length is trimmed at the other end.
//!
//! `cargo run --release -p ronda-queue --example engines [DIRECTORY]`
#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::collections::VecDeque;
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fjall::{KeyspaceCreateOptions, PersistMode};
use redb::TableDefinition;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// How long each case is measured.
const CASE: Duration = Duration::from_secs(3);
/// Bytes of messages that stay in the queue while it is trimmed.
const BACKLOG_BYTES: u64 = 64 << 20;
const SEGMENT_BYTES: u64 = 16 << 20;
const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("log");

/// An engine as a queue's log: keys are numbers that grow.
trait Engine {
    /// Appends the messages from `first` on, removes those before `trim`, and makes both durable at once.
    fn append(&mut self, first: u64, messages: &[Vec<u8>], trim: u64) -> Outcome<()>;
}

/// Segment files: one write and one fdatasync a batch; trimming unlinks.
struct Segments {
    dir: PathBuf,
    file: File,
    length: u64,
    buffer: Vec<u8>,
    sealed: VecDeque<(PathBuf, u64)>,
}

impl Segments {
    fn open(dir: &Path) -> Outcome<Self> {
        let file = Self::create(&dir.join("0.log"), dir)?;
        Ok(Self { dir: dir.to_owned(), file, length: 0, buffer: Vec::new(), sealed: VecDeque::new() })
    }

    fn create(path: &Path, dir: &Path) -> Outcome<File> {
        let file = OpenOptions::new().create_new(true).write(true).open(path)?;
        file.sync_all()?;
        File::open(dir)?.sync_all()?;
        Ok(file)
    }
}

impl Engine for Segments {
    fn append(&mut self, first: u64, messages: &[Vec<u8>], trim: u64) -> Outcome<()> {
        self.buffer.clear();
        for (number, message) in (first..).zip(messages) {
            self.buffer.extend_from_slice(&crc32fast::hash(message).to_le_bytes());
            self.buffer.extend_from_slice(&u32::try_from(message.len())?.to_le_bytes());
            self.buffer.extend_from_slice(&number.to_le_bytes());
            self.buffer.extend_from_slice(message);
        }
        self.file.write_all(&self.buffer)?;
        self.file.sync_data()?;
        self.length += self.buffer.len() as u64;
        if self.length >= SEGMENT_BYTES {
            let path = self.dir.join(format!("{first}.log"));
            self.file = Self::create(&path, &self.dir)?;
            self.sealed.push_back((path, first));
            self.length = 0;
        }
        while self.sealed.front().is_some_and(|(_, last)| *last < trim) {
            if let Some((path, _)) = self.sealed.pop_front() {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

struct Fjall {
    database: fjall::Database,
    keyspace: fjall::Keyspace,
    trimmed: u64,
}

impl Fjall {
    fn open(dir: &Path) -> Outcome<Self> {
        let database = fjall::Database::builder(dir).open()?;
        let keyspace = database.keyspace("log", KeyspaceCreateOptions::default)?;
        Ok(Self { database, keyspace, trimmed: 0 })
    }
}

impl Engine for Fjall {
    fn append(&mut self, first: u64, messages: &[Vec<u8>], trim: u64) -> Outcome<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for (number, message) in (first..).zip(messages) {
            batch.insert(&self.keyspace, number.to_be_bytes(), message.as_slice());
        }
        for number in self.trimmed..trim {
            batch.remove(&self.keyspace, number.to_be_bytes());
        }
        self.trimmed = trim;
        Ok(batch.commit()?)
    }
}

struct Redb {
    database: redb::Database,
    trimmed: u64,
}

impl Redb {
    fn open(dir: &Path) -> Outcome<Self> {
        Ok(Self { database: redb::Database::create(dir.join("log.redb"))?, trimmed: 0 })
    }
}

impl Engine for Redb {
    fn append(&mut self, first: u64, messages: &[Vec<u8>], trim: u64) -> Outcome<()> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for (number, message) in (first..).zip(messages) {
                table.insert(number, message.as_slice())?;
            }
            for number in self.trimmed..trim {
                table.remove(number)?;
            }
        }
        self.trimmed = trim;
        Ok(transaction.commit()?)
    }
}

/// Messages that don't compress, the same in every run.
fn messages(size: usize, count: usize) -> Vec<Vec<u8>> {
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    let mut byte = || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise.to_le_bytes()[0]
    };
    (0..count).map(|_| (0..size).map(|_| byte()).collect()).collect()
}

/// Bytes that this process has caused to be written to disk, where the system counts them.
fn written_bytes() -> u64 {
    let counters = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = counters.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

fn measure(name: &str, engine: &mut dyn Engine, size: usize, batch: usize) -> Outcome<()> {
    let messages = messages(size, batch);
    let backlog = BACKLOG_BYTES / size as u64;
    let (mut next, mut times) = (0_u64, Vec::new());
    let (begin, written) = (Instant::now(), written_bytes());
    while begin.elapsed() < CASE {
        let start = Instant::now();
        engine.append(next, &messages, next.saturating_sub(backlog))?;
        times.push(start.elapsed());
        next += batch as u64;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let payload = next as f64 * size as f64;
    times.sort_unstable();
    let at = |share: usize| times.get((times.len() - 1) * share / 100).copied().unwrap_or_default();
    println!(
        "| {size:>6} | {batch:>5} | {name:<14} | {:>9.0} | {:>6.1} | {:>8.2} | {:>8.2} | {:>5.1} |",
        next as f64 / seconds,
        payload / seconds / 1e6,
        at(50).as_secs_f64() * 1e3,
        at(99).as_secs_f64() * 1e3,
        (written_bytes() - written) as f64 / payload,
    );
    Ok(())
}

fn main() -> Outcome<()> {
    let parent = std::env::args().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    println!("| bytes  | batch | engine         | messages/s | MB/s | p50 ms | p99 ms | written / payload |");
    println!("|---|---|---|---|---|---|---|---|");
    for (size, batch) in [(180, 1), (180, 64), (180, 512), (65_536, 1), (65_536, 16)] {
        let dir = || tempfile::tempdir_in(&parent);
        let (one, two, three) = (dir()?, dir()?, dir()?);
        measure("segmented log", &mut Segments::open(one.path())?, size, batch)?;
        measure("fjall 3", &mut Fjall::open(two.path())?, size, batch)?;
        measure("redb 4", &mut Redb::open(three.path())?, size, batch)?;
    }
    Ok(())
}
