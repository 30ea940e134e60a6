//! A failed job's failed segments, taken back.

use parallax_job::{JobId, JobStatus, ObjectEvent, ObjectKey, Timestamp, s3_notification};
use parallax_ports::Result;
use parallax_ports::ledger::{Ended, SegmentRow, SegmentState};

use super::handle::Operator;
use super::step::{Done, Step};

/// Reopens every failed segment of a job, or none; whether the job goes on, or would.
///
/// The first one takes the job out of `Failed`. Whoever dies before the last one leaves the
/// rest to be reopened by the same command.
pub(super) async fn reopen(
    operator: &Operator,
    job_id: &JobId,
    dry_run: bool,
    now: Timestamp,
    tell: &mut (dyn FnMut(Step) + Send),
) -> Result<bool> {
    let mut refuse = |why: String| {
        tell(Step { what: format!("job {job_id}"), done: Done::Refused, why });
        Ok(false)
    };
    let Some(job) = operator.ledger.job(job_id).await? else {
        return refuse("there is no such job".to_owned());
    };
    let has_failed = job.status == JobStatus::Failed;
    if job.status.is_terminal() && !has_failed {
        return refuse(format!("it is {}", job.status));
    }
    if job.is_cancelled() {
        let why = job.reason.unwrap_or_default();
        return refuse(format!("it is failed, {why}: submit its film under another id"));
    }
    let rows = operator.ledger.segments(job_id).await?;
    let failed = |row: &&SegmentRow| {
        row.state == SegmentState::Failed && Some(row.segment.total) == job.total_segments
    };
    let failed: Vec<&SegmentRow> = rows.iter().filter(failed).collect();
    if failed.is_empty() && has_failed {
        let why = "it failed as a whole and not by a segment: submit it under another id";
        return refuse(why.to_owned());
    }
    // A job that went on without one of its segments would never end.
    let mut sizes = Vec::with_capacity(failed.len());
    for row in &failed {
        match operator.objects.head(&row.input).await? {
            Some(meta) => sizes.push(meta.size),
            None => {
                let (index, input) = (row.segment.index, &row.input);
                return refuse(format!("segment {index}: its input {input} is not there"));
            }
        }
    }
    for (row, size) in failed.into_iter().zip(sizes) {
        let mut step = |done, why: &str| {
            tell(Step { what: format!("segment {}", row.segment), done, why: why.to_owned() });
        };
        if !dry_run {
            if operator.ledger.reopen(&row.segment, now).await? == Ended::Fenced {
                step(Done::Refused, "somebody changed it meanwhile");
                continue;
            }
            // The sweep would find it as well, later.
            let event = ObjectEvent {
                bucket: operator.buckets.input.name().to_owned(),
                key: ObjectKey::Segment(row.segment.clone()).to_string(),
                size: Some(size),
            };
            operator.segments.send(&s3_notification(&[event]), &[]).await?;
        }
        step(Done::Reopened, row.last_error.as_ref().map_or("", |error| &error.message));
    }
    Ok(true)
}
