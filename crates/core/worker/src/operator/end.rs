//! Ending a job because its owner does not want it: cancelling it, and removing all that is of it.

use std::collections::BTreeSet;

use futures::future::try_join_all;
use parallax_job::{JobId, JobStatus, ObjectKey, Timestamp, Uri, UriError};
use parallax_ports::ledger::{Advance, Job, SegmentRow};
use parallax_ports::{Error, Kind, Result};

use super::handle::Operator;
use super::release::{of_another_pool, release_row};
use super::step::{Done, Step};

/// Objects that are listed in one call.
const LISTED_AT_ONCE: usize = 1000;
/// Objects that are removed at once.
const REMOVED_AT_ONCE: usize = 10;

/// What to remove, and how far.
#[derive(Debug, Clone)]
pub struct Delete {
    /// The job.
    pub job: JobId,
    /// Also while it is not over.
    pub force: bool,
    /// Say what would be done.
    pub dry_run: bool,
}

/// Fails a job with an operator's reason, so that nothing of it begins any more. Attempts that run go on
/// to their end. A job that failed or was deleted already is left as it is.
///
/// # Errors
/// `NotFound` when there is no such job; otherwise the ledger's.
pub async fn cancel(
    operator: &Operator,
    job_id: &JobId,
    because: Option<&str>,
    dry_run: bool,
    now: Timestamp,
) -> Result<Step> {
    let job = known(operator, job_id).await?;
    let step = |done, why: String| Step { what: format!("job {job_id}"), done, why };
    let already = |job: &Job| {
        let why = job.reason.as_deref().map_or(String::new(), |why| format!(": {why}"));
        step(Done::Already, format!("it is {}{why}", job.status))
    };
    match job.status {
        JobStatus::Completed => {
            return Ok(step(
                Done::Refused,
                "it is completed: there is nothing to cancel".to_owned(),
            ));
        }
        JobStatus::Failed | JobStatus::Deleted => return Ok(already(&job)),
        _ => {}
    }
    let reason = Job::cancellation(because);
    if !dry_run {
        let to = JobStatus::Failed;
        match operator.ledger.advance(job_id, to, None, Some(&reason), now).await? {
            Advance::Moved => {}
            Advance::Already | Advance::Refused(_) => {
                return Ok(already(&known(operator, job_id).await?));
            }
            Advance::NotFound => return Err(unknown(job_id)),
        }
    }
    Ok(step(Done::Cancelled, format!("it was {}", job.status)))
}

/// Removes a job's objects and everything that is recorded of it but that it is deleted: late events have
/// to find that. Each step is told once it is done; what broke off is finished by asking again.
///
/// # Errors
/// `NotFound` when there is no such job, otherwise the ports'. What was told before the error was done.
pub async fn delete(
    operator: &Operator,
    asked: &Delete,
    now: Timestamp,
    tell: &mut (dyn FnMut(Step) + Send),
) -> Result<()> {
    let job_id = &asked.job;
    let job = known(operator, job_id).await?;
    let step = |done, why: String| Step { what: format!("job {job_id}"), done, why };
    if !job.status.is_terminal() && !asked.force {
        let why = format!("it is {}: cancel it first, or say --force", job.status);
        tell(step(Done::Refused, why));
        return Ok(());
    }
    let held = held(operator, job_id).await?;
    if let Some(row) = held.first().filter(|_| !asked.force) {
        let why = format!(
            "an attempt at segment {} runs: wait for its end, or say --force",
            row.segment.index
        );
        tell(step(Done::Refused, why));
        return Ok(());
    }
    if let Some(why) = of_another_pool(operator, &held).await? {
        tell(step(Done::Refused, why));
        return Ok(());
    }
    if let Some(until) = joined_until(operator, &job, now).await?.filter(|_| !asked.force) {
        let why = format!(
            "its results are being joined, until {until} at the latest: wait for the end of that, or say \
             --force"
        );
        tell(step(Done::Refused, why));
        return Ok(());
    }
    if !asked.dry_run && job.status != JobStatus::Deleted {
        // First, so that nothing new begins.
        let to = JobStatus::Deleted;
        operator.ledger.advance(job_id, to, None, None, now).await?;
    }
    end_attempts(operator, job_id, asked.dry_run, now, tell).await?;
    remove_objects(operator, job_id, asked.dry_run, tell).await?;
    let why = match asked.dry_run {
        true => format!("it is {}; what is recorded of it goes last", job.status),
        false => match operator.ledger.forget(job_id).await? {
            0 => "nothing is recorded of it any more but that it is deleted".to_owned(),
            rows => format!("{rows} records of it removed"),
        },
    };
    tell(step(Done::Deleted, why));
    Ok(())
}

async fn known(operator: &Operator, job_id: &JobId) -> Result<Job> {
    operator.ledger.job(job_id).await?.ok_or_else(|| unknown(job_id))
}

fn unknown(job_id: &JobId) -> Error {
    Error::new(Kind::NotFound, format!("job {job_id}: there is none of this id"))
}

/// Until when somebody may still write the job's film. Who completed a job is done with it.
async fn joined_until(operator: &Operator, job: &Job, now: Timestamp) -> Result<Option<Timestamp>> {
    if job.status == JobStatus::Completed {
        return Ok(None);
    }
    let until = operator.ledger.reassembling_until(&job.job_id).await?;
    Ok(until.filter(|until| *until > now))
}

/// The rows whose attempt holds a permit.
async fn held(operator: &Operator, job_id: &JobId) -> Result<Vec<SegmentRow>> {
    let rows = operator.ledger.segments(job_id).await?;
    Ok(rows.into_iter().filter(|row| row.holder.is_some()).collect())
}

/// Frees every permit of the job. Whoever runs an attempt finds that it is over.
async fn end_attempts(
    operator: &Operator,
    job_id: &JobId,
    dry_run: bool,
    now: Timestamp,
    tell: &mut (dyn FnMut(Step) + Send),
) -> Result<()> {
    for row in held(operator, job_id).await? {
        let what = format!("segment {}", row.segment);
        let why = match dry_run {
            true => format!("its attempt {} would be ended", row.attempt),
            false => release_row(operator, &row, "its job is deleted", now).await?.why,
        };
        tell(Step { what, done: Done::Removed, why });
    }
    Ok(())
}

/// Removes every object whose key the pipeline chose, and those that the rows know by address.
async fn remove_objects(
    operator: &Operator,
    job_id: &JobId,
    dry_run: bool,
    tell: &mut (dyn FnMut(Step) + Send),
) -> Result<()> {
    let rejected = |error: UriError| Error::new(Kind::Rejected, error.to_string());
    for folder in operator.buckets.folders_of(job_id).map_err(rejected)? {
        let mut count = 0;
        let mut after = None;
        loop {
            let some = operator.listing.list(&folder, after.as_ref(), LISTED_AT_ONCE).await?;
            let Some(last) = some.last() else { break };
            after = Some(last.clone());
            count += some.len();
            if !dry_run {
                remove_all(operator, &some).await?;
            }
        }
        if count > 0 {
            let objects = if count == 1 { "object" } else { "objects" };
            let why = format!("{count} {objects}");
            tell(Step { what: folder.to_string(), done: Done::Removed, why });
        }
    }
    // What an endpoint wrote has names of its own.
    for place in announced(operator, job_id).await? {
        if operator.objects.head(&place).await?.is_some() {
            if !dry_run {
                operator.objects.delete(&place).await?;
            }
            let why = "1 object".to_owned();
            tell(Step { what: place.to_string(), done: Done::Removed, why });
        }
    }
    Ok(())
}

async fn remove_all(operator: &Operator, all: &[Uri]) -> Result<()> {
    for some in all.chunks(REMOVED_AT_ONCE) {
        try_join_all(some.iter().map(|uri| operator.objects.delete(uri))).await?;
    }
    Ok(())
}

/// Where outcomes of the job's latest attempts were announced, in the deployment's own bucket alone.
async fn announced(operator: &Operator, job_id: &JobId) -> Result<BTreeSet<Uri>> {
    let rows = operator.ledger.segments(job_id).await?;
    let places = rows.into_iter().flat_map(|row| [row.locations.response, row.locations.failure]);
    let ours = |uri: &Uri| {
        let Uri::Object { bucket, key, .. } = uri else { return false };
        let key = key.parse::<ObjectKey>();
        let named = matches!(key, Ok(ObjectKey::AsyncResponse(_) | ObjectKey::AsyncFailure(_)));
        bucket == operator.buckets.output.name() && named
    };
    Ok(places.flatten().filter(ours).collect())
}
