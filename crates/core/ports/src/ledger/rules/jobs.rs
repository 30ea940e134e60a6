//! Jobs: their status, and when and by whom one is reassembled.

use parallax_job::{JobStatus, Timestamp};

use super::change::Change;
use crate::ledger::{Advance, Job, Lock, Resend, SegmentRow, TriggerOutcome, TriggerRow};

/// [`crate::Ledger::advance`].
pub fn advance(
    job: Option<&Job>,
    to: JobStatus,
    total: Option<u32>,
    reason: Option<&str>,
    now: Timestamp,
) -> (Advance, Change) {
    let Some(job) = job else { return (Advance::NotFound, Change::default()) };
    if job.status == to && (total.is_none() || job.total_segments == total) {
        return (Advance::Already, Change::default());
    }
    let other_cut = total.is_some() && job.total_segments.is_some() && job.total_segments != total;
    // Cut anew after its reassembly was asked for, it waits for the new segments.
    let anew = (job.status, to) == (JobStatus::Reassembling, JobStatus::ChunkingComplete);
    if job.status != to && !job.status.may_become(to) && !(anew && other_cut) {
        return (Advance::Refused(job.status), Change::default());
    }
    // What was joined of an earlier cut does not complete the job.
    if to == JobStatus::Completed && other_cut {
        return (Advance::Refused(job.status), Change::default());
    }
    if job.status == to && to.is_terminal() {
        return (Advance::Refused(job.status), Change::default());
    }
    let mut next = job.clone();
    next.status = to;
    next.total_segments = total.or(job.total_segments);
    if to == JobStatus::Completed {
        next.completed_at = Some(now);
    }
    if let Some(reason) = reason {
        next.reason = Some(reason.to_owned());
    }
    (Advance::Moved, Change { job: Some(next), ..Change::default() })
}

/// [`crate::OperatorLedger::uploaded`].
pub fn uploaded(job: Option<&Job>, bytes: u64, now: Timestamp) -> (bool, Change) {
    let Some(job) = job else { return (false, Change::default()) };
    let (uploaded_at, source_file_size_bytes) = (Some(now), Some(bytes));
    let next = Job { uploaded_at, source_file_size_bytes, ..job.clone() };
    (true, Change { job: Some(next), ..Change::default() })
}

/// Whether [`crate::OperatorLedger::forget`] may remove these rows of a job; otherwise why not. A permit
/// whose row is gone would be held for ever.
pub fn may_forget(job: Option<&Job>, rows: &[SegmentRow]) -> Result<(), String> {
    match job {
        None => return Err("there is no such job".to_owned()),
        Some(job) if job.status != JobStatus::Deleted => {
            return Err(format!("it is {}", job.status));
        }
        Some(_) => {}
    }
    match rows.iter().find(|row| row.holder.is_some()) {
        Some(row) => Err(format!("segment {} holds a permit", row.segment.index)),
        None => Ok(()),
    }
}

/// [`crate::Ledger::trigger`]. `completed` counts completions of the job's own total.
pub fn trigger(
    job: Option<&Job>,
    row: Option<&TriggerRow>,
    completed: u32,
    nonce: &str,
    resend: Resend,
    now: Timestamp,
) -> (TriggerOutcome, Change) {
    let nothing = |outcome| (outcome, Change::default());
    let Some(job) = job else { return nothing(TriggerOutcome::NotReady) };
    match job.status {
        JobStatus::ChunkingComplete | JobStatus::Reassembling => {}
        JobStatus::Completed => return nothing(TriggerOutcome::Sent),
        _ => return nothing(TriggerOutcome::NotReady),
    }
    if job.total_segments.is_none_or(|total| total == 0 || completed < total) {
        return nothing(TriggerOutcome::NotReady);
    }
    let claim = |triggered_at| TriggerRow {
        job_id: job.job_id.clone(),
        total: job.total_segments,
        triggered_at,
        nonce: nonce.to_owned(),
        claimed_at: now,
        sent_at: None,
        lock_nonce: None,
        lock_until: Timestamp(0),
    };
    let next = match row {
        None => claim(now),
        // An earlier cut's. Whoever joins that keeps the lock until he finds out.
        Some(row) if is_of_another_cut(row, job) => TriggerRow {
            lock_nonce: row.lock_nonce.clone(),
            lock_until: row.lock_until,
            ..claim(now)
        },
        Some(row) => {
            let working = row.lock_nonce.is_some() && row.lock_until > now;
            let mine = row.nonce == nonce && row.sent_at.is_none();
            match row.sent_at {
                _ if mine => return nothing(TriggerOutcome::Send),
                Some(sent) if working || sent + resend.unfinished > now => {
                    return nothing(TriggerOutcome::Sent);
                }
                None if row.claimed_at + resend.unconfirmed > now => {
                    return nothing(TriggerOutcome::Pending);
                }
                _ => TriggerRow {
                    lock_nonce: row.lock_nonce.clone(),
                    lock_until: row.lock_until,
                    ..claim(row.triggered_at)
                },
            }
        }
    };
    (TriggerOutcome::Send, Change { trigger: Some(next), ..Change::default() })
}

fn is_of_another_cut(row: &TriggerRow, job: &Job) -> bool {
    row.total.is_some_and(|total| job.total_segments != Some(total))
}

/// [`crate::Ledger::triggered`].
pub fn triggered(job: Option<&Job>, row: Option<&TriggerRow>, now: Timestamp) -> Change {
    let Some(row) = row else { return Change::default() };
    if job.is_some_and(|job| is_of_another_cut(row, job)) {
        return Change::default();
    }
    let (_, mut change) = advance(job, JobStatus::Reassembling, None, None, now);
    if row.sent_at.is_none() {
        change.trigger = Some(TriggerRow { sent_at: Some(now), ..row.clone() });
    }
    change
}

/// [`crate::Ledger::lock_reassembly`].
pub fn lock_reassembly(
    job: Option<&Job>,
    row: Option<&TriggerRow>,
    nonce: &str,
    until: Timestamp,
    now: Timestamp,
) -> (Lock, Change) {
    let Some(job) = job else { return (Lock::NotTriggered, Change::default()) };
    // Also where the trigger of a deleted job is forgotten.
    if job.status.is_terminal() {
        return (Lock::Over(job.status), Change::default());
    }
    let Some(row) = row else { return (Lock::NotTriggered, Change::default()) };
    let total = job.total_segments.filter(|_| !is_of_another_cut(row, job));
    let Some(total) = total else {
        return (Lock::NotTriggered, Change::default());
    };
    let others = row.lock_nonce.as_deref().is_some_and(|holder| holder != nonce);
    if others && row.lock_until > now {
        return (Lock::Held(row.lock_until), Change::default());
    }
    let lock_until =
        if row.lock_nonce.as_deref() == Some(nonce) { row.lock_until.max(until) } else { until };
    let next = TriggerRow { lock_nonce: Some(nonce.to_owned()), lock_until, ..row.clone() };
    (Lock::Acquired(total), Change { trigger: Some(next), ..Change::default() })
}

/// [`crate::OperatorLedger::reassembling_until`].
pub fn reassembling_until(row: Option<&TriggerRow>) -> Option<Timestamp> {
    row.filter(|row| row.lock_nonce.is_some()).map(|row| row.lock_until)
}

/// [`crate::Ledger::unlock_reassembly`].
pub fn unlock_reassembly(row: Option<&TriggerRow>, nonce: &str) -> Change {
    match row.filter(|row| row.lock_nonce.as_deref() == Some(nonce)) {
        Some(row) => Change {
            trigger: Some(TriggerRow { lock_nonce: None, ..row.clone() }),
            ..Change::default()
        },
        None => Change::default(),
    }
}
