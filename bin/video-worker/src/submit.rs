//! `video-worker submit`: a film for the daemons of a deployment.

use anyhow::{Context, Result, bail};
use parallax_job::{JobId, Timestamp};
use parallax_ports::Ids;
use parallax_worker::{Submit, begin_submit, upload};

use crate::command::SubmitArgs;
use crate::config::Settings;
use crate::platform;

/// Records the job, then brings its source in, which raises the event that starts it.
///
/// # Errors
/// When the file cannot be read, the id is another job's, or the job or its source cannot be written; in
/// the last case, how to go on.
pub(crate) async fn submit(settings: &Settings, args: &SubmitArgs) -> Result<()> {
    let name = || format!("{}: cannot be opened", args.input.display());
    let file = args.input.canonicalize().with_context(name)?;
    let meta = file.metadata().with_context(name)?;
    if !meta.is_file() {
        bail!("{}: is not a file", args.input.display());
    }
    let (operator, _state) = platform::operator(settings).await?;
    let job_id: JobId = match &args.job_id {
        Some(id) => id.clone(),
        None => Ids::random().next().parse()?,
    };
    let of_file = || args.input.file_name().map(|name| name.to_string_lossy().into_owned());
    let asked = Submit {
        job_id: job_id.clone(),
        mode: args.mode,
        title: args.title.clone().or_else(of_file),
        file: &file,
        bytes: meta.len(),
    };
    if args.dry_run {
        let found = operator.ledger.job(&job_id).await?;
        let there = found.map_or("new".to_owned(), |job| format!("{} already", job.status));
        println!(
            "would be submitted: {} ({} bytes, the job is {there})",
            file.display(),
            meta.len()
        );
        return Ok(());
    }
    let to = begin_submit(&operator, &asked, Timestamp::from_system_clock()).await?;
    upload(&operator, &asked, &to, Timestamp::from_system_clock()).await.with_context(|| {
        format!(
            "job {job_id} is recorded and its source has not arrived at {to}: repeat with \
             --job-id {job_id}, or delete it"
        )
    })?;
    println!("{job_id}");
    Ok(())
}
