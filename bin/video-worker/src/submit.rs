//! `video-worker submit`: a film for the daemons of a deployment.

use std::io::Write;

use anyhow::{Context, Result, bail};
use parallax_job::{JobId, Timestamp};
use parallax_ports::Ids;
use parallax_worker::{Submit, begin_submit, check_submit, upload};

use crate::command::SubmitArgs;
use crate::config::Settings;
use crate::operate::say;
use crate::platform;

/// Records the job, then brings its source in, which raises the event that starts it.
///
/// # Errors
/// When the file cannot be read, the id is another job's, or the job or its source cannot be written; in
/// the last case, how to go on. That an upload could not be recorded is a warning.
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
    let file_name = args.input.file_name().map(|name| name.to_string_lossy().into_owned());
    let asked = Submit {
        job_id: job_id.clone(),
        mode: args.mode,
        title: args.title.clone(),
        file_name,
        file: &file,
        bytes: meta.len(),
    };
    let chosen = || match &args.job_id {
        Some(id) => format!("--job-id {id}"),
        None => format!("job {job_id}"),
    };
    if args.dry_run {
        let found = check_submit(&operator, &asked).await.with_context(chosen)?;
        let there = found.map_or("new".to_owned(), |job| format!("{} already", job.status));
        let (file, bytes) = (file.display(), meta.len());
        say(&format_args!("would be submitted: {file} ({bytes} bytes, the job is {there})"));
        return Ok(());
    }
    let begun = begin_submit(&operator, &asked, Timestamp::from_system_clock()).await;
    let to = begun.with_context(chosen)?;
    let uploaded = upload(&operator, &asked, &to, Timestamp::from_system_clock()).await;
    let unrecorded = uploaded.with_context(|| {
        format!(
            "job {job_id} is recorded and its source has not arrived at {to}: repeat with \
             --job-id {job_id}, or `delete {job_id} --force`"
        )
    })?;
    if let Some(error) = unrecorded {
        // The event is on its way, and who took this for a failure would hand the film in twice.
        let why = error.chain();
        let _ = writeln!(
            std::io::stderr(),
            "warning: job {job_id}: its source has arrived and starts it; that could not be recorded: {why}"
        );
    }
    say(&job_id);
    Ok(())
}
