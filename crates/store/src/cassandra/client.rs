//! The driver's session, with the few ways in which it is used here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use scylla::client::Compression;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::DeserializeRow;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::response::query_result::QueryResult;
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchStatement, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};
use scylla::value::{CqlValue, Row};

use super::options::CassandraOptions;
use super::statements::Statements;
use super::{errors, invalid};
use crate::error::{StoreError, StoreErrorKind};
use crate::requests::Request;

/// First and longest wait before a conditional write that lost is tried again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

/// How often to ask whether all nodes know of a new table.
const SCHEMA_POLL: Duration = Duration::from_millis(20);

/// A row as a statement's answer has it, owned.
pub(super) trait Answer: for<'f, 'm> DeserializeRow<'f, 'm> + Send + 'static {}

impl<T: for<'f, 'm> DeserializeRow<'f, 'm> + Send + 'static> Answer for T {}

/// A session and its statements.
pub(super) struct Client {
    session: Session,
    pub(super) statements: Box<Statements>,
    conditional_attempts: u32,
}

impl Client {
    /// Makes the statements of a session ready.
    pub(super) async fn new(session: Session, options: &CassandraOptions) -> Result<Self, StoreError> {
        let mut reads = profile(options);
        if let Some(after) = options.speculative_reads_after {
            let policy = SimpleSpeculativeExecutionPolicy { max_retry_count: 1, retry_interval: after };
            reads = reads.to_builder().speculative_execution_policy(Some(Arc::new(policy))).build();
        }
        let page_rows = i32::try_from(options.page_rows.max(1)).unwrap_or(i32::MAX);
        let reads = reads.into_handle();
        let statements = Box::pin(Statements::prepare(&session, &options.keyspace, page_rows, &reads)).await?;
        Ok(Self { session, statements, conditional_attempts: options.conditional_attempts.max(1) })
    }

    /// A plain write.
    pub(super) async fn write(
        &self,
        doing: &str,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<(), StoreError> {
        Request::Write.count(1);
        self.execute(doing, statement, values).await.map(drop)
    }

    /// The one row that a read finds.
    pub(super) async fn first<T: Answer>(
        &self,
        doing: &str,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<Option<T>, StoreError> {
        Request::Read.count(1);
        let result = self.execute(doing, statement, values).await?;
        let rows = result.into_rows_result().map_err(|error| errors::unexpected(doing, error))?;
        rows.maybe_first_row::<T>().map_err(|error| errors::unexpected(doing, error))
    }

    /// All rows that a read finds, as they come: a page at a time. An error in between is an item, never an end.
    pub(super) async fn rows<'s, T: Answer>(
        &self,
        doing: &'s str,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<BoxStream<'s, Result<T, StoreError>>, StoreError> {
        Request::Read.count(1);
        let pager = Box::pin(self.session.execute_iter(statement.clone(), values)).await;
        let pager = pager.map_err(|error| errors::of_pager(doing, error))?;
        let rows = pager.rows_stream::<T>().map_err(|error| errors::unexpected(doing, error))?;
        Ok(rows.map(move |row| row.map_err(|error| errors::of_row(doing, error))).boxed())
    }

    /// A conditional write; `false`: it did not take place. An error leaves open whether it took place, or will.
    pub(super) async fn conditional(
        &self,
        doing: &str,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<bool, StoreError> {
        Request::ConditionalWrite.count(1);
        let result = self.execute(doing, statement, values).await?;
        is_applied(doing, result)
    }

    /// Conditional writes of one storage partition: all or, when it answers `false`, none.
    pub(super) async fn conditional_batch(
        &self,
        doing: &str,
        statements: Vec<(&PreparedStatement, Vec<CqlValue>)>,
    ) -> Result<bool, StoreError> {
        Request::ConditionalWrite.count(statements.len());
        let (statements, values): (Vec<_>, Vec<_>) =
            statements.into_iter().map(|(text, values)| (BatchStatement::from(text.clone()), values)).unzip();
        let batch = Batch::new_with_statements(BatchType::Unlogged, statements);
        let result = Box::pin(self.session.batch(&batch, values)).await;
        is_applied(doing, result.map_err(|error| errors::of_execution(doing, error))?)
    }

    async fn execute(
        &self,
        doing: &str,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<QueryResult, StoreError> {
        let result = Box::pin(self.session.execute_unpaged(statement, values)).await;
        result.map_err(|error| errors::of_execution(doing, error))
    }

    /// Waits after a conditional write has lost so many times, or says that it has lost too often.
    pub(super) async fn pause(&self, doing: &str, lost: u32) -> Result<(), StoreError> {
        if lost >= self.conditional_attempts {
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format!("{doing}: others changed the same thing {lost} times in a row"),
            ));
        }
        let wait = AGAIN.0.saturating_mul(1 << lost.min(10)).min(AGAIN.1);
        // Those who met come apart.
        let part = u32::try_from(random()? % 1_000).unwrap_or(0);
        tokio::time::sleep(wait / 2 + wait * part / 2_000).await;
        Ok(())
    }
}

/// Whether a conditional write took place, by the server's answer to it.
pub(super) fn is_applied(doing: &str, result: QueryResult) -> Result<bool, StoreError> {
    let rows = result.into_rows_result().map_err(|error| errors::unexpected(doing, error))?;
    // The columns behind it say what is there instead; which they are differs from statement to statement.
    let row: Row = rows.first_row().map_err(|error| errors::unexpected(doing, error))?;
    Ok(row.columns.first() == Some(&Some(CqlValue::Boolean(true))))
}

/// Connects to the cluster.
pub(super) async fn connect(options: &CassandraOptions) -> Result<Session, StoreError> {
    let mut builder = SessionBuilder::new()
        .known_nodes(&options.nodes)
        .connection_timeout(options.connect_timeout)
        .compression(Some(Compression::Lz4))
        // Where a row is depends on its keyspace's replication; nothing else of the schema is needed.
        .keyspaces_to_fetch([&options.keyspace])
        .schema_agreement_interval(SCHEMA_POLL)
        .default_execution_profile_handle(profile(options).into_handle());
    if let (Some(user), Some(password)) = (&options.user, &options.password) {
        builder = builder.user(user, password);
    }
    let session = Box::pin(builder.build()).await.map_err(|error| errors::of_session(&options.nodes, error))?;
    let state = session.get_cluster_state();
    check_datacenter(
        options.datacenter.as_deref(),
        state.get_nodes_info().iter().filter_map(|node| node.datacenter.as_deref()).collect(),
    )?;
    Ok(session)
}

/// Each datacenter agrees on conditional writes for itself: owners that ask in several ones would not see each other.
#[allow(clippy::needless_pass_by_value, reason = "made for it")]
fn check_datacenter(named: Option<&str>, there: BTreeSet<&str>) -> Result<(), StoreError> {
    let all = || there.iter().copied().collect::<Vec<_>>().join(", ");
    match named {
        None if there.len() > 1 => Err(invalid(format!(
            "the cluster has several datacenters, {}: name one of them, the same for all processes (datacenter=…)",
            all()
        ))),
        Some(name) if !there.is_empty() && !there.contains(name) => {
            Err(invalid(format!("the cluster has no datacenter {name:?}, but {}", all())))
        }
        _ => Ok(()),
    }
}

fn profile(options: &CassandraOptions) -> ExecutionProfile {
    let mut nodes = DefaultPolicy::builder();
    if let Some(datacenter) = &options.datacenter {
        nodes = nodes.prefer_datacenter(datacenter.clone());
    }
    ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .serial_consistency(Some(SerialConsistency::LocalSerial))
        .request_timeout(Some(options.request_timeout))
        .load_balancing_policy(nodes.build())
        .build()
}

/// Does things side by side, so many at a time. What they come to is in their order; the first error ends it.
pub(super) async fn side_by_side<T>(
    works: Vec<BoxFuture<'_, Result<T, StoreError>>>,
    at_a_time: usize,
) -> Result<Vec<T>, StoreError> {
    futures::stream::iter(works).buffered(at_a_time.max(1)).try_collect().await
}

/// A number that nobody else has.
pub(super) fn random() -> Result<i64, StoreError> {
    let number = getrandom::u64().map_err(|error| {
        StoreError::new(StoreErrorKind::Unavailable, format!("the system gives no random numbers: {error}"))
    })?;
    Ok(i64::try_from(number >> 1).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_datacenter_is_named_where_there_are_several() {
        let check = |named, there: &[&'static str]| check_datacenter(named, there.iter().copied().collect());
        for (named, there) in [
            (None, &["dc1"][..]),
            (None, &[]),
            (Some("dc2"), &["dc1", "dc2"]),
            (Some("dc1"), &["dc1"]),
            (Some("dc1"), &[]),
        ] {
            check(named, there).expect("it can be used");
        }
        for (named, there) in [(None, &["dc1", "dc2"][..]), (Some("dc3"), &["dc1", "dc2"]), (Some("DC1"), &["dc1"])] {
            let error = check(named, there).expect_err("owners would not see each other, or nobody be found");
            assert_eq!(error.kind, StoreErrorKind::Invalid);
            assert!(error.message.contains(&there.join(", ")), "{error}");
        }
    }
}
