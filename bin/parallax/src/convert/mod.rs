//! `parallax convert`: one job through the worker's own loops, over the embedded adapters.
//!
//! The command is a worker with every role, one queue database and one job. What it adds is what
//! a person expects: checks before anything is made, progress, one clear error, and a state folder
//! from which an interrupted conversion continues.

mod alarm;
mod mended;
mod model;
mod name;
pub(crate) mod options;
mod pipeline;
mod progress;
mod request;
mod source;
pub(crate) mod staging;
mod state;
mod streams;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use parallax_job::JobStatus;
use parallax_ports::Ledger;
use parallax_ports::ledger::SegmentState;
use parallax_worker::{Roles, Stop};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::ConvertArgs;
use alarm::Alarm;
use pipeline::Embedded;
use progress::Reporter;
use request::Request;
use state::State;

/// Exit code of a conversion that was interrupted, as shells count it.
const INTERRUPTED: u8 = 130;

/// Time between looks at whether the queues and the ledger can still be written.
const LOOK_FOR_ROOM: Duration = Duration::from_secs(2);

enum Ending {
    Completed,
    Failed(String),
    Interrupted,
}

pub(crate) fn main(args: &ConvertArgs) -> ExitCode {
    let reporter = Arc::new(Reporter::new(args.json));
    match run(args, &reporter) {
        Ok(Ending::Completed) => ExitCode::SUCCESS,
        Ok(Ending::Interrupted) => {
            reporter.interrupted(args);
            ExitCode::from(INTERRUPTED)
        }
        Ok(Ending::Failed(why)) => {
            reporter.error(&why);
            ExitCode::FAILURE
        }
        Err(error) => {
            reporter.error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &ConvertArgs, reporter: &Arc<Reporter>) -> Result<Ending> {
    let request = Request::check(args)?;
    request.warnings.iter().for_each(|warning| reporter.warning(warning));
    streams::announce(&request.streams, reporter);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ending = runtime.block_on(convert(&request, reporter));
    // Blocking work that was cancelled ends soon by itself; nobody waits for it here.
    runtime.shutdown_timeout(Duration::from_secs(5));
    ending
}

async fn convert(request: &Request, reporter: &Arc<Reporter>) -> Result<Ending> {
    let interrupted = interrupt()?;
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
            let hint = "what is done is kept; continue with the same command and --resume";
            Ok(Ending::Failed(format!("{error:#}\n{hint}")))
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
    let alarm = Alarm::default();
    let embedded = Embedded::open(request, state, reporter, &alarm).await?;
    embedded.begin(request).await?;
    reporter.started(request, embedded.done_frames(request, reporter).await?);

    let stop = Stop::default();
    let ledger = embedded.local.ledger.clone();
    let worker = {
        let (pipeline, stop) = (embedded.pipeline.clone(), stop.clone());
        tokio::spawn(async move { parallax_worker::run(pipeline, &Roles::all(), stop).await })
    };
    tokio::pin!(interrupted);
    let mut looked = Instant::now();
    let ending = loop {
        tokio::select! {
            biased;
            () = &mut interrupted => break Ending::Interrupted,
            why = alarm.raised() => break Ending::Failed(why),
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
        let done = rows.iter().filter(|row| row.state == SegmentState::Done).count();
        reporter.segments(done as u32, job.total_segments);
        match job.status {
            JobStatus::Completed => break Ending::Completed,
            JobStatus::Failed => break Ending::Failed(job.reason.unwrap_or_default()),
            _ => {}
        }
    };
    // Nothing that still runs is worth waiting for: it is done, or it will be done again.
    stop.soft.cancel();
    stop.hard.cancel();
    worker.await.context("the worker crashed")?.context("the worker stopped")?;
    match ending {
        Ending::Completed => {
            state.deliver(&embedded.final_file(&state.job_id)?)?;
            reporter.completed(&request.output);
            Ok(Ending::Completed)
        }
        Ending::Failed(why) => {
            let lasting = ledger.job(&state.job_id).await?;
            if lasting.is_some_and(|job| job.status == JobStatus::Failed) {
                // The job will not get further; nothing of it is worth keeping.
                state.remove()?;
                return Ok(Ending::Failed(why));
            }
            anyhow::bail!(why)
        }
        Ending::Interrupted => Ok(Ending::Interrupted),
    }
}

/// Waits for Ctrl-C or a termination signal, from now on; a second one ends the process at once.
fn interrupt() -> Result<impl Future<Output = ()>> {
    let mut int = signal(SignalKind::interrupt())?;
    let mut term = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = int.recv() => {}
                _ = term.recv() => {}
            }
            std::process::exit(i32::from(INTERRUPTED));
        });
    })
}
