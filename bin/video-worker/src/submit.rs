//! `video-worker submit`: a job for a daemon over the same state folder.

use anyhow::{Context, Result, bail};
use parallax_job::ObjectKey;
use parallax_ports::ledger::Job;
use parallax_ports::{Ids, Ledger, ObjectStore};

use crate::config::{Platform, Settings, SubmitArgs};
use crate::platform;

/// Records the job, then brings its source in, which raises the event that starts it.
///
/// # Errors
/// When the platform is not `local`, the file cannot be read, the id is taken or the state folder cannot
/// be written.
pub(crate) async fn submit(settings: &Settings, args: &SubmitArgs) -> Result<()> {
    if settings.platform()? != Platform::Local {
        bail!(
            "PLATFORM=aws: submit hands a file to daemons on a state folder, which none of these \
             would see; there, make the job in JOBS_TABLE_NAME and then upload its source to \
             input/JOB_ID/source.mp4 in INPUT_BUCKET_NAME"
        );
    }
    let input = args
        .input
        .canonicalize()
        .with_context(|| format!("{}: cannot be opened", args.input.display()))?;
    let (_state, local) = platform::open_local(settings).await?;
    let job_id = match &args.job_id {
        Some(id) => id.clone(),
        None => Ids::random().next().parse()?,
    };
    let job = Job::new(job_id.clone(), args.mode, local.clock.now());
    if !local.ledger.create_job(&job).await? {
        bail!("--job-id {job_id}: there is a job of this id");
    }
    let uri = local.buckets.input.uri(&ObjectKey::Source(job_id.clone()))?;
    local.objects.upload(&input, &uri).await?;
    println!("{job_id}");
    Ok(())
}
