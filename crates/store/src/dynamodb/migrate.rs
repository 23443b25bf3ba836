//! Makes the tables, and says in what they differ from what they should be.

use std::time::Duration;

use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, IndexStatus, KeySchemaElement, KeyType,
    PointInTimeRecoverySpecification, PointInTimeRecoveryStatus, Projection, ProjectionType, ProvisionedThroughput,
    TableDescription, TableStatus, TimeToLiveDescription, TimeToLiveSpecification, TimeToLiveStatus,
};
use futures::future::try_join_all;
use tokio::time::Instant;

use super::db::Db;
use super::errors::of_call;
use super::options::{Billing, DynamoOptions};
use super::tables::{BY_TENANT, EXPIRES, KeyAttribute, SCHEDULER, TENANT, Table};
use super::usage::Meter;
use super::{client, invalid};
use crate::error::{StoreError, StoreErrorKind};

/// How long a table may take until it can be used; seconds, as a rule.
const ACTIVE_WITHIN: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(500);
/// What DynamoDB takes in names of tables; the longest of ours and `-` come behind the prefix.
const MOST_PREFIX_CHARS: usize = 200;

impl Db {
    pub(super) async fn connect(options: &DynamoOptions) -> Result<Self, StoreError> {
        let prefix = &options.prefix;
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if prefix.is_empty() || prefix.len() > MOST_PREFIX_CHARS || !prefix.chars().all(is_allowed) {
            return Err(invalid(format!(
                "the prefix of the tables must have 1 to {MOST_PREFIX_CHARS} letters, digits, '_', '-' and '.'"
            )));
        }
        Ok(Self { client: client::connect(options).await?, prefix: prefix.clone(), meter: Meter::default() })
    }
}

/// Makes the tables that are missing, and switches on their times to live, and their point-in-time recovery if the options ask for it. Tables that are there
/// stay as they are. May run again, and twice at once. Answers what it did, for people to read.
///
/// # Errors
/// `Conflict` when a table of the name is another one, `Unavailable` when DynamoDB can't be asked or takes too long.
pub async fn migrate(options: &DynamoOptions) -> Result<Vec<String>, StoreError> {
    let db = Db::connect(options).await?;
    let done = try_join_all(Table::ALL.map(|table| make(&db, table, options))).await?;
    let differences = check_tables(&db).await?;
    if differences.is_empty() {
        return Ok(done.into_iter().flatten().collect());
    }
    Err(StoreError::new(StoreErrorKind::Conflict, differences.join("; ")))
}

/// Says everything in which the tables differ from what they should be; nothing: they can be used.
///
/// # Errors
/// `Unavailable` when DynamoDB can't be asked.
pub async fn check(options: &DynamoOptions) -> Result<Vec<String>, StoreError> {
    let db = Db::connect(options).await?;
    let mut differences = check_tables(&db).await?;
    for table in Table::ALL {
        let Some(description) = describe(&db, table).await? else { continue };
        if table.expires() && !expires(time_to_live(&db, table).await?.as_ref()) {
            differences.push(format!("{} does not remove what is over: attribute {EXPIRES}", db.name(table)));
        }
        if options.deletion_protection && description.deletion_protection_enabled() != Some(true) {
            differences.push(format!("{} can be deleted: its deletion protection is off", db.name(table)));
        }
        if options.point_in_time_recovery && !is_recoverable(&db, table).await? {
            differences.push(format!("{} has no point-in-time recovery", db.name(table)));
        }
    }
    Ok(differences)
}

/// What keeps the tables from being used.
pub(super) async fn check_tables(db: &Db) -> Result<Vec<String>, StoreError> {
    let found = try_join_all(Table::ALL.map(|table| differences(db, table))).await?;
    Ok(found.into_iter().flatten().collect())
}

async fn differences(db: &Db, table: Table) -> Result<Vec<String>, StoreError> {
    let name = db.name(table);
    let Some(found) = describe(db, table).await? else { return Ok(vec![format!("{name} is missing")]) };
    let mut all = Vec::new();
    if !matches!(found.table_status(), Some(TableStatus::Active | TableStatus::Updating)) {
        all.push(format!("{name} is {}", found.table_status().map_or("in no state", TableStatus::as_str)));
    }
    let keys: Vec<KeyAttribute> = [Some(table.hash()), table.range()].into_iter().flatten().collect();
    if !has_keys(&found, found.key_schema(), &keys) {
        all.push(format!("{name} has other keys than {}", names(&keys)));
    }
    if table == Table::Schedulers {
        let index = found.global_secondary_indexes().iter().find(|index| index.index_name() == Some(BY_TENANT));
        match index {
            None => all.push(format!("{name} lacks the index {BY_TENANT}")),
            Some(index) if index.index_status() == Some(&IndexStatus::Creating) => {
                all.push(format!("the index {BY_TENANT} of {name} is being made"));
            }
            Some(index) if !has_keys(&found, index.key_schema(), &index_keys()) => {
                all.push(format!("the index {BY_TENANT} of {name} has other keys than {}", names(&index_keys())));
            }
            Some(_) => {}
        }
    }
    Ok(all)
}

fn index_keys() -> Vec<KeyAttribute> {
    use aws_sdk_dynamodb::types::ScalarAttributeType::S;
    vec![(TENANT, S), (SCHEDULER, S)]
}

fn names(keys: &[KeyAttribute]) -> String {
    keys.iter().map(|(name, kind)| format!("{name} ({})", kind.as_str())).collect::<Vec<_>>().join(" and ")
}

fn has_keys(table: &TableDescription, schema: &[KeySchemaElement], keys: &[KeyAttribute]) -> bool {
    let kind_of = |name: &str| {
        let mut all = table.attribute_definitions().iter();
        all.find(|attribute| attribute.attribute_name() == name).map(AttributeDefinition::attribute_type)
    };
    schema.len() == keys.len()
        && schema.iter().zip(keys).all(|(element, (name, kind))| {
            element.attribute_name() == *name && kind_of(name).is_some_and(|found| found == kind)
        })
}

async fn describe(db: &Db, table: Table) -> Result<Option<TableDescription>, StoreError> {
    let name = db.name(table);
    match db.client.describe_table().table_name(&name).send().await {
        Ok(answer) => Ok(answer.table),
        Err(error) => match error.as_service_error() {
            Some(DescribeTableError::ResourceNotFoundException(_)) => Ok(None),
            _ => Err(of_call(&format!("describing table {name}"), &error)),
        },
    }
}

async fn make(db: &Db, table: Table, options: &DynamoOptions) -> Result<Vec<String>, StoreError> {
    let name = db.name(table);
    let mut done = Vec::new();
    if describe(db, table).await?.is_none() && create(db, table, options).await? {
        done.push(format!("made table {name}"));
    }
    wait_until_active(db, table).await?;
    if table.expires() && !expires(time_to_live(db, table).await?.as_ref()) {
        switch_on_expiry(db, table).await?;
        done.push(format!("{name} removes what is over"));
    }
    if options.point_in_time_recovery && !is_recoverable(db, table).await? {
        switch_on_recovery(db, table).await?;
        done.push(format!("{name} can be restored to any second"));
    }
    Ok(done)
}

/// Makes a table; `false`: somebody else was faster.
async fn create(db: &Db, table: Table, options: &DynamoOptions) -> Result<bool, StoreError> {
    let keys: Vec<KeyAttribute> = [Some(table.hash()), table.range()].into_iter().flatten().collect();
    let index = if table == Table::Schedulers { index_keys() } else { Vec::new() };
    let mut call = db
        .client
        .create_table()
        .table_name(db.name(table))
        .set_key_schema(Some(schema(&keys)?))
        .deletion_protection_enabled(options.deletion_protection);
    for (name, kind) in keys.iter().chain(&index) {
        let attribute = AttributeDefinition::builder().attribute_name(*name).attribute_type(kind.clone()).build();
        call = call.attribute_definitions(attribute.map_err(unbuilt)?);
    }
    let throughput = throughput(options.billing)?;
    call = match &throughput {
        None => call.billing_mode(BillingMode::PayPerRequest),
        Some(throughput) => call.billing_mode(BillingMode::Provisioned).provisioned_throughput(throughput.clone()),
    };
    if !index.is_empty() {
        let keys_only = Projection::builder().projection_type(ProjectionType::KeysOnly).build();
        let index = GlobalSecondaryIndex::builder()
            .index_name(BY_TENANT)
            .set_key_schema(Some(schema(&index)?))
            .projection(keys_only)
            .set_provisioned_throughput(throughput);
        call = call.global_secondary_indexes(index.build().map_err(unbuilt)?);
    }
    match call.send().await {
        Ok(_) => Ok(true),
        Err(error) => match error.as_service_error() {
            Some(CreateTableError::ResourceInUseException(_)) => Ok(false),
            _ => Err(of_call(&format!("making table {}", db.name(table)), &error)),
        },
    }
}

fn schema(keys: &[KeyAttribute]) -> Result<Vec<KeySchemaElement>, StoreError> {
    let element = |(name, kind): (&KeyAttribute, KeyType)| {
        KeySchemaElement::builder().attribute_name(name.0).key_type(kind).build().map_err(unbuilt)
    };
    keys.iter().zip([KeyType::Hash, KeyType::Range]).map(element).collect()
}

fn throughput(billing: Billing) -> Result<Option<ProvisionedThroughput>, StoreError> {
    let Billing::Provisioned { read_units, write_units } = billing else { return Ok(None) };
    let units = ProvisionedThroughput::builder()
        .read_capacity_units(read_units.into())
        .write_capacity_units(write_units.into());
    units.build().map(Some).map_err(unbuilt)
}

fn unbuilt(error: aws_sdk_dynamodb::error::BuildError) -> StoreError {
    invalid("a table can't be described").caused_by(error)
}

async fn wait_until_active(db: &Db, table: Table) -> Result<(), StoreError> {
    let deadline = Instant::now() + ACTIVE_WITHIN;
    loop {
        let status = describe(db, table).await?.and_then(|found| found.table_status);
        if status == Some(TableStatus::Active) {
            return Ok(());
        }
        if Instant::now() > deadline {
            let message =
                format!("table {} is not ready after {ACTIVE_WITHIN:?}: run the migration again", db.name(table));
            return Err(StoreError::new(StoreErrorKind::Unavailable, message));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn time_to_live(db: &Db, table: Table) -> Result<Option<TimeToLiveDescription>, StoreError> {
    let name = db.name(table);
    let answer = db.client.describe_time_to_live().table_name(&name).send().await;
    answer
        .map(|answer| answer.time_to_live_description)
        .map_err(|error| of_call(&format!("describing table {name}"), &error))
}

fn expires(found: Option<&TimeToLiveDescription>) -> bool {
    found.is_some_and(|found| {
        let is_on = matches!(found.time_to_live_status(), Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling));
        is_on && found.attribute_name() == Some(EXPIRES)
    })
}

async fn switch_on_expiry(db: &Db, table: Table) -> Result<(), StoreError> {
    let name = db.name(table);
    let wanted = TimeToLiveSpecification::builder().enabled(true).attribute_name(EXPIRES).build().map_err(unbuilt)?;
    let Err(error) = db.client.update_time_to_live().table_name(&name).time_to_live_specification(wanted).send().await
    else {
        return Ok(());
    };
    // Another migration may have been faster.
    if expires(time_to_live(db, table).await?.as_ref()) {
        return Ok(());
    }
    Err(of_call(&format!("switching on the time to live of table {name}"), &error))
}

async fn is_recoverable(db: &Db, table: Table) -> Result<bool, StoreError> {
    let name = db.name(table);
    let answer = db.client.describe_continuous_backups().table_name(&name).send().await;
    let answer = answer.map_err(|error| of_call(&format!("describing the backups of table {name}"), &error))?;
    let status = answer
        .continuous_backups_description
        .and_then(|backups| backups.point_in_time_recovery_description)
        .and_then(|recovery| recovery.point_in_time_recovery_status);
    Ok(status == Some(PointInTimeRecoveryStatus::Enabled))
}

async fn switch_on_recovery(db: &Db, table: Table) -> Result<(), StoreError> {
    let wanted =
        PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true).build().map_err(unbuilt)?;
    let deadline = Instant::now() + ACTIVE_WITHIN;
    loop {
        let call = db.client.update_continuous_backups().table_name(db.name(table));
        let Err(error) = call.point_in_time_recovery_specification(wanted.clone()).send().await else { return Ok(()) };
        // A table that was just made has no backups for a moment.
        let is_early =
            error.as_service_error().is_some_and(|error| error.is_continuous_backups_unavailable_exception());
        if !is_early || Instant::now() > deadline {
            return Err(of_call(&format!("switching on the recovery of table {}", db.name(table)), &error));
        }
        tokio::time::sleep(POLL).await;
    }
}
