//! The tables, as they are made and as they are checked.
//!
//! Cells that conditional writes change are never written plainly, and the other way round: the server orders the two by different clocks.

/// Version of the tables; raised when an older release could not use them.
pub(super) const VERSION: i32 = 1;

/// Width of a history's storage partitions, in milliseconds: 20,000 rows of a job that runs each minute.
pub(super) const BUCKET_MS: i64 = 7 * DAY_MS;
/// Width of an error feed's storage partitions, in milliseconds.
pub(super) const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// Over how many storage partitions a tenant's list of schedulers is spread: 10,000 keys each of 160,000 schedulers.
pub(super) const LIST_BUCKETS: u32 = 16;

/// What is only told apart by time and goes by itself: whole files are dropped once all in them has expired.
const BY_TIME: &str = "compaction = {'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'DAYS', \
                       'compaction_window_size': '7'} AND gc_grace_seconds = 86400";

/// A table: its columns in the order in which they are declared, and its key.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Name, type, and what part it has: `p` of the partition key, `c` of the clustering key, `d` the same in descending order, `s` static,
    /// or nothing.
    pub(super) columns: &'static [(&'static str, &'static str, &'static str)],
    /// What it is made `WITH`; empty: nothing.
    with: &'static str,
}

impl Table {
    const fn plain(name: &'static str, columns: &'static [(&'static str, &'static str, &'static str)]) -> Self {
        Self { name, columns, with: "" }
    }

    const fn expiring(name: &'static str, columns: &'static [(&'static str, &'static str, &'static str)]) -> Self {
        Self { name, columns, with: BY_TIME }
    }

    /// The statement that makes it.
    pub(super) fn create(&self, keyspace: &str) -> String {
        let columns = self.columns.iter().map(|(name, kind, part)| {
            let part = if *part == "s" { " static" } else { "" };
            format!("{name} {kind}{part}")
        });
        let partition: Vec<&str> =
            self.columns.iter().filter(|column| column.2 == "p").map(|column| column.0).collect();
        let clustering: Vec<_> = self.columns.iter().filter(|column| matches!(column.2, "c" | "d")).collect();
        let order =
            clustering.iter().map(|column| format!("{} {}", column.0, if column.2 == "d" { "DESC" } else { "ASC" }));
        let mut with = Vec::new();
        if !clustering.is_empty() {
            with.push(format!("CLUSTERING ORDER BY ({})", order.collect::<Vec<_>>().join(", ")));
        }
        if !self.with.is_empty() {
            with.push(self.with.to_owned());
        }
        let with = if with.is_empty() { String::new() } else { format!(" WITH {}", with.join(" AND ")) };
        format!(
            "CREATE TABLE IF NOT EXISTS \"{keyspace}\".{} ({}, PRIMARY KEY (({}){})){with}",
            self.name,
            columns.collect::<Vec<_>>().join(", "),
            partition.join(", "),
            clustering.iter().map(|column| format!(", {}", column.0)).collect::<String>(),
        )
    }
}

/// The store's own few values, and the lock of who migrates. Conditional writes only. The `holder` is who migrates, or which repartitioning is
/// under way.
pub(super) const META: Table = Table::plain(
    "meta",
    &[
        ("what", "text", "p"),
        ("version", "int", ""),
        ("holder", "bigint", ""),
        ("generation", "bigint", ""),
        ("partitions", "int", ""),
        ("moving_to", "int", ""),
    ],
);

/// All others.
pub(super) const TABLES: &[Table] = &[
    // Conditional writes only.
    Table::plain("labels", &[("name", "text", "p"), ("text", "text", "")]),
    // Conditional writes only. A generation is what one repartitioning made; owners of former ones write to rows that nobody reads.
    // An epoch's commits are counted: of one owner's calls, too, one that is carried out late must not take the row back.
    Table::plain(
        "partitions",
        &[
            ("generation", "bigint", "p"),
            ("partition", "int", "p"),
            ("epoch", "bigint", ""),
            ("commits", "bigint", ""),
            ("row", "blob", ""),
        ],
    ),
    // Written with timestamps made of epochs.
    Table::plain(
        "schedulers",
        &[
            ("slot", "int", "p"),
            ("tenant", "text", "c"),
            ("scheduler", "text", "c"),
            ("shown", "boolean", ""),
            ("row", "blob", ""),
        ],
    ),
    // Written with timestamps made of epochs.
    Table::plain(
        "schedulers_by_tenant",
        &[("tenant", "text", "p"), ("bucket", "int", "p"), ("scheduler", "text", "c"), ("slot", "int", "")],
    ),
    Table::plain("tenants", &[("shelf", "int", "p"), ("tenant", "text", "c")]),
    // An entry has an empty `run`. Of several epochs' rows of one thing the greatest epoch's counts.
    Table::expiring(
        "history",
        &[
            ("tenant", "text", "p"),
            ("scheduler", "text", "p"),
            ("bucket", "bigint", "p"),
            ("age", "bigint", "c"),
            ("kind", "tinyint", "c"),
            ("subject_run", "text", "c"),
            ("run", "text", "c"),
            ("epoch", "bigint", "d"),
            ("row", "blob", ""),
        ],
    ),
    // Which storage partitions of `history` there are, newest first.
    Table::expiring("history_buckets", &[("tenant", "text", "p"), ("scheduler", "text", "p"), ("age", "bigint", "c")]),
    Table::expiring(
        "errors",
        &[
            ("tenant", "text", "p"),
            ("day", "bigint", "p"),
            ("age", "bigint", "c"),
            ("message", "blob", "c"),
            ("row", "blob", ""),
        ],
    ),
    // Which days there are, newest first.
    Table::expiring("error_days", &[("tenant", "text", "p"), ("age", "bigint", "c")]),
    // Conditional writes only, since clocks of several writers must not decide whether a key is revoked.
    Table::plain("api_keys", &[("hash", "blob", "p"), ("row", "blob", "")]),
    Table::plain("api_keys_by_tenant", &[("shelf", "int", "p"), ("tenant", "text", "c"), ("hash", "blob", "c")]),
    // Conditional writes only.
    Table::plain("idempotency", &[("tenant", "text", "p"), ("key", "text", "p"), ("row", "blob", "")]),
    // Conditional writes only. An epoch's commits have numbers that rise, for the same reason as those of partitions.
    Table::plain(
        "surfaces",
        &[
            ("shard", "int", "p"),
            ("key", "text", "c"),
            ("epoch", "bigint", "s"),
            ("commits", "bigint", "s"),
            ("journal_epoch", "bigint", "s"),
            ("journal", "bigint", "s"),
            ("journal_items", "int", "s"),
            ("row", "blob", ""),
        ],
    ),
    // Changes of one commit that is too large for a batch; without a row: a removal.
    Table::plain(
        "surface_journal",
        &[
            ("shard", "int", "p"),
            ("epoch", "bigint", "c"),
            ("journal", "bigint", "c"),
            ("item", "int", "c"),
            ("key", "text", ""),
            ("row", "blob", ""),
        ],
    ),
    // Conditional writes only. A pool is a group of replicas, which CQL has for a word of its own.
    Table::plain("lease_assignments", &[("pool", "text", "p"), ("version", "bigint", ""), ("row", "blob", "")]),
    // Written with timestamps made of each member's counter. Every restart of a replica leaves a tombstone, and all poll the others: a member
    // that comes back because its tombstone went too early is only removed again.
    Table {
        name: "lease_members",
        columns: &[("pool", "text", "p"), ("member", "bigint", "c"), ("row", "blob", "")],
        with: "gc_grace_seconds = 3600",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_name_keys_and_order() {
        let statement = |name: &str| {
            let table = TABLES.iter().find(|table| table.name == name).expect("a table");
            table.create("ks")
        };
        let history = statement("history");
        assert!(
            history.contains("PRIMARY KEY ((tenant, scheduler, bucket), age, kind, subject_run, run, epoch)"),
            "{history}"
        );
        assert!(history.contains("run ASC, epoch DESC") && history.contains("TimeWindow"), "{history}");
        assert!(statement("surfaces").contains("epoch bigint static"));
        assert!(
            statement("partitions").ends_with("PRIMARY KEY ((generation, partition)))"),
            "{}",
            statement("partitions")
        );
    }
}
