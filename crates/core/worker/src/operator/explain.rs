//! What a job waits for, in plain words.
//!
//! Everything is read from the ledger and the object store, so any process can ask about any job.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parallax_job::{JobId, JobStatus, ObjectKey, Segment, SegmentCompletion, Timestamp};
use parallax_ports::ledger::{AttemptError, Begun, Job, SegmentRow, SegmentState};
use parallax_ports::{Custody, Locations, Result, request};
use serde::Serialize;

use super::handle::Operator;

/// The state of a segment of which nothing is recorded.
const UNKNOWN: &str = "unknown";

/// A job and each of its segments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The job as it is recorded.
    pub job: Job,
    /// What it waits for.
    pub waits_for: String,
    /// Completed segments of the job's cut.
    pub completed: u32,
    /// The segments of the job's cut, by index; empty while their number is not known.
    pub segments: Vec<SegmentExplanation>,
    /// Rows of earlier cuts of the source, which no longer matter.
    pub rows_of_other_cuts: usize,
    /// Roles that an operator has paused: nothing is received for them.
    pub paused: BTreeSet<String>,
}

/// Where one segment stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentExplanation {
    /// Its index.
    pub index: u32,
    /// `completed`, a state of its row, or `unknown` when it has neither.
    pub state: &'static str,
    /// The latest attempt; 0 before the first.
    pub attempt: u32,
    /// Attempts that failed and count.
    pub failures: u32,
    /// The permit that the attempt holds.
    pub holder: Option<String>,
    /// Where the outcome will be.
    pub locations: Locations,
    /// When the open attempt is given up, or the next may start; milliseconds since 1970.
    pub until: Option<Timestamp>,
    /// Why the latest unsuccessful attempt ended.
    pub last_error: Option<AttemptError>,
    /// The latest attempts, in the order in which they began.
    pub begun: Vec<Begun>,
    /// When it was completed; milliseconds since 1970.
    pub completed_at: Option<Timestamp>,
    /// What it waits for.
    pub waits_for: String,
}

/// Explains a job; `None` when there is none of that id.
///
/// # Errors
/// The ports'.
pub async fn explain(
    operator: &Operator,
    job_id: &JobId,
    now: Timestamp,
) -> Result<Option<Explanation>> {
    let ledger = &*operator.ledger;
    let Some(job) = ledger.job(job_id).await? else { return Ok(None) };
    let rows = ledger.segments(job_id).await?;
    let holders = ledger.holders().await?;
    let working = holders.iter().filter(|holder| holder.work.is_some()).count();
    let total = job.total_segments.unwrap_or(0);
    let completions = match total {
        0 => Vec::new(),
        total => ledger.completions(job_id, total).await?,
    };
    let of_this_cut =
        rows.iter().filter(|r| (r.segment.total, r.segment.mode) == (total, job.mode));
    let of_this_cut: BTreeMap<u32, &SegmentRow> =
        of_this_cut.map(|row| (row.segment.index, row)).collect();
    let completed: BTreeMap<u32, &SegmentCompletion> =
        completions.iter().map(|c| (c.segment_index, c)).collect();
    let mut segments = Vec::new();
    for index in 0..total {
        let row = of_this_cut.get(&index).copied();
        let asked = match row {
            Some(row) => may_be_asked(operator, row, now).await?,
            None => None,
        };
        let done = completed.get(&index).map(|completion| completion.completed_at);
        let mut one = one(index, row, asked, done, working, now);
        let given_up = one.state == SegmentState::Failed.as_str();
        if job.status.is_terminal() && comes_no_more(one.state) || job.is_cancelled() && given_up {
            one.waits_for = format!("nothing, because its job is {}", job.status);
            one.until = None;
        }
        segments.push(one);
    }
    let completed = completions.len() as u32;
    Ok(Some(Explanation {
        waits_for: job_waits_for(&job, completed, &segments),
        completed,
        segments,
        rows_of_other_cuts: rows.iter().filter(|row| row.segment.total != total).count(),
        paused: operator.switches.paused().await?,
        job,
    }))
}

/// Whether a segment in this state goes on only while its job does. An attempt that is open goes on
/// to its end in any case, and what was given up is an operator's.
fn comes_no_more(state: &str) -> bool {
    state == UNKNOWN || state == SegmentState::RetryWait.as_str()
}

/// Whether an attempt whose owner's time to ask is over may have reached its backend; `None` where
/// its owner still has time, or where nothing is left behind by which that could be told.
async fn may_be_asked(
    operator: &Operator,
    row: &SegmentRow,
    now: Timestamp,
) -> Result<Option<bool>> {
    let over = row.lease.is_some_and(|lease| lease <= now);
    if row.state != SegmentState::Intent || !over {
        return Ok(None);
    }
    let Segment { job_id, index, .. } = row.segment.clone();
    let key = ObjectKey::InvocationRequest { job_id, index };
    let Ok(uri) = operator.buckets.output.uri(&key) else { return Ok(None) };
    request::may_be_asked(&*operator.objects, &uri, row).await.map(Some)
}

fn one(
    index: u32,
    row: Option<&SegmentRow>,
    asked: Option<bool>,
    completed_at: Option<Timestamp>,
    working: usize,
    now: Timestamp,
) -> SegmentExplanation {
    let completed = completed_at.is_some();
    let waits_for = match row {
        Some(row) => row_waits_for(row, asked, completed, now),
        None if completed => "nothing".to_owned(),
        None => {
            format!("its first attempt: its event, or a permit ({working} attempts hold one now)")
        }
    };
    let state = match row {
        _ if completed => "completed",
        Some(row) => row.state.as_str(),
        None => UNKNOWN,
    };
    let until = row.and_then(|row| match row.state {
        SegmentState::Intent if asked != Some(true) => Some(row.lease.unwrap_or(row.deadline)),
        SegmentState::Intent | SegmentState::Invoked => Some(row.deadline),
        SegmentState::RetryWait => Some(row.next_at),
        SegmentState::Done | SegmentState::Failed => None,
    });
    SegmentExplanation {
        index,
        state,
        attempt: row.map_or(0, |row| row.attempt),
        failures: row.map_or(0, |row| row.failures),
        holder: row.and_then(|row| row.holder.as_ref().map(ToString::to_string)),
        locations: row.map(|row| row.locations.clone()).unwrap_or_default(),
        until,
        last_error: row.and_then(|row| row.last_error.clone()),
        begun: row.map_or(Vec::new(), |row| row.begun.clone()),
        completed_at,
        waits_for,
    }
}

fn row_waits_for(row: &SegmentRow, asked: Option<bool>, completed: bool, now: Timestamp) -> String {
    let overdue = row.deadline <= now;
    match (row.state, row.custody) {
        (SegmentState::Done, _) if row.holder.is_some() => {
            "nothing; its permit is kept until the backend is known to be done".to_owned()
        }
        (SegmentState::Done, _) => "nothing".to_owned(),
        _ if completed => "nothing: somebody else completed it".to_owned(),
        (SegmentState::Intent, Custody::Caller) if overdue => {
            "its next attempt: the worker that ran this one is gone".to_owned()
        }
        (SegmentState::Intent, Custody::Caller) => {
            format!("the worker that runs it; its lease ends {}", span(row.deadline, now))
        }
        (SegmentState::Intent | SegmentState::Invoked, _) if overdue => {
            "the next sweep, which ends the attempt: there was no outcome in time".to_owned()
        }
        (SegmentState::Intent, Custody::Backend) => intent_waits_for(row, asked, now),
        (SegmentState::Invoked, _) => {
            format!("its outcome from the backend; given up {}", span(row.deadline, now))
        }
        (SegmentState::RetryWait, _) if row.next_at <= now => {
            "its event or the next sweep: another attempt is due".to_owned()
        }
        (SegmentState::RetryWait, _) => format!("its next attempt {}", span(row.next_at, now)),
        (SegmentState::Failed, _) => "an operator: it was given up".to_owned(),
    }
}

/// What an attempt waits for that a backend has not accepted, as far as is known.
fn intent_waits_for(row: &SegmentRow, asked: Option<bool>, now: Timestamp) -> String {
    match (asked, row.lease) {
        (Some(false), _) => "the next sweep, which ends it and frees its permit: its worker ended \
             before the backend was asked"
            .to_owned(),
        (None, Some(lease)) => format!(
            "its worker, which is handing it over; if no request of it is in the object store {}, \
             it reached nobody and its permit is free",
            span(lease, now)
        ),
        (Some(true), _) => format!(
            "evidence: its request was written, so the backend may have it, and the answer is not \
             known; given up {}",
            span(row.deadline, now)
        ),
        (None, None) => format!(
            "evidence: the answer to its invocation was lost or is on its way; given up {}",
            span(row.deadline, now)
        ),
    }
}

fn job_waits_for(job: &Job, completed: u32, segments: &[SegmentExplanation]) -> String {
    let total = segments.len() as u32;
    match job.status {
        JobStatus::Created | JobStatus::Ingesting => "its source".to_owned(),
        JobStatus::ChunkingInProgress => "its source to be cut".to_owned(),
        JobStatus::ChunkingComplete | JobStatus::Reassembling if total == 0 => {
            let found = match job.total_segments {
                Some(_) => "0",
                None => "not recorded",
            };
            format!(
                "an operator: its total_segments is {found}, so that no segment and no reassembly \
                 will come"
            )
        }
        JobStatus::ChunkingComplete if completed < total => {
            format!("{} of {total} segments", total - completed)
        }
        JobStatus::ChunkingComplete => "its reassembly message, which is due".to_owned(),
        JobStatus::Reassembling => "its segments to be joined".to_owned(),
        JobStatus::Completed | JobStatus::Deleted => "nothing".to_owned(),
        JobStatus::Failed if job.is_cancelled() => "nothing, because it was cancelled".to_owned(),
        JobStatus::Failed if segments.iter().any(|s| s.state == SegmentState::Failed.as_str()) => {
            "an operator: `redrive --job` runs its failed segments again".to_owned()
        }
        JobStatus::Failed => "an operator: it failed as a whole".to_owned(),
    }
}

/// A future time as a person says it.
fn span(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.since(now).max(Duration::from_secs(1)).as_secs();
    match seconds {
        0..120 => format!("in {seconds} s"),
        120..7200 => format!("in {} min", seconds / 60),
        _ => format!("in {} h", seconds / 3600),
    }
}
