//! What can be set of an embedded store.

/// Sizes of an embedded store. The defaults suit a machine with a gibibyte of memory and 100,000 schedulers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// Memory for blocks read from disk, in bytes. Loading fills it, so it is a part of what the process takes from its start on.
    pub cache_bytes: u64,
    /// How much of one table's newest writes is kept in memory before it is written out as a sorted file, in bytes. There are nine
    /// tables; only history and scheduler rows grow enough to reach it.
    pub memtable_bytes: u64,
    /// How much journal may lie on disk before tables are made to write out what they hold, in bytes; at least 64 MiB.
    pub journal_bytes: u64,
    /// A commit is refused as `Full`, with nothing changed, while the disk has less room than this, in bytes. What is held back is what
    /// the engine needs to write out its memory and to merge its files.
    pub min_free_bytes: u64,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self { cache_bytes: 8 * MIB, memtable_bytes: 16 * MIB, journal_bytes: 128 * MIB, min_free_bytes: 256 * MIB }
    }
}
