//! Items in the tables of jobs, completions and triggers, which other deployed parts also write.
//!
//! Times are whole seconds there. Where more is known, it stands beside in an attribute `.._ms`,
//! which is believed while it agrees.

use std::time::Duration;

use parallax_job::{JobId, SegmentCompletion, Timestamp};
use parallax_ports::Result;
use parallax_ports::ledger::{Job, TriggerRow};

use super::invocations::{TTL, VERSION, expiry};
use super::item::{Attributes, Expression, Item, n, s};

/// Who holds a reassembly that was locked by a deployed part which names nobody.
const SOMEBODY: &str = "unnamed";
/// How long such a lock is respected: it is never given back after a crash.
const UNNAMED_LOCK: Duration = Duration::from_secs(2 * 3600);

/// A job from its item.
pub(super) fn to_job(item: &Item) -> Result<Job> {
    let name = Attributes { item, what: "job" };
    let job_id: JobId = name.need("job_id", name.parsed("job_id"))?;
    let what = format!("job {job_id}");
    let read = Attributes { item, what: &what };
    Ok(Job {
        mode: read.need("mode", read.parsed("mode"))?,
        status: read.need("status", read.parsed("status"))?,
        total_segments: read.small("total_segments"),
        created_at: read.time("created_at").unwrap_or_default(),
        completed_at: read.time("completed_at"),
        title: read.text("title").map(str::to_owned),
        reason: read.text("failure_reason").map(str::to_owned),
        uploaded_at: read.time("uploaded_at"),
        source_file_size_bytes: read
            .number("source_file_size_bytes")
            .and_then(|bytes| u64::try_from(bytes).ok()),
        job_id,
    })
}

/// A new job's item. `nonce` lets its writer recognise it after a lost reply.
pub(super) fn from_job(job: &Job, nonce: &str) -> Item {
    let mut item = Item::from(
        [("job_id", s(&job.job_id)), ("mode", s(job.mode)), ("creation_nonce", s(nonce))]
            .map(|(name, value)| (name.to_owned(), value)),
    );
    let mut put = |name: &str, value| item.insert(name.to_owned(), value);
    put("status", s(job.status));
    put("created_at", n(job.created_at.unix_seconds()));
    put("created_at_ms", n(job.created_at.0));
    if let Some(total) = job.total_segments {
        put("total_segments", n(total));
    }
    if let Some(at) = job.completed_at {
        put("completed_at", n(at.unix_seconds()));
        put("completed_at_ms", n(at.0));
    }
    if let Some(at) = job.uploaded_at {
        put("uploaded_at", n(at.unix_seconds()));
        put("uploaded_at_ms", n(at.0));
    }
    if let Some(bytes) = job.source_file_size_bytes {
        put("source_file_size_bytes", n(bytes));
    }
    if let Some(title) = &job.title {
        put("title", s(title));
    }
    if let Some(reason) = &job.reason {
        put("failure_reason", s(reason));
    }
    item
}

/// Changes of a job, attribute by attribute: what others keep in the item stays.
pub(super) fn update_job(e: &mut Expression, old: &Job, new: &Job) {
    if new.status != old.status {
        e.set_attribute("status", s(new.status));
    }
    if let Some(total) = new.total_segments.filter(|_| new.total_segments != old.total_segments) {
        e.set_attribute("total_segments", n(total));
    }
    if let Some(at) = new.completed_at.filter(|_| new.completed_at != old.completed_at) {
        e.set_attribute("completed_at", n(at.unix_seconds()));
        e.set_attribute("completed_at_ms", n(at.0));
    }
    if let Some(at) = new.uploaded_at.filter(|_| new.uploaded_at != old.uploaded_at) {
        e.set_attribute("uploaded_at", n(at.unix_seconds()));
        e.set_attribute("uploaded_at_ms", n(at.0));
    }
    match new.source_file_size_bytes {
        Some(bytes) if new.source_file_size_bytes != old.source_file_size_bytes => {
            e.set_attribute("source_file_size_bytes", n(bytes));
        }
        _ => {}
    }
    match &new.reason {
        Some(reason) if new.reason != old.reason => e.set_attribute("failure_reason", s(reason)),
        None if old.reason.is_some() => e.remove_attribute("failure_reason"),
        _ => {}
    }
}

/// A completion from its item.
pub(super) fn to_completion(item: &Item) -> Result<SegmentCompletion> {
    let read = Attributes { item, what: "completion" };
    Ok(SegmentCompletion {
        job_id: read.need("job_id", read.parsed("job_id"))?,
        segment_index: read.need("segment_index", read.small("segment_index"))?,
        output_s3_uri: read.need("output_s3_uri", read.parsed("output_s3_uri"))?,
        completed_at: read.need("completed_at", read.time("completed_at"))?,
        total_segments: read.need("total_segments", read.small("total_segments"))?,
    })
}

/// A completion's item.
pub(super) fn from_completion(completion: &SegmentCompletion) -> Item {
    Item::from(
        [
            ("job_id", s(&completion.job_id)),
            ("segment_index", n(completion.segment_index)),
            ("output_s3_uri", s(&completion.output_s3_uri)),
            ("completed_at", n(completion.completed_at.unix_seconds())),
            ("completed_at_ms", n(completion.completed_at.0)),
            ("total_segments", n(completion.total_segments)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    )
}

/// A trigger from its item. One that a deployed part wrote was claimed and, for all that is known,
/// not sent; its lock names nobody.
pub(super) fn to_trigger(item: &Item) -> Result<TriggerRow> {
    let name = Attributes { item, what: "reassembly trigger" };
    let job_id: JobId = name.need("job_id", name.parsed("job_id"))?;
    let what = format!("reassembly trigger of {job_id}");
    let read = Attributes { item, what: &what };
    let triggered_at = read.need("triggered_at", read.time("triggered_at"))?;
    let unnamed = read.time("reassembly_started_at").filter(|_| read.text("lock_nonce").is_none());
    let (lock_nonce, lock_until) = match unnamed {
        Some(started) => (Some(SOMEBODY.to_owned()), started + UNNAMED_LOCK),
        None => (
            read.text("lock_nonce").map(str::to_owned),
            Timestamp(read.number("lock_until_ms").unwrap_or(0)),
        ),
    };
    Ok(TriggerRow {
        job_id,
        total: read.small("total_segments"),
        triggered_at,
        nonce: read.text("nonce").unwrap_or_default().to_owned(),
        claimed_at: read.number("claimed_at_ms").map_or(triggered_at, Timestamp),
        sent_at: read.number("sent_at_ms").map(Timestamp),
        lock_nonce,
        lock_until,
    })
}

/// Writes a trigger over what `old` holds.
pub(super) fn update_trigger(e: &mut Expression, old: Option<&Item>, row: &TriggerRow) {
    e.set_attribute("triggered_at", n(row.triggered_at.unix_seconds()));
    e.set_attribute("triggered_at_ms", n(row.triggered_at.0));
    e.set_attribute(TTL, expiry(row.triggered_at));
    e.set_attribute("nonce", s(&row.nonce));
    e.set_attribute("claimed_at_ms", n(row.claimed_at.0));
    e.set_attribute("lock_until_ms", n(row.lock_until.0));
    if let Some(total) = row.total {
        e.set_attribute("total_segments", n(total));
    }
    match row.sent_at {
        Some(at) => e.set_attribute("sent_at_ms", n(at.0)),
        None => e.remove_attribute("sent_at_ms"),
    }
    let started = old.and_then(|item| item.get("reassembly_started_at"));
    let locked_by = old.and_then(|item| item.get("lock_nonce")).and_then(|v| v.as_s().ok());
    match row.lock_nonce.as_deref() {
        None => {
            e.remove_attribute("lock_nonce");
            e.remove_attribute("reassembly_started_at");
        }
        // Somebody's lock is left as it was found.
        Some(SOMEBODY) if locked_by.is_none() && started.is_some() => {}
        Some(nonce) => {
            e.set_attribute("lock_nonce", s(nonce));
            // What deployed parts take for the lock. Their clock is not asked: any value is one.
            if locked_by.map(String::as_str) != Some(nonce) || started.is_none() {
                e.set_attribute("reassembly_started_at", n(row.claimed_at.unix_seconds()));
            }
        }
    }
}

/// What of a trigger's item must not have changed since it was read.
pub(super) fn guard_trigger(e: &mut Expression, old: Option<&Item>) {
    match old {
        None => e.require_absent("job_id"),
        Some(item) => {
            e.require_same("job_id", item.get("job_id"));
            e.require_same(VERSION, item.get(VERSION));
            e.require_same("reassembly_started_at", item.get("reassembly_started_at"));
        }
    }
}

/// What of a job's item must not have changed since it was read. Deployed parts write jobs
/// without a version, so the attributes that decisions rest on are compared themselves.
pub(super) fn guard_job(e: &mut Expression, old: Option<&Item>) {
    match old {
        None => e.require_absent("job_id"),
        Some(item) => {
            e.require_same("status", item.get("status"));
            e.require_same("total_segments", item.get("total_segments"));
        }
    }
}
