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
    /// What to call it, where that was said.
    pub title: Option<String>,
    /// What to call it otherwise.
    pub file_name: Option<String>,
    /// The film.
    pub file: &'a Path,
    /// Its bytes.
    pub bytes: u64,
}

/// Whether a film may be handed in, which changes nothing. Answers the job of this id where an earlier try
/// made it and got no further; `None` where there is none.
///
/// # Errors
/// `Conflict` when the id is another job's, this one's source has arrived, or an earlier try was of another
/// file or title; otherwise the ledger's.
pub async fn check_submit(operator: &Operator, asked: &Submit<'_>) -> Result<Option<Job>> {
    source(operator, asked)?;
    let Some(there) = operator.ledger.job(&asked.job_id).await? else { return Ok(None) };
    match why_not(&there, asked) {
        None => Ok(Some(there)),
        Some(why) => {
            let text = format!("job {}: there is a job of this id, {why}", asked.job_id);
            Err(Error::new(Kind::Conflict, text))
        }
    }
}

/// Records the job, or finds it where an earlier try made it and got no further. Answers where the source
/// is to go.
///
/// # Errors
/// Those of [`check_submit`].
pub async fn begin_submit(operator: &Operator, asked: &Submit<'_>, now: Timestamp) -> Result<Uri> {
    let uri = source(operator, asked)?;
    let job = Job {
        title: asked.title.clone().or_else(|| asked.file_name.clone()),
        source_file_size_bytes: Some(asked.bytes),
        ..Job::new(asked.job_id.clone(), asked.mode, now)
    };
    if !operator.ledger.create_job(&job).await? {
        check_submit(operator, asked).await?;
    }
    Ok(uri)
}

/// Where the source is to go.
fn source(operator: &Operator, asked: &Submit<'_>) -> Result<Uri> {
    let uri = operator.buckets.input.uri(&ObjectKey::Source(asked.job_id.clone()));
    uri.map_err(|error| Error::new(Kind::Rejected, error.to_string()))
}

/// Why a job that exists does not take this film. What an earlier try recorded stays, so that it has to be
/// what is asked for now.
fn why_not(there: &Job, asked: &Submit<'_>) -> Option<String> {
    if there.status != JobStatus::Created {
        return Some(format!("and it is {}", there.status));
    }
    if there.mode != asked.mode {
        return Some(format!("of the mode {}", there.mode));
    }
    if there.uploaded_at.is_some() {
        return Some("and its source was uploaded".to_owned());
    }
    if let Some(bytes) = there.source_file_size_bytes.filter(|bytes| *bytes != asked.bytes) {
        return Some(format!(
            "and its source has {bytes} bytes, not {}: submit this file under another id",
            asked.bytes
        ));
    }
    // Where none is asked for, the recorded one stands.
    if asked.title.is_some() && asked.title != there.title {
        let recorded =
            there.title.as_ref().map_or("no title".to_owned(), |t| format!("the title {t:?}"));
        return Some(format!("of {recorded}: repeat without a title, or submit under another id"));
    }
    None
}

/// Uploads the source, whose event starts the job, and records that. Answers why it could not be recorded,
/// if so: the job goes on without.
///
/// # Errors
/// The object store's. A job whose source did not arrive waits for it, and may be submitted again.
pub async fn upload(
    operator: &Operator,
    asked: &Submit<'_>,
    to: &Uri,
    now: Timestamp,
) -> Result<Option<Error>> {
    operator.objects.upload(asked.file, to).await?;
    Ok(operator.ledger.uploaded(&asked.job_id, asked.bytes, now).await.err())
}
