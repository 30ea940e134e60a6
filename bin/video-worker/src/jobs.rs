//! `video-worker jobs`: what there is, newest first.

use anyhow::Result;
use parallax_job::{JobStatus, Timestamp};
use parallax_ports::ledger::Job;
use parallax_worker::list;
use serde_json::json;

use crate::command::JobsArgs;
use crate::config::Settings;
use crate::operate::say;
use crate::platform;

/// Prints jobs, and how to go on where there are more.
///
/// # Errors
/// When the ledger cannot be read.
pub(crate) async fn jobs(settings: &Settings, args: &JobsArgs) -> Result<()> {
    let (operator, _state) = platform::operator(settings).await?;
    let status = args.status.as_slice();
    let statuses = if status.is_empty() { &JobStatus::ALL[..] } else { status };
    let found = list(&operator, statuses, args.after.as_ref(), args.limit as usize).await?;
    for job in &found.jobs {
        match args.json {
            true => say(&json!({ "job": job })),
            false => say(&line(job)),
        }
    }
    match (&found.next, args.json) {
        (Some(next), true) => say(&json!({"next": next.to_string()})),
        (Some(next), false) => say(&format_args!("there are more: --after {next}")),
        (None, false) if found.jobs.is_empty() => say(&"there are none"),
        (None, _) => {}
    }
    Ok(())
}

/// A job on one line, in the words of `explain`.
fn line(job: &Job) -> String {
    let mut text = format!("job {} is {}, {}", job.job_id, job.status, job.mode);
    if let Some(total) = job.total_segments {
        text += &format!(", {total} segments");
    }
    text += &format!(", made {}", time(job.created_at));
    if let Some(at) = job.completed_at {
        text += &format!(", completed {}", time(at));
    }
    for (what, value) in [("", &job.title), ("why: ", &job.reason)] {
        if let Some(value) = value {
            // Titles are anybody's: one line stays one line.
            let plain: String =
                value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            text += &format!("; {what}{plain}");
        }
    }
    text
}

fn time(at: Timestamp) -> String {
    at.to_utc()
}
