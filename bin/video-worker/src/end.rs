//! `cancel`, `delete`, `pause` and `resume`.

use anyhow::{Result, bail};
use parallax_job::Timestamp;
use parallax_worker::{Delete, Done, Step};
use serde_json::json;

use crate::command::{CancelArgs, DeleteArgs, SwitchArgs};
use crate::config::Settings;
use crate::operate::say;
use crate::platform;

/// Fails a job on an operator's word.
///
/// # Errors
/// When there is no such job, it is completed, or the ledger cannot be used.
pub(crate) async fn cancel(settings: &Settings, args: &CancelArgs) -> Result<()> {
    let (operator, _state) = platform::operator(settings).await?;
    let CancelArgs { job_id, because, dry_run, json } = args;
    let now = Timestamp::from_system_clock();
    let because = because.as_deref();
    let step = parallax_worker::cancel(&operator, job_id, because, *dry_run, now).await?;
    tell(&step, *dry_run, *json);
    match step.done {
        Done::Refused => bail!("{}: nothing was cancelled: {}", step.what, step.why),
        _ => Ok(()),
    }
}

/// Removes a job and prints what of it.
///
/// # Errors
/// When there is no such job, it is not over and `--force` was not said, or something cannot be removed;
/// what was printed before was removed.
pub(crate) async fn delete(settings: &Settings, args: &DeleteArgs) -> Result<()> {
    settings.may_end_attempts()?;
    let (operator, _state) = platform::operator(settings).await?;
    let DeleteArgs { job_id, force, dry_run, json } = args;
    let asked = Delete { job: job_id.clone(), force: *force, dry_run: *dry_run };
    let mut refused = None;
    let mut each = |step: Step| {
        tell(&step, *dry_run, *json);
        if step.done == Done::Refused {
            refused = Some(step.why);
        }
    };
    let now = Timestamp::from_system_clock();
    parallax_worker::delete(&operator, &asked, now, &mut each).await?;
    match refused {
        Some(why) => bail!("job {job_id}: nothing was deleted: {why}"),
        None => Ok(()),
    }
}

/// Pauses a role or lets it go on.
///
/// # Errors
/// When the ledger cannot be used.
pub(crate) async fn switch(settings: &Settings, args: &SwitchArgs, paused: bool) -> Result<()> {
    let (operator, _state) = platform::operator(settings).await?;
    let step = parallax_worker::switch(&operator, args.role, paused, args.dry_run).await?;
    tell(&step, args.dry_run, args.json);
    Ok(())
}

fn tell(step: &Step, dry_run: bool, json: bool) {
    match json {
        true => say(&json!({"step": step, "dry_run": dry_run})),
        false => say(&step.told(dry_run)),
    }
}
