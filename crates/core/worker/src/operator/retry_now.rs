//! Ending a job's waits: an operator knows better than a header that the backend is back.

use parallax_job::{JobId, ObjectEvent, ObjectKey, Timestamp, s3_notification};
use parallax_ports::ledger::{Ended, SegmentState};
use parallax_ports::{Error, Kind, Result};

use super::handle::Operator;

/// Lets every segment of a job that waits for its next attempt have it at once; their indices.
///
/// # Errors
/// `NotFound` and `Rejected` when the job is not there or has ended; otherwise the ports'. What was set
/// going before stays so.
pub async fn retry_now(operator: &Operator, job_id: &JobId, now: Timestamp) -> Result<Vec<u32>> {
    let Some(job) = operator.ledger.job(job_id).await? else {
        return Err(Error::new(Kind::NotFound, format!("job {job_id}: there is none of this id")));
    };
    if job.status.is_terminal() {
        let text =
            format!("job {job_id} is {}: none of its segments waits for anything", job.status);
        return Err(Error::new(Kind::Rejected, text));
    }
    let mut set_going = Vec::new();
    for row in operator.ledger.segments(job_id).await? {
        let of_this_cut = Some(row.segment.total) == job.total_segments;
        if row.state != SegmentState::RetryWait || !of_this_cut {
            continue;
        }
        if operator.ledger.hasten(&row.segment, now).await? == Ended::Fenced {
            continue;
        }
        // Its own message may be hidden for a long time yet.
        let key = ObjectKey::Segment(row.segment.clone()).to_string();
        let bucket = operator.buckets.input.name().to_owned();
        let event = ObjectEvent { bucket, key, size: None };
        operator.segments.send(&s3_notification(&[event]), &[]).await?;
        set_going.push(row.segment.index);
    }
    Ok(set_going)
}
