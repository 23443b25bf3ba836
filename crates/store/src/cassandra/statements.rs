//! Every statement, prepared once: with bound partition keys, so that the driver asks a node that has the rows.

use scylla::client::execution_profile::ExecutionProfileHandle;
use scylla::client::session::Session;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;

use super::errors;
use crate::error::StoreError;

/// What the driver may do with a statement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A plain write, which may be sent twice: its timestamp says what it covers.
    Write,
    /// A read of what a majority has confirmed.
    Read,
    /// A read that brings conditional writes under way to an end first.
    Serial,
    /// A conditional write: who sent it must know what became of it.
    Conditional,
}

macro_rules! statements {
    ($($kind:ident $name:ident = $text:expr;)+) => {
        /// The prepared statements.
        pub(super) struct Statements {
            $(pub(super) $name: PreparedStatement,)+
        }

        impl Statements {
            /// Prepares them for a keyspace.
            pub(super) async fn prepare(
                session: &Session,
                keyspace: &str,
                page_rows: i32,
                reads: &ExecutionProfileHandle,
            ) -> Result<Box<Self>, StoreError> {
                let preparing = Preparing { session, keyspace, page_rows, reads };
                Ok(Box::new(Self { $($name: Box::pin(preparing.prepare(Kind::$kind, $text)).await?,)+ }))
            }
        }
    };
}

statements! {
    Serial meta = "SELECT generation, partitions, moving_to, holder FROM ks.meta WHERE what = ?";
    Read meta_as_confirmed = "SELECT generation, partitions, moving_to, holder FROM ks.meta WHERE what = ?";
    Conditional make_meta = "INSERT INTO ks.meta (what, generation, partitions) VALUES (?, ?, ?) IF NOT EXISTS";
    Conditional begin_move =
        "UPDATE ks.meta SET moving_to = ?, holder = ? WHERE what = ? IF generation = ? AND moving_to = ? AND holder = ?";
    Conditional give_move_up =
        "UPDATE ks.meta SET moving_to = null, holder = null WHERE what = ? IF generation = ? AND moving_to = ?";
    Conditional end_move =
        "UPDATE ks.meta SET generation = ?, partitions = ?, moving_to = null, holder = null WHERE what = ? \
         IF generation = ? AND moving_to = ? AND holder = ?";

    Serial label = "SELECT text FROM ks.labels WHERE name = ?";
    Conditional make_label = "INSERT INTO ks.labels (name, text) VALUES (?, ?) IF NOT EXISTS";
    Conditional change_label = "UPDATE ks.labels SET text = ? WHERE name = ? IF text = ?";

    Serial partition = "SELECT epoch, row FROM ks.partitions WHERE generation = ? AND partition = ?";
    Read partition_as_confirmed = "SELECT epoch, row FROM ks.partitions WHERE generation = ? AND partition = ?";
    Conditional make_partition =
        "INSERT INTO ks.partitions (generation, partition, epoch, commits, row) VALUES (?, ?, ?, 0, ?) IF NOT EXISTS";
    Conditional raise_partition =
        "UPDATE ks.partitions SET epoch = ?, commits = 0 WHERE generation = ? AND partition = ? IF epoch = ?";
    Conditional move_partition =
        "UPDATE ks.partitions SET commits = ?, row = ? WHERE generation = ? AND partition = ? IF epoch = ? AND commits < ?";

    Write put_row =
        "UPDATE ks.schedulers USING TIMESTAMP ? SET shown = ?, row = ? WHERE slot = ? AND tenant = ? AND scheduler = ?";
    Write remove_row = "DELETE FROM ks.schedulers USING TIMESTAMP ? WHERE slot = ? AND tenant = ? AND scheduler = ?";
    Read row = "SELECT row FROM ks.schedulers WHERE slot = ? AND tenant = ? AND scheduler = ?";
    Read shown = "SELECT shown FROM ks.schedulers WHERE slot = ? AND tenant = ? AND scheduler = ?";
    Read rows = "SELECT row, WRITETIME(row) FROM ks.schedulers WHERE slot = ? AND (tenant, scheduler) > (?, ?) LIMIT ?";

    Write list =
        "INSERT INTO ks.schedulers_by_tenant (tenant, bucket, scheduler, slot) VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
    Write unlist =
        "DELETE FROM ks.schedulers_by_tenant USING TIMESTAMP ? WHERE tenant = ? AND bucket = ? AND scheduler = ?";
    Read listed =
        "SELECT scheduler FROM ks.schedulers_by_tenant WHERE tenant = ? AND bucket = ? AND scheduler > ? LIMIT ?";
    Write put_tenant = "INSERT INTO ks.tenants (shelf, tenant) VALUES (?, ?)";
    Read tenants = "SELECT tenant FROM ks.tenants WHERE shelf = ?";

    Write put_history =
        "INSERT INTO ks.history (tenant, scheduler, bucket, age, kind, subject_run, run, epoch, row) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?";
    Write put_history_bucket =
        "INSERT INTO ks.history_buckets (tenant, scheduler, age) VALUES (?, ?, ?) USING TTL ?";
    Read history_buckets =
        "SELECT age FROM ks.history_buckets WHERE tenant = ? AND scheduler = ? AND age >= ? AND age <= ?";
    Read history =
        "SELECT age, kind, subject_run, run, row FROM ks.history WHERE tenant = ? AND scheduler = ? AND bucket = ? \
         AND (age, kind, subject_run) > (?, ?, ?) AND (age) <= (?)";

    Write put_error =
        "INSERT INTO ks.errors (tenant, day, age, message, row) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?";
    Write put_error_day = "INSERT INTO ks.error_days (tenant, age) VALUES (?, ?) USING TTL ?";
    Read error_days = "SELECT age FROM ks.error_days WHERE tenant = ? AND age >= ?";
    Read errors =
        "SELECT row FROM ks.errors WHERE tenant = ? AND day = ? AND (age, message) > (?, ?) AND (age) <= (?) LIMIT ?";

    Write list_key = "INSERT INTO ks.api_keys_by_tenant (shelf, tenant, hash) VALUES (?, ?, ?)";
    Conditional make_key = "INSERT INTO ks.api_keys (hash, row) VALUES (?, ?) IF NOT EXISTS";
    Conditional change_key = "UPDATE ks.api_keys SET row = ? WHERE hash = ? IF EXISTS";
    Read key = "SELECT row FROM ks.api_keys WHERE hash = ?";
    Read all_keys = "SELECT tenant, hash FROM ks.api_keys_by_tenant WHERE shelf = ?";
    Read tenant_keys = "SELECT tenant, hash FROM ks.api_keys_by_tenant WHERE shelf = ? AND tenant = ?";

    Read claim = "SELECT row, TTL(row) FROM ks.idempotency WHERE tenant = ? AND key = ?";
    Serial claim_as_agreed = "SELECT row, TTL(row) FROM ks.idempotency WHERE tenant = ? AND key = ?";
    Conditional make_claim = "INSERT INTO ks.idempotency (tenant, key, row) VALUES (?, ?, ?) IF NOT EXISTS USING TTL ?";
    Conditional change_claim = "UPDATE ks.idempotency USING TTL ? SET row = ? WHERE tenant = ? AND key = ? IF row = ?";
    Conditional remove_claim = "DELETE FROM ks.idempotency WHERE tenant = ? AND key = ? IF row = ?";

    Serial shard =
        "SELECT DISTINCT shard, epoch, commits, journal_epoch, journal, journal_items FROM ks.surfaces WHERE shard = ?";
    Read shard_as_confirmed =
        "SELECT DISTINCT shard, epoch, commits, journal_epoch, journal, journal_items FROM ks.surfaces WHERE shard = ?";
    Conditional raise_shard = "UPDATE ks.surfaces SET epoch = ?, commits = 0 WHERE shard = ? IF epoch = ?";
    Conditional guard_shard =
        "UPDATE ks.surfaces SET commits = ? WHERE shard = ? IF epoch = ? AND commits < ? AND journal = null";
    Conditional name_journal =
        "UPDATE ks.surfaces SET commits = ?, journal_epoch = ?, journal = ?, journal_items = ? WHERE shard = ? \
         IF epoch = ? AND commits < ? AND journal = null";
    Conditional guard_journal =
        "UPDATE ks.surfaces SET journal_items = ? WHERE shard = ? IF journal_epoch = ? AND journal = ?";
    Conditional clear_journal =
        "UPDATE ks.surfaces SET journal_epoch = null, journal = null, journal_items = null WHERE shard = ? \
         IF journal_epoch = ? AND journal = ?";
    Conditional put_large_surface =
        "UPDATE ks.surfaces SET row = ? WHERE shard = ? AND key = ? IF journal_epoch = ? AND journal = ?";
    Conditional put_surface = "INSERT INTO ks.surfaces (shard, key, row) VALUES (?, ?, ?)";
    Conditional remove_surface = "DELETE FROM ks.surfaces WHERE shard = ? AND key = ?";
    Read surfaces_from = "SELECT key, row FROM ks.surfaces WHERE shard = ? AND key >= ? LIMIT ?";
    Read surfaces_after = "SELECT key, row FROM ks.surfaces WHERE shard = ? AND key > ? LIMIT ?";

    Write put_journal_item =
        "INSERT INTO ks.surface_journal (shard, epoch, journal, item, key, row) VALUES (?, ?, ?, ?, ?, ?)";
    Read journal_items = "SELECT key, row FROM ks.surface_journal WHERE shard = ? AND epoch = ? AND journal = ?";
    Write remove_journal = "DELETE FROM ks.surface_journal WHERE shard = ? AND epoch = ? AND journal = ?";
    Write remove_old_journals = "DELETE FROM ks.surface_journal WHERE shard = ? AND epoch < ?";

    Serial assignment = "SELECT row FROM ks.lease_assignments WHERE pool = ?";
    Conditional make_assignment = "INSERT INTO ks.lease_assignments (pool, version, row) VALUES (?, ?, ?) IF NOT EXISTS";
    Conditional swap_assignment = "UPDATE ks.lease_assignments SET version = ?, row = ? WHERE pool = ? IF version = ?";
    Read members = "SELECT row FROM ks.lease_members WHERE pool = ?";
    Write put_member = "INSERT INTO ks.lease_members (pool, member, row) VALUES (?, ?, ?) USING TIMESTAMP ?";
    Write remove_member = "DELETE FROM ks.lease_members USING TIMESTAMP ? WHERE pool = ? AND member = ?";
}

struct Preparing<'a> {
    session: &'a Session,
    keyspace: &'a str,
    page_rows: i32,
    reads: &'a ExecutionProfileHandle,
}

impl Preparing<'_> {
    async fn prepare(&self, kind: Kind, text: &str) -> Result<PreparedStatement, StoreError> {
        let text = text.replace(" ks.", &format!(" \"{}\".", self.keyspace));
        let mut statement = self.session.prepare(text).await.map_err(errors::of_preparing)?;
        statement.set_is_idempotent(kind != Kind::Conditional);
        statement.set_page_size(self.page_rows);
        match kind {
            Kind::Read => statement.set_execution_profile_handle(Some(self.reads.clone())),
            Kind::Serial => statement.set_consistency(Consistency::LocalSerial),
            Kind::Write | Kind::Conditional => {}
        }
        Ok(statement)
    }
}
