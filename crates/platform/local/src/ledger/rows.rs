//! Rows to and from tables.

use std::collections::BTreeSet;

use parallax_job::{JobId, JobStatus, Segment, SegmentCompletion, Timestamp, Uri};
use parallax_ports::Place;
use parallax_ports::ledger::rules::{self, Change};
use parallax_ports::ledger::{Holder, HolderId, Job, SegmentRow, SegmentState, TriggerRow};
use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension, Params, Result, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The ledger's tables, seen through a connection or a transaction.
pub(super) struct Rows<'c>(pub(super) &'c Connection);

impl Rows<'_> {
    pub(super) fn holders(&self) -> Result<Vec<Holder>> {
        self.list("SELECT row FROM holders ORDER BY id", [])
    }

    pub(super) fn holder(&self, id: &HolderId) -> Result<Option<Holder>> {
        self.one("SELECT row FROM holders WHERE id = ?1", [&id.0])
    }

    pub(super) fn segment(&self, segment: &Segment) -> Result<Option<SegmentRow>> {
        let Segment { job_id, total, index, mode } = segment;
        self.one(
            "SELECT row FROM segments WHERE job_id = ?1 AND total = ?2 AND idx = ?3 AND mode = ?4",
            params![job_id.as_str(), total, index, mode.as_str()],
        )
    }

    pub(super) fn segments_at(&self, job_id: &JobId, index: u32) -> Result<Vec<SegmentRow>> {
        self.list(
            "SELECT row FROM segments WHERE job_id = ?1 AND idx = ?2 ORDER BY total, mode",
            params![job_id.as_str(), index],
        )
    }

    pub(super) fn segments(&self, job_id: &JobId) -> Result<Vec<SegmentRow>> {
        self.list(
            "SELECT row FROM segments WHERE job_id = ?1 ORDER BY total, idx, mode",
            [job_id.as_str()],
        )
    }

    /// Every row with an attempt that may be running.
    pub(super) fn open_segments(&self) -> Result<Vec<SegmentRow>> {
        let open = [SegmentState::Intent.as_str(), SegmentState::Invoked.as_str()];
        self.list("SELECT row FROM segments WHERE state IN (?1, ?2)", open)
    }

    pub(super) fn by_location(&self, location: &Uri) -> Result<Option<Segment>> {
        let sql = "SELECT segment FROM locations WHERE location = ?1";
        if let Some(segment) = self.one(sql, [location.to_string()])? {
            return Ok(Some(segment));
        }
        let holders = self.holders()?;
        let mut rows = Vec::new();
        for work in holders.iter().filter_map(|holder| holder.work.as_ref()) {
            rows.extend(self.segment(&work.segment)?);
        }
        Ok(rules::announced_for(&holders, &rows, location).cloned())
    }

    pub(super) fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<SegmentRow>> {
        // The state is spelled out because the partial index is found by it.
        self.list(
            "SELECT s.row FROM segments s LEFT JOIN jobs j ON j.job_id = s.job_id
             WHERE s.state = 'retry_wait' AND s.next_at <= ?1
               AND (j.status IS NULL OR j.status NOT IN ('completed', 'failed', 'deleted'))
             ORDER BY s.next_at, s.job_id, s.total, s.idx, s.mode LIMIT ?2",
            params![now.0, i64::try_from(limit).unwrap_or(i64::MAX)],
        )
    }

    pub(super) fn job(&self, job_id: &JobId) -> Result<Option<Job>> {
        self.one("SELECT row FROM jobs WHERE job_id = ?1", [job_id.as_str()])
    }

    pub(super) fn jobs(&self, status: JobStatus) -> Result<Vec<Job>> {
        self.list("SELECT row FROM jobs WHERE status = ?1 ORDER BY job_id", [status.as_str()])
    }

    pub(super) fn jobs_after(
        &self,
        status: JobStatus,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Job>> {
        self.list(
            "SELECT row FROM jobs WHERE status = ?1 AND job_id > ?2 ORDER BY job_id LIMIT ?3",
            params![status.as_str(), after, i64::try_from(limit).unwrap_or(i64::MAX)],
        )
    }

    /// Those made last first. There are few enough on one machine to be looked at one by one.
    pub(super) fn latest_jobs(
        &self,
        status: JobStatus,
        from: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Job>> {
        let (at, id) =
            from.map_or((i64::MAX, ""), |place| (place.created_at.0, place.job_id.as_str()));
        self.list(
            "SELECT row FROM jobs
             WHERE status = ?1 AND (json_extract(row, '$.created_at'), job_id) < (?2, ?3)
             ORDER BY json_extract(row, '$.created_at') DESC, job_id DESC LIMIT ?4",
            params![status.as_str(), at, id, i64::try_from(limit).unwrap_or(i64::MAX)],
        )
    }

    /// Removes everything of a job but itself; how many rows that were.
    pub(super) fn forget_job(&self, job_id: &JobId) -> Result<usize> {
        let mut removed = 0;
        for sql in [
            "DELETE FROM locations WHERE json_extract(segment, '$.job_id') = ?1",
            "DELETE FROM completions WHERE job_id = ?1",
            "DELETE FROM triggers WHERE job_id = ?1",
            "DELETE FROM segments WHERE job_id = ?1",
        ] {
            removed += self.0.prepare_cached(sql)?.execute([job_id.as_str()])?;
        }
        Ok(removed)
    }

    pub(super) fn paused(&self) -> Result<BTreeSet<String>> {
        let mut statement = self.0.prepare_cached("SELECT role FROM paused_roles")?;
        statement.query_map([], |row| row.get(0))?.collect()
    }

    /// Whether that changed something.
    pub(super) fn set_paused(&self, role: &str, paused: bool) -> Result<bool> {
        let sql = match paused {
            true => "INSERT OR IGNORE INTO paused_roles (role) VALUES (?1)",
            false => "DELETE FROM paused_roles WHERE role = ?1",
        };
        Ok(self.0.prepare_cached(sql)?.execute([role])? > 0)
    }

    pub(super) fn completion(
        &self,
        job_id: &JobId,
        index: u32,
    ) -> Result<Option<SegmentCompletion>> {
        self.one(
            "SELECT row FROM completions WHERE job_id = ?1 AND idx = ?2",
            params![job_id.as_str(), index],
        )
    }

    pub(super) fn completions(&self, job_id: &JobId, total: u32) -> Result<Vec<SegmentCompletion>> {
        self.list(
            "SELECT row FROM completions WHERE job_id = ?1 AND idx < ?2 AND total = ?2
             ORDER BY idx",
            params![job_id.as_str(), total],
        )
    }

    pub(super) fn count_completions(&self, job_id: &JobId, total: u32) -> Result<u32> {
        let sql = "SELECT count(*) FROM completions WHERE job_id = ?1 AND idx < ?2 AND total = ?2";
        self.0.prepare_cached(sql)?.query_row(params![job_id.as_str(), total], |row| row.get(0))
    }

    pub(super) fn trigger(&self, job_id: &JobId) -> Result<Option<TriggerRow>> {
        self.one("SELECT row FROM triggers WHERE job_id = ?1", [job_id.as_str()])
    }

    pub(super) fn triggers(&self) -> Result<Vec<TriggerRow>> {
        self.list("SELECT row FROM triggers", [])
    }

    pub(super) fn forget_completion(&self, segment: &Segment) -> Result<()> {
        let Segment { job_id, total, index, .. } = segment;
        self.run(
            "DELETE FROM completions WHERE job_id = ?1 AND idx = ?2 AND total = ?3",
            params![job_id.as_str(), index, total],
        )
    }

    pub(super) fn forget_trigger(&self, job_id: &JobId) -> Result<()> {
        self.run("DELETE FROM triggers WHERE job_id = ?1", [job_id.as_str()])
    }

    /// Stores a rule's answer.
    pub(super) fn apply(&self, change: Change) -> Result<()> {
        for id in change.remove_holders {
            self.run("DELETE FROM holders WHERE id = ?1", [id.0])?;
        }
        if let Some(holder) = change.put_holder {
            let sql = "INSERT OR REPLACE INTO holders (id, row) VALUES (?1, ?2)";
            self.run(sql, params![holder.id.0, json(&holder)?])?;
        }
        if let Some(row) = change.segment {
            self.put_segment(&row)?;
        }
        if let Some(completion) = change.completion {
            let SegmentCompletion { job_id, segment_index, total_segments, .. } = &completion;
            self.run(
                "INSERT OR REPLACE INTO completions (job_id, idx, total, row)
                 VALUES (?1, ?2, ?3, ?4)",
                params![job_id.as_str(), segment_index, total_segments, json(&completion)?],
            )?;
        }
        if let Some(job) = change.job {
            let sql = "INSERT OR REPLACE INTO jobs (job_id, status, row) VALUES (?1, ?2, ?3)";
            self.run(sql, params![job.job_id.as_str(), job.status.as_str(), json(&job)?])?;
        }
        if let Some(trigger) = change.trigger {
            let sql = "INSERT OR REPLACE INTO triggers (job_id, row) VALUES (?1, ?2)";
            self.run(sql, params![trigger.job_id.as_str(), json(&trigger)?])?;
        }
        Ok(())
    }

    fn put_segment(&self, row: &SegmentRow) -> Result<()> {
        let Segment { job_id, total, index, mode } = &row.segment;
        for uri in rules::left_behind(self.segment(&row.segment)?.as_ref(), row) {
            let sql = "INSERT OR REPLACE INTO locations (location, segment) VALUES (?1, ?2)";
            self.run(sql, params![uri.to_string(), json(&row.segment)?])?;
        }
        self.run(
            "INSERT OR REPLACE INTO segments (job_id, total, idx, mode, state, next_at, row)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                job_id.as_str(),
                total,
                index,
                mode.as_str(),
                row.state.as_str(),
                row.next_at.0,
                json(row)?
            ],
        )
    }

    pub(super) fn run(&self, sql: &str, params: impl Params) -> Result<()> {
        self.0.prepare_cached(sql)?.execute(params).map(drop)
    }

    pub(super) fn one<T: DeserializeOwned>(
        &self,
        sql: &str,
        params: impl Params,
    ) -> Result<Option<T>> {
        let mut statement = self.0.prepare_cached(sql)?;
        statement.query_row(params, |row| parse(row.get_ref(0)?.as_str()?)).optional()
    }

    pub(super) fn list<T: DeserializeOwned>(
        &self,
        sql: &str,
        params: impl Params,
    ) -> Result<Vec<T>> {
        let mut statement = self.0.prepare_cached(sql)?;
        statement.query_map(params, |row| parse(row.get_ref(0)?.as_str()?))?.collect()
    }
}

pub(super) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::ToSqlConversionFailure(error.into()))
}

pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    let unreadable =
        |e: serde_json::Error| Error::FromSqlConversionFailure(0, Type::Text, e.into());
    serde_json::from_str(text).map_err(unreadable)
}
