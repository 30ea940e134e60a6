//! One film through the worker's own loops, over the embedded adapters.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use parallax_job::JobStatus;
use parallax_media::show_path;
use parallax_ports::Ledger;
use parallax_ports::ledger::{SegmentRow, SegmentState};
use parallax_process::Termination;
use parallax_worker::{Roles, Stop};
use tokio_util::sync::CancellationToken;

use super::alarm::{Alarm, Step, Trouble};
use super::ending::Ending;
use super::pipeline::Embedded;
use super::progress::Reporter;
use super::request::Request;
use super::retries::Retries;
use super::state::State;
use super::stream_report;
use crate::cli::ConvertArgs;
use crate::interruption::INTERRUPTED;

/// Time between looks at whether the queues and the ledger can still be written.
const LOOK_FOR_ROOM: Duration = Duration::from_secs(2);

/// Converts the film that `args` name, until it is finished or `stop` is asked for.
///
/// # Errors
/// What stands in the way, before anything is made.
pub(super) fn run(
    args: &ConvertArgs,
    reporter: &Arc<Reporter>,
    stop: &CancellationToken,
) -> Result<Ending> {
    let request = Request::check(args)?;
    if stop.is_cancelled() {
        return Ok(Ending::Interrupted);
    }
    request.chosen.iter().for_each(|line| reporter.remark(line));
    request.warnings.iter().for_each(|warning| reporter.warning(warning));
    stream_report::announce(&request.streams, reporter);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ending = runtime.block_on(convert(&request, reporter, stop));
    // Blocking work that was cancelled ends soon by itself; nobody waits for it here.
    runtime.shutdown_timeout(Duration::from_secs(5));
    ending
}

async fn convert(
    request: &Request,
    reporter: &Arc<Reporter>,
    stop: &CancellationToken,
) -> Result<Ending> {
    let heard = Termination::listen()?.once(i32::from(INTERRUPTED));
    let interrupted = async move {
        tokio::select! {
            () = heard => {}
            () = stop.cancelled() => {}
        }
    };
    let state = State::open(request)?;
    if state.already_delivered() {
        state.remove()?;
        reporter.completed(&request.output);
        return Ok(Ending::Completed);
    }
    match drive(request, &state, reporter, interrupted).await {
        // Whatever is wrong, the folder stays; only a job that cannot get further takes it along.
        Err(error) => {
            // A full disk shows in many ways, not all of which say so.
            let error = state.look_for_room().err().unwrap_or(error);
            let kept = show_path(state.dir.path());
            let hint = "continue with the same command and --resume, or --restart";
            Ok(Ending::Failed(format!("{error:#}\nwhat is done is kept in {kept}; {hint}")))
        }
        ending => ending,
    }
}

/// Runs the job to its end, the user's or trouble's.
async fn drive(
    request: &Request,
    state: &State,
    reporter: &Arc<Reporter>,
    interrupted: impl Future<Output = ()>,
) -> Result<Ending> {
    let alarm = Alarm::new(reporter);
    let embedded = Embedded::open(request, state, reporter, &alarm).await?;
    embedded.begin(request).await?;
    let mark = state.mark(request);
    let before = embedded.done_frames(request, state, &mark, reporter).await?;
    let mut again = embedded.take_up(&mark).await?;
    reporter.started(request, before);

    let stop = Stop::default();
    let ledger = embedded.local.ledger.clone();
    let mut retries = Retries::since(&ledger.segments(&state.job_id).await?, embedded.tries);
    let worker = {
        let (pipeline, stop) = (embedded.pipeline.clone(), stop.clone());
        tokio::spawn(async move { parallax_worker::run(pipeline, &Roles::all(), stop).await })
    };
    let join = embedded.join(again.unwrap_or_default(), &stop.hard);
    tokio::pin!(interrupted, join);
    let (mut looked, mut measured) = (Instant::now(), 0);
    let ending = loop {
        tokio::select! {
            biased;
            () = &mut interrupted => break Ending::Interrupted,
            trouble = alarm.raised() => break Ending::Failed(told(request, &trouble)),
            joined = &mut join, if again.is_some() => {
                joined?;
                again = None;
            }
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
        if looked.elapsed() > LOOK_FOR_ROOM {
            looked = Instant::now();
            if let Err(error) = state.look_for_room() {
                break Ending::Failed(format!("{error:#}"));
            }
        }
        if worker.is_finished() {
            break Ending::Failed("the worker stopped unexpectedly; run with -v to see why".into());
        }
        let job = ledger.job(&state.job_id).await?.context("the job is gone from its ledger")?;
        let rows = ledger.segments(&state.job_id).await?;
        retries.tell(&rows, reporter);
        let done = rows.iter().filter(|row| row.state == SegmentState::Done).count();
        reporter.segments(done as u32, job.total_segments);
        if measured < done {
            measured = done;
            let (bytes, share) = embedded.results(&rows)?;
            if let Some(warning) = state.look_ahead(&request.film, bytes, share) {
                reporter.warning(&warning);
                // Once is enough.
                measured = usize::MAX;
            }
        }
        match job.status {
            JobStatus::Completed if again.is_none() => break Ending::Completed,
            JobStatus::Failed => {
                break Ending::Failed(given_up(&rows).or(job.reason).unwrap_or_default());
            }
            _ => {}
        }
    };
    // Nothing that still runs is worth waiting for: it is done, or it will be done again.
    stop.soft.cancel();
    stop.hard.cancel();
    worker.await.context("the worker crashed")?.context("the worker stopped")?;
    conclude(ending, request, state, &embedded, reporter).await
}

/// What is left when everything has stopped: a film that is delivered, or a folder to go on from.
async fn conclude(
    ending: Ending,
    request: &Request,
    state: &State,
    embedded: &Embedded,
    reporter: &Reporter,
) -> Result<Ending> {
    match ending {
        Ending::Completed => {
            state.deliver(&embedded.final_file(&state.job_id)?)?;
            reporter.completed(&request.output);
            Ok(Ending::Completed)
        }
        Ending::Failed(why) => {
            let lasting = embedded.local.ledger.job(&state.job_id).await?;
            let (done, total) = embedded.converted().await?;
            if done == 0 && lasting.is_some_and(|job| job.status == JobStatus::Failed) {
                // Nothing is converted, and the job will not get further.
                state.remove()?;
                return Ok(Ending::Failed(why));
            }
            if let Some(total) = total.filter(|total| (1..*total as usize).contains(&done)) {
                anyhow::bail!("{why}\n{done} of {total} segments are converted");
            }
            anyhow::bail!(why)
        }
        Ending::Interrupted => Ok(Ending::Interrupted),
    }
}

/// Trouble in words, with what may help.
fn told(request: &Request, Trouble { step, why }: &Trouble) -> String {
    match step {
        Step::Joining => format!(
            "{}: its frames are converted, but cannot be joined: {why}\nto join them otherwise, \
             pass --resume with another --output (.mkv or .mp4) or --without STREAM",
            show_path(&request.input)
        ),
        Step::Cutting | Step::Converting => why.clone(),
    }
}

/// Why the segment was given up for which the job failed.
fn given_up(rows: &[SegmentRow]) -> Option<String> {
    let failed = rows.iter().find(|row| row.state == SegmentState::Failed)?;
    failed.last_error.as_ref().map(|error| error.message.clone())
}
