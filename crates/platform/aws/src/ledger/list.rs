//! Lists: rows of a job, due segments, jobs by status, completions. None scans a table.

use parallax_job::{JobId, JobStatus, Segment, SegmentCompletion, Timestamp, Uri};
use parallax_ports::ledger::{Cursor, Job, SegmentRow, SegmentState, SomeJobs, rules};
use parallax_ports::{Ledger, Result};
use tracing::warn;

use super::invocations::{CUTS, KEY, to_holders, to_row, to_segment};
use super::item::{Expression, Item, n, s};
use super::jobs::{to_completion, to_job};
use super::keys;
use super::snapshot::{Read, Snapshot};
use super::store::DynamoLedger;
use super::write::Write;
use crate::error::translate;

/// Due segments that are looked up in one step.
const STEP: usize = 100;

/// Where a page of the index of jobs by status ended: the time, as the index has it, and the id.
fn cursor(last: &Item) -> Option<Cursor> {
    let (at, id) = (last.get("created_at")?.as_n().ok()?, last.get("job_id")?.as_s().ok()?);
    Some(Cursor(format!("{at} {id}")))
}

fn start_key(status: JobStatus, from: &Cursor) -> Option<Item> {
    let (at, id) = from.0.split_once(' ')?;
    let key = [("status", s(status)), ("created_at", n(at)), ("job_id", s(id))];
    Some(key.map(|(name, value)| (name.to_owned(), value)).into())
}

/// Lists of one ledger.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lists<'a>(pub(super) &'a DynamoLedger);

impl Lists<'_> {
    /// The rows of these segments, those that exist.
    async fn rows(&self, segments: Vec<Segment>) -> Result<Vec<SegmentRow>> {
        let key = |segment: &Segment| Item::from([(KEY.to_owned(), s(keys::segment(segment)))]);
        let table = self.0.store.tables.invocations.as_str();
        let asked = segments.iter().map(|segment| (table, key(segment))).collect();
        let mut rows = Vec::new();
        for (_, item) in self.0.store.get_many(asked).await? {
            let name = item.get(KEY).and_then(|v| v.as_s().ok()).map_or("", String::as_str);
            let segment = name.strip_prefix("seg#").and_then(keys::parse_name);
            if let Some(segment) = segment {
                let (row, version) = to_row(&segment, &item)?;
                if row.state == SegmentState::Invoked {
                    let row = Read::Found((row.clone(), version));
                    self.0.beliefs.learn(&Snapshot { row, ..Snapshot::default() });
                }
                rows.push(row);
            }
        }
        Ok(rows)
    }

    /// The segment whose outcome was announced for `location`.
    pub(super) async fn by_location(&self, location: &Uri) -> Result<Option<Segment>> {
        let table = self.0.store.tables.invocations.as_str();
        let permits = s(keys::permits(&self.0.store.pool));
        let keys = [s(location), permits.clone()];
        let asked = keys.map(|key| (table, Item::from([(KEY.to_owned(), key)]))).to_vec();
        let mut holders = Vec::new();
        for (_, item) in self.0.store.get_many(asked).await? {
            if item.get(KEY) == Some(&permits) {
                holders = to_holders(&item)?;
                continue;
            }
            let segment = to_segment(&item, None)?;
            if item.contains_key("mode") {
                return Ok(Some(segment));
            }
            // A record of a deployed part does not say in which mode; the job does.
            let mode = self.0.job(&segment.job_id).await?.map(|job| job.mode);
            return to_segment(&item, mode).map(Some);
        }
        let work = holders.iter().filter_map(|holder| holder.work.clone());
        let (mut rows, unknown) = self.0.beliefs.accepted(work);
        if rules::announced_for(&holders, &rows, location).is_none() {
            rows.extend(self.rows(unknown).await?);
        }
        Ok(rules::announced_for(&holders, &rows, location).cloned())
    }

    /// The rows of a job at the indices that `keep` names.
    pub(super) async fn of_job(
        &self,
        job_id: &JobId,
        index: Option<u32>,
    ) -> Result<Vec<SegmentRow>> {
        let key = Item::from([(KEY.to_owned(), s(keys::cuts(job_id)))]);
        let found = self.0.store.get_many(vec![(&self.0.store.tables.invocations, key)]).await?;
        let Some((_, item)) = found.first() else { return Ok(Vec::new()) };
        let cuts = item.get(CUTS).and_then(|v| v.as_ss().ok());
        let mut segments = Vec::new();
        for (total, mode) in cuts.into_iter().flatten().filter_map(|text| keys::parse_cut(text)) {
            let indices = index.map_or(0..total, |index| index..index.saturating_add(1).min(total));
            for index in indices {
                segments.extend(Segment::new(job_id.clone(), index, total, mode));
            }
        }
        self.rows(segments).await
    }

    /// Due segments, the longest due first.
    pub(super) async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<SegmentRow>> {
        let shard = |n| Item::from([(KEY.to_owned(), s(keys::due(&self.0.store.pool, n)))]);
        let table = self.0.store.tables.invocations.as_str();
        let asked = (0..keys::DUE_SHARDS).map(|n| (table, shard(n))).collect();
        let mut waiting: Vec<(i64, Segment)> = Vec::new();
        for (_, item) in self.0.store.get_many(asked).await? {
            for (name, value) in &item {
                let at = value.as_n().ok().and_then(|text| text.parse::<i64>().ok());
                if let (Some(segment), Some(at)) = (keys::parse_name(name), at) {
                    waiting.push((at, segment));
                }
            }
        }
        waiting.retain(|(at, _)| *at <= now.0);
        waiting.sort();
        let mut due = Vec::new();
        for step in waiting.chunks(STEP) {
            if due.len() >= limit {
                break;
            }
            let mut rows = self.rows(step.iter().map(|(_, s)| s.clone()).collect()).await?;
            let mut job_ids: Vec<&JobId> = step.iter().map(|(_, s)| &s.job_id).collect();
            job_ids.sort();
            job_ids.dedup();
            let jobs = self.jobs_by_id(job_ids).await?;
            let ended = |id: &JobId| jobs.iter().any(|j| j.job_id == *id && j.status.is_terminal());
            rows.retain(|row| row.state == SegmentState::RetryWait && row.next_at <= now);
            rows.sort_by(|a, b| (a.next_at, &a.segment).cmp(&(b.next_at, &b.segment)));
            for (at, segment) in step {
                let there = rows.iter().any(|row| row.segment == *segment);
                if ended(&segment.job_id) || !there {
                    self.forget_due(segment, *at).await;
                }
            }
            due.extend(rows.into_iter().filter(|row| !ended(&row.segment.job_id)));
        }
        due.truncate(limit);
        Ok(due)
    }

    /// Takes an entry that is of no use any more out of the index, unless it was renewed.
    pub(super) async fn forget_due(&self, segment: &Segment, at: i64) {
        let mut e = Expression::default();
        let name = keys::name(segment);
        e.remove_attribute(&name);
        e.require_same(&name, Some(&n(at)));
        let key = keys::due(&self.0.store.pool, keys::shard(segment));
        let key = Item::from([(KEY.to_owned(), s(key))]);
        let table = self.0.store.tables.invocations.clone();
        if let Err(error) = self.0.store.write(vec![Write::Update { table, key, e }]).await {
            warn!(%segment, error = %error.chain(), "could not tidy the index of due segments");
        }
    }

    /// Jobs that exist and can be read.
    pub(super) async fn jobs_by_id(&self, job_ids: Vec<&JobId>) -> Result<Vec<Job>> {
        let table = self.0.store.tables.jobs.as_str();
        let key = |id: &&JobId| (table, Item::from([("job_id".to_owned(), s(id))]));
        let asked = job_ids.iter().map(key).collect();
        let mut jobs = Vec::new();
        for (_, item) in self.0.store.get_many(asked).await? {
            match to_job(&item) {
                Ok(job) => {
                    let seen =
                        Snapshot { job: Read::Found((job.clone(), item)), ..Snapshot::default() };
                    self.0.beliefs.learn(&seen);
                    jobs.push(job);
                }
                // One that somebody else wrote must not hide the others.
                Err(error) => warn!(error = %error.chain(), "a job is passed over"),
            }
        }
        Ok(jobs)
    }

    /// The jobs in one status.
    pub(super) async fn jobs(&self, status: JobStatus) -> Result<Vec<Job>> {
        let mut jobs: Vec<Job> = Vec::new();
        let mut from = None;
        loop {
            let some = self.some_jobs(status, from.as_ref(), None).await?;
            jobs.extend(some.jobs);
            from = some.next;
            if from.is_none() {
                break;
            }
        }
        // One that changes its place in the index meanwhile may be met twice.
        jobs.sort_by(|a, b| a.job_id.cmp(&b.job_id));
        jobs.dedup_by(|a, b| a.job_id == b.job_id);
        Ok(jobs)
    }

    /// A page of them: found through the index, which lags, and then read themselves.
    pub(super) async fn some_jobs(
        &self,
        status: JobStatus,
        from: Option<&Cursor>,
        limit: Option<usize>,
    ) -> Result<SomeJobs> {
        let call = self.0.store.client.query().table_name(&self.0.store.tables.jobs);
        let answer = call
            .index_name("status-created_at")
            .key_condition_expression("#status = :status")
            .projection_expression("job_id")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":status", s(status))
            .set_exclusive_start_key(from.and_then(|from| start_key(status, from)))
            .set_limit(limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX)))
            .send()
            .await
            .map_err(|error| translate(format!("list jobs that are {status}"), error))?;
        let mut ids: Vec<JobId> = Vec::new();
        for item in answer.items.unwrap_or_default() {
            let text = item.get("job_id").and_then(|v| v.as_s().ok());
            match text.map(|text| text.parse()) {
                Some(Ok(id)) => ids.push(id),
                other => warn!(?other, "a job with a strange id is passed over"),
            }
        }
        let mut jobs = self.jobs_by_id(ids.iter().collect()).await?;
        jobs.retain(|job| job.status == status);
        Ok(SomeJobs { jobs, next: answer.last_evaluated_key.as_ref().and_then(cursor) })
    }

    /// The completions of one cut, by index: consistent, all pages.
    pub(super) async fn completions(
        &self,
        job_id: &JobId,
        total: u32,
    ) -> Result<Vec<SegmentCompletion>> {
        let mut found = Vec::new();
        if self.0.store.tables.completions.is_empty() {
            return Ok(found);
        }
        let mut from = None;
        loop {
            let call = self.0.store.client.query().table_name(&self.0.store.tables.completions);
            let answer = call
                .key_condition_expression("job_id = :job AND segment_index < :total")
                .expression_attribute_values(":job", s(job_id))
                .expression_attribute_values(":total", n(total))
                .consistent_read(true)
                .set_exclusive_start_key(from)
                .send()
                .await
                .map_err(|error| translate(format!("list completions of {job_id}"), error))?;
            for item in answer.items.unwrap_or_default() {
                match to_completion(&item) {
                    Ok(completion) if completion.total_segments == total => found.push(completion),
                    Ok(_) => {}
                    Err(error) => warn!(error = %error.chain(), "a completion is passed over"),
                }
            }
            from = answer.last_evaluated_key;
            if from.is_none() {
                return Ok(found);
            }
        }
    }
}
