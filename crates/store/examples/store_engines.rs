//! Compares embedded engines on the store's own workload. The figures are in `docs/adr/0004-embedded-store.md`.
//!
//! `cargo run --release -p ronda-store --example store_engines -- DIR [fjall|redb]`: DIR must not exist; it lies on the disk to measure.
#![allow(clippy::print_stdout, reason = "a measuring tool prints what it measured")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fjall::{KeyspaceCreateOptions, PersistMode};
use redb::ReadableDatabase;

type Outcome<T> = Result<T, Box<dyn Error>>;

const ROWS: u32 = 100_000;
const ROW_BYTES: usize = 350;
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// What the store asks of an engine.
trait Engine: Sized {
    const NAME: &'static str;
    fn open(dir: &Path) -> Outcome<Self>;
    /// Puts the rows and the partition's row in one atomic, durable commit.
    fn commit(&self, rows: &[(Vec<u8>, Vec<u8>)], cursor: u64) -> Outcome<()>;
    fn get(&self, key: &[u8]) -> Outcome<Option<usize>>;
    fn scan(&self) -> Outcome<(usize, usize)>;
}

struct Fjall {
    db: fjall::Database,
    rows: fjall::Keyspace,
    partitions: fjall::Keyspace,
}

impl Engine for Fjall {
    const NAME: &'static str = "fjall";

    fn open(dir: &Path) -> Outcome<Self> {
        let db = fjall::Database::builder(dir).cache_size(CACHE_BYTES as u64).worker_threads(2).open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(16 * 1024 * 1024);
        let rows = db.keyspace("rows", options)?;
        let partitions = db.keyspace("partitions", options)?;
        Ok(Self { db, rows, partitions })
    }

    fn commit(&self, rows: &[(Vec<u8>, Vec<u8>)], cursor: u64) -> Outcome<()> {
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncData));
        for (key, row) in rows {
            batch.insert(&self.rows, key.as_slice(), row.as_slice());
        }
        batch.insert(&self.partitions, [0_u8; 4], cursor.to_be_bytes());
        Ok(batch.commit()?)
    }

    fn get(&self, key: &[u8]) -> Outcome<Option<usize>> {
        Ok(self.rows.get(key)?.map(|row| row.len()))
    }

    fn scan(&self) -> Outcome<(usize, usize)> {
        let (mut count, mut bytes) = (0, 0);
        for entry in self.rows.iter() {
            let (_, row) = entry.into_inner()?;
            count += 1;
            bytes += row.len();
        }
        Ok((count, bytes))
    }
}

struct Redb {
    db: redb::Database,
}

const REDB_ROWS: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("rows");
const REDB_PARTITIONS: redb::TableDefinition<'_, u32, u64> = redb::TableDefinition::new("partitions");

impl Engine for Redb {
    const NAME: &'static str = "redb";

    fn open(dir: &Path) -> Outcome<Self> {
        std::fs::create_dir_all(dir)?;
        let db = redb::Database::builder().set_cache_size(CACHE_BYTES).create(dir.join("store.redb"))?;
        Ok(Self { db })
    }

    fn commit(&self, rows: &[(Vec<u8>, Vec<u8>)], cursor: u64) -> Outcome<()> {
        let transaction = self.db.begin_write()?;
        {
            let mut table = transaction.open_table(REDB_ROWS)?;
            for (key, row) in rows {
                table.insert(key.as_slice(), row.as_slice())?;
            }
            transaction.open_table(REDB_PARTITIONS)?.insert(0, cursor)?;
        }
        Ok(transaction.commit()?)
    }

    fn get(&self, key: &[u8]) -> Outcome<Option<usize>> {
        let table = self.db.begin_read()?.open_table(REDB_ROWS)?;
        Ok(table.get(key)?.map(|row| row.value().len()))
    }

    fn scan(&self) -> Outcome<(usize, usize)> {
        let table = self.db.begin_read()?.open_table(REDB_ROWS)?;
        let (mut count, mut bytes) = (0, 0);
        for entry in table.range::<&[u8]>(..)? {
            let (_, row) = entry?;
            count += 1;
            bytes += row.value().len();
        }
        Ok((count, bytes))
    }
}

/// xorshift64*: the same rows for every engine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: u32) -> u32 {
        u32::try_from(self.next() % u64::from(end)).unwrap_or(0)
    }

    fn row(&mut self) -> Vec<u8> {
        // Half of a real row is text that compresses, half is numbers that don't.
        let mut row = vec![b'n'; ROW_BYTES / 2];
        while row.len() < ROW_BYTES {
            row.extend_from_slice(&self.next().to_le_bytes());
        }
        row
    }
}

fn key(number: u32) -> Vec<u8> {
    let (tenant, scheduler) = (format!("tenant-{}", number % 20), format!("nightly-job-{number:06}"));
    let slot = u16::try_from(ronda_domain::id::hash_of(&tenant, &scheduler) % ronda_domain::id::SLOTS).unwrap_or(0);
    [&slot.to_be_bytes()[..], tenant.as_bytes(), &[0], scheduler.as_bytes()].concat()
}

fn quantile(sorted: &[Duration], per_mille: usize) -> Duration {
    sorted.get((sorted.len() * per_mille / 1_000).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

fn resident_kib() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("?").trim().to_owned()
}

fn disk_bytes(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => disk_bytes(&entry.path()),
            Ok(meta) => meta.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn commits<E: Engine>(engine: &E, random: &mut Random, size: usize, count: u32) -> Outcome<()> {
    let mut times = Vec::new();
    let before = written_bytes();
    let begun = Instant::now();
    for cursor in 0..count {
        let rows: Vec<_> = (0..size).map(|_| (key(random.below(ROWS)), random.row())).collect();
        let start = Instant::now();
        engine.commit(&rows, u64::from(cursor))?;
        times.push(start.elapsed());
    }
    let seconds = begun.elapsed().as_secs_f64();
    times.sort_unstable();
    println!(
        "{:6} commits of {size:4} rows: {:8.0} rows/s, p50 {:?}, p99 {:?}, longest {:?}, {} KiB written a commit",
        E::NAME,
        f64::from(count) * size as f64 / seconds,
        quantile(&times, 500),
        quantile(&times, 990),
        quantile(&times, 1_000),
        (written_bytes() - before) / 1024 / u64::from(count),
    );
    Ok(())
}

fn measure<E: Engine>(dir: &Path) -> Outcome<()> {
    let mut random = Random(0x5EED);
    let engine = E::open(dir)?;
    let start = Instant::now();
    let numbers: Vec<u32> = (0..ROWS).collect();
    for (cursor, chunk) in numbers.chunks(1_000).enumerate() {
        let rows: Vec<_> = chunk.iter().map(|number| (key(*number), random.row())).collect();
        engine.commit(&rows, cursor as u64)?;
    }
    println!("{:6} first {ROWS} rows: {:?}, {} MiB on disk", E::NAME, start.elapsed(), disk_bytes(dir) >> 20);
    commits(&engine, &mut random, 1, 1_000)?;
    commits(&engine, &mut random, 64, 500)?;
    commits(&engine, &mut random, 1_000, 300)?;
    println!("{:6} after that: {} MiB on disk, {} resident", E::NAME, disk_bytes(dir) >> 20, resident_kib());
    drop(engine);

    let start = Instant::now();
    let engine = E::open(dir)?;
    println!("{:6} reopened in {:?}", E::NAME, start.elapsed());
    let start = Instant::now();
    let (count, bytes) = engine.scan()?;
    println!("{:6} loaded {count} rows, {} MiB, in {:?}", E::NAME, bytes >> 20, start.elapsed());
    let start = Instant::now();
    for _ in 0..ROWS {
        if engine.get(&key(random.below(ROWS)))?.is_none() {
            return Err("a row is missing".into());
        }
    }
    println!("{:6} point read: {:?}; {} resident", E::NAME, start.elapsed() / ROWS, resident_kib());
    Ok(())
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("usage: store_engines DIR [fjall|redb]")?);
    match arguments.next().as_deref() {
        Some("fjall") => measure::<Fjall>(&dir),
        Some("redb") => measure::<Redb>(&dir),
        _ => Err("usage: store_engines DIR [fjall|redb]".into()),
    }
}
