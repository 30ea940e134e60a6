//! The commands of operators, and what each may be told.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use parallax_job::{JobId, JobStatus, Mode};
use parallax_ports::Place;
use parallax_worker::Role;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Hand a video to the daemons of a deployment.
    Submit(SubmitArgs),
    /// List jobs, newest first.
    Jobs(JobsArgs),
    /// Say what state a job and each of its segments is in, and what it waits for.
    Explain(ExplainArgs),
    /// Send dead letters back to where they came from, and let failed jobs go on.
    Redrive(RedriveArgs),
    /// Let a job's segments that wait for their next attempt, as when a backend asked for an hour, have
    /// it at once.
    RetryNow(RetryNowArgs),
    /// End the attempt at a segment and free its permit, because you know that nothing runs it.
    Release(ReleaseArgs),
    /// Fail a job that is not wanted, so that nothing of it begins any more.
    Cancel(CancelArgs),
    /// Remove a job's objects and all that is recorded of it but that it is deleted.
    Delete(DeleteArgs),
    /// Let a role receive nothing, in every process of the deployment.
    Pause(SwitchArgs),
    /// Let a paused role go on.
    Resume(SwitchArgs),
    /// Serve the operator's console alone, until a signal: at `WORKER_CONSOLE_ADDRESS`, or else at
    /// 127.0.0.1:8018.
    Console,
    /// Say which numbers the daemon reports, where, and what they mean.
    Metrics(MetricsArgs),
    /// Ask the daemon at `HEALTH_ADDRESS` whether it lives; for health checks of containers.
    Healthy,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The job.
    pub(crate) job_id: JobId,
    /// One JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RetryNowArgs {
    /// The job.
    pub(crate) job_id: JobId,
}

#[derive(Debug, Args)]
pub(crate) struct RedriveArgs {
    /// Only what belongs to this job. If it failed, its failed segments, and no others, run again.
    #[arg(long)]
    pub(crate) job: Option<JobId>,
    /// Only dead letters for this role: segments, output-events, chunking or reassembly.
    #[arg(long, value_parser = receiving)]
    pub(crate) queue: Option<Role>,
    /// The most dead letters to move.
    #[arg(long, default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
    /// Say what would be done and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// One JSON object a line instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// The job.
    #[arg(long)]
    pub(crate) job: JobId,
    /// The segment's index, from 0.
    #[arg(long, value_parser = clap::value_parser!(u32).range(..100_000))]
    pub(crate) segment: u32,
    /// How you know, in at most 500 characters; it is kept with the segment.
    #[arg(long, value_parser = line)]
    pub(crate) because: String,
    /// One JSON object a line instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

fn line(text: &str) -> std::result::Result<String, String> {
    let text = text.trim();
    match text.chars().count() {
        1..=500 if !text.contains(char::is_control) => Ok(text.to_owned()),
        count => Err(format!("{count} characters: expected one line of 1 to 500")),
    }
}

fn receiving(text: &str) -> std::result::Result<Role, String> {
    let found = Role::RECEIVING.into_iter().find(|role| role.as_str() == text);
    found.ok_or_else(|| "allowed are segments, output-events, chunking, reassembly".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// The video.
    pub(crate) input: PathBuf,
    /// Kind of result: `sbs` or `anaglyph`.
    #[arg(long, default_value = "sbs")]
    pub(crate) mode: Mode,
    /// The job's id. Defaults to a random one. That of a job whose source did not arrive submits it
    /// again.
    #[arg(long)]
    pub(crate) job_id: Option<JobId>,
    /// What to call it, in at most 500 characters. Defaults to the file's name.
    #[arg(long, value_parser = line)]
    pub(crate) title: Option<String>,
    /// Say what would be done and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct JobsArgs {
    /// Only jobs in this status.
    #[arg(long)]
    pub(crate) status: Option<JobStatus>,
    /// The most jobs to list, 1 to 1000.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Go on where an earlier list ended, as it said.
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<Place>,
    /// One JSON object a line instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// The job.
    pub(crate) job_id: JobId,
    /// Why, in at most 500 characters; it is kept with the job.
    #[arg(long, value_parser = line)]
    pub(crate) because: Option<String>,
    /// Say what would be done and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// One JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// The job.
    pub(crate) job_id: JobId,
    /// Also while it is not over. What runs of it is not stopped, and is paid for.
    #[arg(long)]
    pub(crate) force: bool,
    /// Say what would be done and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// One JSON object a line instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SwitchArgs {
    /// The role: segments, output-events, chunking or reassembly.
    #[arg(value_parser = receiving)]
    pub(crate) role: Role,
    /// Say what would be done and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// One JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct MetricsArgs {
    /// As the page of the documentation.
    #[arg(long)]
    pub(crate) markdown: bool,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}
