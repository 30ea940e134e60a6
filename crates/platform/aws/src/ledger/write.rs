//! Guarded writes: everything or nothing.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    ConditionCheck, DeleteRequest, Put, TransactWriteItem, Update, WriteRequest,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use parallax_ports::{Error, Kind, Result};

use super::item::{Expression, Item};
use super::read::malformed;
use super::retry::Tries;
use super::store::Store;
use crate::error::{code, translate};

/// Items that one request may remove.
const REMOVED_AT_ONCE: usize = 25;

/// One item of a guarded write.
#[derive(Debug)]
pub(super) enum Write {
    Put { table: String, item: Item, e: Expression },
    Update { table: String, key: Item, e: Expression },
    Check { table: String, key: Item, e: Expression },
}

/// What became of a guarded write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// All of it was stored.
    Yes,
    /// There was nothing to store.
    Nothing,
    /// Somebody was quicker: nothing was stored.
    Outdated,
    /// The pool's item does not exist: nothing was stored.
    NoPool,
    /// An index item is full: nothing was stored.
    Full,
}

impl Store {
    /// Writes everything or nothing.
    pub(super) async fn write(&self, mut writes: Vec<Write>) -> Result<Written> {
        if let [Write::Update { .. } | Write::Put { .. }] = writes[..]
            && let Some(write) = writes.pop()
        {
            return self.write_one(write).await;
        }
        let mut items = Vec::with_capacity(writes.len());
        for write in writes {
            items.push(write.into_item().map_err(malformed)?);
        }
        let call = self.client.transact_write_items().set_transact_items(Some(items));
        match call.send().await {
            Ok(_) => Ok(Written::Yes),
            Err(error) => cancelled(error),
        }
    }

    /// One item needs no transaction, which costs twice.
    async fn write_one(&self, write: Write) -> Result<Written> {
        match write {
            Write::Update { table, key, e } => {
                self.update(table, key, &e).send().await.map(|_| Written::Yes).or_else(refused)
            }
            Write::Put { table, item, e } => {
                let call = self.client.put_item().table_name(table).set_item(Some(item));
                let call = call
                    .set_condition_expression(e.condition())
                    .set_expression_attribute_names(e.names())
                    .set_expression_attribute_values(e.values());
                call.send().await.map(|_| Written::Yes).or_else(refused)
            }
            Write::Check { .. } => Ok(Written::Nothing),
        }
    }

    /// Removes items, whether they are there or not.
    pub(super) async fn remove(&self, table: &str, keys: Vec<Item>) -> Result<()> {
        const WHAT: &str = "remove from the ledger";
        for some in keys.chunks(REMOVED_AT_ONCE) {
            let request = |key: &Item| {
                let delete = DeleteRequest::builder().set_key(Some(key.clone())).build();
                Ok(WriteRequest::builder().delete_request(delete.map_err(malformed)?).build())
            };
            let requests = some.iter().map(request).collect::<Result<Vec<_>>>()?;
            let mut open = HashMap::from([(table.to_owned(), requests)]);
            let mut tries = Tries::default();
            while !open.is_empty() {
                let call = self.client.batch_write_item().set_request_items(Some(open));
                let answer = call.send().await.map_err(|error| translate(WHAT, error))?;
                open = answer.unprocessed_items.unwrap_or_default();
                if !open.is_empty() {
                    tries.pause(&self.ids, Kind::Throttled, WHAT).await?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn update(
        &self,
        table: String,
        key: Item,
        e: &Expression,
    ) -> UpdateItemFluentBuilder {
        let call = self.client.update_item().table_name(table).set_key(Some(key));
        call.update_expression(e.update())
            .set_condition_expression(e.condition())
            .set_expression_attribute_names(e.names())
            .set_expression_attribute_values(e.values())
    }
}

/// What a refused write of one item means, where it is one of the refusals that are answered.
pub(super) fn refused<E>(error: SdkError<E, HttpResponse>) -> Result<Written>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let text = match &error {
        SdkError::ServiceError(service) => service.err().message().unwrap_or_default(),
        _ => "",
    };
    reason(code(&error).unwrap_or_default(), text)
        .map_or_else(|| Err(translate("write to the ledger", error)), Ok)
}

impl Write {
    fn into_item(
        self,
    ) -> std::result::Result<TransactWriteItem, aws_sdk_dynamodb::error::BuildError> {
        let item = TransactWriteItem::builder();
        Ok(match self {
            Write::Put { table, item: values, e } => {
                let put = Put::builder()
                    .table_name(table)
                    .set_item(Some(values))
                    .set_condition_expression(e.condition())
                    .set_expression_attribute_names(e.names())
                    .set_expression_attribute_values(e.values());
                item.put(put.build()?).build()
            }
            Write::Update { table, key, e } => {
                let update = Update::builder()
                    .table_name(table)
                    .set_key(Some(key))
                    .update_expression(e.update())
                    .set_condition_expression(e.condition())
                    .set_expression_attribute_names(e.names())
                    .set_expression_attribute_values(e.values());
                item.update(update.build()?).build()
            }
            Write::Check { table, key, e } => {
                let check = ConditionCheck::builder()
                    .table_name(table)
                    .set_key(Some(key))
                    .set_condition_expression(e.condition())
                    .set_expression_attribute_names(e.names())
                    .set_expression_attribute_values(e.values());
                item.condition_check(check.build()?).build()
            }
        })
    }
}

/// What a refusal of one item means, where it is one of those that are answered.
fn reason(code: &str, message: &str) -> Option<Written> {
    match code {
        "ConditionalCheckFailed"
        | "ConditionalCheckFailedException"
        | "TransactionConflict"
        | "TransactionConflictException"
        | "TransactionInProgressException" => Some(Written::Outdated),
        "ItemCollectionSizeLimitExceeded" => Some(Written::Full),
        "ValidationError" | "ValidationException" => {
            let lower = message.to_ascii_lowercase();
            if lower.contains("document path") {
                Some(Written::NoPool)
            } else if lower.contains("size") && lower.contains("exceed") {
                Some(Written::Full)
            } else {
                None
            }
        }
        _ => None,
    }
}

fn cancelled(error: SdkError<TransactWriteItemsError, HttpResponse>) -> Result<Written> {
    const WHAT: &str = "write to the ledger";
    let service = match &error {
        SdkError::ServiceError(service) => service.err(),
        _ => return Err(translate(WHAT, error)),
    };
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = service else {
        let answer =
            reason(service.code().unwrap_or_default(), service.message().unwrap_or_default());
        return answer.map_or_else(|| Err(translate(WHAT, error)), Ok);
    };
    let mut found = None;
    let mut throttled = false;
    for item in cancelled.cancellation_reasons() {
        let code = item.code().unwrap_or_default();
        let one = reason(code, item.message().unwrap_or_default());
        throttled |= matches!(code, "ThrottlingError" | "ProvisionedThroughputExceeded");
        // What was decided on old data is decided anew before anything else is repaired.
        found = match (found, one) {
            (Some(Written::Outdated), _) | (_, None) => found,
            (_, one) => one,
        };
    }
    match found {
        Some(written) => Ok(written),
        None if throttled => Err(Error::new(Kind::Throttled, WHAT).with_source(error)),
        None => Err(Error::new(Kind::Rejected, WHAT).with_source(error)),
    }
}
