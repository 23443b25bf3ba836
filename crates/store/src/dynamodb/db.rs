//! The few kinds of calls that the store makes, each counted and with its error explained.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnConsumedCapacity, ReturnValue, ReturnValuesOnConditionCheckFailure as OnRefusal, Select,
};

use super::errors::of_call;
use super::item::Item;
use super::tables::Table;
use super::usage::Meter;
use crate::error::StoreError;
use crate::requests::Request;

pub(super) const TOTAL: ReturnConsumedCapacity = ReturnConsumedCapacity::Total;

/// The client, and what it is used with.
pub(super) struct Db {
    pub(super) client: Client,
    pub(super) prefix: String,
    pub(super) meter: Meter,
}

/// What must hold for a write, in DynamoDB's language: attributes as `#name`, values as `:name`. No text: nothing.
#[derive(Clone)]
pub(super) struct Condition {
    pub(super) text: &'static str,
    pub(super) values: Vec<(&'static str, AttributeValue)>,
}

impl Condition {
    pub(super) fn new<const N: usize>(text: &'static str, values: [(&'static str, AttributeValue); N]) -> Self {
        Self { text, values: values.into() }
    }
}

/// What became of a conditional write.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was carried out; an update comes with the item as it is now.
    Done(Item),
    /// The condition does not hold: this is what is there, empty if nothing is.
    Refused(Item),
}

/// What to read of one storage partition, in the order of its range key.
pub(super) struct Query<'q> {
    pub(super) table: Table,
    pub(super) index: Option<&'q str>,
    pub(super) condition: Condition,
    /// Most items.
    pub(super) limit: usize,
    /// Behind which item to begin.
    pub(super) start: Option<Item>,
}

/// An answer to it. It may end anywhere.
pub(super) struct Page {
    pub(super) items: Vec<Item>,
    /// Behind which item to go on; `None`: this is the end.
    pub(super) next: Option<Item>,
}

/// The attributes that an expression names: `#name` stands for `name`, since many short names are DynamoDB's own words.
pub(super) fn names_in(expression: &str) -> Option<HashMap<String, String>> {
    let mut names = HashMap::new();
    for (at, _) in expression.match_indices('#') {
        let name: String =
            expression[at + 1..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        names.insert(format!("#{name}"), name);
    }
    (!names.is_empty()).then_some(names)
}

pub(super) fn values_of(values: &[(&'static str, AttributeValue)]) -> Option<HashMap<String, AttributeValue>> {
    (!values.is_empty()).then(|| values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

/// Waits between attempts at what another transaction or a full server has in hand: few, short and of uneven length.
pub(super) struct Pauses(u32);

impl Pauses {
    const MOST: u32 = 6;

    pub(super) const fn new() -> Self {
        Self(0)
    }

    /// Waits; `false`: it was tried often enough.
    pub(super) async fn again(&mut self) -> bool {
        if self.0 >= Self::MOST {
            return false;
        }
        let most = 20_u64 << self.0;
        self.0 += 1;
        // Two that are in each other's way must not come back at the same time.
        let millis = most / 2 + getrandom::u64().unwrap_or_default() % most;
        tokio::time::sleep(Duration::from_millis(millis)).await;
        true
    }
}

impl Db {
    pub(super) fn name(&self, table: Table) -> String {
        format!("{}-{}", self.prefix, table.suffix())
    }

    fn doing(&self, what: &str, table: Table) -> String {
        format!("{what} table {}", self.name(table))
    }

    /// One item, as it is after all writes that were answered.
    pub(super) async fn get(&self, table: Table, key: Item) -> Result<Option<Item>, StoreError> {
        let call = self.client.get_item().table_name(self.name(table)).set_key(Some(key)).consistent_read(true);
        self.meter.called(Request::Read);
        let answer = call.return_consumed_capacity(TOTAL).send().await;
        let answer = answer.map_err(|error| of_call(&self.doing("reading", table), &error))?;
        self.meter.read(answer.consumed_capacity());
        Ok(answer.item)
    }

    /// Writes an item whole.
    pub(super) async fn put(
        &self,
        table: Table,
        item: &Item,
        condition: Option<&Condition>,
    ) -> Result<Outcome, StoreError> {
        let kind = condition.map_or(Request::Write, |_| Request::ConditionalWrite);
        let mut pauses = Pauses::new();
        loop {
            let mut call = self.client.put_item().table_name(self.name(table)).set_item(Some(item.clone()));
            if let Some(condition) = condition {
                call = call
                    .condition_expression(condition.text)
                    .set_expression_attribute_names(names_in(condition.text))
                    .set_expression_attribute_values(values_of(&condition.values))
                    .return_values_on_condition_check_failure(OnRefusal::AllOld);
            }
            self.meter.called(kind);
            let error = match call.return_consumed_capacity(TOTAL).send().await {
                Ok(answer) => {
                    self.meter.wrote(answer.consumed_capacity());
                    return Ok(Outcome::Done(Item::new()));
                }
                Err(error) => error,
            };
            match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(refused)) => {
                    return Ok(Outcome::Refused(refused.item().cloned().unwrap_or_default()));
                }
                Some(PutItemError::TransactionConflictException(_)) if pauses.again().await => {}
                _ => return Err(of_call(&self.doing("writing to", table), &error)),
            }
        }
    }

    /// Changes some attributes of an item. Names and values of the expression are the condition's as well.
    pub(super) async fn update(
        &self,
        table: Table,
        key: &Item,
        change: &str,
        condition: &Condition,
    ) -> Result<Outcome, StoreError> {
        let names = names_in(&format!("{change} {}", condition.text));
        let mut pauses = Pauses::new();
        loop {
            let call = self
                .client
                .update_item()
                .table_name(self.name(table))
                .set_key(Some(key.clone()))
                .update_expression(change)
                .set_condition_expression((!condition.text.is_empty()).then(|| condition.text.to_owned()))
                .set_expression_attribute_names(names.clone())
                .set_expression_attribute_values(values_of(&condition.values))
                .return_values(ReturnValue::AllNew)
                .return_values_on_condition_check_failure(OnRefusal::AllOld);
            self.meter.called(Request::ConditionalWrite);
            let error = match call.return_consumed_capacity(TOTAL).send().await {
                Ok(answer) => {
                    self.meter.wrote(answer.consumed_capacity());
                    return Ok(Outcome::Done(answer.attributes.unwrap_or_default()));
                }
                Err(error) => error,
            };
            match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                    return Ok(Outcome::Refused(refused.item().cloned().unwrap_or_default()));
                }
                Some(UpdateItemError::TransactionConflictException(_)) if pauses.again().await => {}
                _ => return Err(of_call(&self.doing("changing", table), &error)),
            }
        }
    }

    /// Removes an item.
    pub(super) async fn delete(&self, table: Table, key: Item, condition: &Condition) -> Result<Outcome, StoreError> {
        let call = self
            .client
            .delete_item()
            .table_name(self.name(table))
            .set_key(Some(key))
            .condition_expression(condition.text)
            .set_expression_attribute_names(names_in(condition.text))
            .set_expression_attribute_values(values_of(&condition.values))
            .return_values_on_condition_check_failure(OnRefusal::AllOld);
        self.meter.called(Request::ConditionalWrite);
        match call.return_consumed_capacity(TOTAL).send().await {
            Ok(answer) => {
                self.meter.wrote(answer.consumed_capacity());
                Ok(Outcome::Done(Item::new()))
            }
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(refused)) => {
                    Ok(Outcome::Refused(refused.item().cloned().unwrap_or_default()))
                }
                _ => Err(of_call(&self.doing("removing from", table), &error)),
            },
        }
    }

    /// A page of a storage partition. An index has no reads that see all that was answered.
    pub(super) async fn query(&self, query: Query<'_>) -> Result<Page, StoreError> {
        let Query { table, index, condition, limit, start } = query;
        let call = self
            .client
            .query()
            .table_name(self.name(table))
            .set_index_name(index.map(str::to_owned))
            .key_condition_expression(condition.text)
            .set_expression_attribute_names(names_in(condition.text))
            .set_expression_attribute_values(values_of(&condition.values))
            .consistent_read(index.is_none())
            .set_limit(i32::try_from(limit).ok().map(|limit| limit.max(1)))
            .set_exclusive_start_key(start);
        self.meter.called(Request::Read);
        let answer = call.return_consumed_capacity(TOTAL).send().await;
        let answer = answer.map_err(|error| of_call(&self.doing("reading", table), &error))?;
        self.meter.read(answer.consumed_capacity());
        let next = answer.last_evaluated_key.filter(|key| !key.is_empty());
        Ok(Page { items: answer.items.unwrap_or_default(), next })
    }

    /// Whether there is an item of this key for which more holds. It costs what reading it does.
    pub(super) async fn is_there(&self, table: Table, key: Condition, more: Condition) -> Result<bool, StoreError> {
        let names = names_in(&format!("{} {}", key.text, more.text));
        let values: Vec<_> = key.values.into_iter().chain(more.values).collect();
        let call = self
            .client
            .query()
            .table_name(self.name(table))
            .key_condition_expression(key.text)
            .filter_expression(more.text)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(values_of(&values))
            .select(Select::Count)
            .consistent_read(true);
        self.meter.called(Request::Read);
        let answer = call.return_consumed_capacity(TOTAL).send().await;
        let answer = answer.map_err(|error| of_call(&self.doing("reading", table), &error))?;
        self.meter.read(answer.consumed_capacity());
        Ok(answer.count() > 0)
    }

    /// All items that a query finds.
    pub(super) async fn query_all(&self, table: Table, condition: Condition) -> Result<Vec<Item>, StoreError> {
        let (mut items, mut start) = (Vec::new(), None);
        loop {
            let condition = condition.clone();
            let page = self.query(Query { table, index: None, condition, limit: usize::MAX, start }).await?;
            items.extend(page.items);
            start = page.next;
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    /// A page of a whole table: only of those that are small and seldom read so.
    pub(super) async fn scan(&self, table: Table, start: Option<Item>) -> Result<Page, StoreError> {
        let call = self.client.scan().table_name(self.name(table)).consistent_read(true).set_exclusive_start_key(start);
        self.meter.called(Request::Read);
        let answer = call.return_consumed_capacity(TOTAL).send().await;
        let answer = answer.map_err(|error| of_call(&self.doing("reading", table), &error))?;
        self.meter.read(answer.consumed_capacity());
        let next = answer.last_evaluated_key.filter(|key| !key.is_empty());
        Ok(Page { items: answer.items.unwrap_or_default(), next })
    }
}
