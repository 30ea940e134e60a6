//! What a rule decided, as one guarded write.
//!
//! Every item that was read is guarded by a condition: on its version where it is the ledger's
//! own, on the attributes that decisions rest on where others write it too. Holders are guarded
//! one by one, not by the version of the item they share, so that verbs about different attempts
//! do not disturb each other.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Put, ReturnValue, TransactWriteItem, Update,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use parallax_job::Uri;
use parallax_ports::ledger::rules::{self, Change};
use parallax_ports::ledger::{Holder, HolderId, SegmentRow, SegmentState};
use parallax_ports::{Error, Kind, Result};

use super::invocations::{
    CUTS, HOLDERS, KEY, TTL, VERSION, alias, expiry, from_holder, from_row, to_holders,
};
use super::item::{Expression, Item, n, s};
use super::jobs::{from_completion, guard_job, guard_trigger, update_job, update_trigger};
use super::keys;
use super::read::malformed;
use super::snapshot::{Read, Snapshot};
use super::store::DynamoLedger;
use crate::error::{code, translate};

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

/// What else a write depends on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Terms {
    /// A new holder is stored only while there are fewer than this.
    pub(super) limit: Option<u32>,
    /// Leave the index of due segments alone: it is full.
    pub(super) skip_due: bool,
    /// A segment of which nothing is known has probably no row.
    pub(super) fresh: bool,
    /// The job may have changed since it was read.
    pub(super) any_job: bool,
}

impl DynamoLedger {
    /// Stores a rule's answer.
    pub(super) async fn commit(
        &self,
        seen: &Snapshot,
        change: &Change,
        terms: Terms,
    ) -> Result<Written> {
        let writes = self.plan(seen, change, terms);
        if writes.is_empty() {
            return Ok(Written::Nothing);
        }
        let written = self.write(writes).await?;
        if let (Written::Yes, Read::Absent, Some(row)) = (written, &seen.row, &change.segment) {
            self.remember_cut(row);
        }
        Ok(written)
    }

    /// Stores a change of the permits alone, and learns from the reply who holds them now. `None`
    /// when somebody was quicker.
    pub(super) async fn commit_permits(
        &self,
        seen: &Snapshot,
        change: &Change,
        terms: Terms,
    ) -> Result<Option<Snapshot>> {
        let mut writes = Vec::new();
        self.plan_permits(seen, change, terms, &mut writes);
        let Some(Write::Update { table, key, e }) = writes.pop() else { return Ok(None) };
        let call = self.update(table, key, &e).return_values(ReturnValue::AllNew);
        match call.send().await {
            Ok(answer) => {
                let holders = to_holders(&answer.attributes.unwrap_or_default())?;
                let seen = Snapshot { holders: Read::Found(holders), ..Snapshot::default() };
                self.beliefs.learn(&seen);
                Ok(Some(seen))
            }
            Err(error) => refused(error).map(|_| None),
        }
    }

    fn plan(&self, seen: &Snapshot, change: &Change, terms: Terms) -> Vec<Write> {
        let mut writes = Vec::new();
        let segment = change.segment.as_ref().filter(|row| seen.row() != Some(row));
        if let Some(row) = segment {
            self.plan_segment(seen, row, terms, &mut writes);
        }
        self.plan_permits(seen, change, terms, &mut writes);
        if let Some(completion) = change.completion.as_ref().filter(|_| self.completes) {
            let mut e = Expression::default();
            match seen.completion.get() {
                None => e.require_absent("job_id"),
                Some(old) => {
                    e.require_same("total_segments", Some(&n(old.total_segments)));
                }
            }
            let table = self.tables.completions.clone();
            writes.push(Write::Put { table, item: from_completion(completion), e });
        }
        if let (Some(row), old) = (&change.trigger, seen.trigger.get()) {
            let old = old.map(|(_, item)| item);
            let mut e = Expression::default();
            update_trigger(&mut e, old, row);
            guard_trigger(&mut e, old);
            let version = old.and_then(|item| item.get(VERSION)).and_then(|v| v.as_n().ok());
            let version: u64 = version.and_then(|text| text.parse().ok()).unwrap_or(0);
            e.set_attribute(VERSION, n(version + 1));
            let key = Item::from([("job_id".to_owned(), s(&row.job_id))]);
            writes.push(Write::Update { table: self.tables.triggers.clone(), key, e });
        }
        let done = change.segment.as_ref().is_some_and(|row| row.state == SegmentState::Done);
        if !(terms.any_job && done && change.job.is_none()) {
            self.plan_job(seen, change, &mut writes);
        }
        // Guards alone change nothing.
        if writes.iter().all(|write| matches!(write, Write::Check { .. })) {
            writes.clear();
        }
        writes
    }

    fn plan_segment(
        &self,
        seen: &Snapshot,
        row: &SegmentRow,
        terms: Terms,
        writes: &mut Vec<Write>,
    ) {
        let invocations = || self.tables.invocations.clone();
        let own_key = |name: String| Item::from([(KEY.to_owned(), s(name))]);
        let mut e = Expression::default();
        let version = match seen.row.get() {
            None => {
                e.require_absent(KEY);
                1
            }
            Some((_, version)) => {
                e.require_same(VERSION, Some(&n(version)));
                version + 1
            }
        };
        writes.push(Write::Put { table: invocations(), item: from_row(row, version), e });
        if seen.row().is_none() && !self.knows_cut(row) {
            let mut e = Expression::default();
            let cut = keys::cut(row.segment.total, row.segment.mode);
            e.add(CUTS, AttributeValue::Ss(vec![cut]));
            let key = own_key(keys::cuts(&row.segment.job_id));
            writes.push(Write::Update { table: invocations(), key, e });
        }
        let waited = seen.row().is_some_and(|old| old.state == SegmentState::RetryWait);
        let waits = row.state == SegmentState::RetryWait;
        if (waited || waits) && !terms.skip_due {
            let mut e = Expression::default();
            let name = keys::name(&row.segment);
            if waits {
                e.set_attribute(&name, n(row.next_at.0));
            } else {
                e.remove_attribute(&name);
            }
            let key = own_key(keys::due(&self.pool, keys::shard(&row.segment)));
            writes.push(Write::Update { table: invocations(), key, e });
        }
        self.plan_addresses(seen, row, writes);
    }

    /// Addresses that have an item of their own: where somebody else looks an invocation up by the
    /// address of its response, and where no permit leads to the row any more.
    fn plan_addresses(&self, seen: &Snapshot, row: &SegmentRow, writes: &mut Vec<Write>) {
        let old = seen.row();
        let announced = old.map(|old| &old.locations) != Some(&row.locations);
        let mut places: Vec<&Uri> = match self.completes {
            true => rules::left_behind(old, row).collect(),
            false => row.locations.response.iter().filter(|_| announced).collect(),
        };
        places.dedup();
        for uri in places {
            let (table, e) = (self.tables.invocations.clone(), Expression::default());
            writes.push(Write::Put { table, item: alias(uri, row), e });
        }
    }

    fn plan_permits(
        &self,
        seen: &Snapshot,
        change: &Change,
        terms: Terms,
        writes: &mut Vec<Write>,
    ) {
        let mut e = Expression::default();
        let map = e.name(HOLDERS);
        let seen_holders = seen.holders.get();
        for id in &change.remove_holders {
            let path = path(&mut e, &map, id);
            e.remove(&path);
            if let Some(old) = seen_holders.and_then(|all| all.iter().find(|h| h.id == *id)) {
                unchanged(&mut e, &path, old);
            }
        }
        if let Some(holder) = &change.put_holder {
            let path = path(&mut e, &map, &holder.id);
            e.set(&path, from_holder(holder));
            if let Some(all) = seen_holders {
                match all.iter().find(|old| old.id == holder.id) {
                    Some(old) => unchanged(&mut e, &path, old),
                    None => {
                        e.require(format!("attribute_not_exists({path})"));
                        if let Some(limit) = terms.limit {
                            let room = limit as usize + change.remove_holders.len();
                            let room = e.value(n(room));
                            e.require(format!("size({map}) < {room}"));
                        }
                    }
                }
            }
        }
        if e.changes_something() {
            writes.push(Write::Update {
                table: self.tables.invocations.clone(),
                key: Item::from([(KEY.to_owned(), s(keys::permits(&self.pool)))]),
                e,
            });
        }
    }

    fn plan_job(&self, seen: &Snapshot, change: &Change, writes: &mut Vec<Write>) {
        let old = seen.job.get();
        let mut e = Expression::default();
        let table = self.tables.jobs.clone();
        let key =
            |job_id: &dyn ToString| Item::from([("job_id".to_owned(), s(job_id.to_string()))]);
        guard_job(&mut e, old.map(|(_, item)| item));
        match (&change.job, old) {
            (Some(new), Some((job, _))) => {
                update_job(&mut e, job, new);
                writes.push(Write::Update { table, key: key(&new.job_id), e });
                if new.status.is_terminal() && !job.status.is_terminal() {
                    let mut e = Expression::default();
                    e.set_attribute(TTL, expiry(new.completed_at.unwrap_or_else(now)));
                    let table = self.tables.invocations.clone();
                    let key = Item::from([(KEY.to_owned(), s(keys::cuts(&new.job_id)))]);
                    writes.push(Write::Update { table, key, e });
                }
            }
            (None, Some((job, _))) => {
                writes.push(Write::Check { table, key: key(&job.job_id), e });
            }
            (None, None) if seen.job.was_asked() => {
                // Read and absent: whatever else is written belongs to this job.
                let job_id = change.segment.as_ref().map(|row| &row.segment.job_id);
                let job_id = job_id.or(change.trigger.as_ref().map(|row| &row.job_id));
                if let Some(job_id) = job_id {
                    writes.push(Write::Check { table, key: key(job_id), e });
                }
            }
            _ => {}
        }
    }

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

    fn update(&self, table: String, key: Item, e: &Expression) -> UpdateItemFluentBuilder {
        let call = self.client.update_item().table_name(table).set_key(Some(key));
        call.update_expression(e.update())
            .set_condition_expression(e.condition())
            .set_expression_attribute_names(e.names())
            .set_expression_attribute_values(e.values())
    }
}

/// What a refused write of one item means, where it is one of the refusals that are answered.
fn refused<E>(error: SdkError<E, HttpResponse>) -> Result<Written>
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

fn path(e: &mut Expression, map: &str, id: &HolderId) -> String {
    let name = e.name(&id.0);
    format!("{map}.{name}")
}

/// The holder is as it was read.
fn unchanged(e: &mut Expression, path: &str, old: &Holder) {
    let (deadline, segment) = (e.name("deadline_ms"), e.name("segment"));
    let value = e.value(n(old.deadline.0));
    e.require(format!("{path}.{deadline} = {value}"));
    match &old.work {
        None => e.require(format!("attribute_not_exists({path}.{segment})")),
        Some(work) => {
            let value = e.value(s(keys::name(&work.segment)));
            e.require(format!("{path}.{segment} = {value}"));
        }
    }
}

fn now() -> parallax_job::Timestamp {
    parallax_job::Timestamp::from_system_clock()
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
