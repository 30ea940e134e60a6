//! Handing a film to a deployment.

use std::path::Path;

use parallax_job::{JobId, JobStatus, Mode, ObjectKey, Timestamp, Uri};
use parallax_ports::ledger::Job;
use parallax_ports::{Error, Kind, Result};

use super::handle::Operator;

/// A film to be handed in.
#[derive(Debug, Clone)]
pub struct Submit<'a> {
    /// The job that it becomes.
    pub job_id: JobId,
    /// Kind of result.
    pub mode: Mode,
    /// What to call it.
    pub title: Option<String>,
    /// The film.
    pub file: &'a Path,
    /// Its bytes.
    pub bytes: u64,
}

/// Records the job, or finds it where an earlier try made it and got no further. Answers where the source
/// is to go.
///
/// # Errors
/// `Conflict` when the id is another job's, or this one's source has arrived; otherwise the ledger's.
pub async fn begin_submit(operator: &Operator, asked: &Submit<'_>, now: Timestamp) -> Result<Uri> {
    let Submit { job_id, mode, .. } = asked;
    let key = ObjectKey::Source(job_id.clone());
    let uri = operator.buckets.input.uri(&key);
    let uri = uri.map_err(|error| Error::new(Kind::Rejected, error.to_string()))?;
    let job = Job {
        title: asked.title.clone(),
        source_file_size_bytes: Some(asked.bytes),
        ..Job::new(job_id.clone(), *mode, now)
    };
    if operator.ledger.create_job(&job).await? {
        return Ok(uri);
    }
    let conflict = |why: String| {
        let text = format!("job {job_id}: there is a job of this id, {why}");
        Err(Error::new(Kind::Conflict, text))
    };
    match operator.ledger.job(job_id).await? {
        Some(there) if there.status != JobStatus::Created => {
            conflict(format!("and it is {}", there.status))
        }
        Some(there) if there.mode != *mode => conflict(format!("of the mode {}", there.mode)),
        Some(there) if there.uploaded_at.is_some() => {
            conflict("and its source was uploaded".to_owned())
        }
        _ => Ok(uri),
    }
}

/// Uploads the source, whose event starts the job, and records that.
///
/// # Errors
/// The ports'. A job whose source did not arrive waits for it, and may be submitted again.
pub async fn upload(
    operator: &Operator,
    asked: &Submit<'_>,
    to: &Uri,
    now: Timestamp,
) -> Result<()> {
    operator.objects.upload(asked.file, to).await?;
    operator.ledger.uploaded(&asked.job_id, asked.bytes, now).await.map(drop)
}
