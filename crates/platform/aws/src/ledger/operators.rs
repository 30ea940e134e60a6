//! What operators ask of the ledger in DynamoDB.

use std::collections::BTreeSet;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use parallax_job::{JobId, JobStatus, Timestamp};
use parallax_ports::ledger::rules;
use parallax_ports::ledger::{Job, SegmentRow, SegmentState};
use parallax_ports::{Error, Kind, Ledger, OperatorLedger, Place, Result, Switches};

use super::invocations::KEY;
use super::item::{Expression, Item, n, s};
use super::keys;
use super::list::Lists;
use super::plan::Terms;
use super::snapshot::{Snapshot, Wanted};
use super::store::{DynamoLedger, Store};
use crate::error::translate;

/// The set in the item of paused roles.
const ROLES: &str = "roles";

/// A page of the index of jobs by status, newest first, and where it ended.
struct Page {
    jobs: Vec<JobId>,
    last_second: Option<i64>,
    next: Option<Item>,
}

#[async_trait]
impl OperatorLedger for DynamoLedger {
    async fn latest_jobs(
        &self,
        status: JobStatus,
        from: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Job>> {
        let mut found: Vec<Job> = Vec::new();
        let mut start = None;
        loop {
            let page = page(&self.store, status, from, limit, start).await?;
            found.extend(Lists(self).jobs_by_id(page.jobs.iter().collect()).await?);
            // The index may lag behind and knows the order of whole seconds alone.
            found.retain(|job| job.status == status);
            found.retain(|job| from.is_none_or(|from| Place::of(job) < *from));
            found.sort_by_key(|job| std::cmp::Reverse(Place::of(job)));
            found.dedup_by(|a, b| a.job_id == b.job_id);
            let last = limit.checked_sub(1).and_then(|last| found.get(last));
            let whole = last.is_some_and(|last| {
                page.last_second.is_some_and(|at| at < last.created_at.unix_seconds())
            });
            start = page.next;
            if start.is_none() || whole || limit == 0 {
                found.truncate(limit);
                return Ok(found);
            }
        }
    }

    async fn uploaded(&self, job_id: &JobId, bytes: u64, now: Timestamp) -> Result<bool> {
        let wanted = Wanted { job: Some(job_id), ..Wanted::default() };
        self.settle("record an upload", wanted, Terms::default(), |seen: &Snapshot| {
            rules::uploaded(seen.job(), bytes, now)
        })
        .await
    }

    async fn reassembling_until(&self, job_id: &JobId) -> Result<Option<Timestamp>> {
        if self.store.tables.triggers.is_empty() {
            return Ok(None);
        }
        let wanted = Wanted { trigger: Some(job_id), ..Wanted::default() };
        Ok(rules::reassembling_until(self.store.read(&wanted).await?.trigger()))
    }

    async fn forget(&self, job_id: &JobId) -> Result<usize> {
        let (job, rows) = (self.job(job_id).await?, Lists(self).of_job(job_id, None).await?);
        rules::may_forget(job.as_ref(), &rows)
            .map_err(|why| Error::new(Kind::Rejected, format!("forget job {job_id}: {why}")))?;
        for row in rows.iter().filter(|row| row.state == SegmentState::RetryWait) {
            Lists(self).forget_due(&row.segment, row.next_at.0).await;
        }
        let tables = &self.store.tables;
        let mut removed = rows.len();
        self.store.remove(&tables.invocations, aliases(&rows)).await?;
        // Before the completions: without its row no attempt records another.
        let rows = rows.iter().map(|row| own(keys::segment(&row.segment))).collect();
        self.store.remove(&tables.invocations, rows).await?;
        // Either table may be somebody else's affair.
        if !tables.completions.is_empty() {
            let keys = completion_keys(&self.store, job_id).await?;
            removed += keys.len();
            self.store.remove(&tables.completions, keys).await?;
        }
        if !tables.triggers.is_empty() {
            let key = Item::from([("job_id".to_owned(), s(job_id))]);
            removed += self.store.get_many(vec![(&tables.triggers, key.clone())]).await?.len();
            self.store.remove(&tables.triggers, vec![key]).await?;
        }
        // Last, because it leads to the rows.
        self.store.remove(&tables.invocations, vec![own(keys::cuts(job_id))]).await?;
        Ok(removed)
    }
}

/// The key of one of the ledger's own items.
fn own(name: String) -> Item {
    Item::from([(KEY.to_owned(), s(name))])
}

/// The addresses by which others find the attempts of these rows.
fn aliases(rows: &[SegmentRow]) -> Vec<Item> {
    let places = rows.iter().flat_map(|row| [&row.locations.response, &row.locations.failure]);
    places.flatten().map(|place| own(place.to_string())).collect()
}

#[async_trait]
impl Switches for DynamoLedger {
    async fn paused(&self) -> Result<BTreeSet<String>> {
        // A read that may lag costs half as much, and every daemon asks.
        let call = self.store.client.get_item().table_name(&self.store.tables.invocations);
        let answer = call
            .set_key(Some(own(keys::PAUSED.to_owned())))
            .send()
            .await
            .map_err(|error| translate("read which roles are paused", error))?;
        Ok(answer.item.as_ref().map(roles).unwrap_or_default())
    }

    async fn set_paused(&self, role: &str, paused: bool) -> Result<bool> {
        let mut e = Expression::default();
        let (set, one) = (e.name(ROLES), e.value(AttributeValue::Ss(vec![role.to_owned()])));
        let verb = if paused { "ADD" } else { "DELETE" };
        let call = self.store.client.update_item().table_name(&self.store.tables.invocations);
        let answer = call
            .set_key(Some(own(keys::PAUSED.to_owned())))
            .update_expression(format!("{verb} {set} {one}"))
            .set_expression_attribute_names(e.names())
            .set_expression_attribute_values(e.values())
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .map_err(|error| translate(format!("switch the role {role}"), error))?;
        let was = answer.attributes.as_ref().is_some_and(|old| roles(old).contains(role));
        Ok(was != paused)
    }
}

/// The roles that the item of paused ones names.
fn roles(item: &Item) -> BTreeSet<String> {
    let set = item.get(ROLES).and_then(|value| value.as_ss().ok());
    set.into_iter().flatten().cloned().collect()
}

/// Ids of jobs in one status, those made last first, not after `from` and a little more.
async fn page(
    store: &Store,
    status: JobStatus,
    from: Option<&Place>,
    limit: usize,
    start: Option<Item>,
) -> Result<Page> {
    let call = store.client.query().table_name(&store.tables.jobs);
    // Others may have stored a part of a second.
    let newest = from.map_or(i64::MAX / 1000, |from| from.created_at.unix_seconds() + 1);
    let answer = call
        .index_name("status-created_at")
        .key_condition_expression("#status = :status AND created_at <= :newest")
        .projection_expression("job_id, created_at")
        .expression_attribute_names("#status", "status")
        .expression_attribute_values(":status", s(status))
        .expression_attribute_values(":newest", n(newest))
        .scan_index_forward(false)
        .limit(i32::try_from(limit.saturating_add(1)).unwrap_or(i32::MAX))
        .set_exclusive_start_key(start)
        .send()
        .await
        .map_err(|error| translate(format!("list jobs that are {status}"), error))?;
    let items = answer.items.unwrap_or_default();
    let id = |item: &Item| item.get("job_id")?.as_s().ok()?.parse().ok();
    let second = |item: &Item| item.get("created_at")?.as_n().ok()?.parse::<f64>().ok();
    Ok(Page {
        jobs: items.iter().filter_map(id).collect(),
        last_second: items.last().and_then(second).map(|at| at.floor() as i64),
        next: answer.last_evaluated_key,
    })
}

async fn completion_keys(store: &Store, job_id: &JobId) -> Result<Vec<Item>> {
    let (mut found, mut from) = (Vec::new(), None);
    loop {
        let call = store.client.query().table_name(&store.tables.completions);
        let answer = call
            .key_condition_expression("job_id = :job")
            .expression_attribute_values(":job", s(job_id))
            .projection_expression("job_id, segment_index")
            .consistent_read(true)
            .set_exclusive_start_key(from)
            .send()
            .await
            .map_err(|error| translate(format!("list completions of {job_id}"), error))?;
        found.extend(answer.items.unwrap_or_default());
        from = answer.last_evaluated_key;
        if from.is_none() {
            return Ok(found);
        }
    }
}
