//! Calls that take many items, and may leave some undone; and transactions.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{CancellationReason, DeleteRequest, KeysAndAttributes, TransactWriteItem, WriteRequest};

use super::db::{Db, Outcome, Pauses, TOTAL};
use super::errors::{left_undone, of_call, of_code};
use super::item::Item;
use super::tables::Table;
use crate::error::StoreError;
use crate::requests::Request;

/// Most items of a read.
const MOST_READ: usize = 100;
/// Most items of a write without conditions.
const MOST_WRITTEN: usize = 25;
/// Most items of a transaction.
pub(super) const MOST_TRANSACTED: usize = 100;

impl Db {
    /// Items by their keys, in any order; those that are not there are left out.
    pub(super) async fn get_many(&self, table: Table, keys: Vec<Item>) -> Result<Vec<Item>, StoreError> {
        let name = self.name(table);
        let doing = format!("reading a batch of table {name}");
        let mut found = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(MOST_READ) {
            let mut left = chunk.to_vec();
            let mut pauses = Pauses::new();
            while !left.is_empty() {
                let asked = left.len();
                let wanted = KeysAndAttributes::builder().set_keys(Some(left)).consistent_read(true).build();
                let wanted = wanted.map_err(|error| super::invalid(format!("{doing}: {error}")))?;
                let call = self.client.batch_get_item().request_items(&name, wanted).return_consumed_capacity(TOTAL);
                self.meter.called(Request::Read);
                let answer = call.send().await.map_err(|error| of_call(&doing, &error))?;
                self.meter.read(answer.consumed_capacity());
                found.extend(answer.responses.unwrap_or_default().remove(&name).unwrap_or_default());
                left =
                    answer.unprocessed_keys.unwrap_or_default().remove(&name).map_or_else(Vec::new, |keys| keys.keys);
                // Answers end at 16 MiB: what comes on is no reason to wait.
                let is_stuck = left.len() >= asked;
                if is_stuck && !pauses.again().await {
                    return Err(left_undone(&doing, left.len()));
                }
            }
        }
        Ok(found)
    }

    /// Removes items, those that are not there as well.
    pub(super) async fn delete_many(&self, table: Table, keys: Vec<Item>) -> Result<(), StoreError> {
        let name = self.name(table);
        let doing = format!("removing a batch from table {name}");
        for chunk in keys.chunks(MOST_WRITTEN) {
            let delete = |key: &Item| {
                let request = DeleteRequest::builder().set_key(Some(key.clone())).build();
                request.map(|request| WriteRequest::builder().delete_request(request).build())
            };
            let mut left: Vec<WriteRequest> = chunk
                .iter()
                .map(delete)
                .collect::<Result<_, _>>()
                .map_err(|error| super::invalid(error.to_string()))?;
            let mut pauses = Pauses::new();
            while !left.is_empty() {
                let requests = HashMap::from([(name.clone(), left)]);
                let call = self.client.batch_write_item().set_request_items(Some(requests));
                self.meter.called(Request::Write);
                let answer = call.return_consumed_capacity(TOTAL).send().await;
                let answer = answer.map_err(|error| of_call(&doing, &error))?;
                self.meter.wrote(answer.consumed_capacity());
                left = answer.unprocessed_items.unwrap_or_default().remove(&name).unwrap_or_default();
                if !left.is_empty() && !pauses.again().await {
                    return Err(left_undone(&doing, left.len()));
                }
            }
        }
        Ok(())
    }

    /// Writes items all together, on their conditions. Refused: with what the first item that stands in the way is now.
    pub(super) async fn transact(&self, items: Vec<TransactWriteItem>, doing: &str) -> Result<Outcome, StoreError> {
        let mut pauses = Pauses::new();
        loop {
            let call = self.client.transact_write_items().set_transact_items(Some(items.clone()));
            self.meter.called(Request::ConditionalWrite);
            let error = match call.return_consumed_capacity(TOTAL).send().await {
                Ok(answer) => {
                    self.meter.wrote(answer.consumed_capacity());
                    return Ok(Outcome::Done(Item::new()));
                }
                Err(error) => error,
            };
            let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error()
            else {
                if matches!(error.as_service_error(), Some(TransactWriteItemsError::TransactionInProgressException(_)))
                    && pauses.again().await
                {
                    continue;
                }
                return Err(of_call(doing, &error));
            };
            let reasons = cancelled.cancellation_reasons();
            let code_is = |reason: &&CancellationReason, code| reason.code() == Some(code);
            if let Some(refused) = reasons.iter().find(|reason| code_is(reason, "ConditionalCheckFailed")) {
                return Ok(Outcome::Refused(refused.item().cloned().unwrap_or_default()));
            }
            let told = reasons.iter().find(|reason| reason.code().is_some_and(|code| code != "None"));
            if told.is_some_and(|reason| code_is(&reason, "TransactionConflict")) && pauses.again().await {
                continue;
            }
            return Err(match told.and_then(|reason| Some((reason.code()?, reason.message()))) {
                Some((code, message)) => of_code(doing, code, message, 400),
                None => of_call(doing, &error),
            });
        }
    }
}
