//! Making the tables, and checking them.

use std::time::Duration;

use futures::TryStreamExt as _;
use scylla::client::session::Session;

use super::client::{connect, random};
use super::options::CassandraOptions;
use super::schema::{META, TABLES, VERSION};
use super::{conflict, errors, invalid};
use crate::error::{StoreError, StoreErrorKind};

/// The row of `meta` with the tables' version.
const SCHEMA: &str = "schema";
/// The row of `meta` that one who migrates holds.
const LOCK: &str = "migration";
/// A lock that was left behind goes after so long, in seconds: longer than making all tables takes.
const LOCK_SECONDS: i32 = 300;
/// How long to wait for somebody else who migrates.
const LOCK_WITHIN: Duration = Duration::from_secs(120);
const LOCK_POLL: Duration = Duration::from_millis(200);
const MAX_KEYSPACE_CHARS: usize = 48;

/// Makes the keyspace and the tables that are not there yet, and adds columns that tables lack. What is there is left as it is. Of several that run at once one works and the
/// others wait.
///
/// # Errors
/// `Unavailable` when the cluster can't be reached or somebody else's migration does not end, `Conflict` when a table that is there has
/// another shape, `Unreadable` when the tables are a newer release's.
pub async fn migrate(options: &CassandraOptions) -> Result<(), StoreError> {
    check_names(options)?;
    let session = connect(options).await?;
    let keyspace = &options.keyspace;
    let more = &options.keyspace_options;
    let and = if more.is_empty() { "" } else { " AND " };
    let replication = &options.replication;
    run(&session, format!("CREATE KEYSPACE IF NOT EXISTS \"{keyspace}\" WITH replication = {replication}{and}{more}"))
        .await?;
    run(&session, META.create(keyspace)).await?;
    let holder = lock(&session, keyspace).await?;
    let made = make_tables(&session, options).await;
    // A lock that can't be given back goes by itself.
    let unlocked = unlock(&session, keyspace, holder).await;
    made.and(unlocked)
}

/// Says everything that keeps this release from using the tables; empty: nothing does.
///
/// # Errors
/// As [`migrate`], except for what it finds.
pub async fn check(options: &CassandraOptions) -> Result<Vec<String>, StoreError> {
    check_names(options)?;
    let session = connect(options).await?;
    differences(&session, options).await
}

pub(super) fn check_names(options: &CassandraOptions) -> Result<(), StoreError> {
    let name = &options.keyspace;
    let is_fine = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.len() <= MAX_KEYSPACE_CHARS
        && name.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_');
    if is_fine {
        return Ok(());
    }
    Err(invalid(format!(
        "keyspace {name:?}: it must consist of lower-case letters, digits and '_', begin with a letter, and be at most \
         {MAX_KEYSPACE_CHARS} long"
    )))
}

/// What differs from the tables as they must be.
pub(super) async fn differences(session: &Session, options: &CassandraOptions) -> Result<Vec<String>, StoreError> {
    let found = columns(session, &options.keyspace).await?;
    if found.is_empty() {
        return Ok(vec![format!("there is no keyspace {} with tables in it", options.keyspace)]);
    }
    let mut differences = Vec::new();
    for table in std::iter::once(&META).chain(TABLES) {
        if !found.iter().any(|column| column.0 == table.name) {
            differences.push(format!("table {} is missing", table.name));
            continue;
        }
        for (name, kind, part) in table.columns {
            let wanted = (kind_of_part(part), *kind);
            match found.iter().find(|column| column.0 == table.name && column.1 == *name) {
                None => differences.push(format!("column {}.{name} is missing", table.name)),
                Some((_, _, part, kind)) if (part.as_str(), kind.as_str()) != wanted => differences
                    .push(format!("column {}.{name} is {part} {kind}, not {} {}", table.name, wanted.0, wanted.1)),
                Some(_) => {}
            }
        }
    }
    if differences.is_empty() {
        check_version(session, &options.keyspace, &mut differences).await?;
    }
    Ok(differences)
}

/// What the server calls a part of a key.
fn kind_of_part(part: &str) -> &'static str {
    match part {
        "p" => "partition_key",
        "c" | "d" => "clustering",
        "s" => "static",
        _ => "regular",
    }
}

async fn check_version(session: &Session, keyspace: &str, differences: &mut Vec<String>) -> Result<(), StoreError> {
    let query = format!("SELECT version FROM \"{keyspace}\".meta WHERE what = ?");
    let result =
        session.query_unpaged(query, (SCHEMA,)).await.map_err(|error| errors::of_execution("reading meta", error))?;
    let rows = result.into_rows_result().map_err(|error| errors::unexpected("reading meta", error))?;
    let version: Option<(Option<i32>,)> =
        rows.maybe_first_row().map_err(|error| errors::unexpected("reading meta", error))?;
    match version.and_then(|(version,)| version) {
        None => differences.push("the making of the tables did not come to its end".to_owned()),
        Some(version) if version > VERSION => {
            return Err(StoreError::new(
                StoreErrorKind::Unreadable,
                format!(
                    "the tables have version {version}; this release knows {VERSION}: upgrade it before it uses this store"
                ),
            ));
        }
        Some(version) if version < VERSION => {
            differences.push(format!("the tables have version {version}, and this release wants {VERSION}"));
        }
        Some(_) => {}
    }
    Ok(())
}

/// All columns of a keyspace: table, name, part, type.
async fn columns(session: &Session, keyspace: &str) -> Result<Vec<(String, String, String, String)>, StoreError> {
    let query = "SELECT table_name, column_name, kind, type FROM system_schema.columns WHERE keyspace_name = ?";
    let doing = "reading the schema";
    let pager =
        Box::pin(session.query_iter(query, (keyspace,))).await.map_err(|error| errors::of_pager(doing, error))?;
    let rows = pager.rows_stream().map_err(|error| errors::unexpected(doing, error))?;
    rows.map_err(|error| errors::of_row(doing, error)).try_collect().await
}

async fn make_tables(session: &Session, options: &CassandraOptions) -> Result<(), StoreError> {
    let keyspace = &options.keyspace;
    for table in TABLES {
        run(session, table.create(keyspace)).await?;
    }
    add_columns(session, keyspace).await?;
    let insert = format!("INSERT INTO \"{keyspace}\".meta (what, version, generation) VALUES (?, ?, ?) IF NOT EXISTS");
    let values = (SCHEMA, VERSION, random()?);
    session.query_unpaged(insert, values).await.map_err(|error| errors::of_execution("writing meta", error))?;
    let findings = differences(session, options).await?;
    if findings.is_empty() {
        return Ok(());
    }
    Err(conflict(format!("tables that were there already are not as they must be: {}", findings.join("; "))))
}

/// Adds what tables of an earlier release lack. Only columns beside the keys can be added.
async fn add_columns(session: &Session, keyspace: &str) -> Result<(), StoreError> {
    let found = columns(session, keyspace).await?;
    for table in TABLES {
        let is_there = |name: &str| found.iter().any(|column| column.0 == table.name && column.1 == name);
        for (name, kind, part) in table.columns.iter().filter(|column| matches!(column.2, "" | "s")) {
            if !is_there(name) {
                let part = if *part == "s" { " static" } else { "" };
                run(session, format!("ALTER TABLE \"{keyspace}\".{} ADD {name} {kind}{part}", table.name)).await?;
            }
        }
    }
    Ok(())
}

async fn run(session: &Session, statement: String) -> Result<(), StoreError> {
    let result = Box::pin(session.query_unpaged(statement, ())).await;
    result.map(drop).map_err(|error| errors::of_execution("making a table", error))
}

/// Waits until nobody else migrates.
async fn lock(session: &Session, keyspace: &str) -> Result<i64, StoreError> {
    let holder = random()?;
    let insert =
        format!("INSERT INTO \"{keyspace}\".meta (what, holder) VALUES (?, ?) IF NOT EXISTS USING TTL {LOCK_SECONDS}");
    let attempts = async {
        while !applied(session, &insert, (LOCK, holder)).await? {
            tokio::time::sleep(LOCK_POLL).await;
        }
        Ok(holder)
    };
    tokio::time::timeout(LOCK_WITHIN, attempts).await.unwrap_or_else(|_| {
        Err(StoreError::new(
            StoreErrorKind::Unavailable,
            format!("somebody else is migrating keyspace {keyspace}; a migration that was broken off ends by itself in {LOCK_SECONDS} s"),
        ))
    })
}

async fn unlock(session: &Session, keyspace: &str, holder: i64) -> Result<(), StoreError> {
    let delete = format!("DELETE FROM \"{keyspace}\".meta WHERE what = ? IF holder = ?");
    applied(session, &delete, (LOCK, holder)).await.map(drop)
}

async fn applied(session: &Session, statement: &str, values: (&str, i64)) -> Result<bool, StoreError> {
    let doing = "taking the lock of migrations";
    let result = session.query_unpaged(statement, values).await.map_err(|error| errors::of_execution(doing, error))?;
    super::client::is_applied(doing, result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyspace_is_named_so_that_no_statement_can_be_slipped_in() {
        let named = |name: &str| CassandraOptions { keyspace: name.to_owned(), ..CassandraOptions::default() };
        for fine in ["ronda", "r", "ronda_2"] {
            check_names(&named(fine)).expect(fine);
        }
        for odd in ["", "2ronda", "Ronda", "a b", "a\"; DROP", &"a".repeat(49)] {
            assert_eq!(check_names(&named(odd)).expect_err(odd).kind, StoreErrorKind::Invalid);
        }
    }
}
